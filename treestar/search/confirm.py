"""Before an answer is accepted, its trajectory is run again from the start in its own interpreter.

A search runs the steps of all branches in one process, so a step's output could depend on another branch, or on code
that escaped from its step. What a trajectory prints must come from that trajectory alone.
"""

from __future__ import annotations

from treestar.search.answer import AnswerGroups, Decision, Weighting, decide
from treestar.search.closing import end_without_answer
from treestar.search.expansion import Components, prepared
from treestar.search.proposed import answer_text
from treestar.search.tree import Node
from treestar.types import Execution, Problem

__all__ = ["choose_confirmed", "repeats"]


async def choose_confirmed(
    groups: AnswerGroups, choice: Weighting, problem: Problem, components: Components
) -> tuple[Decision | None, int]:
    """Like `decide`, but a chosen trajectory that gives other results when run again is discarded, and another chosen.

    Returns:
        What `decide` returns, and how many trajectories were discarded. Those become `unrepeatable`, without an answer.

    Raises:
        TreestarError: the executor failed permanently, or the policy's preamble fails.
    """
    discarded = 0
    while (decision := decide(groups, choice)) is not None:
        if await repeats(decision.node, problem, components):
            break
        groups.discard(decision.node)
        end_without_answer(decision.node, "unrepeatable")
        discarded += 1
    return decision, discarded


async def repeats(node: Node, problem: Problem, components: Components) -> bool:
    """Whether the path to `node`, run in a fresh interpreter, prints the same output and fails the same way at every
    step as in the search, and ends in the same answer."""
    interpreter = await components.executor.open()
    try:
        snapshot = (await prepared(interpreter, components.policy, problem)).snapshot
        execution = Execution()
        for each in node.path():
            assert each.step is not None
            if each.step.code:
                execution = await interpreter.run(each.step.code, snapshot)
                if execution.error is None:  # else the trajectory went on in the state before
                    snapshot = execution.snapshot
            else:
                execution = Execution(snapshot=snapshot)
            if (execution.output, execution.error) != (each.execution.output, each.execution.error):
                return False
        assert node.step is not None
        return answer_text(components.policy.final_answer(node.step, execution), components.policy) == node.answer
    finally:
        await interpreter.close()
