"""The search tree: nodes with their statistics, an exact JSON form, and a networkx view.

Invariant: nodes are in creation order, a parent before its children, and a node's index is its position in
`Tree.nodes`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from treestar.config.renamed import current_names
from treestar.storage.files import write_text
from treestar.storage.tree_files import tree_files, tree_texts
from treestar.types import Execution, Problem, State, Step

if TYPE_CHECKING:
    import networkx

__all__ = ["Node", "TerminalReason", "Tree", "add_node_from_json", "node_to_json", "stored_trees"]

TerminalReason = Literal[
    "answer", "dead_end", "max_depth", "context", "error", "truncated", "unrepeatable", "unsure", "rejected"
]
"""Why a path ends:

- `answer`: it states an answer.
- `dead_end`: no valid child was found.
- `max_depth`: it has as many steps as allowed.
- `context`: it no longer fits the policy's context.
- `error`: its code failed.
- `truncated`: its last step was cut off at the token limit.
- `unrepeatable`: its answer was chosen, but it gave other results when it was run again (`confirm.py`).
- `unsure`: the policy was too unsure of it (`deepconf.py`).
- `rejected`: the scorer did not accept its last step, which was sampled again (`chunk_reset.py`).
"""

NAMED = 5
"""How many trees an error message names."""

XML_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True, eq=False)
class Node:
    """A step with its statistics. The root holds no step; its execution is the preamble's."""

    index: int
    parent: Node | None
    step: Step | None
    execution: Execution
    depth: int = 0
    """Steps from the root."""
    prior: float = 1.0
    """Share among the siblings, in [0, 1]: of their probabilities, or of sampled multiplicity times length-normalized
    probability."""
    multiplicity: int = 1
    """How many of the sampled candidates this node stands for."""
    probability: float | None = None
    """The policy's probability of the distinct candidates it stands for; None if candidates can repeat."""
    score: float | None = None
    """The PPM's score of the state, in [-1, 1]."""
    scores_path: bool = False
    """Whether `score` judges all steps down to here together, not only this one given those before."""
    analysis: str = ""
    """What a judge wrote about this step; "" for other scorers."""
    visits: int = 0
    """N: backed-up terminal values below or at this node, plus 1 if its PPM score initialized it."""
    value_sum: float = 0.0
    """W: the sum of those values."""
    terminal: TerminalReason | None = None
    answer: str | None = None
    correct: bool | None = None
    """Whether the verifier accepted `answer`; None if it was not asked."""
    children: list[Node] = field(default_factory=list)
    children_mass: float | None = None
    """The sum of the children's masses, kept by `sampled_mass`; None after a child has changed. Not kept in JSON."""
    drawn: int = 0
    """Candidates requested from the policy here so far; not kept in JSON."""
    times_drawn: int = 0
    """How often distinct candidates were requested here; not kept in JSON."""
    seen: float = 0.0
    """The policy's probability of all distinct candidates drawn here, failed ones too; not kept in JSON."""
    widening: bool = False
    """More candidates are to be sampled here although there are children; not kept in JSON."""
    in_flight: int = 0
    """Rollouts that are now at or below this node (for virtual loss); 0 in a finished tree."""
    open_children: int = 0
    """Children that selection can still enter; an expanded node with none is closed."""
    closed: bool = False
    """Nothing is left to search here: the node is terminal, or every child is terminal or closed."""

    @property
    def q_value(self) -> float:
        """Q = W / N, in [-1, 1]; 0 before the first visit."""
        return self.value_sum / self.visits if self.visits else 0.0

    @property
    def mass(self) -> float:
        """Its weight among its siblings: how often it was sampled, or its probability if candidates are distinct."""
        return float(self.multiplicity) if self.probability is None else self.probability

    def path(self) -> list[Node]:
        """The nodes from the root's child down to this one; empty for the root."""
        nodes = []
        node = self
        while node.parent is not None:
            nodes.append(node)
            node = node.parent
        nodes.reverse()
        return nodes


KEPT = [each.name for each in fields(Node) if each.name not in ("parent", "children")]
"""The fields of a node that do not refer to other nodes."""


@dataclass(slots=True, eq=False)
class Tree:
    """All nodes of one search, with the problem, settings and seed that produced them."""

    problem: Problem
    strategy: str
    config: dict[str, Any]
    """The strategy's settings as plain JSON values, and the `step_format` in which the policy wrote."""
    seed: int
    nodes: list[Node] = field(default_factory=list)
    key: bytes = field(init=False, repr=False)
    """Digest of the seed and the problem, from which every random number of this tree is derived."""

    def __post_init__(self) -> None:
        self.key = blake2b(f"{self.seed}\0{self.problem.question}".encode("utf-8", "surrogatepass")).digest()

    def __getstate__(self) -> dict[str, Any]:
        """All fields, with the nodes as a flat list: pickle and copy recurse along references, and a tree of thoughts
        can be a thousand nodes deep."""
        flat = [
            (None if node.parent is None else node.parent.index, {name: getattr(node, name) for name in KEPT})
            for node in self.nodes
        ]
        return {each.name: getattr(self, each.name) for each in fields(self)} | {"nodes": flat}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        flat, self.nodes = state["nodes"], []
        for parent, values in flat:
            node = Node(parent=None if parent is None else self.nodes[parent], **values)
            self.nodes.append(node)
            if node.parent is not None:
                node.parent.children.append(node)

    @property
    def root(self) -> Node:
        return self.nodes[0]

    def add_root(self, execution: Execution) -> Node:
        """Start the tree with the interpreter state that the preamble left."""
        root = Node(index=0, parent=None, step=None, execution=execution)
        self.nodes.append(root)
        return root

    def add_child(self, parent: Node, step: Step, execution: Execution) -> Node:
        """Append a node for `step`, as the last of `parent`'s children."""
        node = Node(len(self.nodes), parent, step, execution, parent.depth + 1)
        self.nodes.append(node)
        parent.children.append(node)
        parent.children_mass = None
        return node

    def state(self, node: Node) -> State:
        """The problem and the steps from the root to `node`."""
        path = node.path()
        return State(
            self.problem,
            tuple([each.step for each in path if each.step is not None]),
            tuple([each.execution for each in path]),
            self.root.execution.output,
        )

    def draw_seed(self, node: Node) -> int:
        """The seed for the next candidates of `node`: depends only on the seed, the problem, the node and how many
        candidates were drawn there."""
        return self.seed_named(b"%d:%d" % (node.index, node.drawn))

    def choice_seed(self, node: Node, rollout: int) -> int:
        """The seed for the search's own choice at `node`: depends only on the seed, the problem, the node and the
        rollout."""
        return self.seed_named(b"choice:%d:%d" % (node.index, rollout))

    def seed_named(self, name: bytes) -> int:
        return int.from_bytes(blake2b(name, digest_size=8, key=self.key).digest(), "big") >> 1

    def terminals(self) -> list[Node]:
        """The nodes where a trajectory ends, in creation order."""
        return [node for node in self.nodes if node.terminal is not None]

    def to_json(self) -> dict[str, Any]:
        """The tree as one JSON object, from which `from_json` makes an equal tree.

        Interpreter snapshots are local to the process and are left out.
        """
        return {
            "problem": asdict(self.problem),
            "strategy": self.strategy,
            "config": self.config,
            "seed": self.seed,
            "nodes": [node_to_json(node) for node in self.nodes],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tree:
        """The tree that `to_json` wrote; old names of settings in its `config` become the current ones.

        Raises:
            KeyError, TypeError: `data` is not such an object.
        """
        tree = cls(Problem(**data["problem"]), data["strategy"], current_names(data["config"]), data["seed"])
        for each in data["nodes"]:
            add_node_from_json(tree, each)
        return tree

    def save(self, path: str | Path) -> None:
        """Write the tree to `path` as JSON, atomically. Raises OSError if `path` cannot be written."""
        write_text(Path(path), json.dumps(self.to_json(), allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path, problem: str | None = None) -> Tree:
        """Read a tree from a .json, .jsonl or .parquet file, or from a folder of them.

        Args:
            problem: the id of the tree's problem; only needed if there are several trees.

        Raises:
            OSError: a file cannot be read.
            ValueError: there is not exactly one such tree, or a file is damaged. A damaged node raises as `from_json`.
            TreestarError: a folder holds no trees, or pyarrow, which Parquet files need, is not installed.
        """
        found, ids, seeds = None, [], []
        for data in stored_trees(path):
            ids.append(Problem(**data["problem"]).id)
            if problem is None or ids[-1] == problem:
                found = found or data
                seeds.append(data["seed"])
            if len(seeds) > NAMED:
                break
        if found is None or len(seeds) > 1:
            raise ValueError(not_one_tree(path, problem, ids, seeds))
        return cls.from_json(found)

    def to_networkx(self) -> networkx.DiGraph[int]:
        """A directed graph from parents to children with every statistic as a node attribute.

        Attributes are int, float, bool or str, so that GraphML can be written. Those that are None are left out, and
        characters that XML does not allow become U+FFFD.
        """
        import networkx

        graph: networkx.DiGraph[int] = networkx.DiGraph(
            question=xml_text(self.problem.question), strategy=self.strategy, seed=self.seed
        )
        for node in self.nodes:
            attributes = node_to_json(node)
            parent = attributes.pop("parent")
            graph.add_node(
                node.index,
                **{
                    name: xml_text(value) if isinstance(value, str) else value
                    for name, value in attributes.items()
                    if value is not None
                },
            )
            if parent is not None:
                graph.add_edge(parent, node.index, prior=node.prior)
        return graph


def stored_trees(path: str | Path) -> Iterator[dict[str, Any]]:
    """What `Tree.to_json` gave for each tree in a file or folder, one in memory at a time. Raises as `Tree.load`."""
    path = Path(path)
    for file in tree_files(path) if path.is_dir() else [path]:
        where = str(file)
        try:
            for place, text in tree_texts(file):
                where = f"{file}, {place}" if place else str(file)
                data = json.loads(text)
                Problem(**data["problem"]), data["seed"], data["nodes"]
                yield data
                where = str(file)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{where} is not a tree: {type(error).__name__}: {error}") from error


def not_one_tree(path: str | Path, problem: str | None, ids: Sequence[str], seeds: Sequence[int]) -> str:
    """Why `Tree.load` cannot choose a tree."""
    if not ids:
        return f"{path} holds no tree"
    if problem is None:
        return f"{path} holds several trees: choose one with problem=ID, where ID is {first_of(ids)}"
    if not seeds:
        return f"{path} holds no tree of problem {problem!r}; it holds those of {first_of(ids)}"
    return (
        f"{path} holds several trees of problem {problem!r}, with the seeds {first_of(seeds)}: read all of them with "
        "treestar.ppm.read_trees"
    )


def first_of(names: Sequence[object]) -> str:
    return ", ".join(map(repr, names[:NAMED])) + (", ..." if len(names) > NAMED else "")


def node_to_json(node: Node) -> dict[str, Any]:
    """A node as `Tree.to_json` writes it."""
    step = node.step or Step("")
    return {
        "parent": None if node.parent is None else node.parent.index,
        "depth": node.depth,
        "text": step.text,
        "code": step.code,
        "ending": step.ending,
        "stated_answer": step.answer,
        "output": node.execution.output,
        "error": node.execution.error,
        "seconds": node.execution.seconds,
        "tokens": step.tokens,
        "log_probability": step.log_probability,
        "prior": node.prior,
        "multiplicity": node.multiplicity,
        "probability": node.probability,
        "score": node.score,
        **({"scores_path": True} if node.scores_path else {}),
        **({"analysis": node.analysis} if node.analysis else {}),
        "visits": node.visits,
        "value_sum": node.value_sum,
        "q_value": node.q_value,
        "terminal": node.terminal,
        "answer": node.answer,
        "correct": node.correct,
        "closed": node.closed,
    }


def add_node_from_json(tree: Tree, fields: dict[str, Any]) -> Node:
    """Append the node that `node_to_json` wrote; its parent is in the tree."""
    execution = Execution(output=fields["output"], error=fields["error"], seconds=fields["seconds"])
    if fields["parent"] is None:
        node = tree.add_root(execution)
    else:
        parent = tree.nodes[fields["parent"]]
        node = tree.add_child(
            parent,
            Step(
                text=fields["text"],
                code=fields["code"],
                ending=fields["ending"],
                answer=fields["stated_answer"],
                log_probability=fields["log_probability"],
                tokens=fields["tokens"],
            ),
            execution,
        )
        parent.open_children += not fields["closed"]
    for name in (
        "prior",
        "multiplicity",
        "probability",
        "score",
        "visits",
        "value_sum",
        "terminal",
        "answer",
        "correct",
        "closed",
    ):
        setattr(node, name, fields[name])
    node.scores_path = fields.get("scores_path", False)
    node.analysis = fields.get("analysis", "")
    return node


def xml_text(text: str) -> str:
    return XML_FORBIDDEN.sub("�", text)
