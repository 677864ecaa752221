"""Ways to have a server write the next step, one class each. `openai_probe.py` chooses among them.

Which one is possible depends on what is available: the model's tokenizer and chat template, a server that continues an
unfinished reply, or neither.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from treestar.policy.backends.generated import Generated, measured, step_in
from treestar.policy.backends.openai_answers import (
    CUT_TAGS,
    Completion,
    joined_thought,
    stopped_text,
    without_beginning,
)
from treestar.policy.backends.openai_dialect import CONTINUE_REPLY, Dialect
from treestar.policy.backends.prompt_tokens import encode, prompt_tokens
from treestar.policy.formats import CodeFormat, Message, StepFormat, missing_bos, repeats_paragraphs
from treestar.types import Execution, Sampling, State, Step

__all__ = ["GO_ON", "Asking", "Completions", "Continuing", "PlainText", "Way", "WayName", "WholeSolutions", "thinks"]

WayName = Literal["completions", "continuing", "asking", "whole"]

GO_ON = "Go on exactly where you stopped: write what comes next, up to and with its tag, and nothing else."
GO_ON_TO_THE_END = "Go on exactly where you stopped, to the end of the solution."

SOLUTION_STEPS = {"thinking": 32, "tir": 4}
"""How many times as long as a step a whole solution may be, where it is not OTHER_SOLUTION_STEPS."""
OTHER_SOLUTION_STEPS = 8


class Way(ABC):
    """What is sent for a state, and what the answer means. A subclass says what is continued.

    Args:
        step_format: the format in which the model writes its steps.
        dialect: what the server takes.
        sentence: says that this way was chosen, and why; "" if that goes without saying.
    """

    name: ClassVar[WayName]
    path: ClassVar[str] = "/chat/completions"
    goes_on: ClassVar[bool] = True
    """Whether a step that a stop string cut off too early can be continued."""

    def __init__(self, step_format: StepFormat, dialect: Dialect, sentence: str = "") -> None:
        self.format = step_format
        self.dialect = dialect
        self.sentence = sentence

    @abstractmethod
    def prompt(self, state: State, begun: Generated) -> dict[str, Any]:
        """The fields of a request that say what is to be continued: `state`, and what its next step has so far."""

    def stops(self, state: State) -> list[str]:
        """The stop strings: tags, in the part that servers are stopped at, and others where they leave a trace."""
        wanted = self.format.stop_strings(state)
        return [CUT_TAGS.get(each, ("", each))[1] for each in wanted if each in CUT_TAGS or self.dialect.tells_stops]

    def limit(self, sampling: Sampling) -> int:
        """Maximum tokens of one continuation."""
        return sampling.max_tokens

    def shortens(self, refused: int, sampling: Sampling) -> bool:
        """Whether continuations will be shorter than the `refused` limit, which exceeds the context."""
        return False

    def asks_again(self, body: dict[str, Any]) -> bool:
        """Whether to ask otherwise after an empty continuation, the answer to `body`."""
        return False

    def read(self, state: State, begun: Generated, completion: Completion, stops: list[str]) -> Generated:
        """`begun` with the continuation that an answer adds to it."""
        text, stopped = stopped_text(completion, stops)
        further = self.own_text(state, begun, replace(completion, text=text))
        return joined(begun, part(completion, further, completion.finished and not stopped))

    def own_text(self, state: State, begun: Generated, completion: Completion) -> str:
        """What the model adds to the reply."""
        return completion.text

    def step(self, state: State, generated: Generated) -> Step:
        """The step in a continuation."""
        return step_in(self.format, state, generated)


class PlainText(Way):
    """The text of a format that is to be continued as it is."""

    name = "completions"
    path = "/completions"

    def prompt(self, state: State, begun: Generated) -> dict[str, Any]:
        return {"prompt": self.format.prompt(state) + begun.text}


class Completions(Way):
    """A prompt that is rendered here with the model's own chat template, as token ids or as text.

    Args:
        tokenizer: the model's transformers tokenizer.
        as_ids: whether the server takes token ids.
        adds_bos: whether it puts a beginning-of-sequence token in front of a text.
    """

    name = "completions"
    path = "/completions"

    def __init__(
        self,
        step_format: StepFormat,
        dialect: Dialect,
        tokenizer: Any,
        as_ids: bool = True,
        adds_bos: bool = True,
        sentence: str = "",
    ) -> None:
        super().__init__(step_format, dialect, sentence)
        self.tokenizer = tokenizer
        self.as_ids = as_ids
        self.adds_bos = adds_bos

    def prompt(self, state: State, begun: Generated) -> dict[str, Any]:
        if not self.as_ids:
            return {"prompt": self.text(self.format.prompt(state) + begun.text), "skip_special_tokens": False}
        ids = prompt_tokens(self.tokenizer, self.format, state)
        return self.prompt_of([*ids, *(begun.token_ids or encode(self.tokenizer, begun.text))])

    def prompt_of(self, ids: list[int]) -> dict[str, Any]:
        """The fields of a request to continue these tokens."""
        if not self.as_ids:
            return {"prompt": self.text(self.decode(tuple(ids))), "skip_special_tokens": False}
        return {"prompt": ids, "skip_special_tokens": False, "return_token_ids": True}

    def text(self, text: str) -> str:
        """`text` so that the server reads exactly one beginning-of-sequence token, if the model wants one."""
        bos = self.tokenizer.bos_token
        if bos is None:
            return text
        wanted = text.startswith(bos) or missing_bos(self.tokenizer, [])
        return (bos if wanted and not self.adds_bos else "") + text.removeprefix(bos)

    def read(self, state: State, begun: Generated, completion: Completion, stops: list[str]) -> Generated:
        text, stopped = stopped_text(completion, stops)
        ended = completion.finished and not stopped
        ids = completion.token_ids
        if ended and ids and ids[-1] in self.special_tokens():
            ids = ids[:-1]
        if ids:
            text = self.decode(ids)
        elif ended:  # asked for special tokens, vLLM gives the one that ended the text too
            text = next(
                (text.removesuffix(each) for each in self.special_tokens().values() if text.endswith(each)), text
            )
        together = joined(begun, part(completion, text, ended, ids))
        return replace(together, text=self.decode(together.token_ids)) if together.token_ids else together

    def special_tokens(self) -> dict[int, str]:
        added: dict[int, Any] = self.tokenizer.added_tokens_decoder
        return {token: str(each.content) for token, each in added.items() if each.special}

    def decode(self, ids: tuple[int, ...]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def step(self, state: State, generated: Generated) -> Step:
        return step_in(self.format, state, generated, self.tokenizer)


class Continuing(Way):
    """The reply so far as the assistant's last message, which the server continues.

    Args:
        fields: additional fields of the request that ask for it.
        message_fields: additional fields of that message.
    """

    name = "continuing"

    def __init__(
        self,
        step_format: StepFormat,
        dialect: Dialect,
        fields: Mapping[str, Any] = CONTINUE_REPLY,
        message_fields: Mapping[str, Any] | None = None,
        sentence: str = "",
    ) -> None:
        super().__init__(step_format, dialect, sentence)
        self.fields = fields
        self.message_fields = message_fields or {}
        self.trimmed = 0
        """How many measures are taken because the chat template cuts off the blank line that ends the reply (Llama 3,
        Gemma). The model then writes it again, and would be stopped at once, with an empty step."""

    def prompt(self, state: State, begun: Generated) -> dict[str, Any]:
        messages: list[Message] = self.format.messages(state) or []
        reply = self.format.reply(state) + begun.text
        if not reply:
            return {"messages": messages}
        last = {"role": "assistant", "content": reply, **self.message_fields}
        beyond_it = {"min_tokens": 2} if self.trimmed == 1 else {}
        return {"messages": [*messages, last], **self.fields, **beyond_it}

    def stops(self, state: State) -> list[str]:
        stops = super().stops(state)
        return stops if self.trimmed < 2 else [each for each in stops if each.strip()]

    def asks_again(self, body: dict[str, Any]) -> bool:
        if all(stop.strip() for stop in body.get("stop", ())):
            return False
        self.trimmed = max(self.trimmed, 2 if "min_tokens" in body else 1)
        return True

    def read(self, state: State, begun: Generated, completion: Completion, stops: list[str]) -> Generated:
        # A parser of thoughts on the server may take a continuation for one, because no tag ends it.
        if not completion.text:
            completion = replace(completion, text=completion.thought, thought="")
        return super().read(state, begun, completion, stops)

    def own_text(self, state: State, begun: Generated, completion: Completion) -> str:
        reply = self.format.reply(state) + begun.text
        text = without_beginning(joined_thought(completion, reply), beginnings(self.format, state, begun.text))
        text = text if begun.text else self.format.own_text(state, text)
        return text.lstrip("\n") if reply.endswith("\n") else text


class Asking(Way):
    """The steps so far as a finished message, and a message that asks for the next one."""

    name = "asking"
    goes_on = False

    def stops(self, state: State) -> list[str]:
        # A model that starts its reply over would be stopped at the first blank line of what it repeats.
        return [each for each in super().stops(state) if each.strip()]

    def prompt(self, state: State, begun: Generated) -> dict[str, Any]:
        messages: list[Message] = self.format.messages(state) or []
        return {"messages": [*messages, *asked_to_go_on(self.format, state, GO_ON)] if state.steps else messages}

    def own_text(self, state: State, begun: Generated, completion: Completion) -> str:
        return self.format.own_text(state, joined_thought(completion, ""))


class WholeSolutions(Way):
    """A complete solution as one step. Only code that has to run before the model can continue ends it earlier."""

    name = "whole"
    goes_on = False
    share = 1.0
    """How much of its limit a solution may use: less where the server refused that."""

    def prompt(self, state: State, begun: Generated) -> dict[str, Any]:
        messages: list[Message] = self.format.messages(state) or []
        further = asked_to_go_on(self.format, state, GO_ON_TO_THE_END) if state.steps else []
        return {"messages": [*messages, *further]}

    def stops(self, state: State) -> list[str]:
        return []

    def limit(self, sampling: Sampling) -> int:
        name = "thinking" if self.dialect.shows_thoughts or thinks(self.format, self.dialect) else self.format.name
        steps = SOLUTION_STEPS.get(name, OTHER_SOLUTION_STEPS)
        return max(int(sampling.max_tokens * steps * self.share), sampling.max_tokens)

    def shortens(self, refused: int, sampling: Sampling) -> bool:
        if self.limit(sampling) == refused > sampling.max_tokens:  # else another request has shortened it meanwhile
            self.share /= 2
        return self.limit(sampling) < refused

    def own_text(self, state: State, begun: Generated, completion: Completion) -> str:
        return without_beginning(joined_thought(completion, ""), beginnings(self.format, state))

    def step(self, state: State, generated: Generated) -> Step:
        step = whole_step(self.format, state, generated.text, generated.ended)
        return measured(step, generated)


def thinks(step_format: StepFormat, dialect: Dialect) -> bool:
    """Whether replies begin with a thought. Before programs it is not a part of the format, but the model's way."""
    if isinstance(step_format, CodeFormat):
        return step_format.family.format == "thinking" and not dialect.thinking_off
    return step_format.name == "thinking"


def whole_step(step_format: StepFormat, state: State, text: str, ended: bool) -> Step:
    """The steps in `text` as one step, up to the first with code to run, the answer, or the limit that cut it off. Text
    that has `ended` did come to an end, however often it repeats itself, so it is read to its end."""
    read, along = 0, state
    while True:
        step = step_format.parse(along, text[read:], ended)
        # The format `chat` leaves out the blank lines around a step.
        begun = text[: max(read, text.find(step.text, read))]
        read = len(begun) + len(step.text)
        if ended and not step.code and text[read:].strip() and repeats_paragraphs(along, step.text):
            step = replace(step, ending="step", answer=None)
        if step.code or step.ending != "step" or not step.text:
            return replace(step, text=begun + step.text)
        along = replace(along, steps=(*along.steps, step), executions=(*along.executions, Execution()))


def asked_to_go_on(step_format: StepFormat, state: State, request: str) -> list[Message]:
    return [{"role": "assistant", "content": step_format.reply(state)}, {"role": "user", "content": request}]


def beginnings(step_format: StepFormat, state: State, begun: str = "") -> list[str]:
    """What a model that starts its reply over may repeat: the reply so far, with or without what was put into it."""
    if not step_format.keeps_tokens:
        return []  # `StepFormat.own_text` knows how its steps were written
    return [step_format.reply(state) + begun, "".join(map(step_format.written, state.steps)) + begun]


def part(completion: Completion, text: str, ended: bool, ids: tuple[int, ...] = ()) -> Generated:
    """What an answer adds to a continuation: `text`, with these token ids."""
    figures = completion.tokens, completion.log_probability, ids, completion.confidences
    return Generated(text, ended, *figures, token_log_probabilities=completion.token_log_probabilities)


def joined(begun: Generated, further: Generated) -> Generated:
    """Two parts of a continuation. They have token ids if both parts have."""
    together = begun.then(further)
    have_ids = bool(begun.text) == bool(begun.token_ids) and bool(further.token_ids or not further.text)
    return together if have_ids else replace(together, token_ids=())
