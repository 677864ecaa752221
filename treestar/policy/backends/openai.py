"""A policy behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, or a hosted model.

docs/guides/backends.md says what is sent and what depends on the server.

There are several ways to have a server write the next step (`openai_ways.py`). Before its first request the policy
chooses one (`openai_probe.py`), and keeps to it. What the server refuses is left out from then on
(`openai_dialect.py`).
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from treestar.concurrency import gather_all
from treestar.policy.backends.generated import Generated
from treestar.policy.backends.openai_answers import CUT_TAGS, Completion, read_completion
from treestar.policy.backends.openai_dialect import OVERFLOW, WHOLE_DISTRIBUTION, Dialect
from treestar.policy.backends.openai_probe import choose_way, named_way
from treestar.policy.backends.openai_thinking import forced_completion, native_budget
from treestar.policy.backends.openai_ways import Completions, Way, WayName
from treestar.policy.backends.remote_server import Refusal, RemoteServer, RemoteServerConfig
from treestar.policy.backends.sampling import refuse_distinct, request_seed
from treestar.policy.formats import FormatName, Message, StepFormat, family_named, step_format_for, step_format_named
from treestar.policy.language_model import LanguageModelPolicy
from treestar.policy.models import (
    load_config,
    load_generation_config,
    load_tokenizer,
    model_config,
    policy_path,
    shipped_path,
)
from treestar.types import ContextOverflow, Problem, Proposal, Sampling, State, Step, TreestarError

__all__ = [
    "NOTHING",
    "OPENAI_PREFIX",
    "OVERFLOW",
    "OpenAIPolicy",
    "describe_server",
    "load_openai_policy",
    "parse_openai_name",
    "template_at_the_server",
]

OPENAI_PREFIX = "openai:"

BARE_SERVER = re.compile(r"@((?:localhost|\d+(?:\.\d+){3})(?:[:/].*)?|[\w.-]+:\d{2,5}(?:/.*)?)$")
"""A server's address without `http://` behind a model's name. (`@` also occurs in names of models.)"""

DESCRIBING_SECONDS = 3.0
"""How long a server that is only to be described may take to answer."""

NOTHING = Generated("", False, 0, 0.0)
"""A step of which nothing has been written yet."""


class OpenAIPolicy(LanguageModelPolicy):
    """A policy whose model runs behind a server. Each candidate is a request with its own seed.

    Args:
        model: the model's name at the server.
        url: the server's base URL; see `RemoteServer`.
        step_format: the format in which the model writes its steps.
        tokenizer: the model's transformers tokenizer, if it is on this machine. Prompts are then rendered here, if the
            server has `/completions`.
        way: how the server is to be asked for a step: `completions`, `continuing` (an unfinished reply), `asking` (with
            a further message) or `whole` (complete solutions). None finds out what the server can do.
        extra_body: additional fields of every request, such as `{"skip_special_tokens": False}`.

    Raises:
        TreestarError: the URL or the key is malformed, the `openai` package is missing, or `way` needs a tokenizer.
    """

    def __init__(
        self,
        model: str,
        url: str | None,
        step_format: StepFormat,
        config: RemoteServerConfig | None = None,
        tokenizer: Any = None,
        way: WayName | None = None,
        extra_body: dict[str, Any] | None = None,
    ) -> None:
        self.server = RemoteServer(url, config or RemoteServerConfig())
        super().__init__(step_format, f"{OPENAI_PREFIX}{model}@{self.server.url}")
        self.model = model
        self.tokenizer = tokenizer
        self.extra_body = extra_body or {}
        self.dialect = Dialect()
        # A model that can think would do so in every other format too.
        self.dialect.thinking_off = family_named(model).format == "thinking" and step_format.name != "thinking"
        self.way = None if way is None else named_way(way, step_format, self.dialect, tokenizer)
        """How the server is asked for steps; None until that has been found out."""
        self.choosing: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        """Held while the way is being chosen, on that event loop."""

    def writing(self, step_format: StepFormat) -> OpenAIPolicy:
        """See `LanguageModelPolicy.writing`. How the server is asked depends on the format, so it is probed again."""
        other = cast(OpenAIPolicy, super().writing(step_format))
        other.way, other.choosing = None, None
        return other

    async def close(self) -> None:
        """Close the connections."""
        await self.server.close()

    def report(self) -> str:
        """How the server was asked for steps, and the failures that were recovered from, in one line."""
        failed, refused = self.server.failures_text(), sorted(self.dialect.refused)
        parts = [self.way.sentence] if self.way is not None and self.way.sentence else []
        parts += [f"requests repeated: {failed}"] if failed else []
        parts += [f"the server does not take: {', '.join(refused)}"] if refused else []
        parts += (
            [] if self.dialect.counts_tokens else ["the server does not count tokens, so their figures are too low"]
        )
        return "; ".join(parts)

    async def describe(self) -> str:
        """How the server is asked for steps, in one sentence, after asking it what it can do.

        Raises:
            TreestarError: the server refuses the model or the key, or does not answer.
        """
        way = await self.chosen_way()
        return way.sentence or f"requests go to {way.path}, and the server continues the text as it is"

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        """See `Policy.propose`.

        Raises:
            ContextOverflow: the server says that the prompt and the longest step exceed the model's context.
            TreestarError: the server refuses the request, kept failing for longer than the patience, or was asked for
                distinct candidates.
        """
        refuse_distinct(sampling, self.name)
        way = await self.chosen_way()
        completed = await gather_all([self.candidate(way, state, sampling, seed, index) for index in range(n)])
        steps = tuple(step for _, step in completed)
        return Proposal(steps, completed[0][0], sum(step.tokens for step in steps))

    async def candidate(self, way: Way, state: State, sampling: Sampling, seed: int, index: int) -> tuple[int, Step]:
        """The prompt's tokens, and candidate `index`."""
        if sampling.thinking is None or not isinstance(way, Completions):
            prompt_tokens, generated = await self.complete(way, state, sampling, seed, index)
            return prompt_tokens, way.step(state, generated)
        prompt_tokens = 0

        async def generate(ids: list[int], limit: int, _: tuple[str, ...], part: int) -> Generated:
            nonlocal prompt_tokens
            body = self.body(way, state, sampling, limit, request_seed(seed, index, part), NOTHING)
            body |= way.prompt_of(ids)
            completion = await self.answer(way.path, body)
            prompt_tokens = prompt_tokens or completion.prompt_tokens
            return way.read(state, NOTHING, completion, body.get("stop", []))

        step = await forced_completion(way, generate, state, sampling, self.name)
        return prompt_tokens, step

    async def answer(self, path: str, body: dict[str, Any]) -> Completion:
        """`ask`, with a refusal as the search knows it. Raises ContextOverflow or TreestarError."""
        try:
            return await self.ask(path, body)
        except Refusal as refusal:
            if is_overflow(refusal):
                raise ContextOverflow(f"{self.name}: {refusal.message}") from None
            raise self.refusal_error(refusal) from None

    async def chosen_way(self) -> Way:
        """How the server is asked for steps; the first call finds that out."""
        if self.way is not None:
            return self.way
        loop = asyncio.get_running_loop()
        if self.choosing is None or self.choosing[0] is not loop:
            self.choosing = loop, asyncio.Lock()
        async with self.choosing[1]:
            if self.way is None:
                try:
                    self.way = await choose_way(self.format, self.dialect, self.tokenizer, self.server.url, self.ask)
                except Refusal as refusal:
                    raise self.refusal_error(refusal) from None
            return self.way

    async def complete(
        self, way: Way, state: State, sampling: Sampling, seed: int, index: int
    ) -> tuple[int, Generated]:
        """The prompt's tokens, and candidate `index`, continued while a stop string ended it where its step does not
        end."""
        generated, prompt_tokens, part = NOTHING, 0, 0
        while True:
            limit, begun = way.limit(sampling), generated
            numbers = (part,) if part else ()
            body = self.body(way, state, sampling, limit - begun.tokens, request_seed(seed, index, *numbers), begun)
            try:
                completion = await self.answer(way.path, body)
            except ContextOverflow:
                if way.shortens(limit, sampling):
                    continue
                raise
            generated = way.read(state, begun, completion, body.get("stop", []))
            prompt_tokens, part = prompt_tokens or completion.prompt_tokens, part + 1
            is_over = generated.ended or not way.goes_on or max(generated.tokens, part) >= limit
            if is_over or not self.format.goes_on(generated.text):
                return prompt_tokens, generated
            if generated.text == begun.text and not way.asks_again(body):
                return prompt_tokens, generated

    def body(
        self, way: Way, state: State, sampling: Sampling, limit: int, seed: int, begun: Generated
    ) -> dict[str, Any]:
        """The request as JSON.

        Args:
            limit: maximum number of tokens.
            begun: what the step has so far.
        """
        stops = way.stops(state)
        leaves_no_trace = any(stop not in CUT_PARTS for stop in stops)
        return {
            **way.prompt(state, begun),
            "max_tokens": limit,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            **({"stop": stops} if stops else {}),
            **({"include_stop_str_in_output": True} if leaves_no_trace else {}),
            "seed": seed,
            **asked_log_probabilities(way.path == "/chat/completions", sampling.confidence_top),
            **distribution(sampling),
            **({} if isinstance(way, Completions) else native_budget(way, sampling.thinking, self.name)),
        }

    async def ask(self, path: str, fields: dict[str, Any]) -> Completion:
        """The server's answer; a field that it rejects is left out from then on.

        Raises:
            Refusal: the server refuses the request as a whole.
            TreestarError: it kept failing for longer than the patience.
        """
        fields = {"model": self.model, **fields}
        while True:
            body = self.dialect.spoken(fields)
            try:
                completion = await self.server.post(path, {**body, **self.extra_body}, read_completion)
            except Refusal as refusal:
                own = {name: value for name, value in body.items() if name not in self.extra_body}
                if is_overflow(refusal):
                    raise
                learned = self.dialect.learn_refusal(refusal.message, own)
                if not learned and self.dialect.spoken(fields) == body:
                    raise  # else another request has learned it while this one was under way
            else:
                self.dialect.learn_answer(completion, body)
                return counted(completion, fields["max_tokens"])

    def refusal_error(self, refusal: Refusal) -> TreestarError:
        said = f"{self.server.url} refuses model {self.model!r} ({refusal.status}): {refusal.message}"
        if refusal.status in MISSING and self.format.messages(State(Problem(""))) is None:
            said += (
                f". The step format {self.format.name} needs /completions: if the server has only /chat/completions, "
                "choose another one, such as --step-format cot"
            )
        return TreestarError(said)


MISSING = (404, 405, 501)
"""How a server says that it does not have an endpoint, or a model."""

CUT_PARTS = frozenset(cut for _, cut in CUT_TAGS.values())


def is_overflow(refusal: Refusal) -> bool:
    return refusal.status in (400, 413, 422) and OVERFLOW.search(refusal.message) is not None


def counted(completion: Completion, limit: int) -> Completion:
    """`completion`, with `limit` as the tokens of a text that the limit cut off where the server does not count."""
    is_counted = completion.tokens or completion.finished or not (completion.text or completion.thought)
    return completion if is_counted else replace(completion, tokens=limit)


def asked_log_probabilities(is_chat: bool, top: int) -> dict[str, Any]:
    """The fields that ask for the log-probabilities of the tokens, and of the `top` most probable ones at each."""
    if not is_chat:
        return {"logprobs": max(top, 1)}
    return {"logprobs": True, **({"top_logprobs": top} if top else {})}


def distribution(sampling: Sampling) -> dict[str, Any]:
    """The fields of WHOLE_DISTRIBUTION with their values."""
    return dict(zip(WHOLE_DISTRIBUTION, (sampling.top_k or -1, sampling.min_p, 1.0), strict=True))


def load_openai_policy(
    name: str, step_format: FormatName | None, config: RemoteServerConfig, step_separator: str | None = None
) -> OpenAIPolicy:
    """The policy that `openai:MODEL@URL` or `openai:MODEL` names.

    Args:
        step_format: None takes what the model's files say where MODEL is on this machine: a folder, a shipped or
            fetched model, or a hub id whose tokenizer is in the hub's cache. Otherwise its name decides: servers do not
            tell.
        step_separator: as for `load_policy`.

    Raises:
        TreestarError: the name contains no MODEL, or as `OpenAIPolicy`.
    """
    model, url = parse_openai_name(name)
    found = model_config(shipped_path("policy", model) or Path(model).expanduser())
    family = family_named(model)
    wanted = step_format or found.get("treestar_format", family.format)
    chosen = step_format_named(wanted, template_at_the_server, family, step_separator)
    files = None if chosen.messages(State(Problem(""))) is None else local_files(model)
    if files is None:
        return OpenAIPolicy(model, url, chosen, config)
    model_config_file, tokenizer, generation = files
    chosen = step_format_for(model_config_file, tokenizer, step_format, generation, step_separator)
    return OpenAIPolicy(model, url, chosen, config, tokenizer)


def describe_server(name: str, step_format: FormatName) -> str:
    """How the server of the policy `name` is asked for steps, in one sentence, after asking it what it can do.

    Raises:
        TreestarError: as `load_openai_policy`, or the server refuses the model or the key, or does not answer.
    """
    policy = load_openai_policy(name, step_format, RemoteServerConfig(patience_seconds=DESCRIBING_SECONDS))

    async def described() -> str:
        try:
            return await policy.describe()
        finally:
            await policy.close()

    return asyncio.run(described())


def template_at_the_server(messages: list[Message]) -> str:
    """Stands for a chat template that only the server has: the messages, readable for people."""
    return "".join(f"[{message['role']}]\n{message['content']}\n\n" for message in messages) + "[assistant]\n"


def local_files(model: str) -> tuple[Any, Any, Any] | None:
    """The transformers configuration, tokenizer and generation configuration (None if it has none) of a model that is
    on this machine; None if it is not. Nothing is fetched."""
    path = local_path(model)
    if path is None:
        return None
    try:
        return load_config(path), load_tokenizer(path), load_generation_config(path)
    except Exception:  # files are missing, or transformers cannot read them: it raises anything
        return None


def local_path(model: str) -> str | None:
    """The folder or GGUF file of a model, in the hub's cache for a hub id; None if it is not on this machine."""
    try:
        path = policy_path(model)
    except TreestarError:
        return None
    if Path(path).exists():
        return path
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(path, "tokenizer_config.json")
    except ValueError:  # it cannot be a hub id
        return None
    return str(Path(found).parent) if isinstance(found, str) else None


def parse_openai_name(name: str) -> tuple[str, str | None]:
    """The model and the server's URL in `openai:MODEL@URL`. Raises TreestarError if it contains no model, or a server
    without `http://`, which would otherwise become a part of the model's name, and the request go to OpenAI."""
    model, _, rest = name.removeprefix(OPENAI_PREFIX).partition("@http")
    if not model:
        raise TreestarError(f"{name!r} names no model: write {OPENAI_PREFIX}MODEL@URL or {OPENAI_PREFIX}MODEL")
    if not rest and (server := BARE_SERVER.search(model)):
        raise TreestarError(
            f"{name!r}: {server[1]!r} is not a URL: write {OPENAI_PREFIX}{model[: server.start()]}@http://{server[1]}"
        )
    return model, "http" + rest if rest else None
