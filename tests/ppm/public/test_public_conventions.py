"""Every public convention: scores equal a direct computation with transformers' own classes, one text at a time.

The direct computations follow the models' official code as `conventions` describe it: whole texts, no cache, positions
found by comparing tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import prod, tanh
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.paths import needs_shared
from support.reward_model_makers import MAKERS
from support.reward_models import byte_tokenizer, qwen3_tokenizer
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedTokenizerFast,
)

from treestar.ppm import load_scorer
from treestar.ppm.public.scorer import PublicScorer
from treestar.types import Execution, Problem, Scores, State, Step

QUESTION = "How much is 3 * (4 + 5)?\n\nGive a number."
UNREAD = "Which number is three times the sum of four and five?"
OTHER = "x + 1 = 4. What is x?"
STEPS = (
    "First, 4 + 5 is 9.",
    "Then multiply:\n\n3 * 9 = 27.\nThat is not 28",
    "Check: 27 / 3 = 9",
    "So the answer is \\boxed{27}.",
)
SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."


def state(question: str, *steps: str) -> State:
    return State(Problem(question), tuple(Step(each) for each in steps), (Execution(),) * len(steps))


STATES = [
    *[state(QUESTION, *STEPS[:depth]) for depth in range(1, 5)],
    *[state(QUESTION, *STEPS[:2], f"A sibling, number {number}") for number in range(5)],
    *[state(OTHER, f"x = {number}") for number in range(4)],
    state(OTHER, "x = 3", "Step 2: it is 3", "+ - + -"),
]
"""One step, many steps, siblings that share a prefix, another problem."""


@dataclass(frozen=True)
class Model:
    """A saved model as the direct computations use it."""

    folder: Path
    tokenizer: Any

    def ids(self, text: str, special: bool = False) -> torch.Tensor:
        return torch.tensor([self.tokenizer(text, add_special_tokens=special)["input_ids"]])

    def chat(self, *turns: tuple[str, str], reply: bool = False) -> str:
        """The conversation as the template writes it, written by hand."""
        text = "".join([f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns])
        return text + ("<|im_start|>assistant\n" if reply else "")

    @cache  # noqa: B019  # a handful of tiny models
    def weights(self) -> dict[str, torch.Tensor]:
        files = sorted(self.folder.glob("*.safetensors"))
        if not files:
            return torch.load(self.folder / "pytorch_model.bin", weights_only=True)
        return {name: tensor for file in files for name, tensor in load_file(file).items()}

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return load(AutoModel, self.folder)(ids).last_hidden_state[0]

    def logits(self, ids: torch.Tensor, loader: Any = AutoModelForCausalLM, folder: Path | None = None) -> torch.Tensor:
        with torch.no_grad():
            return load(loader, folder or self.folder)(ids).logits[0]


@lru_cache(2)
def load(loader: Any, folder: Path) -> Any:
    # "eager" also caps the logits of Gemma 2.
    how = {"dtype": torch.float32, "trust_remote_code": False, "attn_implementation": "eager"}
    return loader.from_pretrained(folder, **how).eval()


def two_layers(model: Model, hidden: torch.Tensor) -> torch.Tensor:
    found = model.weights()
    inner = hidden @ found["score.0.weight"].T + found["score.0.bias"]
    return inner.clamp(min=0) @ found["score.2.weight"].T + found["score.2.bias"]


def qwen(model: Model, question: str, steps: Sequence[str], system: str | None = SYSTEM) -> list[float]:
    reply = "<extra_0>".join(steps) + "<extra_0>"
    turns = [("system", system)] * (system is not None) + [("user", question), ("assistant", reply)]
    ids = model.ids(model.chat(*turns))
    mask = ids[0] == model.tokenizer.encode("<extra_0>")[0]
    return two_layers(model, model.hidden(ids))[mask].softmax(-1)[:, 1].tolist()


def numbered(steps: Sequence[str]) -> list[str]:
    return [each if each.startswith("Step") else f"Step {k}: {each}" for k, each in enumerate(steps, 1)]


def shepherd(model: Model, question: str, steps: Sequence[str]) -> list[float]:
    ids = model.ids(f"{question} " + "\n".join([f"{step} ки" for step in numbered(steps)]), special=True)
    candidates = model.tokenizer.encode("+ -")[1:]
    assert len(candidates) == 2
    assert ids[0, 0] == model.tokenizer.bos_token_id
    mask = ids[0] == model.tokenizer.encode("ки")[-1]
    return model.logits(ids)[mask][:, candidates].softmax(-1)[:, 0].tolist()


def rlhflow(model: Model, question: str, steps: Sequence[str]) -> list[float]:
    candidates = [model.tokenizer.encode(sign)[-1] for sign in "+-"]
    turns: list[str] = []
    found = []
    for index, step in enumerate(steps):
        turns += [header("user"), f"{question} {step}" if index == 0 else step, "<|eot_id|>"]
        turns += [header("assistant"), "+", "<|eot_id|>"]
        logits = model.logits(model.ids("".join(turns)))[-3, candidates]
        found.append(logits.softmax(-1)[0].item())
    return found


def header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def skywork(model: Model, question: str, steps: Sequence[str]) -> list[float]:
    tokenizer = model.tokenizer
    ids = tokenizer.encode(tokenizer.bos_token + question + "\n")
    flags = [0] * len(ids)
    line_break = tokenizer.encode("\n")[-1]
    lines = "\n".join(steps).split("\n")
    for line in lines:
        line_ids = [*(tokenizer.encode(line) if line else []), line_break]
        ids += line_ids
        flags += [*[0] * (len(line_ids) - 1), 1]
    found = model.weights()
    values = model.hidden(torch.tensor([ids])) @ found["v_head.summary.weight"].T + found["v_head.summary.bias"]
    of_lines = values[torch.tensor(flags) == 1][:, 0].sigmoid().tolist()
    assert len(of_lines) == len(lines)
    ends = [sum(each.count("\n") + 1 for each in steps[: count + 1]) - 1 for count in range(len(steps))]
    return [of_lines[end] for end in ends]


def trl(model: Model, question: str, steps: Sequence[str]) -> list[float]:
    tokenizer = model.tokenizer
    separator = tokenizer("\n", add_special_tokens=False)["input_ids"]
    ids = [*filter(None, [tokenizer.bos_token_id]), *tokenizer(question, add_special_tokens=False)["input_ids"]]
    ends = []
    for step in steps:
        ids += tokenizer(step, add_special_tokens=False)["input_ids"] + separator
        ends.append(len(ids) - 1)
    return model.logits(torch.tensor([ids]), AutoModelForTokenClassification)[ends].softmax(-1)[:, 1].tolist()


def pure(model: Model, question: str, steps: Sequence[str]) -> list[float]:
    tokenizer = model.tokenizer
    ids = model.ids(model.chat(("system", SYSTEM), ("user", question), reply=True))[0].tolist()
    ends = []
    for step in steps:
        of_step = tokenizer(f"{step}\n\n")["input_ids"]
        blank = 2 if tokenizer.decode(of_step[-1]) == "\n" else 1
        ids += [*of_step[:-blank], tokenizer.encode("\n")[-1]]
        ends.append(len(ids) - 1)
    probabilities = model.logits(torch.tensor([ids]), AutoModelForTokenClassification)[ends].softmax(-1)
    return ((1 + probabilities[:, 1] - probabilities[:, 0]) / 2).tolist()


def versa(model: Model, question: str, steps: Sequence[str]) -> list[float]:
    ids = model.ids(f"{question} \n\n" + "".join([f"{step} \n\n\n\n" for step in steps]))
    candidates = [model.tokenizer.encode(sign)[-1] for sign in "-+"]
    mask = ids[0] == model.tokenizer.encode(" \n\n\n\n")[-1]
    return model.logits(ids)[mask][:, candidates].softmax(-1)[:, 1].tolist()


def psa(model: Model, question: str, steps: Sequence[str]) -> list[float]:
    lines = numbered([step.replace("\n", " ") for step in steps])
    ids = model.ids(f"{question} " + "".join([f"{line} \n\n\n\n\n " for line in lines]))
    candidates = [model.tokenizer.encode(sign)[-1] for sign in (" +", " -")]
    mask = ids[0] == model.tokenizer.encode(" \n\n\n\n\n")[-1]
    return model.logits(ids)[mask][:, candidates].softmax(-1)[:, 0].tolist()


def reasoneval(model: Model, question: str, steps: Sequence[str]) -> list[float]:
    is_7b = "7B" in model.folder.name
    pad = model.tokenizer.pad_token
    prompt = f"Question:\n{question}\nAnswer:\nLet's think step by step.\n{pad}"
    tokens = model.tokenizer(prompt + "".join([step + pad for step in steps]))["input_ids"]
    separator = model.tokenizer(pad)["input_ids"][-1]
    labeled, ids, count = [], [], 0
    for index, token in enumerate(tokens):
        if token == separator:
            labeled.append(index - 1 - count)
            count += 1
        else:
            ids.append(token)
    labeled, ids = (labeled[2:], [1, *ids]) if is_7b else (labeled[1:], ids)
    assert len(labeled) == len(steps)
    found = model.weights()
    scores = model.hidden(torch.tensor([ids])) @ found["score_head.weight"].T + found.get("score_head.bias", 0.0)
    probabilities = scores[labeled].softmax(-1)
    return (probabilities[:, 1] + probabilities[:, 2]).tolist()


def implicit(model: Model, question: str, steps: Sequence[str]) -> list[float]:
    written = numbered(steps)
    last_tokens = []
    for count in range(len(written) + 1):
        text = model.chat(("user", question), ("assistant", "\n\n".join(written[:count]))).strip()
        text += "\n\n" if count not in (0, len(written)) else ""
        last_tokens.append(len(model.ids(text)[0]) - 2)
    ids = model.ids(model.chat(("user", question), ("assistant", "\n\n".join(written))))
    label_mask = torch.zeros_like(ids)
    label_mask[0, last_tokens[0] :] = 1

    def log_probabilities(folder: Path) -> torch.Tensor:
        logits = model.logits(ids, folder=folder)[:-1]
        return logits.log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]

    ratio = log_probabilities(model.folder) - log_probabilities(model.folder.parent / "reference")
    rewards = (0.001 * ratio * label_mask[0, 1:]).cumsum(-1)[last_tokens[1:]].tolist()
    return [(1 + tanh(reward / 0.04)) / 2 for reward in rewards]


def reward(model: Model, question: str, steps: Sequence[str]) -> list[float]:
    is_qwen = "Math-RM" in model.folder.name
    turns = [("system", SYSTEM)] * is_qwen + [("user", question), ("assistant", "\n\n".join(steps))]
    ids = model.ids(model.chat(*turns))
    if is_qwen:
        value = two_layers(model, model.hidden(ids))[-1, 0].item()
    else:
        value = model.logits(ids, AutoModelForSequenceClassification)[0].item()
    return [(1 + tanh(value / 10)) / 2]


def yes_no(model: Model, question: str, steps: Sequence[str]) -> list[float]:
    content = f"Problem:\n{question}\n\nSolution so far:\n" + "\n\n".join(steps)
    content += "\n\nIs every step of this solution correct so far? Answer Yes or No."
    candidates = [model.tokenizer.encode(word)[0] for word in ("Yes", "No")]
    logits = model.logits(model.ids(model.chat(("user", content), reply=True)))
    return [logits[-1, candidates].softmax(-1)[0].item()]


Direct = Callable[[Model, str, Sequence[str]], list[float]]

DIRECT: dict[str, tuple[Direct, str]] = {
    "qwen-math-prm": (qwen, "product"),
    "reasonflux-prm": (lambda model, question, steps: qwen(model, question, steps, None), "mean"),
    "math-shepherd": (shepherd, "min"),
    "rlhflow-prm": (rlhflow, "mean"),
    "rlhflow-orm": (lambda model, question, steps: rlhflow(model, question, ["\n\n".join(steps)]), "last"),
    "skywork-prm": (skywork, "last"),
    "trl-prm": (trl, "last"),
    "pure-prm": (pure, "min"),
    "versa-prm": (versa, "min"),
    "math-psa": (psa, "last"),
    "reasoneval": (reasoneval, "min"),
    "implicit-prm": (implicit, "min"),
    "reward-model": (reward, "last"),
    "yes-no": (yes_no, "last"),
}
"""The direct computation of each kind's probabilities, and how they become one by default."""

COMBINED: dict[str, Callable[[list[float]], float]] = {
    "last": lambda each: 2 * each[-1] - 1,
    "min": lambda each: 2 * min(each) - 1,
    "product": lambda each: 2 * prod(each) - 1,
    "mean": lambda each: 2 * fmean(each) - 1,
    "sum": lambda each: tanh(sum(2 * p - 1 for p in each) / 2),
}

REAL_TOKENIZER = {
    "Qwen2.5-Math-PRM": False,
    "RLHFlow PRM": False,
    "Skywork-o1-Open-PRM": False,
    "TRL": False,
    "PURE": True,
    "VersaPRM": True,
    "Math-PSA": False,
    "ReasonEval-34B": False,
    "EurusPRM": False,
    "Qwen2.5-Math-RM": False,
    "verifier": False,
}
"""Also with Qwen3's tokenizer; in the default run those whose tokens reach across the ends of steps. Each takes ten
seconds, and the others have tokenizers of their own or repeat one of these."""

CASES = [
    *[pytest.param((name, byte_tokenizer), id=name) for name in MAKERS],
    *[
        pytest.param(
            (name, qwen3_tokenizer),
            id=f"{name}, Qwen3's tokenizer",
            marks=[needs_shared("tokenizers/qwen3"), *([] if by_default else [pytest.mark.slow])],
        )
        for name, by_default in REAL_TOKENIZER.items()
    ],
]


@dataclass
class Loaded:
    kind: str
    model: Model
    scorer: PublicScorer

    def expected(self, of_state: State) -> list[float]:
        return DIRECT[self.kind][0](self.model, of_state.problem.question, [step.text for step in of_state.steps])


@pytest.fixture(scope="module", params=CASES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    case, make_tokenizer = request.param
    kind, make = MAKERS[case]
    folder = make(tmp_path_factory.mktemp("model"), make_tokenizer())
    name = str(folder) + (f"?reference={folder.parent / 'reference'}" if kind == "implicit-prm" else "")
    asked = kind if kind == "yes-no" else None
    scorer = load_scorer(name, device="cpu", max_batch=5, dtype="float32", scorer_kind=asked)
    # Qwen3's takes seconds to load, and the one that the scorer has loaded is the same.
    is_real = make_tokenizer is qwen3_tokenizer
    tokenizer = scorer.convention.tokenizer if is_real else PreTrainedTokenizerFast.from_pretrained(folder)
    return Loaded(kind, Model(folder, tokenizer), scorer)


def ask(scorer: PublicScorer, *requests: Sequence[State]) -> list[Scores]:
    """Run all requests concurrently."""

    async def together() -> list[Scores]:
        return await asyncio.gather(*(scorer.score(states) for states in requests))

    return asyncio.run(together())


def chances(scores: Sequence[float]) -> list[float]:
    """Scores in [-1, 1] as probabilities."""
    return [(1 + score) / 2 for score in scores]


def test_scores_equal_a_direct_computation(loaded: Loaded) -> None:
    """One step, many steps, siblings, batches, states asked for again; each aggregate.

    Probabilities are compared, not scores, which are 2 p - 1: those near 0 have lost their digits.
    """
    scorer = loaded.scorer
    assert scorer.convention.kind == loaded.kind
    assert scorer.aggregate == DIRECT[loaded.kind][1]
    expected = [loaded.expected(each) for each in STATES]
    for aggregate, combined in COMBINED.items():
        scorer.aggregate = aggregate
        first, *others = ask(scorer, STATES[:1], STATES[1:], STATES[2:3], [])
        wanted = [combined(each) for each in expected]
        assert chances(first.values) == pytest.approx(chances(wanted[:1]), rel=1e-5, abs=1e-6)
        assert chances(others[0].values) == pytest.approx(chances(wanted[1:]), rel=1e-5, abs=1e-6)
        assert chances(others[1].values) == pytest.approx(chances(wanted[2:3]), rel=1e-5, abs=1e-6)
        assert others[2].values == ()
        assert first.of_paths
    lengths = {len(each) for each in expected}
    scorer.aggregate = scorer.convention.aggregate
    assert lengths == ({1} if scorer.convention.judges_whole else {1, 2, 3, 4})


def test_a_state_is_read_once_and_a_child_only_beyond_its_parent(loaded: Loaded) -> None:
    scorer = loaded.scorer
    models = len(scorer.readers)
    parent, child = state(UNREAD, *STEPS[:3]), state(UNREAD, *STEPS)
    length = len(scorer.row_of(child))
    [first] = ask(scorer, [parent])
    [again] = ask(scorer, [parent])
    [second] = ask(scorer, [child])
    assert first.tokens > models * 10
    assert again.tokens == 0
    assert again.values == first.values
    if loaded.kind in ("yes-no", "reward-model", "rlhflow-orm", "implicit-prm"):
        assert 0 < second.tokens < models * length
    else:
        assert 0 < second.tokens <= length - len(scorer.row_of(parent)) + 12
    combined = COMBINED[scorer.aggregate]
    assert chances(second.values) == pytest.approx(chances([combined(loaded.expected(child))]), rel=1e-5, abs=1e-6)
