"""The cells of a benchmark run: data sets x strategies x temperatures x budgets x seeds.

Greedy does not depend on temperature, budget or seed, so it is one cell. `majority`, `best_of_n` and `weighted_vote`
use the same independent trajectories, so they share the cell `sampling`, which also gives pass@k and every token
budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from treestar.config.names import unknown_name
from treestar.config.renamed import current_names, warn_of_renaming
from treestar.search import STRATEGIES, GreedyConfig, MajorityConfig, SearchConfig
from treestar.search.config import TreeSearchConfig, WindowsConfig

__all__ = ["SAMPLING_STRATEGIES", "BenchmarkConfig", "Cell", "Method", "matrix"]

Method = Literal[
    "greedy",
    "mcts",
    "beam",
    "dvts",
    "adaptive_branching",
    "chunk_reset",
    "adaptive_consistency",
    "esc",
    "deepconf",
    "sampling",
]
"""In running order: sampling comes last, because its budget is the number of tokens that the searches spent."""
SAMPLING_STRATEGIES = ("majority", "best_of_n", "weighted_vote")
"""The strategies that select from the same independent trajectories."""
CONFIG_OF: Mapping[Method, type[SearchConfig]] = {
    method: MajorityConfig if method == "sampling" else STRATEGIES[method][0] for method in get_args(Method)
}
METHOD_OF: Mapping[str, Method] = {
    **{method: method for method in CONFIG_OF if method != "sampling"},
    **dict.fromkeys(SAMPLING_STRATEGIES, "sampling"),
}
"""The method by which each strategy of `STRATEGIES` makes its trajectories."""

WITHOUT_LIMIT: Mapping[Method, Mapping[str, Any]] = {
    "mcts": {"max_rollouts": None, "early_stop": False},
    "adaptive_branching": {"max_rollouts": None},
}
"""With a token budget, a search is ended by the budget and not by its number of rollouts."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """The configuration of a run. Two runs with the same configuration, policy and problems have the same results."""

    datasets: tuple[str, ...]
    """Names that `load_problems` accepts."""
    strategies: tuple[str, ...] = ("greedy", "majority", "best_of_n", "mcts")
    """The strategies to compare."""
    samples: int = 16
    """n: independent trajectories per problem, from which pass@k, consensus@k and best-of-k are computed. Strategies
    that stop when the vote is decided sample at most as many; with a token budget, as many as their own default."""
    k: tuple[int, ...] = (1, 4, 16)
    """Values of k for pass@k, consensus@k, best-of-k and weighted vote@k; at most `samples`."""
    temperatures: tuple[float, ...] = (1.0,)
    """Sampling temperatures of the sampling and tree strategies."""
    budget_tokens: tuple[int, ...] = ()
    """Token budgets per problem at which all strategies are compared."""
    thinking_budgets: tuple[int, ...] = ()
    """For models that think: maximum tokens of a thought. Each budget is a separate run."""
    seeds: int = 1
    """Repetitions with seeds 0, 1, ..."""
    limit: int | None = None
    """Only this many problems of each data set, the first ones."""
    search: Mapping[str, Any] = field(default_factory=dict)
    """Other settings of the strategies, by the field names of their configurations."""

    def __post_init__(self) -> None:
        """Raises ValueError with the reason."""
        object.__setattr__(self, "search", current_names(self.search, warn_of_renaming))
        for name in ("datasets", "strategies", "k", "temperatures"):
            if not getattr(self, name):
                raise ValueError(f"{name} must name at least one")
        for name in ("datasets", "strategies", "k", "temperatures", "budget_tokens", "thinking_budgets"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} contains duplicates: {', '.join(map(str, getattr(self, name)))}")
        for strategy in self.strategies:
            if strategy not in STRATEGIES:
                raise ValueError(unknown_name("strategy", strategy, STRATEGIES))
        numbers = (
            self.samples,
            self.seeds,
            *self.k,
            *self.budget_tokens,
            *(() if self.limit is None else (self.limit,)),
        )
        if min(numbers) < 1:
            raise ValueError("samples, seeds, k, budget_tokens and limit must be whole numbers, 1 or more")
        if min(self.thinking_budgets, default=0) < 0:
            raise ValueError("thinking_budgets must be whole numbers, 0 or more")
        if self.thinking_budgets and (self.budget_tokens or "max_thinking_tokens" in self.search):
            raise ValueError(
                "thinking_budgets go neither with budget_tokens nor with max_thinking_tokens: leave one out"
            )
        if max(self.k) > self.samples:
            raise ValueError(f"k = {max(self.k)} needs at least as many samples, but samples is {self.samples}")
        for name in self.search:
            if not any(name in field_names(method) for method in self.methods()):
                raise ValueError(f"{name} is not a setting of {', '.join(self.strategies)}")

    def methods(self) -> tuple[Method, ...]:
        """The methods that the strategies need, in a fixed order."""
        wanted = {METHOD_OF[strategy] for strategy in self.strategies}
        return tuple(method for method in CONFIG_OF if method in wanted)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BenchmarkConfig:
        """The configuration from the result of `to_json`. Raises TypeError or ValueError on another object."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        return cls(**{**values, "search": current_names(values.get("search", {}))})

    def to_json(self) -> dict[str, Any]:
        """The configuration as JSON values."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        if not self.thinking_budgets:  # as in files from before there were any
            del values["thinking_budgets"]
        return values


@dataclass(frozen=True)
class Cell:
    """One method on one data set with one seed."""

    dataset: str
    method: Method
    temperature: float
    budget: int | None
    """The token budget of a tree search; sampling uses the same trajectories for every budget."""
    seed: int
    config: SearchConfig
    thinking: int | None = None
    """The thinking budget of each trajectory."""

    @property
    def is_tree_search(self) -> bool:
        """Whether the trajectories share steps."""
        return issubclass(CONFIG_OF[self.method], TreeSearchConfig)

    @property
    def task(self) -> str:
        """The cell's name without its seed; results are averaged over seeds."""
        parts = [self.dataset, self.method]
        if self.method != "greedy":
            parts.append(f"t={self.temperature:g}")
        if self.budget is not None:
            parts.append(f"tokens={self.budget}")
        if self.thinking is not None:
            parts.append(f"thinking={self.thinking}")
        return "/".join(parts)

    @property
    def key(self) -> str:
        """The cell's name."""
        return f"{self.task}/seed={self.seed}"


def matrix(config: BenchmarkConfig) -> list[Cell]:
    """Every cell of a run, in running order.

    Raises:
        ValueError: a setting's value is not allowed.
    """
    return [
        cell
        for dataset in config.datasets
        for method in config.methods()
        for thinking in config.thinking_budgets or (None,)
        for cell in cells_of(config, dataset, method, thinking)
    ]


def cells_of(config: BenchmarkConfig, dataset: str, method: Method, thinking: int | None) -> list[Cell]:
    given = {name: value for name, value in config.search.items() if name in field_names(method)}
    given |= {} if thinking is None else {"max_thinking_tokens": thinking}
    if method == "greedy":
        return [Cell(dataset, method, 0.0, None, 0, GreedyConfig(**given), thinking)]
    cells = []
    for temperature in config.temperatures:
        for seed in range(config.seeds):
            if method == "sampling":
                search: SearchConfig = MajorityConfig(samples=config.samples, temperature=temperature, **given)
                cells.append(Cell(dataset, method, temperature, None, seed, search, thinking))
                continue
            for budget in config.budget_tokens or (None,):
                limits = dict(WITHOUT_LIMIT.get(method, {})) if budget is not None else limits_of(config, method)
                settings = {"temperature": temperature, "max_generated_tokens": budget, **limits, **given}
                search = CONFIG_OF[method](**settings)
                cells.append(Cell(dataset, method, temperature, budget, seed, search, thinking))
    return cells


def limits_of(config: BenchmarkConfig, method: Method) -> dict[str, Any]:
    """The settings that limit a search without a token budget. What a vote saves that stops when it is decided is told
    by comparison with a vote of `samples`."""
    return {"samples": config.samples} if issubclass(CONFIG_OF[method], WindowsConfig) else {}


def field_names(method: Method) -> set[str]:
    """The settings of a method that a run can give, except those that the matrix varies. The number of rollouts
    applies only to methods that have a default for it: it does not reduce `samples`."""
    names = {each.name for each in fields(CONFIG_OF[method])} - {
        "samples",
        "temperature",
        "max_generated_tokens",
        "gold",
    }
    return names if method in WITHOUT_LIMIT else names - {"max_rollouts"}
