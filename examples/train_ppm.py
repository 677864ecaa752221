"""Train a small process preference model (PPM) from search trees and search with it.

Needs `pip install 'treestar[train]'`. This is the whole workflow in miniature; a useful PPM needs thousands of
problems.

    python examples/train_ppm.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import treestar
from treestar.ppm import make_pairs, read_trees
from treestar.training import PPMTrainingConfig, train_ppm


def sums(count: int, seed: int) -> list[treestar.Problem]:
    """Sums of four numbers."""
    random = Random(seed)
    terms = [[random.randint(10, 99) for _ in range(4)] for _ in range(count)]
    return [
        treestar.Problem(f"Calculate {' + '.join(map(str, each))}.", str(sum(each)), f"{seed}-{i}")
        for i, each in enumerate(terms)
    ]


def main() -> None:
    # Trees to learn from: gold answers give the values, candidates are distinct, and nothing stops early.
    search = treestar.MCTSConfig(max_rollouts=4, children=4, gold=True, distinct=True, early_stop=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "trees").mkdir()
        with treestar.Solver("toy-bootstrap", search) as solver:
            for result in solver.solve_many(sums(6, seed=1)):
                assert result.tree is not None
                result.tree.save(folder / "trees" / f"{result.problem.id}.json")

        trees = read_trees(folder / "trees")
        pairs, counts = make_pairs(trees, trees.skipped)
        print(f"{counts.trees} trees gave {len(pairs)} preference pairs")
        pair = pairs[0]
        print(f"preferred: {pair.chosen.steps[-1].code!r}\nrejected:  {pair.rejected.steps[-1].code!r}")

        config = PPMTrainingConfig(epochs=2, held_out=0.0)
        report = train_ppm(trees, "toy-bootstrap", folder / "ppm", config)
        print("losses:", [round(loss, 3) for _, loss in report["losses"]])

        with treestar.Solver("toy-bootstrap", treestar.MCTSConfig(max_rollouts=2), str(folder / "ppm")) as solver:
            results = solver.solve_many(sums(2, seed=2))
        print(f"guided by it: {sum(bool(result.correct) for result in results)} of {len(results)} right")


if __name__ == "__main__":
    main()
