"""What a convention is: how a public reward model wants its input written, where its scores are, what they mean.

Each convention has a file beside this one. To add one, write a subclass of `Convention`, and add its name to `kinds.py`
and the class to `choose.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from treestar.ppm.public.aggregate import Aggregate
from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.heads import token_pair
from treestar.ppm.public.kinds import ScorerKind
from treestar.ppm.public.texts import special_texts, without_marks
from treestar.ppm.reading import Head
from treestar.types import TreestarError, first_line

__all__ = [
    "Convention",
    "MarkedText",
    "Message",
    "TokenPairConvention",
    "conversation",
    "ids_of",
    "last_id",
    "marked_at",
    "rendered",
]

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A state as a model reads it."""

    ids: list[int]
    spans: list[range]
    """For each score the positions that it is read at, in order: nearly always a single one. The raw value of a score
    is the sum over its positions."""

    def __len__(self) -> int:
        return len(self.ids)


class Convention(ABC):
    """How one family of models is read. Made from a checkpoint, whose tokenizer it uses.

    A subclass writes `kind`, `encode`, `head`, and `names` or `recognizes`; everything else has a default.
    """

    kind: ClassVar[ScorerKind]
    names: ClassVar[str] = "(?!)"
    """Where the files look like those of any other causal model: found in its short name (a regular expression)."""
    judges_whole: ClassVar[bool] = False
    """Whether there is one score for all steps together, not one for each."""
    reads_next: ClassVar[bool] = False
    """Whether a score depends on the token after its last position."""
    mark: str = ""
    """The text of the mark that ends a step, where it is one that a question could quote."""
    aggregate: Aggregate = "last"
    """How the scores of a state's steps become one, if the user does not say; the reason is beside each one."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.tokenizer = checkpoint.tokenizer
        self.foreign = tuple({*special_texts(self.tokenizer), self.mark} - {""})
        """What no question and no step may contain as it is: marks, and the tokens that structure a conversation."""

    @classmethod
    def recognizes(cls, checkpoint: Checkpoint) -> bool:
        """Whether the files are those of such a model; by default by its name."""
        return checkpoint.is_causal_named(cls.names)

    @abstractmethod
    def encode(self, question: str, steps: Sequence[str]) -> MarkedText:
        """The tokens and the positions of the scores.

        Args:
            question, steps: without marks; no step is blank, and there is at least one.
        """

    @abstractmethod
    def head(self, backbone: Any) -> Head:
        """The function that reads the scores, with its weights from the checkpoint on the device of `backbone`."""

    def probabilities(self, raw: Sequence[float]) -> list[float]:
        """The scores' probabilities in [0, 1], from their raw values; by default these are probabilities."""
        return list(raw)

    def cleaned(self, text: str) -> str:
        """`text` without anything that the model could take for a mark."""
        return without_marks(text, self.foreign)

    def marked(self, question: str, steps: Sequence[str]) -> MarkedText:
        """`encode` of the cleaned texts, checked.

        Raises:
            TreestarError: there are more or fewer scores than steps.
        """
        found = self.encode(self.cleaned(question), [self.cleaned(step) for step in steps])
        expected = 1 if self.judges_whole else len(steps)
        if len(found.spans) != expected:
            raise TreestarError(
                f"scorer {self.checkpoint.name!r} ({self.kind}): {len(found.spans)} scores for the {expected} steps of "
                f"the problem {question[:60]!r}, because its text contains what ends a step for this model: rephrase "
                "the problem, or use another scorer"
            )
        return found

    def no_token(self, text: str) -> TreestarError:
        """The error that the tokenizer lacks a token that the convention needs."""
        return TreestarError(
            f"scorer {self.checkpoint.name!r}: its tokenizer has no single token for {text!r}, which a model of the "
            f"kind {self.kind} needs: give its own tokenizer, or another kind with --scorer-kind"
        )


class TokenPairConvention(Convention):
    """That of causal models whose score is the probability of the token `right` as the next one, against `wrong`; a
    subclass sets their ids."""

    right: int
    wrong: int

    def head(self, backbone: Any) -> Head:
        return token_pair(self.checkpoint, backbone, self.right, self.wrong)


def ids_of(tokenizer: Any, text: str, special: bool = False) -> list[int]:
    """The tokens of `text`. With `special` also those that the tokenizer itself adds, such as a first one."""
    found: list[int] = tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
    return found


def last_id(convention: Convention, text: str, before: str = "") -> int:
    """The single token that `text` is after `before`.

    Raises:
        TreestarError: it is more than one token, or unknown.
    """
    tokenizer = convention.tokenizer
    last = ids_of(tokenizer, before + text)[-1]
    if tokenizer.decode([last]).strip(" ") != text.strip(" "):
        raise convention.no_token(text)
    return last


def marked_at(ids: list[int], mark: int) -> MarkedText:
    """`ids` with a score at every token `mark`."""
    return MarkedText(ids, [range(place, place + 1) for place, each in enumerate(ids) if each == mark])


def conversation(question: str, answer: str, system: str | None = None) -> list[Message]:
    """A question and its answer."""
    first = [] if system is None else [{"role": "system", "content": system}]
    return [*first, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def rendered(convention: Convention, messages: list[Message], reply: bool = False) -> list[int]:
    """The tokens of a conversation in the tokenizer's chat template, which alone decides about a first token.

    Args:
        reply: end where the assistant's reply begins. Templates that can think are told not to.

    Raises:
        TreestarError: there is no template, or it does not accept the messages.
    """
    tokenizer, name = convention.tokenizer, convention.checkpoint.name
    if tokenizer.chat_template is None:
        raise TreestarError(
            f"scorer {name!r}: its tokenizer has no chat template, which a model of the kind {convention.kind} needs: "
            "give another kind with --scorer-kind"
        )
    options = {"enable_thinking": False} if reply else {}
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=reply, **options)
    except Exception as error:  # jinja raises anything, and templates raise their own sentences
        raise TreestarError(
            f"scorer {name!r}: its chat template does not accept the conversation: {first_line(error)}"
        ) from error
    return ids_of(tokenizer, text)
