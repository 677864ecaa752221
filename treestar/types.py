"""The words every room shares: what a question, a step and its execution are, and what a policy, an interpreter,
a scorer and a verifier promise.

Search code depends on nothing but the interfaces below, so any model, sandbox or grader can be plugged in, and tests
plug in scripted ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NewType, Protocol, cast, runtime_checkable

__all__ = [
    "Closable",
    "ContextOverflow",
    "Execution",
    "Executor",
    "Interpreter",
    "Policy",
    "Problem",
    "Proposal",
    "Reporting",
    "Sampling",
    "Scorer",
    "Scores",
    "Snapshot",
    "State",
    "Step",
    "StepEnding",
    "TreestarError",
    "Verifier",
    "as_policy",
]

StepEnding = Literal["step", "code", "answer", "truncated"]
"""What ended a step: more code follows; the code is complete; the final answer is written; nothing (a limit cut it)."""

Snapshot = NewType("Snapshot", int)
"""An opaque handle to the interpreter state that one execution left behind. Only its `Interpreter` can read it."""


class TreestarError(Exception):
    """A failure whose message is written for the person at the keyboard: what was wrong, where, and what to do."""


class ContextOverflow(TreestarError):
    """A state no longer fits the policy's context window. Search turns the state into a terminal node."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question to be solved."""

    question: str
    answer: str | None = None
    """The gold answer where it is known. Test-time search never reads it."""
    id: str = ""
    kind: Literal["math", "code", "qa"] = "math"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What else the data set says about it, such as family and level. Never shown to the policy."""


@dataclass(frozen=True, slots=True)
class Step:
    """One reasoning step as the policy wrote it."""

    text: str
    """The step's text up to and without the tag that ended it. This is what the policy sees again."""
    code: str = ""
    """The Python in `text` that is to be run, or "" where there is none."""
    ending: StepEnding = "step"
    answer: str | None = None
    """The final answer that `text` states, or None."""
    log_probability: float = 0.0
    """Natural log of the probability the policy gives to `text` (temperature 1), summed over its tokens; <= 0."""
    tokens: int = 0
    """Tokens the policy generated for this step, the ending tag included."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What running one step's code did."""

    output: str = ""
    """What the code printed."""
    error: str | None = None
    """None, or the failure as the policy should see it: type, message, and the line of its own code."""
    snapshot: Snapshot | None = None
    """The interpreter state after the code, or None where it failed."""
    seconds: float = 0.0
    """What running it took."""
    peak_memory: int = 0
    """Bytes that its process held at most, beyond the loaded libraries; earlier steps of the tree are included."""


@dataclass(frozen=True, slots=True)
class State:
    """A problem and the steps taken so far: the path from the root to a node."""

    problem: Problem
    steps: tuple[Step, ...] = ()
    executions: tuple[Execution, ...] = ()
    """One for each step, in the same order."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a policy draws next steps."""

    temperature: float = 1.0
    """0 takes the most probable token at every place."""
    top_p: float = 1.0
    max_tokens: int = 256
    """The longest step, in tokens; a longer one is returned as `truncated`."""
    distinct: bool = False
    """Candidates are drawn without replacement, so no text appears twice; there may be fewer than were asked for. Not
    every policy supports it."""
    min_share: float = 0.0
    """With `distinct`: a candidate less than this times as probable as the most probable one is left out."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The candidate next steps for one state, in sampling order, duplicates kept."""

    steps: tuple[Step, ...]
    prompt_tokens: int = 0
    """Tokens of the prompt, counted once however many candidates were drawn from it."""
    generated_tokens: int = 0
    """Tokens generated for all candidates together. Distinct ones share their beginnings, and tokens that led to none
    of them count too."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a PPM says about a batch of states."""

    values: tuple[float, ...]
    """One in [-1, 1] for each state, in their order."""
    tokens: int = 0
    """Tokens that the PPM read for them; cached ones do not count."""


class Policy(ABC):
    """Proposes candidate next steps for a state.

    A subclass writes `propose`; everything else has a default. An object that does not inherit works in a search as
    well: see `as_policy`.
    """

    @cached_property
    def name(self) -> str:
        """What results and errors call the policy; by default the name of its class."""
        return type(self).__name__

    def preamble(self, problem: Problem) -> str:
        """Python that runs before the first step, or "" (the default)."""
        return ""

    def display(self, problem: Problem, text: str) -> str:
        """`text`, which the policy wrote, as people should read it; by default unchanged."""
        return text

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        """The answer with which `step` ends the trajectory, "" where it ends without one, or None where the trajectory
        continues. By default the answer that the step states."""
        return step.answer

    @abstractmethod
    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        """Draw `n` candidate next steps for `state`.

        Candidate i depends only on `state`, `sampling`, `seed` and i (distinct candidates also on `n`), not on what
        else the backend is computing.

        Raises:
            TreestarError: the policy cannot draw distinct candidates and was asked to.
            ContextOverflow: the state leaves no room for a step in the policy's context window.
        """


class CompletedPolicy(Policy):
    """Delegates to `source` whatever `source` has, and takes the defaults for the rest."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.name = type(source).__name__
        for member in ("name", "preamble", "display", "final_answer", "close"):
            if hasattr(source, member):
                setattr(self, member, getattr(source, member))

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        proposal: Proposal = await self.source.propose(state, n, sampling, seed)
        return proposal


def as_policy(policy: Any) -> Policy:
    """`policy` itself if it is a `Policy` or has all members of one, else a policy with the defaults for the others.

    Raises:
        TreestarError: it has no method `propose`.
    """
    if isinstance(policy, Policy):
        return policy
    if not callable(getattr(policy, "propose", None)):
        raise TreestarError(
            f"a policy needs a method `propose`, and {policy!r:.80} has none: give a subclass of treestar.Policy"
        )
    has_all = all(hasattr(policy, member) for member in ("name", "preamble", "display", "final_answer"))
    return cast(Policy, policy) if has_all else CompletedPolicy(policy)


class Interpreter(Protocol):
    """The Python interpreter of one tree: it can run code in any state that its earlier runs left behind."""

    async def run(self, code: str, parent: Snapshot | None) -> Execution:
        """Run `code` in the state `parent` (None: a fresh interpreter). `parent` itself is left as it was.

        Never raises because of the code: refusals, exceptions, limits and crashes come back in `Execution.error`.
        """
        ...

    async def close(self) -> None:
        """Free the processes and memory behind all of this interpreter's snapshots."""
        ...


class Executor(Protocol):
    """Runs the code of steps, isolated from this process and from other problems."""

    async def open(self) -> Interpreter:
        """A new interpreter, for one tree. The caller closes it."""
        ...

    async def close(self) -> None:
        """End every process this executor started."""
        ...


class Scorer(Protocol):
    """A process preference model: scores partial solutions."""

    name: str

    async def score(self, states: Sequence[State]) -> Scores:
        """Score `states`. A state's score depends only on that state, not on what else is being scored."""
        ...


class Verifier(Protocol):
    """Decides whether answers are right, and whether two answers are the same."""

    async def accepts(self, problem: Problem, answer: str) -> bool:
        """Whether `answer` equals the problem's gold answer. False where the problem has none."""
        ...

    async def equivalent(self, first: str, second: str) -> bool:
        """Whether two answers mean the same; symmetric."""
        ...


@runtime_checkable
class Closable(Protocol):
    """Anything that holds processes, connections or an engine."""

    async def close(self) -> None:
        """End and free them."""
        ...


@runtime_checkable
class Reporting(Protocol):
    """A component with something to tell the user when the work is done."""

    def report(self) -> str:
        """What went wrong and was recovered, such as repeated requests, in one line; "" if nothing did."""
        ...
