"""Loads the components of a search by name: policy, scorer, executor and verifier.

`ComponentsConfig` contains names and settings, so it can be sent to another process. The caller owns an exit stack that
closes every loaded component, also if a later one fails to load.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from treestar.judge.load import is_judge, load_judge
from treestar.judge.scorer import JudgeScorer
from treestar.policy import FormatName, LanguageModelPolicy, load_policy
from treestar.policy.models import DEFAULT_POLICY, SCORERS_OF_POLICIES, Dtype
from treestar.policy.programs import TestedPolicy, writing_programs
from treestar.ppm import load_scorer
from treestar.ppm.load import LoadedScorer
from treestar.ppm.public import JUDGE_KIND, Aggregate, ScorerKind
from treestar.ppm.public.scorer import PublicScorer
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.search import Components, SearchConfig
from treestar.types import Closable, Executor, Policy, Problem, Reporting, Scorer, TreestarError, Verifier
from treestar.verifier import AnswerVerifier
from treestar.verifier.grading.questions import QuestionVerifier
from treestar.verifier.programs.unit_tests import UnitTestVerifier

__all__ = [
    "DEFAULT_SCORER",
    "NO_SCORER",
    "ComponentsConfig",
    "check_names",
    "components_by_kind",
    "load_components",
    "load_named_scorer",
    "load_step_scorer",
    "open_components",
    "program_components",
    "remarks_of",
    "scorer_name",
]

DEFAULT_SCORER = "default"
"""Instead of a scorer's name: the one that comes with the policy, if there is one."""

NO_SCORER = "none"
"""Instead of a scorer's name: none."""

PartT = TypeVar("PartT")


@dataclass(frozen=True, kw_only=True)
class ComponentsConfig:
    """The components to load. One can also be given as an object, which is then closed with the others."""

    policy: str | Policy = DEFAULT_POLICY
    """A name that `load_policy` accepts."""
    scorer: str | Scorer | None = None
    """A name that `load_named_scorer` accepts; None or "none" for searches without a PPM."""
    scorer_kind: ScorerKind | None = None
    """The convention that a scorer given by name follows; None recognizes it from the model's files."""
    aggregate: Aggregate | None = None
    """How a public reward model's scores of a state's steps become one; None for the model's own way."""
    executor: SandboxConfig | Executor = field(default_factory=SandboxConfig)
    """Runs the code of steps; a `SandboxConfig` starts a sandbox."""
    verifier: Verifier | None = None
    """Compares answers; None for mathematical equivalence."""
    step_format: FormatName | None = None
    """The step format of a policy given by name; None for the one in the model's files."""
    step_separator: str | None = None
    """For formats of prose, the text that ends a step; None for a blank line."""
    dtype: Dtype | None = None
    """The data type of models given by name; None for a fast one on the device."""


def load_components(config: ComponentsConfig, opened: AsyncExitStack) -> Components:
    """Load what `config` names.

    Args:
        opened: closes the components, in reverse order. If loading fails, it contains those loaded before.

    Raises:
        TreestarError: a model does not exist or cannot be read, how a scorer scores is given without its name, or the
            policy's steps are queries and the executor is a sandbox.
    """

    def keep(part: PartT) -> PartT:
        if isinstance(part, Closable):
            opened.push_async_callback(part.close)
        return part

    # Objects first: they must be closed even if no name can be loaded.
    policy = config.policy if isinstance(config.policy, str) else keep(config.policy)
    scorer = config.scorer if isinstance(config.scorer, str) else keep(config.scorer)
    scorer = None if scorer == NO_SCORER else scorer
    # The sandbox starts in the background while the models load.
    executor = keep(SandboxExecutor(config.executor) if isinstance(config.executor, SandboxConfig) else config.executor)
    verifier = keep(config.verifier or AnswerVerifier())
    if not isinstance(scorer, str) and (config.scorer_kind or config.aggregate):
        raise TreestarError(
            "a scorer kind and an aggregate are for a scorer given by name: also give --scorer (in Python: scorer)"
        )
    if isinstance(policy, str):
        policy = keep(load_policy(policy, config.step_format, dtype=config.dtype, step_separator=config.step_separator))
    if isinstance(config.executor, SandboxConfig):
        check_runs_code(policy)
    if isinstance(scorer, str):
        scorer = keep(load_named_scorer(scorer, config.dtype, config.scorer_kind, config.aggregate))
    return Components(policy, executor, verifier, scorer)


def check_runs_code(policy: Policy) -> None:
    """Raises TreestarError if the steps of `policy` are queries, which a sandbox would run as code."""
    if isinstance(policy, LanguageModelPolicy) and policy.format.name == "retrieval":
        raise TreestarError(
            f"the steps of policy {policy.name} are queries, and nothing is given to look them up in: name it with "
            "--retriever of `treestar bench`, or in Python give a RetrievalExecutor as `executor`"
        )


def load_named_scorer(
    name: str,
    dtype: Dtype | None = None,
    scorer_kind: ScorerKind | None = None,
    aggregate: Aggregate | None = None,
) -> LoadedScorer | JudgeScorer:
    """Load a scorer of any kind; arguments as for `load_scorer`.

    It is a judge if the kind says so, or, without a kind, if its name has a judge's settings or its files say that it
    was trained as one (see `load_judge`).

    Raises:
        TreestarError: the model does not exist or cannot be read, or is not of the kind.
    """
    if scorer_kind == JUDGE_KIND or (scorer_kind is None and is_judge(name)):
        return load_judge(name, dtype=dtype, aggregate=aggregate)
    return load_scorer(name, dtype=dtype, scorer_kind=scorer_kind, aggregate=aggregate)


def load_step_scorer(name: str, dtype: Dtype | None = None, scorer_kind: ScorerKind | None = None) -> Scorer:
    """The scorer, whose value of a state is that of its last step: a public reward model does not combine steps.

    Raises:
        TreestarError: as `load_named_scorer`.
    """
    scorer = load_named_scorer(name, dtype, scorer_kind)
    if isinstance(scorer, PublicScorer):
        scorer.aggregate = "last"
        scorer.name = f"{scorer.convention.checkpoint.name} ({scorer.convention.kind}, {scorer.aggregate})"
    return scorer


def scorer_name(policy: str | Policy, name: str, strategies: Iterable[type[SearchConfig]]) -> str | None:
    """The scorer that `name` means: for `DEFAULT_SCORER` the one that comes with the policy, if one of the strategies
    is guided by a scorer; None for none."""
    if name != DEFAULT_SCORER:
        return None if name == NO_SCORER else name
    takes = any(strategy.ppm != "unused" for strategy in strategies)
    return SCORERS_OF_POLICIES.get(policy) if takes and isinstance(policy, str) else None


@asynccontextmanager
async def open_components(config: ComponentsConfig) -> AsyncIterator[Components]:
    """Load what `config` names, and close it when the context exits; see `load_components`."""
    async with AsyncExitStack() as opened:
        yield load_components(config, opened)


def program_components(components: Components, guided: bool) -> Components:
    """`components` for problems that ask for a program: the policy writes one, and the problem's tests judge it.

    Args:
        guided: a program that fails the public tests of its problem is not an answer. Only policies of the `code`
            format are guided.
    """
    policy, verifier = writing_programs(components.policy), components.verifier
    tests = UnitTestVerifier(components.executor)
    if guided and isinstance(policy, LanguageModelPolicy) and policy.format.name == "code":
        policy = TestedPolicy(policy, tests)
    return replace(components, policy=policy, verifier=tests if isinstance(verifier, AnswerVerifier) else verifier)


def question_components(components: Components) -> Components:
    """`components` for questions about facts, whose answers are compared as in SQuAD."""
    is_default = isinstance(components.verifier, AnswerVerifier)
    return replace(components, verifier=QuestionVerifier()) if is_default else components


def components_by_kind(components: Components, guided: bool) -> Callable[[Problem], Components]:
    """The components for a problem of any kind; `guided` as for `program_components`."""
    parts = {
        "math": components,
        "code": program_components(components, guided),
        "qa": question_components(components),
    }
    return lambda problem: parts[problem.kind]


def remarks_of(components: Components) -> list[str]:
    """The reports of all components that have one."""
    parts = (components.policy, components.scorer, components.executor, components.verifier)
    return [remark for each in parts if isinstance(each, Reporting) and (remark := each.report())]


def check_names(config: ComponentsConfig) -> None:
    """Raises ValueError if `config` contains an object, which actors cannot share."""
    allowed = {
        "policy": isinstance(config.policy, str),
        "scorer": isinstance(config.scorer, str | None),
        "executor": isinstance(config.executor, SandboxConfig),
        "verifier": config.verifier is None,
    }
    for name, is_allowed in allowed.items():
        if not is_allowed:
            kind = type(getattr(config, name)).__name__
            raise ValueError(
                f"Solver(ray=...): {name} is a {kind} object, but each actor loads its own components: give policy and "
                "scorer by name, executor as a SandboxConfig, and no verifier"
            )
