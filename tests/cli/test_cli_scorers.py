"""`--scorer-kind` and `--aggregate` on the command line, and a search guided by a public reward model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.reward_model_makers import causal, process_head
from support.reward_models import byte_tokenizer

from treestar import MCTSConfig, Solver
from treestar.search import Tree
from treestar.search.answer import trajectory_score

QUICK = ("--max-rollouts", "4", "--children", "2")


@pytest.fixture(scope="module")
def prm(tmp_path_factory: pytest.TempPathFactory) -> str:
    make = process_head("prm", 2, "Qwen2ForProcessRewardModel")
    return str(make(tmp_path_factory.mktemp("model"), byte_tokenizer()))


def test_a_public_model_guides_the_search(treestar, prm: str, tmp_path: Path) -> None:
    tree_file, out = tmp_path / "tree.json", tmp_path / "results.jsonl"
    how = ("--scorer", prm, "--aggregate", "mean", "--save-tree", str(tree_file), "--out", str(out))
    ran = treestar("solve", "What is 2 + 3?", *QUICK, *how)
    assert ran.code == 0, ran.said
    assert re.search(r"[1-9]\d* read by the PPM", ran.said)
    tree = Tree.load(tree_file)
    scored = [node for node in tree.nodes if node.score is not None]
    assert scored
    assert all(node.scores_path and -1 <= node.score <= 1 for node in scored)  # type: ignore[operator]
    assert all(trajectory_score(end) == end.score for end in tree.terminals() if end.answer is not None)
    [line] = [json.loads(line) for line in out.read_text().splitlines()]
    assert f"{prm} (qwen-math-prm, mean)" in json.dumps(line)


@pytest.mark.slow
def test_another_aggregate_is_another_result(prm: str) -> None:
    config = MCTSConfig(max_rollouts=3, children=2)
    scores = []
    for aggregate in ("last", "product"):
        with Solver(search=config, scorer=prm, aggregate=aggregate, seed=3) as solver:
            tree = solver.solve("What is 12 * 3 + 7?").tree
            assert tree is not None
            scores.append([node.score for node in tree.nodes if node.depth > 1])
    assert scores[0] != scores[1]


def test_wrong_options_are_one_sentence(treestar, prm: str, tmp_path: Path) -> None:
    policy = str(causal("some-policy")(tmp_path, byte_tokenizer()))
    for arguments, expected, sentence in [
        (("--scorer", prm, "--aggregate", "max"), 2, "'max' is not one of 'last', 'min', 'product', 'mean', 'sum'"),
        (("--scorer", prm, "--scorer-kind", "prm"), 2, "'prm' is not one of 'ppm', 'qwen-math-prm'"),
        (("--scorer", policy), 1, "nothing in the files of this Qwen2ForCausalLM says how it scores"),
        (("--aggregate", "min"), 1, "are for a scorer given by name: also give --scorer"),
        (("--scorer", "toy", "--aggregate", "min"), 1, "leave out --aggregate"),
        (("--scorer", prm, "--scorer-kind", "skywork-prm"), 1, "no `bos_token`"),
    ]:
        ran = treestar("solve", "What is 2 + 3?", *QUICK, *arguments)
        assert ran.code == expected, ran.said
        assert sentence in ran.said, ran.said
