"""A scorer behind a server: a PPM served by `vllm serve MODEL --runner pooling` (docs/guides/backends.md).

OpenAI's protocol does not include reward models. vLLM's `/classify` without the activation returns the head's output at
the last token, which is enough for a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import tanh
from pathlib import Path
from typing import Any

from treestar.concurrency import gather_all
from treestar.policy.backends.openai import OPENAI_PREFIX, OVERFLOW, parse_openai_name
from treestar.policy.backends.remote_server import Refusal, RemoteServer, RemoteServerConfig, UnusableAnswer
from treestar.policy.formats import StepFormat, step_format_named
from treestar.policy.models import model_config, shipped_path
from treestar.ppm.encoding import segments
from treestar.types import Scores, State, TreestarError

__all__ = ["OpenAIScorer", "load_openai_scorer"]


class OpenAIScorer:
    """Implements `treestar.types.Scorer`. A state too long for the server's context scores as its ancestor.

    Args:
        model: the PPM's name at the server.
        url: the server's base URL; see `RemoteServer`.
        step_format: the form of the step format whose text the PPM reads.
        bias, scale: score = tanh((logit + bias) / scale).

    Raises:
        TreestarError: the URL or the key is malformed, or the `openai` package is missing.
    """

    def __init__(
        self,
        model: str,
        url: str | None,
        step_format: StepFormat,
        config: RemoteServerConfig | None = None,
        bias: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        self.model = model
        self.step_format = step_format
        self.server = RemoteServer(url, config or RemoteServerConfig())
        self.name = f"{OPENAI_PREFIX}{model}@{self.server.url}"
        self.bias = bias
        self.scale = scale

    async def score(self, states: Sequence[State]) -> Scores:
        """See `Scorer.score`. Each state is a request. All its tokens count: servers do not report cached ones.

        Raises:
            TreestarError: the server has no `/classify`, refuses, or failed for longer than the configured patience.
        """
        scored = await gather_all([self.score_one(state) for state in states])
        return Scores(tuple(score for score, _ in scored), sum(tokens for _, tokens in scored))

    async def score_one(self, state: State) -> tuple[float, int]:
        """The score, and the tokens read for it."""
        body = {
            "model": self.model,
            "input": "".join(segments(self.step_format, state)),
            "add_special_tokens": False,
            "use_activation": False,
        }
        try:
            # In vLLM it is next to /v1, not below it.
            logit, tokens = await self.server.post(self.server.url.removesuffix("/v1") + "/classify", body, read_logit)
        except Refusal as refusal:
            if OVERFLOW.search(refusal.message) and state.steps:
                return await self.score_one(state.prefix(-1))
            raise TreestarError(
                f"{self.server.url} gives no scores for {self.model!r} ({refusal.status}: {refusal.message}): a PPM "
                "needs its own server, such as vllm serve MODEL --runner pooling"
            ) from None
        return tanh((logit + self.bias) / self.scale), tokens

    def report(self) -> str:
        """One line about failed requests that were repeated, or "" if none failed."""
        failed = self.server.failures_text()
        return f"PPM requests repeated: {failed}" if failed else ""

    async def close(self) -> None:
        """Close the connections."""
        await self.server.close()


def read_logit(answer: Any) -> tuple[float, int]:
    """The head's output, and the tokens read. Raises UnusableAnswer if the answer has another form."""
    try:
        [classified] = answer["data"]
        [logit] = classified["probs"]
        return float(logit), int(answer["usage"]["prompt_tokens"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnusableAnswer(f"not one label's score: {answer!r:.200}") from error


def load_openai_scorer(name: str, config: RemoteServerConfig) -> OpenAIScorer:
    """The scorer that `openai:MODEL@URL` or `openai:MODEL` names.

    Step format, bias and scale are those in the config.json of MODEL if that is a folder on this machine (vLLM's
    default name for a model), otherwise `rstar`, 0 and 1.

    Raises:
        TreestarError: MODEL is missing, or as `OpenAIScorer`.
    """
    model, url = parse_openai_name(name)
    found = model_config(shipped_path("PPM", model) or Path(model).expanduser())
    return OpenAIScorer(
        model,
        url,
        step_format_named(found.get("treestar_format", "rstar")),
        config,
        found.get("treestar_ppm_bias", 0.0),
        found.get("treestar_ppm_scale", 1.0),
    )
