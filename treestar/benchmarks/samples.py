"""samples.jsonl: one line per finished problem of a cell, with the prompt, every completion and its grade.

Every metric is computed only from these lines, so you can grade them again with your own rules. Field names are those
of lm-evaluation-harness if it has them. A line is appended when its problem is finished.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from treestar.benchmarks.matrix import Cell
from treestar.policy.formats import step_format_named, trajectory_text
from treestar.retrieval.corpus import TITLE, shown, supporting_paragraphs
from treestar.search import AnswerGroups, Node, SearchResult, Tree
from treestar.search.answer import mean_log_probability, trajectory_score
from treestar.storage.lines import read_lines
from treestar.types import Problem, Verifier
from treestar.verifier.programs.unit_tests import candidate_program

__all__ = [
    "End",
    "Row",
    "ThoughtTokens",
    "doc_hash",
    "finished_keys",
    "iter_rows",
    "make_row",
    "support_recall",
    "tokens_of_searches",
]

Row = dict[str, Any]
"""One line of samples.jsonl. Its lists `resps`, `filtered_resps`, `right`, `group`, `tokens` and `ended` have one entry
per trajectory, in the order in which the trajectories were started."""

SCORE_DIGITS = 4
"""Decimals of a score. Later digits of a log-probability depend on the rest of the batch; these do not."""

RowKey = tuple[str, int]
"""A cell's key, and the index of a problem in its data set."""


ThoughtTokens = Callable[[Sequence[int]], int]
"""From the tokens of a reply to the number of those in its thought."""


@dataclass(frozen=True, slots=True)
class End:
    """The node at which a trajectory ended, and its tree."""

    node: Node
    tree: Tree


async def make_row(
    cell: Cell,
    doc_id: int,
    prompt: str,
    results: Sequence[SearchResult],
    verifier: Verifier,
    has_scorer: bool,
    thought: ThoughtTokens | None = None,
) -> Row:
    """The line for one problem.

    Args:
        results: of one search, or of several in a row if a budget needed more samples.
        has_scorer: whether a PPM scored the trajectories. One without an answer counts as -1, its lowest score.
        thought: counts the tokens of a thought, for a model that thinks.
    """
    problem = results[0].problem
    gold = problem.answer
    assert gold is not None
    ends = trajectories(cell, results)
    answers = [answer_of(problem, end) for end in ends]
    groups = AnswerGroups(verifier)
    right: dict[str, bool] = {}
    for answer in dict.fromkeys(each for each in answers if each is not None):
        groups.group_of[answer] = await groups.find_or_begin(answer)
        right[answer] = await verifier.accepts(problem, answer)
    # Only now: an answer that equals members of two groups has joined them.
    places = {id(group): place for place, group in enumerate(groups.groups)}
    group_of = {answer: places[id(group)] for answer, group in groups.group_of.items()}
    scores = {"log_probability": [round(mean_log_probability(end.node), SCORE_DIGITS) for end in ends]}
    if has_scorer:
        scores["ppm"] = [round(trajectory_score(end.node) or 0.0, SCORE_DIGITS) for end in ends]
    row: Row = {
        "task": cell.task,
        "cell": cell.key,
        "doc_id": doc_id,
        "doc": {"id": problem.id, "question": problem.question, **doc_metadata(problem)},
        "doc_hash": doc_hash(problem),
        "target": gold,
        "arguments": [prompt],
        "resps": [completion(end) for end in ends],
        "filtered_resps": answers,
        "right": [answer is not None and right[answer] for answer in answers],
        "group": [-1 if answer is None else group_of[answer] for answer in answers],
        "scores": scores,
        "tokens": [sum(each.step.tokens for each in end.node.path() if each.step) for end in ends],
        "multiplicity": [end.node.multiplicity for end in ends],
        "ended": [end.node.terminal for end in ends],
        "stopped": results[0].stopped,
        "stats": {name: sum(getattr(result.stats, name) for result in results) for name in asdict(results[0].stats)},
    }
    if thought is not None:
        paths = [[step.step for step in end.node.path() if step.step is not None] for end in ends]
        row["thinking_tokens"] = [thought([token for step in path for token in step.token_ids]) for path in paths]
    if any(map(looks_up, ends)):
        row["found"] = [found_titles(end) for end in ends]
    # A tree search that found no answer has looked paragraphs up all the same.
    if any(recalls := [support_recall(problem, end) for end in ends or unanswered(results)]):
        row["support_recall"] = recalls
    if cell.method != "sampling":
        row |= await chosen_answer(results[0], verifier)
    return row


def trajectories(cell: Cell, results: Sequence[SearchResult]) -> list[End]:
    """The ends of the trajectories that count: all sampled trajectories, or those of a tree that have an answer.

    A sampled trajectory that a budget cut off counts too, without an answer; one that was never begun ends at the root.
    """
    ends = []
    for result in results:
        tree = result.tree
        assert tree is not None
        if cell.is_tree_search:
            ends += [End(node, tree) for node in tree.terminals() if node.terminal == "answer"]
            continue
        terminals = [node for node in tree.nodes if not node.children and node.terminal != "rejected"]
        # The index of a trajectory's first node gives the starting order; ends are found in order of their length.
        terminals.sort(key=lambda node: node.path()[0].index if node.parent is not None else 0)
        wanted: int = getattr(cell.config, "samples", None) or 1
        # If the question fills the whole context, the root is the end of all trajectories.
        repeats = wanted if terminals == [tree.root] else 1
        own = [End(node, tree) for node in terminals] * repeats
        if cell.method == "sampling" and result is results[0]:
            own += [End(tree.root, tree)] * (wanted - len(own))
        ends += own
    return ends


def unanswered(results: Sequence[SearchResult]) -> list[End]:
    """Where the trajectories of searches without an answer end: at the root if none has ended."""
    trees = [result.tree for result in results if result.tree is not None]
    return [End(node, tree) for tree in trees for node in tree.terminals() or [tree.root]]


def answer_of(problem: Problem, end: End) -> str | None:
    """The answer of a trajectory, or its program."""
    if end.node.terminal != "answer":
        return None
    steps = [each.step for each in end.node.path() if each.step is not None]
    return proposed(problem, end.node.answer, [(step.code, step.text) for step in steps])


def proposed(problem: Problem, answer: str | None, steps: Sequence[tuple[str, str]]) -> str | None:
    """The answer that counts: for a problem that asks for a program, the code of the steps (code and text each), where
    they have any. Steps of the `code` format have none; their answer is the program."""
    if problem.kind != "code" or not any(code for code, _ in steps):
        return answer
    return candidate_program(problem, "\n".join(code for code, _ in steps), "\n".join(text for _, text in steps))


async def chosen_answer(result: SearchResult, verifier: Verifier) -> Row:
    """The answer a search chose, whether it is right, and the confidence."""
    answer, right = result.answer, bool(result.correct)
    if result.problem.kind == "code" and answer is not None:
        answer = proposed(result.problem, answer, [(step.code, step.text) for step in result.trajectory])
        right = answer is not None and await verifier.accepts(result.problem, answer)
    return {"answer": answer, "acc": right, "confidence": result.confidence}


def looks_up(end: End) -> bool:
    """Whether the steps of a trajectory are queries; they can have found nothing."""
    return bool(end.tree.config.get("step_format") == "retrieval")


def support_recall(problem: Problem, end: End) -> list[float]:
    """The share of the supporting paragraphs that a trajectory had found with the question, after its first step, ...;
    [] if nothing was looked up or no paragraph is known to be supporting."""
    supporting = supporting_paragraphs(problem)
    found, recalls = end.tree.root.execution.output, []
    if not supporting or not (found or looks_up(end)):
        return []
    for output in ("", *(node.execution.output for node in end.node.path())):
        found = f"{found}\n\n{output}"
        recalls.append(sum(shown(each) in found for each in supporting) / len(supporting))
    return recalls


def found_titles(end: End) -> list[list[str]]:
    """The titles of the paragraphs that a trajectory found with the question, after its first step, ..."""
    outputs = [end.tree.root.execution.output, *(node.execution.output for node in end.node.path())]
    titles = [[line for line in output.split("\n") if line.startswith(TITLE)] for output in outputs]
    return [[line.removeprefix(TITLE) for line in lines] for lines in titles]


def completion(end: End) -> str:
    """The text of the policy up to the end of a trajectory, with the output of its code."""
    node = end.node
    if node.parent is None or node.terminal == "answer":
        return reply(end.tree, node)
    step = node.step
    assert step is not None
    return reply(end.tree, node.parent) + step.text


def reply(tree: Tree, node: Node) -> str:
    """The steps up to `node` as their step format puts them together."""
    name = tree.config.get("step_format")
    if name is not None and (step_format := step_format_named(name)).keeps_tokens:
        return step_format.reply(tree.state(node))
    return trajectory_text(tree.state(node))


def doc_metadata(problem: Problem) -> dict[str, Any]:
    """The other fields of the data set, without the worked solution and the paragraphs; and the kind of questions."""
    kept = {name: value for name, value in problem.metadata.items() if name not in ("solution", "paragraphs")}
    return {**kept, "kind": "qa"} if problem.kind == "qa" else kept


def doc_hash(problem: Problem) -> str:
    """A digest of the question and its gold answer."""
    return hashlib.sha256(f"{problem.question}\0{problem.answer}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def iter_rows(path: Path) -> Iterator[Row]:
    """The lines of a samples.jsonl, one by one.

    Raises:
        TreestarError: the file cannot be read, or a line is not a sample.
    """

    def parse(row: Row) -> Row:
        row["cell"], row["doc_id"]
        return row

    return read_lines(path, parse, "a sample of a benchmark run")


def tokens_of_searches(path: Path, cells: Mapping[str, Cell]) -> dict[tuple[str, float, int, int], dict[int, int]]:
    """The tokens spent by MCTS with a token budget: (data set, temperature, seed, doc_id) -> budget -> tokens.

    A search ends at the first expansion after its budget is spent, or when nothing is left to search; the samples that
    it is compared with get the same number. {} without such searches. Raises TreestarError as `iter_rows` does.
    """
    spent: dict[tuple[str, float, int, int], dict[int, int]] = defaultdict(dict)
    budgeted = {key for key, cell in cells.items() if cell.method == "mcts" and cell.budget is not None}
    if not path.exists() or not budgeted:
        return spent
    for row in iter_rows(path):
        cell = cells[row["cell"]]
        if row["cell"] in budgeted and cell.budget is not None:
            place = (cell.dataset, cell.temperature, cell.seed, row["doc_id"])
            spent[place][cell.budget] = row["stats"]["generated_tokens"] + row["stats"].get("judged_tokens", 0)
    return spent


def finished_keys(path: Path) -> set[RowKey]:
    """The finished problems of a run; empty without a file. Raises TreestarError as `iter_rows` does."""
    return {(row["cell"], row["doc_id"]) for row in iter_rows(path)} if path.exists() else set()
