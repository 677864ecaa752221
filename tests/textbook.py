"""A textbook MCTS written independently of treestar, for comparison: recursive dictionaries, no shared code.

It follows the published description alone: select by UCT with unvisited children first, expand, back up every terminal
child that an expansion finds, go on to a terminal; nodes with nothing left to search are not selected.
"""

import math


def textbook_mcts(propose, value, rollouts, c, max_depth):
    """The root as {"N", "W", "children", "step"}; `propose(path)` gives steps, `value(step)` None or +-1."""
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
                    math.inf if n["N"] == 0 else n["W"] / n["N"] + c * math.sqrt(math.log(node["N"]) / n["N"])
                    for n in live
                ]
                path.append(live[uct.index(max(uct))])
    return root
