"""Search strategies written independently of treestar, for comparison: dictionaries and paths, no shared code.

They follow only the published descriptions. `textbook_mcts`: select by UCT with unvisited children first, expand, back
up every terminal child that an expansion finds, continue to a terminal; exhausted nodes are not selected. A new node
that is not terminal begins with one visit of its score, which is not backed up.
"""

import math
from collections import Counter


def textbook_mcts(propose, value, rollouts, c, max_depth, score=None):
    """The root as {"N", "W", "children", "step"}; `propose(path)` gives steps, `value(step)` None or +-1; `score(path)`
    is a PPM's, None for terminal-guided search."""
    root = {"N": 0, "W": 0.0, "children": None, "step": None, "done": False}
    for _ in range(rollouts):
        if root["done"]:
            break
        path = [root]
        while not path[-1]["done"]:
            node = path[-1]
            if node["children"] is None:
                steps = propose([n["step"] for n in path[1:]])
                node["children"] = [{"N": 0, "W": 0.0, "children": None, "step": s, "done": False} for s in steps]
                ends = [(n, value(n["step"])) for n in node["children"]]
                ends = [(n, -1.0 if v is None else v) for n, v in ends if v is not None or len(path) == max_depth]
                for n in node["children"] if score else ():
                    if all(n is not end for end, _ in ends):
                        n["N"], n["W"] = 1, score([each["step"] for each in [*path[1:], n]])
                for n, v in ends if steps else [(None, -1.0)]:
                    for each in path + ([n] if n else []):
                        each["N"], each["W"] = each["N"] + 1, each["W"] + v
                    if n:
                        n["done"] = True
            for each in reversed(path):
                each["done"] = all(n["done"] for n in each["children"])
            live = [n for n in node["children"] if not n["done"]]
            if live:
                uct = [
                    math.inf if n["N"] == 0 else n["W"] / n["N"] + c * math.sqrt(math.log(max(node["N"], 1)) / n["N"])
                    for n in live
                ]
                path.append(live[uct.index(max(uct))])
    return root


def textbook_beams(propose, answer, score, beams, width, children, rounds):
    """The finished paths with how often each was drawn; `propose(path)` draws one more step, None if it failed. A
    path where only failures were drawn is not entered again."""
    finished, entered, alive = Counter(), set(), set()
    for _ in range(rounds):
        if () in entered - alive:
            break
        standing = [[()] for _ in range(beams)]
        while any(standing):
            wave = []
            for paths in standing:
                steps = [
                    (path, propose(path)) for path in paths for _ in range(children * width if path == () else children)
                ]
                wave.append([(*path, step) for path, step in steps if step is not None])
                entered.update(paths)
                alive.update(path[:-1] for path in wave[-1])
            finished.update(path for drawn in wave for path in drawn if answer(path[-1]))
            ranked = [
                sorted(dict.fromkeys(path for path in drawn if path not in entered - alive), key=score, reverse=True)
                for drawn in wave
            ]
            standing = [[path for path in best[:width] if not answer(path[-1])] for best in ranked]
    return finished


def textbook_adaptive_branching(propose, answer, score, choose, rollouts, max_depth):
    """The tree as {path: times drawn}; `choose(path, rollout)` draws from the posterior of observations in
    [0, 1]. `propose(path)` is None if the step failed, which is worth 0."""
    tree = {(): 1}

    def own(path):
        return score(path) if is_open(path) or (path[-1] is not None and answer(path[-1])) else 0.0

    def is_open(path):
        return not path or (path[-1] is not None and not answer(path[-1]) and len(path) < max_depth)

    def below(path):
        return [each for each in tree if len(each) > len(path) and each[: len(path)] == path]

    for rollout in range(rollouts):
        path = ()
        while is_open(path):
            children = [each for each in below(path) if len(each) == len(path) + 1]
            live = [child for child in children if is_open(child)]
            deeper = None
            if live:
                draw = choose(path, rollout)
                widen = draw([own(child) for child in children for _ in range(tree[child])])
                deepen = draw([own(each) for child in live for each in below(child)])
                if widen < deepen:
                    draws = [draw([own(each) for each in [child, *below(child)]]) for child in live]
                    deeper = live[draws.index(max(draws))]
            if deeper is None:
                deeper = (*path, propose(path))
                tree[deeper] = tree.get(deeper, 0) + 1
            path = deeper
    return tree
