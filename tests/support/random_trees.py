"""Random finished search trees with judged answers, to test what is made from trees."""

from __future__ import annotations

from hypothesis import strategies as st

from treestar.search import Node, Tree
from treestar.types import Execution, Problem, Step

ENDS = ("right", "wrong", "wrong", "dead_end", "open")


def back_up(node: Node | None, value: float) -> None:
    while node is not None:
        node.visits += 1
        node.value_sum += value
        node = node.parent


def end(node: Node, how: str) -> None:
    """End a trajectory at `node`, and back up its value."""
    if how == "open":
        return
    node.closed = True
    node.terminal = "dead_end" if how == "dead_end" else "answer"
    if node.terminal == "answer":
        node.answer, node.correct = ("1", True) if how == "right" else ("2", False)
    back_up(node, 1.0 if how == "right" else -1.0)


@st.composite
def judged_trees(
    draw: st.DrawFn, questions: int = 2, scored: bool = True, distinct: bool = False, size: int = 14
) -> Tree:
    """A tree like one from MCTS with `gold`.

    Args:
        questions: number of problems; few, so that several trees have the same problem.
        scored: some trees were initialized by a PPM.
        distinct: no two steps of the tree have the same text.
    """
    number = draw(st.integers(1, questions))
    tree = Tree(Problem(f"question {number}?", "1", f"p{number}"), "mcts", {}, draw(st.integers(0, 3)))
    tree.add_root(Execution())
    is_scored = scored and draw(st.booleans())
    for _ in range(draw(st.integers(0, size))):
        parent = draw(st.sampled_from(tree.nodes))
        name = str(len(tree.nodes)) if distinct else draw(st.sampled_from("abcd"))
        node = tree.add_child(parent, Step(f"{name} = 1", f"{name} = 1"), Execution())
        if is_scored:
            node.score = draw(st.sampled_from((-0.5, 0.0, 0.25, 1.0)))
    for node in tree.nodes:
        if node.children and node.score is not None:
            node.visits, node.value_sum = 1, node.score
    for node in tree.nodes[1:]:
        if not node.children:
            end(node, draw(st.sampled_from(ENDS)))
    return tree
