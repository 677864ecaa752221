"""A scripted teacher: it reads a question's gold reasoning and says it sentence by sentence.

With it the whole pipeline runs without a large model. What it says comes from, in this order:

    decomposition      MuSiQue: sub-questions with answers; `#1` stands for the first answer
    qa_pairs           2WikiMultiHopQA as prepared for training: sub-questions with answers in sentences
    evidences          2WikiMultiHopQA: subject, relation, object
    supporting_facts   HotpotQA: the supporting sentences, by title and place
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from treestar.types import Policy, Problem, Proposal, Recommended, Sampling, State, Step

__all__ = ["SCRIPTED", "ScriptedTeacher", "gold_sentences"]

SCRIPTED = "scripted"
"""The name of this teacher."""
MAX_STEPS = 5


class ScriptedTeacher(Policy):
    """Says the gold reasoning of a question, one sentence per step; the last one also states the answer. A question
    whose reasoning is unknown gets no answer."""

    step_format = "retrieval"
    recommended = Recommended(max_depth=MAX_STEPS)
    name = SCRIPTED

    def preamble(self, problem: Problem) -> str:
        """The first query: the question."""
        return problem.question

    def final_answer(self, step: Step, execution: object) -> str | None:
        return (step.answer or "") if step.ending == "answer" else None

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        """See `Policy.propose`; all candidates are the same."""
        return Proposal((next_step(state),) * n)


def next_step(state: State) -> Step:
    sentences, answer = gold_sentences(state.problem), state.problem.answer
    place = len(state.steps)
    if not answer or place >= len(sentences):
        return Step("", ending="answer")
    if place < len(sentences) - 1:
        return Step(f"{sentences[place]}\n", code=sentences[place])
    return Step(f"{sentences[place]} So the answer is: {answer}.\n", ending="answer", answer=answer)


def gold_sentences(problem: Problem) -> list[str]:
    """The gold reasoning, at most `MAX_STEPS` sentences; [] if the question has none."""
    for name, read in SOURCES.items():
        if problem.metadata.get(name):
            said = list(dict.fromkeys(" ".join(each.split()) for each in read(problem)))
            # What does not fit into the last step's number is said in the last step.
            return [*said[: MAX_STEPS - 1], " ".join(said[MAX_STEPS - 1 :])] if len(said) > MAX_STEPS else said
    return []


def from_decomposition(problem: Problem) -> list[str]:
    hops: Sequence[Mapping[str, Any]] = problem.metadata["decomposition"]
    answers = [str(hop["answer"]) for hop in hops]

    def resolved(text: str) -> str:
        return re.sub(r"#(\d+)", lambda match: answers[int(match[1]) - 1] if int(match[1]) <= len(hops) else "", text)

    return [hop_sentence(resolved(hop["question"]), answer) for hop, answer in zip(hops, answers, strict=True)]


def hop_sentence(question: str, answer: str) -> str:
    subject, is_relation, relation = question.partition(" >> ")
    return f"The {relation} of {subject} is {answer}." if is_relation else f"{question.strip()} {answer}."


def from_qa_pairs(problem: Problem) -> list[str]:
    return [str(pair["answer"]) for pair in problem.metadata["qa_pairs"]]


def from_evidences(problem: Problem) -> list[str]:
    return [f"The {relation} of {subject} is {thing}." for subject, relation, thing in problem.metadata["evidences"]]


def from_supporting_facts(problem: Problem) -> list[str]:
    sentences = {row["title"]: row.get("sentences") or [] for row in problem.metadata.get("paragraphs") or ()}
    facts = problem.metadata["supporting_facts"]
    if isinstance(facts, Mapping):  # as on the Hugging Face hub
        facts = zip(facts["title"], facts["sent_id"], strict=True)
    return [sentences[title][place].strip() for title, place in facts if place < len(sentences.get(title, []))]


SOURCES: Mapping[str, Callable[[Problem], list[str]]] = {
    "decomposition": from_decomposition,
    "qa_pairs": from_qa_pairs,
    "evidences": from_evidences,
    "supporting_facts": from_supporting_facts,
}
"""The field of a problem's metadata, and how it is said."""
