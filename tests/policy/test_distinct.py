"""Distinct candidates: the sample without replacement, the branching batch, and trees grown from them."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import ExactVerifier, ScriptedExecutor, ScriptedScorer
from support.tiny_model import tiny_model

from treestar.policy import RStarFormat, TransformersPolicy, load_policy
from treestar.policy.backends.decoding import DecodingBatch
from treestar.policy.backends.distinct import Beam, extend, next_tokens
from treestar.policy.backends.generator import Generator, by_request
from treestar.policy.backends.request import CandidateRow, Request
from treestar.search import Components, MCTSConfig, Tree, search_one
from treestar.search.answer import sampled_mass
from treestar.types import Problem, Proposal, Sampling, State, TreestarError

QUESTIONS = [
    "What is 12 + 2?",
    "Calculate -488 / 2 + -12 * -747.",
    "Calculate 3 - 4 + 5 - 6 + 7",
    "How many legs are there in total if you have 3 dogs, 2 hens?",
]


def propose(policy: TransformersPolicy, *requests: tuple[State, int, Sampling, int]) -> list[Proposal]:
    async def together() -> list[Proposal]:
        return await asyncio.gather(*(policy.propose(*request) for request in requests))

    return asyncio.run(asyncio.wait_for(together(), 60))


def draw(logits: torch.Tensor, n: int, rng: np.random.Generator, sampling: Sampling) -> list[int]:
    """`n` distinct first tokens."""
    following = next_tokens(logits[None], [sampling])
    branches, _ = extend([Beam()], following, [], n, sampling.min_share, rng.random(following.tokens.shape))
    return [branch.token for branch in branches]


def test_what_is_drawn_first_and_second_follows_the_distribution() -> None:
    """P(i, then j) = p_i p_j / (1 - p_i), by chi-square at 1e-6; every order of two occurs."""
    shares = torch.tensor([0.5, 0.25, 0.15, 0.1])
    rng = np.random.default_rng(3)
    draws = 6000
    counts = Counter(tuple(draw(shares.log(), 2, rng, Sampling())) for _ in range(draws))
    p = shares.tolist()
    expected = {(i, j): draws * p[i] * p[j] / (1 - p[i]) for i in range(4) for j in range(4) if i != j}
    assert counts.keys() == expected.keys()
    assert sum((counts[pair] - want) ** 2 / want for pair, want in expected.items()) < 52


def test_two_tokens_are_drawn_like_one() -> None:
    """Sequences of two tokens, drawn through their prefixes, are distributed as if each were one token."""
    first, second = np.array([0.7, 0.3]), np.array([[0.6, 0.4], [0.1, 0.9]])
    shares = (first[:, None] * second).ravel()
    rng = np.random.default_rng(5)
    draws = 3000
    counts: Counter[tuple[int, int]] = Counter()
    for _ in range(draws):
        start = next_tokens(torch.tensor(first[None]).log(), [Sampling()])
        begun, _ = extend([Beam()], start, [], 2, 0.0, rng.random((1, 2)))
        logits = torch.tensor(np.log(second[[branch.token for branch in begun]]))
        whole, _ = extend(
            [each.beam for each in begun], next_tokens(logits, [Sampling()] * 2), [], 2, 0.0, rng.random((2, 2))
        )
        names = [2 * begun[each.parent].token + each.token for each in whole]
        counts[names[0], names[1]] += 1
    expected = {(i, j): draws * shares[i] * shares[j] / (1 - shares[i]) for i in range(4) for j in range(4) if i != j}
    assert sum((counts[pair] - want) ** 2 / want for pair, want in expected.items()) < 52


@settings(max_examples=200)
@given(
    st.lists(st.lists(st.floats(-20, 5), min_size=2, max_size=6), min_size=1, max_size=4),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.01, 0.5]),
    st.integers(0, 2**32),
)
def test_extending_keeps_the_best_keys_and_no_beginning_exceeds_its_own(
    rows: list[list[float]], n: int, min_share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    width = min(map(len, rows))
    following = next_tokens(torch.tensor([row[:width] for row in rows]), [Sampling()] * len(rows))
    beams = [Beam(-rng.exponential(), rng.gumbel()) for _ in rows]
    ended = [Beam(-rng.exponential(), rng.gumbel()) for _ in range(2)]
    branches, kept = extend(beams, following, ended, n, min_share, rng.random(following.tokens.shape))
    assert 1 <= len(branches) + len(kept) <= n
    assert len({(each.parent, each.token) for each in branches}) == len(branches)
    for each in branches:
        assert each.beam.key <= beams[each.parent].key + 1e-9
    shares = [each.beam.log_share for each in branches] + [ended[place].log_share for place in kept]
    best = max(
        [beam.log_share + following.log_shares[place].max() for place, beam in enumerate(beams)]
        + [each.log_share for each in ended]
    )
    if min_share:
        assert min(shares) >= best + math.log(min_share) - 1e-9
    elif n >= width * len(beams) + 2:
        for place, beam in enumerate(beams):  # with room for all, a prefix's key is that of its best continuation
            own = [each.beam.key for each in branches if each.parent == place]
            assert max(own) == pytest.approx(beam.key)


def test_no_text_comes_twice_and_probabilities_are_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared with a plain forward pass over each continuation's own tokens, which went through many branchings."""
    policy = load_policy("toy", dtype="float32")
    kept: list[CandidateRow] = []
    monkeypatch.setattr(
        policy.generator, "generated", lambda each: kept.append(each) or Generator.generated(policy.generator, each)
    )
    sampling = Sampling(0.8, 1.0, 48, distinct=True)
    proposals = propose(policy, *[(State(Problem(each)), 5, sampling, 1) for each in QUESTIONS])
    for proposal in proposals:
        assert len({step.text for step in proposal.steps}) == 5
    assert len(kept) == 5 * len(QUESTIONS)
    for each in kept:
        with torch.inference_mode():
            logits = policy.model(torch.tensor([each.tokens])).logits[0, each.prompt - 1 : -1]
        own = logits.log_softmax(-1).gather(1, torch.tensor(each.tokens[each.prompt :])[:, None])
        assert each.log_probabilities == pytest.approx(own[:, 0].tolist(), abs=1e-3)


@pytest.mark.slow
def test_distinct_candidates_do_not_depend_on_what_shares_their_batch() -> None:
    policy = load_policy("toy", dtype="float32", max_batch=12)
    requests = [
        (State(Problem(question)), n, Sampling(1.0, 1.0, 24, distinct=distinct, min_share=share), seed)
        for seed, question in enumerate(QUESTIONS)
        for n, distinct, share in ((4, True, 0.0), (3, False, 0.0), (6, True, 0.01))
    ]
    together = propose(policy, *requests)
    for request, proposal in zip(requests, together, strict=True):
        [alone] = propose(policy, request)
        assert [step.text for step in alone.steps] == [step.text for step in proposal.steps]
        assert alone.generated_tokens == proposal.generated_tokens
    assert not policy.generator.batch.rows
    assert not policy.generator.batch.prompts


def test_requests_are_taken_in_their_order_in_the_batch_whatever_their_addresses() -> None:
    requests = sorted((Request([0], 1, Sampling(), number, ()) for number in range(4)), key=id)
    for order in (requests, requests[::-1]):
        rows = [
            CandidateRow([0], 1, Sampling(), [], request=request, index=index)
            for index in range(2)
            for request in order
        ]
        assert by_request(rows) == [[row for row in rows if row.request is request] for request in order]


@pytest.mark.parametrize("min_share", [0.5, 0.1, 0.01])
def test_improbable_candidates_are_left_out_and_cost_nothing(min_share: float) -> None:
    """When a policy is certain, little more than its one step is generated, and every request finishes."""
    policy = load_policy("toy", dtype="float32")
    states = [State(Problem(question)) for question in QUESTIONS]
    sampling = Sampling(1.0, 1.0, 48, distinct=True, min_share=min_share)
    for proposal in propose(policy, *[(state, 8, sampling, seed) for state in states for seed in range(3)]):
        shares = [step.log_probability for step in proposal.steps]
        assert 1 <= len(shares) <= 8
        assert min(shares) >= max(shares) + math.log(min_share) - 1e-6
        longest = max(step.tokens for step in proposal.steps)
        assert longest <= proposal.generated_tokens <= 8 * longest
    [certain] = propose(policy, (states[3], 8, sampling, 0))
    assert certain.generated_tokens < 2 * certain.steps[0].tokens


def test_memory_that_runs_out_on_distinct_continuations_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny_model()
    policy = TransformersPolicy(model, tokenizer, RStarFormat(), "tiny")
    request = (State(Problem("How much?")), 4, Sampling(1.0, 1.0, 8, distinct=True), 0)
    [expected] = propose(policy, request)
    whole, most = DecodingBatch.step, 3

    def at_most(batch: DecodingBatch) -> torch.Tensor:
        if len(batch.rows) > most:
            raise torch.OutOfMemoryError("scripted")
        return whole(batch)

    monkeypatch.setattr(DecodingBatch, "step", at_most)
    with pytest.raises(TreestarError, match="4 distinct sequences"):
        propose(policy, request)
    most = 4
    for proposal in propose(policy, request, request):  # two that do not fit together run one by one
        assert [step.text for step in proposal.steps] == [step.text for step in expected.steps]


def test_a_model_with_attention_of_its_own_is_refused() -> None:
    model, tokenizer = tiny_model()
    kind = type("OwnAttention", (type(model),), {"_supports_attention_backend": False})
    with pytest.raises(TreestarError, match="OwnAttention has its own attention implementation"):
        TransformersPolicy(kind(model.config), tokenizer, RStarFormat(), "own")


def distinct_tree(config: MCTSConfig, question: str = QUESTIONS[1]) -> Tree:
    """Grown by the toy policy, with a scorer that rates everything slightly above 0."""
    policy = load_policy("toy", dtype="float32")
    parts = Components(policy, ScriptedExecutor(), ExactVerifier(), ScriptedScorer(lambda state: 0.1))
    result = asyncio.run(asyncio.wait_for(search_one(Problem(question), config, parts), 120))
    assert result.tree is not None
    return result.tree


def test_a_tree_of_distinct_candidates_weighs_them_by_their_probability() -> None:
    config = MCTSConfig(max_rollouts=4, children=4, distinct=True, temperature=0.8, max_depth=3)
    tree = distinct_tree(config)
    for node in tree.nodes:
        if not node.children:
            continue
        total = sum(child.probability or 0.0 for child in node.children)
        assert total <= node.seen + 1e-6 <= 1 + 1e-3
        for child in node.children:
            assert child.probability is not None
            assert child.prior == pytest.approx(child.probability / total)
        assert sum(sampled_mass(child) for child in node.children) == pytest.approx(sampled_mass(node))
    assert Tree.from_json(tree.to_json()).to_json() == tree.to_json()


@pytest.mark.slow
def test_an_exhausted_tree_takes_in_less_probable_candidates() -> None:
    """With such a high threshold the tree is a path; widened, it has that path's steps and others, none twice."""
    unsure = "Tom has 3 apples and buys 4 more. How many has he?"
    narrow = MCTSConfig(max_rollouts=10, children=3, distinct=True, min_share=0.9, max_depth=3, widen_above=None)
    path = distinct_tree(narrow, unsure)
    assert len(path.nodes) == len(path.nodes[-1].path()) + 1
    wide = distinct_tree(MCTSConfig(**{**narrow.to_json(), "unvisited_value": math.inf, "widen_above": 1e-4}), unsure)
    assert [node.step for node in wide.nodes[: len(path.nodes)]] == [node.step for node in path.nodes]
    assert len(wide.nodes) > len(path.nodes)
    for node in wide.nodes:
        texts = [child.step.text for child in node.children if child.step is not None]
        assert len(set(texts)) == len(texts)


def test_distinct_needs_a_temperature() -> None:
    with pytest.raises(ValueError, match="temperature must be above 0 if candidates are distinct"):
        MCTSConfig(distinct=True, temperature=0.0)
    with pytest.raises(ValueError, match="min_share must be"):
        MCTSConfig(min_share=1.0)
