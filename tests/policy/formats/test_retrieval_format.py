"""The retrieval format: a line is a step and a query; the paragraphs come before the question; the answer ends it."""

from __future__ import annotations

from treestar.policy.formats import INSTRUCT, RetrievalFormat, plain_template
from treestar.types import Execution, Problem, State, Step

FORMAT = RetrievalFormat(plain_template, INSTRUCT)
BEGUN = State(Problem("Who?", kind="qa"), preamble_output="Title: A\nfirst")


def test_the_policy_reads_all_paragraphs_then_the_question_then_its_sentences() -> None:
    state = State(
        BEGUN.problem, (Step("One.\n", "One."), Step("Two.\n", "Two.")), (Execution("Title: B\nb"), Execution()), "P"
    )
    read = "P\n\nTitle: B\nb\n\nQuestion: Who?\nAnswer:\nOne.\nTwo.\n"
    assert FORMAT.prompt(state) == read == "".join(piece.text for piece in FORMAT.pieces(state))
    assert FORMAT.prompt(State(BEGUN.problem)) == "Question: Who?\nAnswer:\n"


def test_the_question_is_the_first_query_and_each_sentence_the_next() -> None:
    assert FORMAT.preamble(BEGUN.problem) == "Who?"
    step = FORMAT.parse(BEGUN, "Ada was born in Telmar.\nFurther text", ended=False)
    assert (step.text, step.code, step.ending) == ("Ada was born in Telmar.\n", "Ada was born in Telmar.", "step")
    assert FORMAT.goes_on("Ada was")
    assert not FORMAT.goes_on("Ada was born.\n")


def test_the_answer_ends_the_reasoning_and_nothing_is_looked_up() -> None:
    step = FORMAT.parse(BEGUN, "It is Ivo. So the answer is: Ivo Brandt.\nQuestion: more", ended=False)
    assert (step.ending, step.answer, step.code) == ("answer", "Ivo Brandt", "")
    assert FORMAT.final_answer(step, Execution()) == "Ivo Brandt"


def test_an_answer_on_the_next_line_belongs_to_its_announcement() -> None:
    announced = "**So the answer is:**\n"
    assert FORMAT.goes_on(announced)
    assert FORMAT.goes_on(f"{announced}\nIvo")
    for end in ("Ivo Brandt.\nMore", "\n**Ivo Brandt**.\n"):
        assert not FORMAT.goes_on(announced + end)
        step = FORMAT.parse(BEGUN, announced + end, ended=False)
        assert (step.ending, step.answer, step.code) == ("answer", "Ivo Brandt", "")
        assert step.text == (announced + end).removesuffix("More")
    assert FORMAT.parse(BEGUN, announced, ended=True).answer is None


def test_an_end_without_an_answer_has_none_and_a_line_without_end_is_cut() -> None:
    step = FORMAT.parse(BEGUN, "I give up", ended=True)
    assert (step.ending, step.answer) == ("answer", None)
    assert FORMAT.parse(BEGUN, "I go on and", ended=False).ending == "truncated"


def test_a_chat_model_gets_the_paragraphs_in_its_message() -> None:
    [message] = RetrievalFormat(lambda messages: messages[0]["content"] + "\n>", INSTRUCT).messages(BEGUN)
    assert message["content"].startswith("Title: A\nfirst\n\nQuestion: Who?\n\nAnswer the question")
