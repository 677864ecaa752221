"""Which trajectories of a round's trees become training data (rStar-Math, section 3.4.1).

These are the right trajectories of each problem with the highest mean Q, or the highest mean score of their steps by a
judge (`judged.py`), and different programs. Those of earlier rounds are kept, and rare difficulties get more copies.
Everything here is a pure function of trees and rows.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from treestar.extras import needs_extra
from treestar.policy.formats import StepFormat, reply_parts
from treestar.ppm.pairs import Pair, mean_q
from treestar.search import Node, Tree
from treestar.search.answer import mean_log_probability
from treestar.search.same_steps import what_it_says
from treestar.seeds import lot_of
from treestar.selfevolve.job import Copies, SelectionConfig
from treestar.selfevolve.problems import cell_of
from treestar.storage.states import state_from_json, state_from_values, state_to_json
from treestar.storage.table import Row, Schema, check_undamaged
from treestar.training.ppm.dataset import COLUMNS, row_of
from treestar.training.sft.data import SFTRow
from treestar.types import State, TreestarError

__all__ = [
    "PAIRS",
    "SFT",
    "Difficulty",
    "Selection",
    "Trajectory",
    "TrajectoryKey",
    "best_of_different",
    "best_trajectories",
    "counted",
    "difficulty",
    "pair_rows",
    "program",
    "read_sft_rows",
    "right_trajectories",
    "select",
    "sft_rows",
]

SFT = Schema(
    "sft",
    {
        "round": "int64",
        "problem_id": "string",
        "prompt": "string",
        "completion": "string",
        "parts": "string",
        "mean_q": "float64",
        "difficulty": "string",
        "copies": "int64",
        "source": "string",
        "seed": "int64",
        "node": "int64",
        "trajectory": "string",
    },
    key=("round", "problem_id", "seed", "node"),
    added={"parts": ""},
)
"""The training data of a round's policy. `round`, `problem_id` and `seed` identify a tree, `node` the end of the
trajectory in it; `trajectory` is its JSON, with its step format. `parts`: the completion as a JSON list of `text` and
`by_policy`: what the executor wrote has no loss. `copies`: how often it is in an epoch."""

TRAINED_ON = ("problem_id", "trajectory", "copies")
"""The columns from which rows are trained on."""

PAIRS = Schema("pairs", {"round": "int64", **COLUMNS}, key=())

Difficulty = Literal["easy", "medium", "hard", "unsolved"]

TrajectoryKey = tuple[str, int, int]
"""The id of a problem, the seed of a tree of it, and the index of the node where a trajectory ends."""


@dataclass(frozen=True)
class Selection:
    """A round's training data."""

    rows: Sequence[Row]
    """Rows of `SFT`: those of earlier rounds, then the new ones."""
    added: int
    duplicates: int
    """Number of trajectories whose program an earlier round selected for the same problem."""


@dataclass(frozen=True)
class Trajectory:
    """A right trajectory of a tree."""

    state: State
    program: str
    mean_q: float
    log_probability: float
    """The mean over its tokens."""
    seed: int
    node: int
    step_format: str | None
    """The name of the format in which it was searched; None: unknown."""
    step_score: float | None = None
    """The mean score that a judge gives its steps; None without one."""

    @property
    def key(self) -> TrajectoryKey:
        return self.state.problem.id, self.seed, self.node

    @property
    def rank(self) -> tuple[float, float, int, int]:
        """Smaller is better: by the judge's score, or without a judge by mean Q, with ties broken by the policy's own
        log-probability."""
        quality = self.mean_q if self.step_score is None else self.step_score
        return -quality, -self.log_probability, self.seed, self.node


def select(
    number: int,
    trees: Iterable[Tree],
    difficulties: Mapping[str, Difficulty],
    before: Iterable[Row],
    config: SelectionConfig,
    step_format: StepFormat,
    step_scores: Mapping[TrajectoryKey, float] | None = None,
) -> Selection:
    """The training data of round `number`: the best trajectories of its trees, after those of the rounds before.

    Args:
        trees: with verdicts; several can be of one problem. Their order does not matter.
        difficulties: the difficulty of every problem of this round, by its id.
        before: the rows selected by the previous round.
        step_format: the step format of the policy to train.
        step_scores: the mean score of the steps of each right trajectory, by a judge; None ranks them by mean Q.
    """
    kept = [rebalanced(row, difficulties, config.copies) for row in before]
    known = {(row["problem_id"], program(state_from_json(row["trajectory"]))) for row in kept}
    chosen = best_trajectories(trees, config.trajectories, step_scores)
    new = [each for each in chosen if (each.state.problem.id, each.program) not in known]
    rows = [rebalanced(sft_row(number, each, step_format), difficulties, config.copies) for each in new]
    return Selection([*kept, *rows], len(new), len(chosen) - len(new))


def best_trajectories(
    trees: Iterable[Tree], count: int, step_scores: Mapping[TrajectoryKey, float] | None = None
) -> list[Trajectory]:
    """The best `count` right trajectories of each problem over all its trees, with different programs. Problems are
    sorted by their ids.

    Args:
        step_scores: as for `select`.
    """
    best: dict[tuple[str, str], list[Trajectory]] = {}
    for tree in trees:
        key = tree.problem.id, tree.problem.question
        found = [*best.get(key, ()), *(with_score(each, step_scores) for each in right_trajectories(tree))]
        if found:
            best[key] = best_of_different(found, count)
    return [each for key in sorted(best) for each in best[key]]


def with_score(trajectory: Trajectory, step_scores: Mapping[TrajectoryKey, float] | None) -> Trajectory:
    return trajectory if step_scores is None else replace(trajectory, step_score=step_scores[trajectory.key])


def right_trajectories(tree: Tree) -> list[Trajectory]:
    """The trajectories of `tree` that were judged right, best first."""
    right = [node for node in tree.terminals() if node.terminal == "answer" and node.correct]
    return sorted([trajectory_to(node, tree) for node in right], key=lambda each: each.rank)


def trajectory_to(node: Node, tree: Tree) -> Trajectory:
    state = tree.state(node)
    return Trajectory(
        state,
        program(state),
        mean_q(node),
        mean_log_probability(node),
        tree.seed,
        node.index,
        tree.config.get("step_format"),
    )


def best_of_different(trajectories: Iterable[Trajectory], count: int) -> list[Trajectory]:
    """The best `count` of `trajectories` with different programs."""
    different: dict[str, Trajectory] = {}
    for each in sorted(trajectories, key=lambda each: each.rank):
        different.setdefault(each.program, each)
    return list(different.values())[:count]


def program(trajectory: State) -> str:
    """The code of a trajectory without comments: two with the same program are the same solution. One without code is
    compared by its text."""
    return "\n".join(what_it_says(step, trajectory.problem.kind) for step in trajectory.steps)


def difficulty(right: int, ended: int, config: SelectionConfig) -> Difficulty:
    """The difficulty of a problem for a round's search.

    Args:
        right: number of trajectories in the problem's trees that were judged right.
        ended: number of all finished trajectories, with or without an answer.
    """
    if right == 0:
        return "unsolved"
    rate = right / ended
    if rate >= config.easy_from:
        return "easy"
    return "hard" if rate <= config.hard_up_to else "medium"


def sft_row(number: int, trajectory: Trajectory, step_format: StepFormat) -> Row:
    problem = trajectory.state.problem
    parts = reply_parts(step_format, trajectory.state)
    return {
        "round": number,
        "problem_id": problem.id,
        "prompt": step_format.prompt(State(problem)),
        "completion": "".join(text for text, _ in parts),
        "parts": json.dumps([{"text": text, "by_policy": by_policy} for text, by_policy in parts]),
        "mean_q": trajectory.mean_q,
        "difficulty": "",
        "copies": 0,
        "source": cell_of(problem),
        "seed": trajectory.seed,
        "node": trajectory.node,
        "trajectory": state_to_json(trajectory.state, step_format=trajectory.step_format),
    }


def rebalanced(row: Row, difficulties: Mapping[str, Difficulty], copies: Copies) -> Row:
    """`row` with its problem's difficulty in this round, and the copies for this difficulty.

    A problem that was solved before and is not solved now is hard; one that this round does not search keeps its
    difficulty.
    """
    now = difficulties.get(row["problem_id"], row["difficulty"])
    now = "hard" if now == "unsolved" else now
    wanted: float = getattr(copies, now)
    # With 0.5 copies every other trajectory gets one; the choice depends only on the trajectory.
    lot = lot_of(f"{row['problem_id']}:{row['round']}:{row['seed']}:{row['node']}")
    return {**row, "difficulty": now, "copies": int(wanted) + (lot < wanted % 1)}


def sft_rows(rows: Iterable[Row]) -> list[SFTRow]:
    """The table's rows as input of SFT, without those with 0 copies."""
    return [sft_row_of(row) for row in rows if row["copies"]]


def sft_row_of(row: Row) -> SFTRow:
    values = json.loads(row["trajectory"])
    return SFTRow(row["problem_id"], state_from_values(values), int(row["copies"]), values.get("step_format"))


def read_sft_rows(path: Path) -> list[SFTRow]:
    """The training rows in a table `sft` of a self-evolution job: its folder, or a Parquet file.

    Raises:
        TreestarError: the table does not exist, has lost rows or cannot be read.
    """
    check_undamaged(path)
    files = [path] if path.is_file() else sorted(path.glob("[!_]*.parquet"))
    if not files:
        raise TreestarError(
            f"no training rows in {path}: give a folder written by `treestar evolve`, such as OUT/round-1/sft, or a "
            "Parquet file in it"
        )
    try:
        from pyarrow.parquet import read_schema, read_table
    except ImportError as error:
        raise needs_extra("reading Parquet files", "train") from error
    rows: list[SFTRow] = []
    for file in files:
        try:
            check_columns(file, read_schema(file).names)
            rows += sft_rows(read_table(file, columns=list(TRAINED_ON), partitioning=None).to_pylist())
        except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's errors are ValueErrors and OSErrors
            raise TreestarError(f"{file} cannot be read as a table of training rows: {error}") from error
    return rows


def check_columns(file: Path, names: Sequence[str]) -> None:
    """Raise TreestarError unless a file has the columns that training rows have."""
    missing = [name for name in TRAINED_ON if name not in names]
    if missing:
        raise TreestarError(
            f"{file} has no column {', '.join(missing)}, so it is not a table of training rows: give one that "
            "`treestar evolve` or `treestar judge segment` wrote; data sets of messages, or of prompts and "
            "completions, are for the SFTTrainer of TRL"
        )


def pair_rows(number: int, pairs: Iterable[Pair], step_format: StepFormat) -> list[Row]:
    """Rows of the table of preference pairs."""
    return [{"round": number, **row_of(pair, step_format)} for pair in pairs]


def counted(difficulties: Mapping[str, Difficulty]) -> dict[str, int]:
    """The number of problems of each difficulty."""
    counts = Counter(difficulties.values())
    return {name: counts[name] for name in ("easy", "medium", "hard", "unsolved")}
