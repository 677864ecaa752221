"""Accuracy of a policy by family and level: greedy, and how often one of several sampled solutions is right.

Whole solutions are generated at once, without search: this measures what search starts from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from recipes.toy.corpus import Example, prompt_text
from recipes.toy.execution import answers_match, run_steps
from treestar.benchmarks.gym import Split, make_problems
from treestar.benchmarks.gym_levels import LEVELS, cells
from treestar.policy.formats import END_OF_CODE, END_OF_STEP
from treestar.policy.formats.binding import bind_numbers
from treestar.types import Problem

__all__ = ["BootstrapEvaluationConfig", "CellResult", "evaluate", "solution_output", "unseen_texts", "write_solutions"]


@dataclass(frozen=True, slots=True)
class BootstrapEvaluationConfig:
    """How a policy is evaluated."""

    problems: int = 40
    """Problems per cell. The groups of gsm_symbolic take this many or three per template, whichever is more."""
    samples: int = 16
    temperature: float = 1.0
    seed: int = 20_000
    """Seed of the problems and of the sampling."""
    batch: int = 384
    """Sequences generated at a time."""
    longest: int = 320
    """Maximum tokens of a solution."""


@dataclass(frozen=True, slots=True)
class CellResult:
    """One family and level."""

    family: str
    level: str
    problems: int
    prompts: int
    """Number of different texts that the policy reads: problems that differ only in their numbers read the same."""
    greedy: float
    """Share of the problems that the most probable solution gets right."""
    mean: float
    """Share of all sampled solutions that are right."""
    majority: float
    """Share of the problems whose most frequent sampled output is right."""
    pass_at_n: float
    """Share of the problems with a right one among the samples."""
    samples: int
    failed: float
    """Share of the sampled solutions that print nothing: the code fails or never ends."""


def evaluate(
    model: Any,
    tokenizer: Any,
    config: BootstrapEvaluationConfig,
    chosen: Iterable[tuple[str, str]] | None = None,
    split: Split = "test",
    report: Callable[[CellResult], None] | None = None,
) -> list[CellResult]:
    """Evaluate the given cells, all by default, on problems of one split."""
    results = []
    for family, level in chosen or cells():
        problems = cell_problems(family, level, split, config)
        greedy = outputs(model, tokenizer, problems, 1, 0.0, config)
        sampled = outputs(model, tokenizer, problems, config.samples, config.temperature, config)
        result = summary(family, level, problems, greedy, sampled)
        results.append(result)
        if report is not None:
            report(result)
    return results


def outputs(
    model: Any,
    tokenizer: Any,
    problems: Sequence[Problem],
    samples: int,
    temperature: float,
    config: BootstrapEvaluationConfig,
) -> list[list[str | None]]:
    """The output of each solution of each problem; None if it prints nothing."""
    bindings = [bind_numbers(problem.question) for problem in problems]
    # Problems that differ only in their numbers have the same prompt, so they share its solutions; the answers differ.
    prompts = [prompt_text(binding.question) for binding in bindings]
    distinct = list(dict.fromkeys(prompts))
    texts = write_solutions(model, tokenizer, [p for p in distinct for _ in range(samples)], temperature, config)
    written = {p: texts[index * samples : (index + 1) * samples] for index, p in enumerate(distinct)}
    rows = [written[prompt] for prompt in prompts]
    return [
        [solution_output(binding.preamble, text) for text in row] for binding, row in zip(bindings, rows, strict=True)
    ]


def write_solutions(
    model: Any, tokenizer: Any, prompts: Sequence[str], temperature: float, config: BootstrapEvaluationConfig
) -> list[str]:
    """One continuation for each prompt, up to the tag that ends the code; at temperature 0 the most probable one."""
    import torch

    torch.manual_seed(config.seed)
    end_of_code = tokenizer.convert_tokens_to_ids(END_OF_CODE)
    texts: list[str] = []
    for start in range(0, len(prompts), config.batch):
        batch = tokenizer(list(prompts[start : start + config.batch]), padding=True, return_tensors="pt")
        sampling: dict[str, Any] = {"do_sample": temperature > 0}
        if temperature > 0:
            sampling.update(temperature=temperature, top_k=0, top_p=1.0)
        with torch.inference_mode():
            written = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=config.longest,
                eos_token_id=[end_of_code, tokenizer.eos_token_id],
                pad_token_id=tokenizer.pad_token_id,
                **sampling,
            )
        texts += tokenizer.batch_decode(written[:, batch["input_ids"].shape[1] :], skip_special_tokens=False)
    return texts


def solution_output(preamble: str, text: str) -> str | None:
    """The output of a generated solution, or None if it is unfinished, fails or prints nothing."""
    body, end, _ = text.partition(END_OF_CODE)
    return run_steps(preamble, body.split(END_OF_STEP)) if end else None


def unseen_texts(taught: Iterable[Example], config: BootstrapEvaluationConfig) -> dict[tuple[str, str], int]:
    """For each cell, the number of test problems whose text, with names for the numbers, was not taught.

    Questions are never shared, but a question of a narrow family differs from a taught one only in its numbers.
    """
    seen = {example.prompt for example in taught}
    return {
        cell: sum(
            prompt_text(bind_numbers(problem.question, 0).question) not in seen
            for problem in cell_problems(*cell, "test", config)
        )
        for cell in cells()
    }


def cell_problems(family: str, level: str, split: Split, config: BootstrapEvaluationConfig) -> list[Problem]:
    """The problems on which a cell is evaluated."""
    templates = LEVELS[family][level].get("templates", ())
    return make_problems(family, level, split, max(config.problems, 3 * len(templates)), config.seed)


def summary(
    family: str,
    level: str,
    problems: Sequence[Problem],
    greedy: Sequence[Sequence[str | None]],
    sampled: Sequence[Sequence[str | None]],
) -> CellResult:
    """Shares of correct answers, computed from the outputs of the solutions."""

    def right(problem: Problem, output: str | None) -> bool:
        return output is not None and answers_match(output, problem.answer or "")

    count = len(problems)
    samples = len(sampled[0])
    correct = [[right(problem, output) for output in row] for problem, row in zip(problems, sampled, strict=True)]
    majorities = [Counter(filter(None, row)).most_common(1) for row in sampled]
    voted = [bool(top) and right(problem, top[0][0]) for problem, top in zip(problems, majorities, strict=True)]
    return CellResult(
        family,
        level,
        count,
        len({bind_numbers(problem.question).question for problem in problems}),
        sum(right(problem, row[0]) for problem, row in zip(problems, greedy, strict=True)) / count,
        sum(map(sum, correct)) / (count * samples),
        sum(voted) / count,
        sum(map(any, correct)) / count,
        samples,
        sum(output is None for row in sampled for output in row) / (count * samples),
    )
