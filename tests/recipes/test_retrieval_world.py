"""The toy world: what is asked is true, and what is held out stays out."""

from __future__ import annotations

from recipes.retrieval.world import RELATIONS, make_world, questions
from treestar.retrieval import supporting_paragraphs
from treestar.training.distill.teacher import gold_sentences

WORLD = make_world(400, seed=3)


def test_a_question_asks_for_the_end_of_its_chain() -> None:
    assert make_world(400, seed=3) == WORLD
    for problem in questions(WORLD, 30, 0, held_out=False):
        hops = problem.metadata["decomposition"]
        entity = hops[0]["question"].partition(" >> ")[0]
        for hop, sentence in zip(hops, gold_sentences(problem), strict=True):
            subject, _, relation = hop["question"].partition(" >> ")
            assert subject == entity
            entity = WORLD.facts[subject][relation]
            assert sentence == f"The {relation} of {subject} is {entity}."
            assert sentence in WORLD.paragraphs[subject].text
        assert entity == problem.answer
        assert len(supporting_paragraphs(problem)) == len(hops) in (2, 3, 4)


def test_training_questions_avoid_what_is_held_out_and_test_questions_need_it() -> None:
    def parts(problem):
        hops = [hop["question"].partition(" >> ") for hop in problem.metadata["decomposition"]]
        way = [subject for subject, _, _ in hops] + [problem.answer]
        return way, tuple(relation for _, _, relation in hops)

    taught, asked = (questions(WORLD, 30, 1, held_out) for held_out in (False, True))
    for problem in taught:
        way, chain = parts(problem)
        assert WORLD.held_out.isdisjoint(way)
        assert chain not in WORLD.held_out_chains
    for problem in asked:
        way, chain = parts(problem)
        assert way[0] in WORLD.held_out or chain in WORLD.held_out_chains
    assert {problem.question for problem in taught}.isdisjoint(problem.question for problem in asked)
    assert set(RELATIONS) == {relation for problem in taught for relation in parts(problem)[1]}
