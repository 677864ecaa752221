"""Closed nodes: terminal ones, and those below which nothing is left to search."""

from __future__ import annotations

from treestar.search.tree import Node, TerminalReason

__all__ = ["close", "end_without_answer", "reopen"]


def end_without_answer(node: Node, reason: TerminalReason) -> None:
    """Make `node` the end of a trajectory that does not count as an answer, whatever it states."""
    node.terminal, node.answer, node.correct = reason, None, None
    if not node.closed:
        close(node)


def close(node: Node) -> None:
    """Close `node`, and every ancestor that then has no open child left."""
    node.closed = True
    while (parent := node.parent) is not None:
        parent.open_children -= 1
        if parent.open_children:
            return
        parent.closed = True
        node = parent


def reopen(node: Node) -> None:
    """Reopen a closed `node`, and every ancestor that was closed with it."""
    while node.closed:
        node.closed = False
        if node.parent is None:
            return
        node = node.parent
        node.open_children += 1
