"""A procedural world for multi-hop questions: people, places, companies, and what is true.

Every entity is a node, every fact an edge to another entity, and a question asks for the end of a chain of 2 to 4
edges: "What is the mayor of the birthplace of the spouse of Kalomi?". Some entities and some chains of relations
are held out: no question for training passes through them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, product
from random import Random
from typing import Any

from treestar.retrieval import Paragraph
from treestar.types import Problem

__all__ = ["RELATIONS", "World", "make_world", "questions"]

RELATIONS: Mapping[str, tuple[str, str]] = {
    "spouse": ("person", "person"),
    "mother": ("person", "person"),
    "birthplace": ("person", "place"),
    "employer": ("person", "company"),
    "mayor": ("place", "person"),
    "founder": ("company", "person"),
    "seat": ("company", "place"),
}
"""Each relation: the kind it starts from, and the kind it leads to."""

SHARES = {"person": 0.6, "place": 0.24, "company": 0.16}
HELD_OUT = 0.1
"""Share of the entities that training questions avoid."""
HELD_OUT_CHAINS = 0.2
"""Share of the chains of each length that training questions avoid."""
HOPS = (2, 3, 4)
SYLLABLES = tuple("".join(letters) for letters in product("bdfgklmnprst", "aeiou"))


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is true."""

    kinds: Mapping[str, str]
    """The kind of each entity, by its name."""
    facts: Mapping[str, Mapping[str, str]]
    """Entity -> relation -> entity."""
    paragraphs: Mapping[str, Paragraph]
    """The paragraph about each entity."""
    held_out: frozenset[str]
    """Entities that training questions avoid."""
    held_out_chains: frozenset[tuple[str, ...]]
    """Chains of relations, the first one first, that training questions avoid."""


def make_world(entities: int = 10_000, seed: int = 0) -> World:
    """A world with a paragraph for each of `entities` entities, at most 216,000. Names are single words, so that BM25
    finds the paragraph about an entity by its name."""
    random = Random(seed)
    names = iter(random.sample(["".join(parts).capitalize() for parts in product(SYLLABLES, repeat=3)], entities))
    kinds = {name: kind for kind, share in SHARES.items() for name in islice(names, round(entities * share))}
    of_kind = {kind: [name for name, each in kinds.items() if each == kind] for kind in SHARES}
    facts = {
        name: {
            relation: random.choice(of_kind[target])
            for relation, (source, target) in RELATIONS.items()
            if source == kind
        }
        for name, kind in kinds.items()
    }
    paragraphs = {name: describe(name, facts[name], random) for name in kinds}
    held_out_chains = [
        chain
        for chains in (all_chains(hops) for hops in HOPS)
        for chain in random.sample(chains, round(len(chains) * HELD_OUT_CHAINS))
    ]
    return World(
        kinds,
        facts,
        paragraphs,
        frozenset(random.sample(list(kinds), round(len(kinds) * HELD_OUT))),
        frozenset(held_out_chains),
    )


def describe(name: str, facts: Mapping[str, str], random: Random) -> Paragraph:
    sentences = [fact_sentence(name, relation, target) for relation, target in facts.items()]
    random.shuffle(sentences)
    return Paragraph(name, " ".join(sentences))


def all_chains(hops: int) -> list[tuple[str, ...]]:
    """Every chain of relations of that length in which each begins where the one before ends."""
    return [
        chain
        for chain in product(RELATIONS, repeat=hops)
        if all(RELATIONS[one][1] == RELATIONS[other][0] for one, other in pairwise(chain))
    ]


def fact_sentence(subject: str, relation: str, target: str) -> str:
    """A fact, as paragraphs and the teacher say it."""
    return f"The {relation} of {subject} is {target}."


def questions(world: World, count: int, seed: int, held_out: bool) -> list[Problem]:
    """Distinct questions of 2, 3 and 4 hops in turn.

    Args:
        held_out: questions that begin at a held-out entity (even places) or follow a held-out chain (odd places);
            otherwise neither the chain nor an entity on its way is held out.
    """
    random = Random(f"{seed} {held_out}")
    chains = {hops: all_chains(hops) for hops in HOPS}
    names = list(world.kinds)
    found: dict[str, Problem] = {}
    while len(found) < count:
        hops = HOPS[len(found) % len(HOPS)]
        new_chain = held_out and len(found) % 2 == 1
        chain = random.choice([each for each in chains[hops] if (each in world.held_out_chains) == new_chain])
        start = random.choice(names)
        if world.kinds[start] != RELATIONS[chain[0]][0]:
            continue
        way = walk(world, start, chain)
        begins_new = start in world.held_out
        allowed = begins_new or new_chain if held_out else world.held_out.isdisjoint(way)
        if allowed and len(set(way)) == len(way):
            problem = chain_problem(world, way, chain, f"world-{seed}-{len(found)}")
            found.setdefault(problem.question, problem)
    return list(found.values())


def walk(world: World, start: str, chain: Sequence[str]) -> list[str]:
    """The entities on the way from `start` along `chain`."""
    way = [start]
    for relation in chain:
        way.append(world.facts[way[-1]][relation])
    return way


def chain_problem(world: World, way: Sequence[str], chain: Sequence[str], name: str) -> Problem:
    asked = " of ".join(f"the {relation}" for relation in reversed(chain))
    supporting = [{**world.paragraphs[each]._asdict(), "supporting": True} for each in way[:-1]]
    hops = [
        {"question": f"{subject} >> {relation}", "answer": target}
        for subject, relation, target in zip(way, chain, way[1:], strict=False)
    ]
    metadata: dict[str, Any] = {"hops": len(chain), "decomposition": hops, "paragraphs": supporting}
    return Problem(f"What is {asked} of {way[0]}?", way[-1], name, "qa", metadata)
