"""Judges of the toy's code steps: labels, modes and ablations by the F1 of the first error (StepWiser, tables 5 and 6).

    python bench/judge.py FOLDER [--problems 60] [--held-out 30] [--seeds 1] [--steps 60] [--only grpo-rel_ratio ...]

1. Chunks of `toy-bootstrap` on the mid and hard cells that a scripted teacher solves are labeled by real completions.
2. A judge is trained from `toy-bootstrap` for each variant and seed. Those that reason begin with analyses by a checker
   that knows the teacher's steps, of --analyses chunks.
3. Each judge scores every step of held-out solutions, whose true first error the checker knows: a right solution has
   none, a wrong one goes wrong at the first step whose code is not the teacher's.

Variants: `grpo`, `direct`, `rejection` (no RL) and `discriminative` for each of the three labels, and `grpo` without
balancing. Beside them the shipped PPM, and the two judges that always say the same. First errors are found twice: by a
scorer's own verdict on each step, and by the threshold that is best on the half of the solutions that is not counted.

Everything finished is kept in FOLDER, so the same command continues. Writes bench/results/judge.json with what is done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, get_args

from recipes.toy.teachers import TEACHERS
from treestar.benchmarks.first_error import (
    NO_ERROR,
    best_threshold,
    first_error,
    first_error_figures,
)
from treestar.components import ComponentsConfig, load_named_scorer, load_step_scorer, open_components
from treestar.judge.annotate import LIMITS, read_chunks
from treestar.judge.config import AnnotationConfig
from treestar.judge.labels import LabelRule
from treestar.judge.prompt import VERDICTS
from treestar.judge.responses import RESPONSES, collect_responses, responses_of
from treestar.policy.formats import StepFormat
from treestar.policy.load import read_step_format
from treestar.reinforcement.judge_stages import annotate_problems
from treestar.search.same_steps import code_without_comments
from treestar.selfevolve.job import GymSource, ProblemsConfig
from treestar.selfevolve.problems import training_problems
from treestar.storage.files import read_json, write_json
from treestar.storage.record import write_record
from treestar.storage.states import state_from_json
from treestar.storage.table import Table
from treestar.training.judge.config import JudgeGRPOConfig, JudgeMode, JudgeTrainingConfig
from treestar.training.judge.data import Analyses, read_examples
from treestar.training.judge.train import Listener, train_judge
from treestar.training.sft.config import SFTTrainingConfig
from treestar.types import Problem, Scorer, Scores, State

RESULTS = Path(__file__).parent / "results"

BASE, PPM = "toy-bootstrap", "toy"

CELLS = (
    ("chain_sum", "mid"),
    ("chain_sum", "hard"),
    ("leg_counting", "mid"),
    ("leg_counting", "hard"),
    ("basic_arithmetic", "mid"),
    ("basic_arithmetic", "hard"),
)

HELD_OUT_SEED = 77
"""The held-out problems are drawn as those of a job with this seed: other ones of the training split."""

HELD_OUT = 30
"""Held-out problems of each cell."""

REPLY_TOKENS = 128

MIDDLE = 0.0
"""A value in [-1, 1] below which a judge says that a step is wrong."""


class Variant(NamedTuple):
    """One judge."""

    mode: JudgeMode
    rule: LabelRule
    balance: bool = True

    @property
    def name(self) -> str:
        return f"{self.mode}-{self.rule}{'' if self.balance else '-unbalanced'}"


VARIANTS = (
    *(Variant(mode, rule) for rule in get_args(LabelRule) for mode in get_args(JudgeMode)),
    Variant("grpo", "rel_ratio", balance=False),
)


class Solved(NamedTuple):
    """A held-out solution."""

    state: State
    first_error: int


def problems_of(count: int, seed: int) -> list[Problem]:
    sources = tuple(GymSource(family=family, level=level, problems=count) for family, level in CELLS)
    return training_problems(ProblemsConfig(gym=sources), seed, ()).of_round(1)


def truth(state: State, own: StepFormat) -> list[str] | None:
    """The code of the teacher's steps for the problem; None if the teacher does not know its wording."""
    steps = TEACHERS[str(state.problem.metadata["family"])](own.question(state.problem))
    return None if steps is None else [code_without_comments(step) for step in steps]


def written_code(state: State) -> list[str]:
    return [code_without_comments(step.code) for step in state.steps]


def is_taught(state: State, own: StepFormat) -> bool | None:
    """Whether the steps are the teacher's; None if the teacher does not know the problem's wording."""
    expected = truth(state, own)
    return None if expected is None else written_code(state) == expected


def true_first_error(state: State, right: bool, own: StepFormat) -> int | None:
    """The index of the first wrong step, or NO_ERROR; None where the checker cannot tell."""
    if right:
        return NO_ERROR
    expected = truth(state, own)
    if expected is None:
        return None
    written = written_code(state)
    places = [place for place, code in enumerate(written) if place >= len(expected) or code != expected[place]]
    return places[0] if places else None


def checked(state: State, own: StepFormat) -> str | None:
    """The checker's analysis of the last step of `state`; None if a step before it is wrong already."""
    expected, written = truth(state, own), written_code(state)
    last = len(written) - 1
    if expected is None or written[:last] != expected[:last]:
        return None
    wanted = expected[last] if last < len(expected) else "nothing"
    if wanted == written[last]:
        return f"Next comes {wanted!r}, as in the chunk. {VERDICTS[True]}"
    return f"Next comes {wanted!r}. The chunk has {written[last]!r}. {VERDICTS[False]}"


def analyses_of(folder: Path, own: StepFormat, most: int) -> Analyses:
    """The checker's analyses of at most `most` labeled chunks, half of them of wrong ones where there are enough."""
    found: dict[bool, list[tuple[tuple[str, int, int], str]]] = {True: [], False: []}
    for row in read_chunks(folder):
        reply = checked(state_from_json(row["state"]), own)
        if reply is not None:
            found[reply.endswith(VERDICTS[True])].append(((row["problem_id"], row["solution"], row["chunk"]), reply))
    wrong = found[False][: most // 2]
    return dict([*wrong, *found[True][: most - len(wrong)]])


async def held_out_solutions(folder: Path, count: int, own: StepFormat) -> list[Solved]:
    """Solutions of other problems with their true first errors: at most two right and two wrong ones of each."""
    problems = problems_of(count, HELD_OUT_SEED)
    async with open_components(ComponentsConfig(policy=BASE)) as parts:
        await collect_responses(problems, lambda _: parts, folder, AnnotationConfig(seed=HELD_OUT_SEED))
    found: list[Solved] = []
    with Table(folder, RESPONSES) as table:
        for row in sorted(table.rows(), key=RESPONSES.key_of):
            taken = {True: 0, False: 0}
            for each in responses_of(row).solutions:
                first = None if each.ended in LIMITS else true_first_error(each.state, each.right, own)
                if first is not None and taken[each.right] < 2:
                    taken[each.right] += 1
                    found.append(Solved(each.state, first))
    return found


def prefixes(state: State) -> Iterator[State]:
    for depth in range(1, len(state.steps) + 1):
        yield state.prefix(depth)


async def step_values(scorer: Scorer, solutions: Sequence[Solved]) -> list[list[float]]:
    """The scorer's value of every step of every solution, each scored in the state up to it."""
    asked = [asyncio.create_task(scorer.score(list(prefixes(each.state)))) for each in solutions]
    return [list(scores.values) for scores in await asyncio.gather(*asked)]


def training(variant: Variant, seed: int, steps: int) -> JudgeTrainingConfig:
    grpo = JudgeGRPOConfig(
        steps=steps,
        seed=seed,
        problems_per_step=16,
        updates=2,
        max_tokens=REPLY_TOKENS,
        learning_rate=5e-5,
        save_steps=4,
    )
    sft = SFTTrainingConfig(epochs=3, batch_size=8, seed=seed)
    return JudgeTrainingConfig(
        mode=variant.mode,
        rule=variant.rule,
        balance=variant.balance,
        evaluated=60,
        seed=seed,
        grpo=grpo,
        sft=sft,
    )


def train_variant(variant: Variant, seed: int, folder: Path, given: argparse.Namespace, analyses: Analyses) -> Path:
    out = folder / f"{variant.name}-{seed}"
    if not (out / "config.json").exists():
        config = training(variant, seed, given.steps)
        examples = read_examples([folder / "chunks"], config.labels)
        start = None if is_discriminative(variant.name) else analyses
        train_judge(examples, BASE, out, config, analyses=start, resume=True, listener=Listener(say=print))
    return out


class AskedAsRead:
    """A scorer that is asked about questions in the words of `own`: discriminative judges learned them so."""

    def __init__(self, scorer: Scorer, own: StepFormat) -> None:
        self.name, self.scorer, self.own = scorer.name, scorer, own

    async def score(self, states: Sequence[State]) -> Scores:
        return await self.scorer.score([self.asked(state) for state in states])

    def asked(self, state: State) -> State:
        return replace(state, problem=replace(state.problem, question=self.own.question(state.problem)))


def is_discriminative(name: str) -> bool:
    return name.startswith("discriminative")


def judge_scorer(judge: Path) -> Scorer:
    """The scorer of a finished judge."""
    if is_discriminative(judge.name):
        return AskedAsRead(load_step_scorer(str(judge)), read_step_format(BASE))
    return load_step_scorer(f"{judge}?judge_tokens={REPLY_TOKENS}")  # asked as it was trained


def trained_judge(folder: Path, name: str) -> Path:
    """The folder of a judge, such as grpo-rel_ratio-0. Exits if it is not finished."""
    judge = folder / name
    if not (judge / "config.json").exists():
        raise SystemExit(f"{judge} is not a finished judge: train one with bench/judge.py")
    return judge


def arguments_of_judge(description: str | None, record: str) -> argparse.ArgumentParser:
    """The arguments of a script that uses one of these judges."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--judge", default="grpo-rel_ratio-0", help="a finished judge with its seed")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--record", default=record, help="the file in bench/results")
    return parser


def keep_record(figures: dict[str, Any], given: argparse.Namespace) -> None:
    """Write the record of a script that is given FOLDER, whose path belongs to one machine."""
    words = ["FOLDER" if Path(word) == given.folder else word for word in sys.argv[1:]]
    command = shlex.join(["python", f"bench/{Path(sys.argv[0]).name}", *words])
    write_record(RESULTS / given.record, figures, seed=0, command=command)


def figures_of(predicted: Sequence[int], solutions: Sequence[Solved]) -> dict[str, Any]:
    return first_error_figures(predicted, [each.first_error for each in solutions])


def measured(out: Path, solutions: Sequence[Solved]) -> dict[str, Any]:
    """The figures of a judge."""
    return figures_of_values(judge_values(out, solutions), solutions)


def judge_values(out: Path, solutions: Sequence[Solved]) -> list[list[float]]:
    """A judge's values of all steps. They are kept, because a judge's replies take long."""
    kept = out / "step_values.json"
    if not kept.exists():
        write_json(kept, asyncio.run(step_values(judge_scorer(out), solutions)))
    values: list[list[float]] = read_json(kept)
    return values


def ppm_figures(folder: Path, solutions: Sequence[Solved]) -> dict[str, Any]:
    """The figures of the shipped PPM."""
    kept = folder / "ppm_values.json"
    if not kept.exists():
        write_json(kept, asyncio.run(step_values(load_named_scorer(PPM), solutions)))
    return figures_of_values(read_json(kept), solutions)


def figures_of_values(values: Sequence[Sequence[float]], solutions: Sequence[Solved]) -> dict[str, Any]:
    """The first errors by the scorer's own verdict and by the best threshold, and how it rules on single steps: on
    those before the first error, which are right, and on the first error."""
    right = [value for own, each in zip(values, solutions, strict=True) for value in before_error(own, each)]
    wrong = [own[each.first_error] for own, each in zip(values, solutions, strict=True) if each.first_error != NO_ERROR]
    return {
        "own_verdict": figures_of([first_error(own, MIDDLE) for own in values], solutions),
        "best_threshold": figures_of(predicted_by_threshold(values, solutions), solutions),
        "steps": {
            "right": len(right),
            "right_accepted": fmean(value >= MIDDLE for value in right),
            "first_errors": len(wrong),
            "first_errors_rejected": fmean(value < MIDDLE for value in wrong),
            "right_above_wrong": fmean((one > other) + (one == other) / 2 for one in right for other in wrong),
        },
    }


def before_error(values: Sequence[float], solution: Solved) -> Sequence[float]:
    return values if solution.first_error == NO_ERROR else values[: solution.first_error]


def predicted_by_threshold(values: Sequence[Sequence[float]], solutions: Sequence[Solved]) -> list[int]:
    """The first errors of each half of the solutions, by the threshold that is best on the other."""
    predicted = [NO_ERROR] * len(solutions)
    for half in (0, 1):
        others = [place for place in range(len(solutions)) if place % 2 != half]
        threshold = best_threshold([values[i] for i in others], [solutions[i].first_error for i in others])
        for place in range(half, len(solutions), 2):
            predicted[place] = first_error(values[place], threshold)
    return predicted


def run(given: argparse.Namespace) -> dict[str, Any]:
    folder: Path = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    own = read_step_format(BASE)
    config = AnnotationConfig(responses=given.completions, completions=given.completions)
    annotated = annotate_problems(
        problems_of(given.problems, 0), ComponentsConfig(policy=BASE), folder / "chunks", config, say=print
    )
    print(annotated)
    analyses = analyses_of(folder / "chunks", own, given.analyses)
    solutions = asyncio.run(held_out_solutions(folder / "held-out", given.held_out, own))
    print(f"{len(analyses):,} analyses; {len(solutions):,} held-out solutions")
    figures: dict[str, Any] = {
        "chunks": annotated.to_json(),
        "analyses": len(analyses),
        "held_out": {
            "solutions": len(solutions),
            "erroneous": sum(each.first_error != NO_ERROR for each in solutions),
        },
        "always_correct": figures_of([NO_ERROR] * len(solutions), solutions),
        "first_step_wrong": figures_of([0] * len(solutions), solutions),
        "ppm": ppm_figures(folder, solutions),
        "judges": {},
    }
    for seed in range(given.seeds):
        for variant in VARIANTS:
            if given.only and variant.name not in given.only:
                continue
            out = train_variant(variant, seed, folder, given, analyses)
            figures["judges"][f"{variant.name}-{seed}"] = measured(out, solutions)
            print(variant.name, seed, json.dumps(figures["judges"][f"{variant.name}-{seed}"]))
            keep_record(figures, given)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--problems", type=int, default=60, help="training problems of each cell")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="held-out problems of each cell")
    parser.add_argument("--completions", type=int, default=16)
    parser.add_argument("--analyses", type=int, default=400)
    parser.add_argument("--steps", type=int, default=60, help="of reinforcement")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="variants, such as grpo-rel_ratio; by default all")
    parser.add_argument("--record", default="judge.json", help="the file in bench/results")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
