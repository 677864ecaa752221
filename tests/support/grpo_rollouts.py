"""For tests of reinforcement learning: a policy that writes a script with real tokens, and made-up rollouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from support.tiny_model import tiny_model

from treestar.policy.backends.generated import Generated, Generation
from treestar.policy.backends.local import LocalPolicy
from treestar.policy.formats import step_format_named
from treestar.sandbox import SandboxExecutor
from treestar.search import Components
from treestar.training.grpo.policy import OwnTokensPolicy
from treestar.training.grpo.rollouts import Rollout
from treestar.types import Execution, Problem, Sampling, State, Step
from treestar.verifier import AnswerVerifier

Script = Callable[[str, int], str]
"""(what the policy reads, index of the candidate) -> what it writes until it ends its sequence."""


class ScriptedModel(LocalPolicy):
    """Writes what its script says, in the tokens of the tiny model, up to the first stop string."""

    def __init__(self, script: Script, step_format: str, context: int = 4096) -> None:
        super().__init__(tiny_model()[1], step_format_named(step_format), "scripted", context)
        self.script = script
        self.read: list[list[int]] = []
        """The prompts so far."""

    async def generate(
        self, prompt: list[int], n: int, sampling: Sampling, seed: int, stop_strings: tuple[str, ...]
    ) -> Generation:
        self.read.append(prompt)
        begun = self.tokenizer.decode(prompt)
        written = [self.written(self.script(begun, index), sampling.max_tokens, stop_strings) for index in range(n)]
        return Generation(written, sum(each.tokens for each in written))

    def written(self, text: str, most: int, stop_strings: tuple[str, ...]) -> Generated:
        ends = [text.index(stop) + len(stop) for stop in stop_strings if stop in text]
        text = text[: min(ends)] if ends else text
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        end = None if ends or len(ids) >= most else self.tokenizer.eos_token_id
        text = self.tokenizer.decode(ids[:most])
        return Generated(
            text, end is not None, len(ids[:most]) + (end is not None), -1.0, tuple(ids[:most]), end_token=end
        )


def scripted(
    script: Script, step_format: str, executor: SandboxExecutor, max_tokens: int = 1000, context: int = 4096
) -> Components:
    """Components that sample what the script writes and run its code in the sandbox."""
    policy = OwnTokensPolicy(ScriptedModel(script, step_format, context), max_tokens)
    return Components(policy, executor, AnswerVerifier())


def made_rollout(
    reward: float | None = 1.0,
    *,
    correct: bool | None = True,
    problem: Problem | None = None,
    steps: Sequence[tuple[str, bool]] = (("x = 1", True),),
    own: Sequence[int] = (1, 1, 0, 1),
    prompt: int = 5,
    seed: int = 0,
    tokens: int = 200,
) -> Rollout:
    """A rollout of random tokens.

    Args:
        steps: the code of each step, and whether it ran without an error.
        own: which tokens the policy wrote.
        prompt: number of tokens of the prompt.
        tokens: size of the vocabulary.
    """
    random = Random(f"{seed} {list(own)}")
    problem = problem or Problem("What is 1 plus 1?", "2", "sum")
    trajectory = State(
        problem,
        tuple(Step(code, code=code) for code, _ in steps),
        tuple(Execution(error=None if ran else "NameError: y") for _, ran in steps),
    )
    prompt_ids = [Random(problem.id).randrange(tokens) for _ in range(prompt)]
    ids = [random.randrange(tokens) for _ in own]
    answer = None if correct is None else "2"
    made = Rollout(trajectory, "answer", answer, correct, True, prompt_ids, ids, list(own))
    made.reward, made.rewards = reward, {"correct": reward}
    return made


def sums(count: int) -> list[Problem]:
    return [Problem(f"What is {number} plus 2?", str(number + 2), f"sum-{number}") for number in range(count)]


def answering(right: Callable[[str, int], bool]) -> Script:
    """A script of the `rstar` format that adds and states the sum, or 99 where `right` says no."""

    def script(read: str, index: int) -> str:
        question = read.split("What is ")[1]
        number, addend = int(question.split(" plus ")[0]), 2
        if "<output>" in read:
            return f"\\boxed{{{read.split('<output>')[1].split('<')[0]}}}<end_of_answer>"
        value = f"{number} + {addend}" if right(question, index) else "99"
        if "total" not in read:
            return f"# add the numbers\ntotal = {value}\n<end_of_step>"
        return "print(total)\n<end_of_code>"

    return script
