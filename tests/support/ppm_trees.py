"""Small judged trees whose right and wrong steps differ in their text, for training inside a test."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from support.random_trees import end

from treestar.search import Tree
from treestar.types import Execution, Problem, Step


def telling_tree(number: int, seed: int = 0) -> Tree:
    """A separate problem with two steps to its answer; a step that begins with `g` is right, one with `b` is wrong."""
    random = Random(number * 1000 + seed)
    tree = Tree(Problem(f"{number}?", "1", f"p{number}"), "mcts", {}, seed)
    root = tree.add_root(Execution())
    for first in random.sample(["g", "b"], 2):
        node = tree.add_child(root, step(first, random), Execution())
        for second in random.sample(["g", "b"], 2):
            leaf = tree.add_child(node, step(second, random, "code"), Execution("1"))
            end(leaf, "right" if first == second == "g" else "wrong")
    return tree


def step(kind: str, random: Random, ending: str = "step") -> Step:
    text = f"{kind} = {random.randint(0, 9)}"
    return Step(text, text, "code" if ending == "code" else "step")


def save_telling_trees(folder: Path) -> Path:
    """12 trees as `--save-tree` writes them, one more in a .jsonl file, a truncated one, and one without a judgment."""
    for number in range(12):
        telling_tree(number).save(folder / f"{number}.json")
    (folder / "more.jsonl").write_text(json.dumps(telling_tree(12).to_json()) + "\n")
    (folder / "cut.json").write_text((folder / "1.json").read_text()[:700])
    unjudged = telling_tree(13)
    for node in unjudged.terminals():
        node.correct = None
    unjudged.save(folder / "unjudged.json")
    return folder


def save_one_sided_tree(file: Path) -> Path:
    """A tree in which every answer is wrong."""
    tree = telling_tree(0)
    for node in tree.terminals():
        node.correct = False
    tree.save(file)
    return file
