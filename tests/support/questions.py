"""Two small multi-hop questions with their paragraphs, and the parts that search for their answers."""

from __future__ import annotations

from treestar.retrieval import BM25Retriever, RetrievalExecutor, paragraphs_of, pooled_paragraphs
from treestar.search import Components
from treestar.training.distill.teacher import ScriptedTeacher
from treestar.types import Policy, Problem, Scorer
from treestar.verifier.grading.questions import QuestionVerifier

__all__ = ["QUESTIONS", "question_parts"]


def paragraph(title: str, text: str, supporting: bool = False) -> dict[str, object]:
    return {"title": title, "text": text, "supporting": supporting}


QUESTIONS = (
    Problem(
        "Who is the mayor of the town where Ada Kolb was born?",
        "Ivo Brandt",
        "two",
        "qa",
        {
            "answer_aliases": ["Mayor Brandt"],
            "decomposition": [
                {"question": "Ada Kolb >> birthplace", "answer": "Telmar"},
                {"question": "#1 >> mayor", "answer": "Ivo Brandt"},
            ],
            "paragraphs": [
                paragraph("Ada Kolb", "Ada Kolb is a painter who was born in Telmar.", True),
                paragraph("Telmar", "Telmar is a harbor. It is governed by Ivo Brandt.", True),
                paragraph("Ada Ruiz", "Ada Ruiz was born in Osby."),
                paragraph("Osby", "Osby is a village that is governed by Nora Lind."),
            ],
        },
    ),
    Problem(
        "In which year was the founder of the company that built Bridge Nine born?",
        "1871",
        "three",
        "qa",
        {
            "decomposition": [
                {"question": "Which company built Bridge Nine?", "answer": "Harrow Steel"},
                {"question": "Who founded #1?", "answer": "Pia Venn"},
                {"question": "When was #2 born?", "answer": "1871"},
            ],
            "paragraphs": [
                paragraph("Bridge Nine", "Bridge Nine was built by Harrow Steel.", True),
                paragraph("Harrow Steel", "Harrow Steel was founded by Pia Venn.", True),
                paragraph("Pia Venn", "Pia Venn was born in 1871 in Osby.", True),
                paragraph("Bridge Ten", "Bridge Ten was built by Mortons."),
            ],
        },
    ),
)


def question_parts(
    policy: Policy | None = None, scorer: Scorer | None = None, problem: Problem | None = None, top_k: int = 2
) -> Components:
    """The scripted teacher, or another policy, with BM25 over the paragraphs of `problem`, or of both questions."""
    paragraphs = pooled_paragraphs(QUESTIONS) if problem is None else paragraphs_of(problem)
    executor = RetrievalExecutor(BM25Retriever(paragraphs), top_k)
    return Components(policy or ScriptedTeacher(), executor, QuestionVerifier(), scorer)
