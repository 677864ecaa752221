"""Types shared by the whole package: problems, steps and executions, and the interfaces of policies, interpreters,
scorers and verifiers.

Search code depends only on the interfaces below, so any model, sandbox or grader can be plugged in. Tests plug in
scripted ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, NewType, Protocol, cast, runtime_checkable

__all__ = [
    "Closable",
    "ContextOverflow",
    "Execution",
    "Executor",
    "Interpreter",
    "Policy",
    "Problem",
    "ProgramRunner",
    "Proposal",
    "Recommended",
    "Reporting",
    "Sampling",
    "Scorer",
    "Scores",
    "Snapshot",
    "State",
    "Step",
    "StepEnding",
    "ThinkingBudget",
    "TokenLogProbability",
    "TreestarError",
    "Verifier",
    "as_policy",
    "first_line",
]

StepEnding = Literal["step", "code", "answer", "truncated", "endless"]
"""How a step ended: more code follows; the code is complete; the final answer is written; a limit cut it off; the
policy would never have ended its reply, so that it is asked for the answer next."""

Snapshot = NewType("Snapshot", int)
"""An opaque handle to the interpreter state that one execution left behind. Only its `Interpreter` can read it."""


class TreestarError(Exception):
    """An error whose message is written for the user: what was wrong, where, and what to do."""


def first_line(error: BaseException) -> str:
    """The first line of another library's error message, which often continues with a traceback or advice."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class ContextOverflow(TreestarError):
    """A state no longer fits the policy's context window. Search turns the state into a terminal node."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question to be solved."""

    question: str
    answer: str | None = None
    """The gold answer, if known. Test-time search never reads it."""
    id: str = ""
    kind: Literal["math", "code", "qa"] = "math"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of the data set, such as family and level. Never shown to the policy."""


class TokenLogProbability(NamedTuple):
    """A token that a policy generated."""

    text: str
    """The token alone, decoded; characters that several tokens share are replaced."""
    log_probability: float
    """Natural log of its probability at temperature 1; <= 0."""


@dataclass(frozen=True, slots=True)
class Step:
    """One reasoning step as the policy wrote it."""

    text: str
    """The step's text, without the tag that ended it. This is what the policy sees in later prompts."""
    code: str = ""
    """The Python in `text` to run, or "" if there is none."""
    ending: StepEnding = "step"
    answer: str | None = None
    """The final answer that `text` states, or None."""
    log_probability: float = 0.0
    """Natural log of the policy's probability of `text` (temperature 1), summed over its tokens; <= 0."""
    tokens: int = 0
    """Tokens the policy generated for this step, including the ending tag."""
    token_ids: tuple[int, ...] = field(default=(), compare=False, repr=False)
    """The tokens of `text` as generated, where later prompts must repeat exactly these; (): `text` is tokenized again.
    Not saved with trees."""
    confidences: tuple[float, ...] = field(default=(), compare=False, repr=False)
    """The confidence of each generated token, where `Sampling.confidence_top` asks for it. Not saved with trees."""
    token_log_probabilities: tuple[TokenLogProbability, ...] = field(default=(), compare=False, repr=False)
    """Each generated token's, where `Sampling.token_log_probabilities` asks for them and the policy has them. Not saved
    with trees."""


@dataclass(frozen=True, slots=True)
class Execution:
    """The result of running one step's code."""

    output: str = ""
    """The output that the code printed."""
    error: str | None = None
    """None, or the failure as shown to the policy: type, message, and the failing line of the step's code."""
    snapshot: Snapshot | None = None
    """The interpreter state after the code; None if it failed and nothing follows. Where the trajectory continues after
    a failure, the state before the code."""
    seconds: float = 0.0
    """Time the code took to run."""
    peak_memory: int = 0
    """Peak memory of its process in bytes, beyond the loaded libraries; includes earlier steps of the tree."""


@dataclass(frozen=True, slots=True)
class State:
    """A problem and the steps taken so far: the path from the root to a node."""

    problem: Problem
    steps: tuple[Step, ...] = ()
    executions: tuple[Execution, ...] = ()
    """One for each step, in the same order."""
    preamble_output: str = ""
    """What the policy's preamble printed; with retrieval, the paragraphs found with the question itself."""

    def prefix(self, depth: int) -> State:
        """The state after the first `depth` steps; a negative number leaves out that many of the last steps."""
        return replace(self, steps=self.steps[:depth], executions=self.executions[:depth])


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingBudget:
    """How long a model that thinks may think, and must (budget forcing; Muennighoff et al. 2025)."""

    max_tokens: int | None = None
    """Maximum length of the thought in tokens. Then its end is written, and the model answers."""
    min_tokens: int = 0
    """The thought cannot end before it has this many tokens."""
    waits: int = 0
    """The thought cannot end before it was made to continue this many times."""
    wait: str = "Wait"
    """What is written where a thought may not end yet."""
    close: str = "Final Answer:"
    """What is written after the end of a thought that reached its limit."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a policy draws next steps."""

    temperature: float = 1.0
    """0 always takes the most probable token."""
    top_p: float = 1.0
    max_tokens: int = 256
    """Maximum length of a step in tokens; a longer one is returned as `truncated`."""
    top_k: int = 0
    """Draw only from this many most probable tokens; 0: from all."""
    min_p: float = 0.0
    """Draw only tokens at least this fraction as probable as the most probable one."""
    distinct: bool = False
    """Draw candidates without replacement, so no text appears twice; there may be fewer than requested. Not every
    policy supports this."""
    min_share: float = 0.0
    """With `distinct`: drop candidates whose probability is less than this fraction of the most probable one's."""
    thinking: ThinkingBudget | None = None
    """How long the thought of a trajectory may and must be; None leaves that to the model."""
    confidence_top: int = 0
    """Also give each token's confidence: minus the mean log-probability of this many most probable tokens there, which
    is large where the model is sure (Fu et al. 2025). 0: not. Not every policy supports this."""
    token_log_probabilities: bool = False
    """Also give each token's log-probability. Some servers have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """What suits a policy, for the settings that a search leaves open."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    max_depth: int = 16
    """Maximum number of steps per trajectory."""
    max_step_tokens: int = 256
    """Maximum number of tokens per step."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The candidate next steps for one state, in sampling order, including duplicates."""

    steps: tuple[Step, ...]
    prompt_tokens: int = 0
    """Tokens of the prompt, counted once for all candidates."""
    generated_tokens: int = 0
    """Tokens generated for all candidates. Distinct candidates share prefixes; tokens of discarded candidates count
    too."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The PPM's scores of a batch of states."""

    values: tuple[float, ...]
    """One value in [-1, 1] for each state, in the same order."""
    tokens: int = 0
    """Tokens that the PPM processed; cached tokens do not count. Those that a judge wrote itself are not among them."""
    of_paths: bool = False
    """Whether a value judges all steps of its state together, so that it is the trajectory's where that ends. By
    default it judges the last step given those before, and search adds the steps' values up."""
    generated_tokens: int = 0
    """Tokens that a judge generated for its analyses and verdicts."""
    analyses: tuple[str, ...] = ()
    """For each state what a judge wrote about its last step, in the same order; () for scorers that write nothing."""


class Policy(ABC):
    """Proposes candidate next steps for a state.

    A subclass implements `propose`; everything else has a default. An object that does not inherit from this class
    works too: see `as_policy`.
    """

    @cached_property
    def name(self) -> str:
        """The policy's name in results and errors; by default its class name."""
        return type(self).__name__

    step_format: str = ""
    """The name of the step format in which it writes, which trees record; "" if it has none."""

    shows_errors: bool = False
    """Whether it is shown why a step's code failed. The trajectory then goes on, in the interpreter state before it."""

    calibrations: Mapping[str, Callable[[float], float]] = MappingProxyType({})
    """By the name of a search strategy the function from an answer's share of the weight that its search found to the
    chance that it is right (`treestar.config.calibration`); a share is its own confidence where there is none."""

    @cached_property
    def recommended(self) -> Recommended:
        """Settings for searches that leave them open; by default those of `Recommended`."""
        return Recommended()

    def preamble(self, problem: Problem) -> str:
        """Python that runs before the first step, or "" (the default)."""
        return ""

    def display(self, problem: Problem, text: str) -> str:
        """The policy's `text` in a form for people to read; by default unchanged."""
        return text

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        """The answer if `step` ends the trajectory, "" if without one, None if it goes on; by default `step.answer`."""
        return step.answer

    def only_answer_left(self, state: State) -> bool:
        """Whether the next step only states what was found, so one candidate that does is enough; by default never."""
        return False

    @abstractmethod
    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        """Draw `n` candidate next steps for `state`.

        Candidate i depends only on `state`, `sampling`, `seed` and i (distinct candidates also on `n`), not on other
        work of the backend. There may be fewer than `n`; of more, search takes the first `n`.

        Raises:
            TreestarError: distinct candidates were requested, but the policy does not support them.
            ContextOverflow: the state leaves no room for a step in the policy's context window.
        """


READ_MEMBERS = ("name", "step_format", "recommended", "preamble", "display", "final_answer", "only_answer_left")
"""What a search reads of a policy besides `propose`."""


class CompletedPolicy(Policy):
    """Delegates to the members that `source` has, and uses the defaults for the rest."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.name = type(source).__name__
        for member in (*READ_MEMBERS, "shows_errors", "calibrations", "close", "report"):
            if hasattr(source, member):
                setattr(self, member, getattr(source, member))

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        return cast(Proposal, await self.source.propose(state, n, sampling, seed))


def as_policy(policy: Any) -> Policy:
    """`policy` itself if it is a `Policy` or has all of its members, else a wrapper that adds the defaults.

    Raises:
        TreestarError: `policy` has no method `propose`.
    """
    if isinstance(policy, Policy):
        return policy
    if not callable(getattr(policy, "propose", None)):
        raise TreestarError(
            f"a policy needs a method `propose`, and {policy!r:.80} has none: pass a subclass of treestar.Policy"
        )
    has_all = all(hasattr(policy, member) for member in READ_MEMBERS)
    return cast(Policy, policy) if has_all else CompletedPolicy(policy)


class Interpreter(Protocol):
    """The Python interpreter of one tree. It can run code in the state after any of its earlier runs."""

    async def run(self, code: str, parent: Snapshot | None) -> Execution:
        """Run `code` in the state `parent` (None: a fresh interpreter). `parent` itself does not change.

        Never raises because of the code: refusals, exceptions, limits and crashes are returned in `Execution.error`.
        """
        ...

    async def close(self) -> None:
        """Free the processes and memory of all of this interpreter's snapshots."""
        ...


class Executor(Protocol):
    """Runs the code of steps, isolated from this process and from other problems."""

    async def open(self) -> Interpreter:
        """A new interpreter, for one tree. The caller closes it."""
        ...

    async def close(self) -> None:
        """Stop every process this executor started."""
        ...


@runtime_checkable
class ProgramRunner(Protocol):
    """An executor that also runs whole programs, which read standard input."""

    async def run_program(self, program: str, text: str, seconds: float | None = None) -> Execution:
        """Run `program` once with the standard input `text`, isolated like a step; nothing of it is kept.

        Never raises because of the program. `sys.exit()` is not an error.

        Args:
            seconds: time limit in wall-clock seconds; None for the executor's own.
        """
        ...


class Scorer(Protocol):
    """A process preference model: scores partial solutions."""

    name: str

    async def score(self, states: Sequence[State]) -> Scores:
        """Score `states`. A state's score depends only on that state, not on the rest of the batch."""
        ...


class Verifier(Protocol):
    """Decides whether answers are correct, and whether two answers are equivalent."""

    async def accepts(self, problem: Problem, answer: str) -> bool:
        """Whether `answer` equals the problem's gold answer. False if the problem has none."""
        ...

    async def equivalent(self, first: str, second: str) -> bool:
        """Whether two answers mean the same; symmetric."""
        ...


@runtime_checkable
class Closable(Protocol):
    """An object that holds processes, connections or an engine."""

    async def close(self) -> None:
        """Stop and free them."""
        ...


@runtime_checkable
class Reporting(Protocol):
    """A component that can report to the user when the work is done."""

    def report(self) -> str:
        """One line about recovered failures, such as repeated requests; "" if there were none."""
        ...
