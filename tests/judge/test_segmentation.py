"""Solutions in chunks: by rules or by a model's marks, and always letter for letter the same text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.judge.segmentation import (
    chunks_by_rules,
    chunks_of_reply,
    paragraphs_of,
    segmentation_prompt,
    solution_and_answer,
    tagged,
)

SOLUTION = """\
## Setting up

Let $x$ be the number of pens. Then we have:

$$x = 3 \\cdot 4$$

so there are twelve of them.

Next, 5 pens are taken away. That leaves $12 - 5 = 7$ pens, because nothing else is said about them.

To check this, we add them again: $7 + 5 = 12$, as before.

Therefore there are 7 pens.

The answer is $\\boxed{7}$.
"""

texts = st.lists(
    st.sampled_from(
        ["Next, ", "So:", "x", "$$y$$", "\n\n", "\n", " ", "<chunk>", "</chunk>", "\\boxed{1}", "## A", "```"]
    )
).map("".join)


def test_rules_keep_together_what_belongs_together() -> None:
    found = chunks_by_rules(SOLUTION)
    assert [chunk.split()[0] for chunk in found] == ["##", "Next,", "To", "Therefore"]
    assert found[0].endswith("so there are twelve of them.\n\n")
    assert len(paragraphs_of(SOLUTION)) == 6 + 1
    assert len(found) < len(paragraphs_of(SOLUTION))


def test_a_long_chunk_takes_nothing_more() -> None:
    long = "It is so. " * 80
    assert len(chunks_by_rules(f"{long}\n\nand so on.")) == 2
    assert len(chunks_by_rules("It is so.\n\nand so on.")) == 1


@given(texts)
def test_the_chunks_joined_are_the_text(text: str) -> None:
    assert "".join(chunks_by_rules(text)) == text
    assert "".join(paragraphs_of(text)) == text


@given(texts, st.sampled_from(["", "The answer is \\boxed{7}."]))
def test_marking_changes_no_letter(text: str, answer: str) -> None:
    plain = text.replace("<chunk>", "").replace("</chunk>", "")
    steps = tagged(chunks_by_rules(plain), answer)
    assert "".join(steps).replace("<chunk>", "").replace("</chunk>", "") == plain + answer
    assert all(step.endswith("</chunk>") for step in steps[:-1])


def test_the_line_with_the_last_box_is_the_answer() -> None:
    assert solution_and_answer(SOLUTION) == (SOLUTION[: SOLUTION.index("The answer")], "The answer is $\\boxed{7}$.\n")
    assert solution_and_answer("\\boxed{3} is inside.\n\nSo \\boxed{7}") == (
        "\\boxed{3} is inside.\n\n",
        "So \\boxed{7}",
    )
    assert solution_and_answer("So it is 7.") is None
    assert solution_and_answer("\\boxed{7}") is None


def test_a_models_marks_are_taken_over() -> None:
    text = "One and one\nis two.\n\nTwice that is four.\n\n"
    reply = "<chunk>One and one\nis two.</chunk>\n<chunk>\nTwice that is four.\n</chunk>\n"
    found = chunks_of_reply(reply, text)
    assert found == ["One and one\nis two.", "\n\nTwice that is four.\n\n"]
    assert tagged(found, "So \\boxed{4}.") == [
        "<chunk>One and one\nis two.</chunk>",
        "\n\n<chunk>Twice that is four.</chunk>",
        "\n\nSo \\boxed{4}.",
    ]


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "One and one is two.",
        "<chunk>One and one is two.",
        "<chunk>One and one is 2.</chunk>",
        "<chunk>One and one</chunk>",
        "Here: <chunk>One and one is two.</chunk>",
        "<chunk>One and one is two.</chunk> I hope that helps.",
        "<chunk>One and one</chunk> is <chunk>two.</chunk>",
        "<chunk>One and one <chunk>is</chunk> two.</chunk>",
        "<chunk>One and one is two.</chunk><chunk></chunk>",
        "<chunk>is two.</chunk><chunk>One and one</chunk>",
    ],
)
def test_a_reply_that_changes_the_text_or_the_form_is_refused(reply: str) -> None:
    assert chunks_of_reply(reply, "One and one is two.") is None


@given(st.lists(st.text(alphabet="ab\n $", min_size=1, max_size=6).filter(lambda each: each.strip()), min_size=1))
def test_exact_marks_are_always_accepted_and_keep_the_text(parts: list[str]) -> None:
    text = "".join(parts)
    found = chunks_of_reply("".join(f"<chunk>{part}</chunk>" for part in parts), text)
    assert found is not None
    assert "".join(found) == text
    assert len(found) == len(parts)


def test_the_prompt_has_the_rules_and_the_solution() -> None:
    prompt = segmentation_prompt("One and one is two.\n")
    assert "one purpose" in prompt
    assert prompt.endswith("Solution:\nOne and one is two.")
