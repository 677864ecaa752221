"""The bootstrap policy: its teachers, its text, its training, and the model that comes with the package."""

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("reasoning_gym")

from recipes.toy.bootstrap import save_policy, train_bootstrap
from recipes.toy.corpus import Share, build_examples, prompt_text, solution_text, train_tokenizer
from recipes.toy.evaluation import solution_output
from recipes.toy.execution import answers_match, run_steps
from recipes.toy.gsm_teachers import GSM_PROGRAMS
from recipes.toy.recipe import SHARES
from recipes.toy.teachers import TEACHERS, teach
from recipes.toy.training import ModelShape, Tokenized, TrainingConfig, draw_batches
from treestar.benchmarks.gym import make_problems, split_of
from treestar.benchmarks.gym_levels import GSM_GROUPS, LEVELS
from treestar.policy.formats import BoundFormat
from treestar.policy.formats.binding import NAME_COUNT, bind_numbers
from treestar.policy.models import problems_path, shipped_path
from treestar.types import Execution, Problem, State, Step

MODEL_PATH = shipped_path("policy", "toy")

LADDERS = [(family, level) for family in TEACHERS for level in LEVELS[family]]
SMALL = (Share("gcd", "easy", 1.0, 40), Share("leg_counting", "easy", 1.0, 40), Share("chain_sum", "mid", 0.2, 10))


@pytest.mark.parametrize(("family", "level"), LADDERS)
def test_a_teacher_solves_its_family_in_short_steps(family: str, level: str) -> None:
    for problem in make_problems(family, level, "train", 25, seed=5):
        steps = teach(problem)
        assert steps is not None, problem.question
        assert 2 <= len(steps) <= 16
        assert all(step.startswith("# ") for step in steps)


def test_every_taught_template_has_a_program_that_solves_most_instances() -> None:
    taught = GSM_GROUPS["taught"]
    assert sorted(GSM_PROGRAMS) == sorted(taught)
    solved = dict.fromkeys(taught, 0)
    for problem in make_problems("gsm_symbolic", "taught", "train", 6 * len(taught), seed=5):
        solved[problem.metadata["template"]] += teach(problem) is not None
    assert min(solved.values()) >= 3
    assert sum(solved.values()) > 0.95 * 6 * len(taught)


def test_brackets_are_worked_off_from_the_inside() -> None:
    problem = Problem("Calculate ( 7 - -( -( -2 * 3 ) ) ) * 4 / 2.", "26", metadata={"family": "basic_arithmetic"})
    steps = teach(problem)
    assert steps is not None
    assert steps[0] == "# Step 1: -n4 * n5 is a, leaving ( n3 - a ) * n6 / n7\na = -n4 * n5"


def test_a_wrong_gold_answer_teaches_nothing() -> None:
    problem = make_problems("gcd", "easy", "train", 1)[0]
    assert teach(Problem(problem.question, "-1", metadata=problem.metadata)) is None


def test_the_training_text_is_what_the_runtime_builds() -> None:
    problem = make_problems("leg_counting", "easy", "train", 1)[0]
    steps = teach(problem)
    assert steps is not None
    written = prompt_text(bind_numbers(problem.question).question) + solution_text(steps)
    done = tuple(Step(step, code=step) for step in steps[:-1])
    prompt = BoundFormat().prompt(State(problem, done, tuple(Execution() for _ in done)))
    assert written == f"{prompt}{steps[-1]}\n<end_of_code>"
    assert BoundFormat().prompt(State(problem)) == prompt_text(bind_numbers(problem.question).question)


@pytest.mark.parametrize(
    "code",
    [
        "import os",
        "from os import system",
        "open('x')",
        "().__class__",
        "x = [1] * 10",
        "9 ** 9 ** 9",
        "print(",
        "1 / 0",
    ],
)
def test_code_outside_the_whitelist_prints_nothing(code: str) -> None:
    assert run_steps("", [code, "print(1)"]) is None


def test_answers_are_compared_as_numbers() -> None:
    assert answers_match("560.0", "560")
    assert answers_match("7/2", "3.5")
    assert not answers_match("7", "7.1")
    assert not answers_match("seven", "7")


@pytest.fixture(scope="module")
def tokenizer() -> object:
    examples = build_examples(SMALL, 0)
    return train_tokenizer(text for e in examples for text in (e.prompt, e.solution))


@pytest.mark.parametrize(
    "text",
    [
        "<|user|>:\nn0 + n39 n3005 xn3 n3x\n<|assistant|>: Let's think step by step and solve the problem with code."
        "<code>\n# Step 1: ünïcode 漢字 €5\n\n\n   a = (n1 - 2) * 180  # \t x\n<end_of_step>\n",
        "# Now print the final answer\nprint(a)\n<end_of_code>",
        "<output>5<end_of_output>\n<answer>5<end_of_answer>",
    ],
)
def test_the_tokenizer_gives_back_every_byte(tokenizer: object, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=False) == text  # type: ignore[attr-defined, operator]


def test_names_and_tags_are_single_tokens_and_names_follow_one_another(tokenizer: object) -> None:
    ids = [tokenizer.convert_tokens_to_ids(f"n{index}") for index in range(NAME_COUNT)]  # type: ignore[attr-defined]
    assert ids == list(range(ids[0], ids[0] + NAME_COUNT))
    for tag in ("<|user|>:", "<end_of_step>", "<end_of_code>", "n7"):
        assert len(tokenizer(tag)["input_ids"]) == 1  # type: ignore[operator]


def test_a_text_has_the_same_tokens_however_far_it_is_written(tokenizer: object) -> None:
    """A step is generated after its prompt was tokenized alone, so no token may reach over a step's beginning."""
    for example in build_examples(SMALL, 1)[:40]:
        text = example.prompt + example.solution
        whole = tokenizer(text)["input_ids"]  # type: ignore[operator]
        for cut in [
            index + len("<end_of_step>\n") for index in range(len(text)) if text.startswith("<end_of_step>\n", index)
        ]:
            parts = [tokenizer(part)["input_ids"] for part in (text[:cut], text[cut:])]  # type: ignore[operator]
            assert parts[0] + parts[1] == whole


@pytest.mark.slow
def test_a_short_training_run_lowers_the_loss_and_saves_a_folder_that_loads(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = TrainingConfig(tokens=60_000, batch_tokens=1024, longest_offset=20, longest_gap=5)
    shape = ModelShape(layers=2, width=64, heads=2, feed_forward=128)
    model, tokenizer, log = train_bootstrap(config, SMALL, shape=shape)
    assert log.losses[-1][2] < 4.5  # the mean over the run; it starts near ln(vocabulary), above 6
    save_policy(model, tokenizer, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert loaded.config.treestar_format == "bound"
    text = "<|user|>:\nn3"
    assert AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_positions_leap_only_where_they_may_and_labels_are_the_next_tokens() -> None:
    """Two rows of 1 2 3 1 2 3 ...: no loss on the prompt of 4 tokens, leaps after 3 alone."""
    examples = [Tokenized([1, 2, 3] * 4, prompt=4, names=1), Tokenized([1, 2, 3] * 3, prompt=4, names=1)]
    config = TrainingConfig(tokens=1, batch_tokens=24, longest_offset=7, longest_gap=5)
    batches = draw_batches({("a", "easy"): examples}, {("a", "easy"): 1.0}, 100, 40, config, leaps_after=[3])
    leaps = []
    for ids, labels, positions, real in itertools.islice(batches, 200):
        lengths = (ids != 0).sum(1)
        assert real == lengths.sum()
        for row, length in enumerate(lengths.tolist()):
            assert labels[row, 3 : length - 1].tolist() == ids[row, 4:length].tolist()
            assert set(labels[row, :3].tolist() + labels[row, length - 1 :].tolist()) == {-100}
            steps = positions[row].diff()
            assert (steps[ids[row, :-1] != 3] == 1).all()
            leaps.append(steps[ids[row, :-1] == 3] - 1)
    assert 0.15 < sum(not leap.any() for leap in leaps) / len(leaps) < 0.45
    assert {int(size) for leap in leaps for size in leap} == set(range(6))


def test_expressions_are_asked_for_in_several_ways() -> None:
    examples = build_examples([Share("basic_arithmetic", "easy", 1.0, 200)], 0)
    asked = Counter(example.prompt.split("\n")[1].partition(" ")[0] for example in examples)
    assert set(asked) == {"Calculate", "What", "Compute", "Evaluate:", "Solve"}
    assert 70 < asked["Calculate"] < 130


def test_everything_taught_is_in_the_training_split() -> None:
    assert all(split_of(example.question) == "train" for example in build_examples(SMALL, 3))
    assert not any(share.level in ("untaught", "heldout") for share in SHARES)


def test_the_toy_model_is_small_and_loads() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert sum(file.stat().st_size for file in MODEL_PATH.iterdir()) < 16_000_000
    model = AutoModelForCausalLM.from_pretrained(MODEL_PATH, dtype="auto")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert sum(parameter.numel() for parameter in model.parameters()) <= 8_000_000
    assert model.config.treestar_format == "bound"
    tokenizer = AutoTokenizer.from_pretrained(MODEL_PATH)
    assert tokenizer.eos_token == "<|endoftext|>"
    text = prompt_text("n3 and n12?")
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=False) == text


def test_the_built_in_problems_are_test_problems() -> None:
    rows = [json.loads(line) for line in problems_path("toy").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 6
    for row in rows:
        assert set(row) == {"id", "question", "answer", "family", "level"}
        assert split_of(row["question"]) == "test"


def test_an_unfinished_solution_prints_nothing() -> None:
    assert solution_output("n3 = 4", "# Step 1\na = n3\n<end_of_step>\nprint(a)") is None
    assert solution_output("n3 = 4", "# Step 1\na = n3\n<end_of_step>\nprint(a)\n<end_of_code>") == "4"
