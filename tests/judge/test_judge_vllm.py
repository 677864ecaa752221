"""A judge that vLLM computes. Runs under `make test-vllm`."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from pathlib import Path

import pytest
from support.tiny_model import byte_tokenizer, tiny_model

from treestar.judge import JudgeScorer, load_judge
from treestar.types import Execution, Problem, Sampling, Scores, State, Step

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

STATE = State(Problem("How much is 1 + 1?"), (Step("1 + 1 = 3"),), (Execution(),))


def judged(name: str) -> tuple[Scores, Step]:
    """The scores, and a reply with the log-probabilities of its tokens."""
    scorer = load_judge(name, dtype="float32")

    async def work(scorer: JudgeScorer) -> tuple[Scores, Step]:
        scores = await scorer.score([STATE])
        sampling = Sampling(0.0, 1.0, 24, token_log_probabilities=True)
        proposal = await scorer.writer.propose(State(Problem("Is it right?")), 1, sampling, 0)
        await scorer.close()
        return scores, proposal.steps[0]

    return asyncio.run(work(scorer))


def test_it_replies_as_with_transformers(tmp_path: Path) -> None:
    import torch
    from transformers import LlamaForCausalLM

    config = deepcopy(tiny_model(4096)[0].config)
    config.num_attention_heads = config.num_key_value_heads = 2  # vLLM's kernels for CPUs need wide heads
    config.head_dim = 32
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    here, reply = judged(f"{tmp_path}?judge_tokens=24")
    there, same = judged(f"vllm:{tmp_path}?enforce_eager=true&max_model_len=4096&judge_tokens=24")
    assert there.values == here.values
    assert there.analyses == here.analyses
    assert (there.tokens, there.generated_tokens) == (here.tokens, here.generated_tokens)
    assert same.text == reply.text
    assert [token.text for token in same.token_log_probabilities] == [
        token.text for token in reply.token_log_probabilities
    ]
    assert [token.log_probability for token in same.token_log_probabilities] == pytest.approx(
        [token.log_probability for token in reply.token_log_probabilities], abs=1e-3
    )
    assert sum(token.log_probability for token in same.token_log_probabilities) == pytest.approx(same.log_probability)
    assert len(reply.token_log_probabilities) == reply.tokens
