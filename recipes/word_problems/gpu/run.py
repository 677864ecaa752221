"""A quarter of an hour of one GPU for the default policy and its PPM.

    python -m recipes.word_problems.gpu.prepare --data FOLDER --out DATA      # before, without a GPU
    python -m recipes.word_problems.gpu.run policy --data DATA --out OUT
    python -m recipes.word_problems.gpu.run ppm --data DATA --out OUT

`policy` trains an adapter of the base on shown programs and then on rewards for programs of its own, each for a given
time. `ppm` samples programs for the held-out questions, makes trees and preference pairs of them, trains a PPM on the
policy, and draws programs for the questions to measure with. If it is run again, it uses the programs that it sampled
for the held-out questions. `--tiny` rehearses both on a CPU.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, TypeVar

import torch

from recipes.word_problems.corpus import rows_of as lines_of
from recipes.word_problems.gpu.batches import TOKENS, read_rows
from recipes.word_problems.gpu.llama import Adapter, Shape, Weights, new_adapter
from recipes.word_problems.gpu.programs import is_right
from recipes.word_problems.gpu.sampling import LONGEST_PROMPT, Marks, Sampler
from recipes.word_problems.gpu.stored import Drawn, read_adapter, read_samples, save_adapter, write_samples
from recipes.word_problems.gpu.teach import Question, Training, learn_by_reward, learn_by_rows
from recipes.word_problems.gpu.trees import comparison_of, finished_states
from recipes.word_problems.gpu.verify import Verifier, learn_by_pairs, pair_accuracy, scores
from treestar.policy import load_policy
from treestar.policy.formats import StepFormat
from treestar.policy.models import policy_path, ppm_path
from treestar.types import Problem, State

__all__ = ["main"]

SCALE = 4.0
"""By which the product of an adapter's factors is multiplied."""

SAMPLED_SETS = ("everyday", "everyday_check", "svamp", "asdiv", "gsm8k")
"""To measure with many programs for a question."""

TREE_PROGRAMS = 16
"""Of every question, for its tree."""

HELD_OUT = 12
"""One question with pairs in this many only measures the PPM."""

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Size:
    """Where a run computes, and how much at a time."""

    device: str
    processes: int
    """That read programs."""
    questions: int | None
    """Read from every file; None for all."""
    taught: int | None
    """Rows; None for all."""
    tokens: int
    """In a batch of a training."""
    rows: int
    """That are sampled at a time."""
    longest: int
    """Tokens of a sampled program."""
    asked: int
    """Questions in a step of GRPO."""
    group: int
    """Programs of each of them."""


GPU = Size("cuda", 14, None, None, TOKENS, rows=2048, longest=160, asked=256, group=16)
TINY = Size("cpu", 2, 24, 200, 1_920, rows=32, longest=48, asked=8, group=4)


@dataclass(frozen=True, slots=True)
class Run:
    """What both commands work with: the questions, the base, and processes that read programs."""

    size: Size
    out: Path
    questions: dict[str, list[Question]]
    """By the names of their files."""
    weights: Weights
    """Of the base."""
    shape: Shape
    tokenizer: Any
    step_format: StepFormat
    marks: Marks
    pool: Pool

    def training(self, weights: Weights, adapter: Adapter) -> Training:
        on_gpu = self.size.device == "cuda"
        return Training(weights, adapter, self.shape, self.marks.padding, on_gpu, self.size.tokens)

    def sampler(self, weights: Weights) -> Sampler:
        return Sampler(weights, self.shape, self.marks, self.size.longest, self.size.rows)

    def judge(self, programs: Sequence[Sequence[int]], answers: Sequence[str]) -> list[bool]:
        """Which programs print their answers."""
        texts = self.tokenizer.batch_decode(programs)
        return self.pool.starmap(is_right, zip(texts, answers, strict=True), chunksize=64)

    def measure(self, sampler: Sampler, name: str) -> None:
        """Print, and add to `greedy.jsonl`, the share of right greedy programs by set."""
        asked = self.questions["measured"]
        programs = sampler.sample([each.prompt for each in asked], 1, 0.0)
        by_set: dict[str, list[bool]] = {}
        for question, right in zip(asked, self.judge(programs, [each.answer for each in asked]), strict=True):
            by_set.setdefault(question.source, []).append(right)
        found = {source: [round(fmean(each), 4), len(each)] for source, each in by_set.items()}
        print(f"greedy, {name}:", json.dumps(found), flush=True)
        with (self.out / "greedy.jsonl").open("a") as lines:
            lines.write(json.dumps({"policy": name, "right": found}) + "\n")

    def drawn(self, sampler: Sampler, asked: Sequence[Question], count: int, temperature: float) -> list[Drawn]:
        """`count` programs of every question."""
        started = time.monotonic()
        programs = sampler.sample([each.prompt for each in asked], count, temperature)
        texts = self.tokenizer.batch_decode(programs)
        tokens, passed = sum(map(len, programs)), time.monotonic() - started
        print(f"{len(texts):,} programs, {tokens:,} tokens, {passed:.0f} s", flush=True)
        return [(question, Counter(texts[place * count : (place + 1) * count])) for place, question in enumerate(asked)]

    def each(
        self, make: Callable[[Problem, Counter[str], Any, StepFormat], Made], drawn: Sequence[Drawn]
    ) -> list[Made]:
        """What `make` makes of the programs of every question."""
        rows = [(question.problem(), programs, self.tokenizer, self.step_format) for question, programs in drawn]
        return self.pool.starmap(make, rows, chunksize=16)


def prepared(options: argparse.Namespace) -> Run:
    """Read the base and the questions."""
    size = TINY if options.tiny else GPU
    policy: Any = load_policy(options.base, device="cpu", dtype="float32")
    names = ("rewarded", "searched", "measured")
    questions = {name: questions_of(options.data / f"{name}.jsonl", policy)[: size.questions] for name in names}
    # A process can be forked only as long as the GPU is not used.
    pool = get_context("fork").Pool(size.processes)
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    return Run(
        size,
        options.out,
        questions,
        weights={name: each.to(size.device, torch.bfloat16) for name, each in policy.model.state_dict().items()},
        shape=Shape.of(policy.model.config),
        tokenizer=policy.tokenizer,
        step_format=policy.format,
        marks=Marks.of(policy.tokenizer),
        pool=pool,
    )


def questions_of(file: Path, policy: Any) -> list[Question]:
    """The questions with a number as the answer, and prompts that are not too long."""
    found = []
    for row in lines_of(file):
        prompt = policy.prompt_tokens(State(Problem(row["question"])))
        if len(prompt) <= LONGEST_PROMPT and is_number(row["answer"]):
            source = row["source"].partition("/")[0]
            found.append(Question(row["id"], row["question"], prompt, row["answer"], source))
    return found


def is_number(text: str) -> bool:
    try:
        return isfinite(float(text.replace(",", "")))
    except ValueError:
        return False


@torch.no_grad()
def merged(training: Training) -> Weights:
    """The weights with the adapter, to sample with."""
    return training.merged()


def train_policy(options: argparse.Namespace) -> None:
    run = prepared(options)
    size, config = run.size, Path(policy_path("embedded")) / "config.json"
    sampler = run.sampler(run.weights)
    run.measure(sampler, "before")
    training = run.training(run.weights, new_adapter(run.weights, options.rank, SCALE))
    rows = read_rows(options.data / "taught.npz")[: size.taught]
    learn_by_rows(training, rows, options.teach_seconds, options.teach_rate)
    # What was trained is stored before anything else can fail.
    save_adapter(training.adapter, options.base, config, options.out / "taught")
    sampler.load(merged(training))
    run.measure(sampler, "taught")
    rewarded, seconds, rate = run.questions["rewarded"], options.reward_seconds, options.reward_rate
    learn_by_reward(training, sampler, run.judge, rewarded, seconds, rate, per_step=size.asked, group=size.group)
    save_adapter(training.adapter, options.base, config, options.out / "policy")
    sampler.load(merged(training))
    run.measure(sampler, "rewarded")


def train_ppm(options: argparse.Namespace) -> None:
    run = prepared(options)
    adapter = read_adapter(options.out / "policy", options.share, torch.device(run.size.device))
    policy = merged(run.training(run.weights, adapter))
    sampler = run.sampler(policy)
    compared = [each for each in run.each(comparison_of, searched(run, sampler, options)) if each is not None]
    print(f"{len(compared):,} trees with pairs, {sum(len(each.pairs) for each in compared):,} pairs", flush=True)
    head = torch.zeros_like(policy["model.norm.weight"], dtype=torch.float32, requires_grad=True)
    verifier = Verifier(run.training(policy, new_adapter(policy, options.ppm_rank, SCALE)), head)
    kept = [each for place, each in enumerate(compared) if place % HELD_OUT]
    learn_by_pairs(verifier, kept, options.ppm_seconds, options.ppm_rate)
    save_adapter(
        verifier.training.adapter, "embedded", Path(ppm_path("embedded")) / "config.json", options.out / "ppm", head
    )
    accuracy, count = pair_accuracy(verifier, compared[::HELD_OUT])
    print(f"held-out pair accuracy {accuracy:.4f} of {count:,}", flush=True)
    asked = [each for each in run.questions["measured"] if each.source in SAMPLED_SETS]
    drawn = run.drawn(sampler, asked, options.samples, options.temperature)
    states = run.each(finished_states, drawn)
    values = iter(scores(verifier, [ids for by_text in states for ids in by_text.values()]))
    scored = [{text: next(values) for text in by_text} for by_text in states]
    write_samples(options.out / "measured.jsonl.gz", drawn, scored)


def searched(run: Run, sampler: Sampler, options: argparse.Namespace) -> list[Drawn]:
    """Programs of held-out questions: those that an earlier run stored, or new ones."""
    file = options.out / "searched.jsonl.gz"
    if file.exists():
        print(f"the programs in {file} are used; delete it to draw new ones", flush=True)
        return read_samples(file, run.questions["searched"])
    questions = run.questions["searched"]
    asked = Random(options.seed).sample(questions, len(questions))[: options.trees]
    drawn = run.drawn(sampler, asked, TREE_PROGRAMS, 1.0)
    write_samples(file, drawn)
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the default policy and its PPM on a GPU.")
    parser.add_argument("part", choices=["policy", "ppm"])
    parser.add_argument("--data", type=Path, required=True, help="the folder that prepare.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default="embedded-taught", help="the policy to start from")
    parser.add_argument("--rank", type=int, default=6)
    parser.add_argument("--share", type=float, default=0.7, help="of the policy's change, as it is stored, for `ppm`")
    parser.add_argument("--ppm-rank", type=int, default=2)
    parser.add_argument("--teach-seconds", type=float, default=155)
    parser.add_argument("--teach-rate", type=float, default=1.2e-3)
    parser.add_argument("--reward-seconds", type=float, default=205)
    parser.add_argument("--reward-rate", type=float, default=2e-4)
    parser.add_argument("--trees", type=int, default=5000, help="questions to search for the PPM")
    parser.add_argument("--ppm-seconds", type=float, default=50)
    parser.add_argument("--ppm-rate", type=float, default=5e-4)
    parser.add_argument("--samples", type=int, default=32, help="programs for every question to measure with")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tiny", action="store_true", help="rehearse on a CPU")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    (train_policy if options.part == "policy" else train_ppm)(options)


if __name__ == "__main__":
    main()
