"""Attacks on the sandbox, each run for real behind both walls, behind the jail alone, and behind the language alone.

The corpora in `attacks/` describe the goal of each attempt. `language.json`: ways past RestrictedPython and the guards.
`hostile.json`: harm to the machine by a step with all of Python, and excessive cost. `protocol.json`: steps
that speak for their worker on its socket, with all of Python. `snapshots.json`: steps that leave something behind for
the steps of other branches; `before` is the parent's code, `after` that of a sibling. `{SECRET}` is a file that every
user can read, `{OUT}` a folder that every user can write. A step that reached its target prints REACHED.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from support.paths import DATA, SHARED
from support.sandbox_support import children, eventually, linux, zygote_pid

from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.sandbox.executor import SandboxInterpreter
from treestar.types import Execution, Snapshot

CORPORA = DATA / "attacks"
SECRET = "TS-4f1c-secret"
SECONDS = (1.0, 5.0, 25.0)
"""Deadlines of a step. If a step with little work misses one, as can happen on a loaded machine, the attack is
attempted again with the next. A step that an attack really delays misses all of them."""
PATIENCE = 300.0
"""Seconds that a step can exceed its deadline here, on a loaded machine; the bench measures the actual overrun."""

MODES: dict[str, dict[str, Any]] = {
    "full": {},
    "jail alone": {"restricted": False},
    "language alone": {"isolation": "process"},
}

Result = TypeVar("Result")
Attack = dict[str, Any]


class Late(Exception):
    """A step with little work missed its deadline."""


PAST_THE_LANGUAGE: frozenset[str] = frozenset()
"""Exactly the attempts of language.json that RestrictedPython and the audit hook do not stop. The jail does."""
ENDS_WELL = frozenset({"a long sum in the source", "ok"})
"""Attempts of hostile.json that can end without an error: they only waste resources."""
ANSWERS_FOR_ITS_TREE = frozenset({"every later answer a lie", "the next request read and answered"})
"""Attempts of protocol.json that can forge later steps of their own tree, because they have taken over its worker. That
is why a trajectory is run again in a fresh interpreter before its answer is accepted."""


def load(path: Path) -> list[Attack]:
    attacks: list[Attack] = json.loads(path.read_text()) if path.exists() else []
    return attacks


LANGUAGE = load(CORPORA / "language.json") + load(SHARED / "attack_payloads.json")
HOSTILE = load(CORPORA / "hostile.json") + load(SHARED / "hostile_steps.json")
PROTOCOL = load(CORPORA / "protocol.json")
SNAPSHOTS = load(CORPORA / "snapshots.json")
STREAMS = load(CORPORA / "streams.json")
LANGUAGE_AND_STREAMS = LANGUAGE + STREAMS
PRELUDE = (CORPORA / "protocol_prelude.py").read_text()


class Siege:
    """An executor under attack: the target files, and a neighbor whose tree is a target."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.folder = Path(tempfile.mkdtemp())
        self.folder.chmod(0o777)  # file permissions do not stop an attack
        self.secret = self.folder / "secret"
        self.secret.write_text(SECRET + "\n")
        self.secret.chmod(0o644)
        self._loop = asyncio.new_event_loop()
        self._outcomes: dict[int, dict[str, Execution | BaseException]] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of isolation="process"
            self.config = SandboxConfig(seconds=SECONDS[-1], memory_mb=256, concurrency=6, **MODES[mode])
            self.executor = SandboxExecutor(self.config)
        self.neighbour, self._neighbours_state = self.run(self._settle())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._loop.run_until_complete(work)

    def close(self) -> None:
        self.run(self.executor.close())
        self._loop.close()
        shutil.rmtree(self.folder)

    def outcome(
        self,
        attempt: Callable[[Siege, Attack], Awaitable[Execution]],
        attacks: list[Attack],
        attack: Attack,
        at_once: int = 6,
    ) -> Execution:
        """The result or exception of `attempt` of `attack`. The whole corpus is attempted concurrently at the first
        request, because most hostile steps only wait for their deadlines."""
        corpus = id(attacks)  # one of this module's lists, which stay alive
        if corpus not in self._outcomes:
            found = self._outcomes[corpus] = {}
            waiting = attacks
            for seconds in SECONDS:
                self.executor.config = replace(self.config, seconds=seconds)
                found |= self.run(self._attempt_all(attempt, waiting, asyncio.Semaphore(at_once)))
                waiting = [each for each in waiting if isinstance(found[each["name"]], Late)]
        outcome = self._outcomes[corpus][attack["name"]]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def _attempt_all(
        self,
        attempt: Callable[[Siege, Attack], Awaitable[Execution]],
        attacks: list[Attack],
        turns: asyncio.Semaphore,
    ) -> dict[str, Execution | BaseException]:
        async def one(attack: Attack) -> Execution:
            out = Path(tempfile.mkdtemp(dir=self.folder))
            out.chmod(0o777)
            aimed = json.dumps(attack).replace("{SECRET}", str(self.secret)).replace("{OUT}", str(out))
            async with turns:
                execution = await attempt(self, json.loads(aimed))
            assert list(out.iterdir()) == [], "something was written"
            return execution

        found = await asyncio.gather(*map(one, attacks), return_exceptions=True)
        return {attack["name"]: each for attack, each in zip(attacks, found, strict=True)}

    async def _settle(self) -> tuple[SandboxInterpreter, Snapshot | None]:
        neighbour = await self.executor.open()
        return neighbour, (await neighbour.run("import math\nitems = [1, 2]\ntotal = math.factorial(5)", None)).snapshot

    async def step(self, interpreter: SandboxInterpreter, code: str, parent: Snapshot | None) -> Execution:
        """Run one step and check everything that must hold for any step."""
        return await self.checked(interpreter.run(code, parent))

    async def checked(self, running: Awaitable[Execution]) -> Execution:
        seconds = self.executor.config.seconds
        started = time.monotonic()
        execution = await running
        elapsed = time.monotonic() - started
        assert elapsed < seconds + PATIENCE, f"{elapsed:.1f} seconds"
        for text in (execution.output, execution.error or ""):
            assert SECRET not in text, "the secret was read"
            assert "REACHED" not in text, text
            text.encode()  # a file can contain it
        assert len(execution.output) <= self.config.output_limit + 100
        assert len(execution.error or "") <= 2000
        assert 0 <= execution.seconds <= elapsed + 0.1
        assert 0 <= execution.peak_memory < 2**40
        return execution

    async def small_step(self, interpreter: SandboxInterpreter, code: str, parent: Snapshot | None) -> Execution:
        """Run a step that ends quickly by itself. Raises Late if it does not."""
        execution = await self.step(interpreter, code, parent)
        if (execution.error or "").startswith("TimeoutError"):
            raise Late(code)
        return execution

    async def path(self, interpreter: SandboxInterpreter, codes: Sequence[str]) -> Snapshot | None:
        snapshot = None
        for code in codes:
            execution = await self.small_step(interpreter, code, snapshot)
            assert execution.error is None
            snapshot = execution.snapshot
        return snapshot

    async def check_others(self) -> None:
        """The neighbor's tree is unchanged, and a new tree works."""
        execution = await self.small_step(
            self.neighbour, "items.append(3)\nprint(items, total)", self._neighbours_state
        )
        assert execution.output == "[1, 2, 3] 120\n"
        newcomer = await self.executor.open()
        assert (await self.small_step(newcomer, "print(6 * 7)", None)).output == "42\n"
        await newcomer.close()


# In the default run each wall has to hold alone; both together are slow.
@pytest.fixture(scope="module", params=[pytest.param("full", marks=pytest.mark.slow), "jail alone", "language alone"])
def siege(request: pytest.FixtureRequest) -> Iterator[Siege]:
    made = Siege(request.param)
    yield made
    made.close()


def corpus(attacks: list[Attack]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("attack", attacks, ids=[attack["name"] for attack in attacks])


# --- alone: ways out, and what it costs ------------------------------------------------------------------------------


async def attack_from_a_step(siege: Siege, attack: Attack) -> Execution:
    """Run the attack, check what it reached, and check that its own interpreter and the others still work."""
    interpreter = await siege.executor.open()
    execution = await siege.step(interpreter, attack["code"], None)
    if execution.error is None:
        await siege.step(interpreter, "print(repr(out)[:5000])", execution.snapshot)
    assert (await siege.small_step(interpreter, "print(1 + 1)", None)).output == "2\n"
    await interpreter.close()
    await siege.check_others()
    return execution


@corpus(LANGUAGE)
def test_the_language_refuses_ways_out(siege: Siege, attack: Attack) -> None:
    known = attack["name"] in PAST_THE_LANGUAGE
    try:
        execution = siege.outcome(attack_from_a_step, LANGUAGE, attack)
    except AssertionError:  # it reached a file
        if siege.mode == "language alone" and known:
            return
        raise
    if siege.mode == "full" and is_ours(attack):
        assert execution.error is not None or known, execution
    if siege.mode == "language alone" and is_ours(attack):
        assert (execution.error is None) == known, execution


async def attack_from_a_program(siege: Siege, attack: Attack) -> Execution:
    """Run the attack as a whole program, which has streams that steps do not have."""
    code = attack["code"] + "\nprint(repr(out)[:5000])\n"
    execution = await siege.checked(siege.executor.run_program(code, "a line\n"))
    await siege.check_others()
    return execution


@corpus(LANGUAGE_AND_STREAMS)
def test_whole_programs_have_no_ways_out_either(siege: Siege, attack: Attack) -> None:
    try:
        execution = siege.outcome(attack_from_a_program, LANGUAGE_AND_STREAMS, attack)
    except AssertionError:  # as for steps
        if siege.mode == "language alone" and attack["name"] in PAST_THE_LANGUAGE:
            return
        raise
    if siege.mode != "jail alone" and attack in STREAMS:
        assert execution.error is not None, execution


@corpus(HOSTILE)
def test_hostile_steps_end_and_reach_nothing(siege: Siege, attack: Attack) -> None:
    execution = siege.outcome(attack_from_a_step, HOSTILE, attack)
    assert execution.error is not None or attack["name"] in ENDS_WELL or not is_ours(attack), execution


def is_ours(attack: Attack) -> bool:
    """Whether a rejected attempt fails; some of the shared ones succeed and have done nothing."""
    return "why" in attack


# --- on the protocol -------------------------------------------------------------------------------------------------


async def attack_on_the_protocol(siege: Siege, attack: Attack) -> Execution:
    """Run the attack and then its siblings, which must be correct or fail."""
    interpreter = await siege.executor.open()
    parent = await siege.path(interpreter, attack.get("before", []))
    execution = await siege.step(interpreter, PRELUDE + attack["code"], parent)
    for _ in range(2):
        later = await siege.step(interpreter, "print(1 + 1)", parent)
        right_or_failed = later.error is not None or later.output == "2\n"
        assert right_or_failed or attack["name"] in ANSWERS_FOR_ITS_TREE, later
    await interpreter.close()
    await siege.check_others()
    return execution


@corpus(PROTOCOL)
def test_a_step_cannot_use_its_workers_socket(siege: Siege, attack: Attack) -> None:
    execution = siege.outcome(attack_on_the_protocol, PROTOCOL, attack)
    assert siege.mode == "jail alone" or execution.error is not None  # its first line already


@linux
def test_a_worker_that_goes_on_after_its_answer_is_stopped() -> None:
    async def body() -> None:
        executor = SandboxExecutor(SandboxConfig(restricted=False))
        interpreter = await executor.open()
        execution = await interpreter.run(PRELUDE + "send(ANSWER)\nwhile True: pass", None)
        assert execution.output == "FORGED"
        zygote = zygote_pid(executor)
        idle = await asyncio.to_thread(eventually, lambda: not any(map(is_busy, children(zygote))))
        await executor.close()
        assert idle

    asyncio.run(body())


def is_busy(process: int) -> bool:
    """Whether the process computes right now."""
    before = processor_ticks(process)
    time.sleep(0.1)
    return processor_ticks(process) > before + 1


def processor_ticks(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11])
    except OSError:
        return 0


# --- on the states of other branches ---------------------------------------------------------------------------------


async def attack_on_other_branches(siege: Siege, attack: Attack) -> Execution:
    """Run the attack; then its child and siblings must print the same as in a fresh interpreter."""
    before, change, after = attack["before"], attack["attack"], attack["after"]
    interpreter = await siege.executor.open()
    execution = await siege.small_step(interpreter, before, None)
    if execution.error is not None:
        assert execution.error.startswith("NotAllowed"), execution  # the attack cannot even be prepared
        await interpreter.close()
        return execution
    parent = execution.snapshot
    execution = await siege.step(interpreter, change, parent)
    child = None if execution.error else await siege.small_step(interpreter, after, execution.snapshot)
    siblings = [await siege.small_step(interpreter, after, parent) for _ in range(2)]
    await interpreter.close()
    if siege.mode != "jail alone":  # a step with all of Python can change its worker at will
        if child is not None:
            assert told(child) == await told_alone(siege, f"{before}\n{change}\nprint({CUT!r})\n{after}")
        expected = await told_alone(siege, f"{before}\n{after}")
        assert [told(sibling) for sibling in siblings] == [expected] * 2
    await siege.check_others()
    return execution


@corpus(SNAPSHOTS)
def test_what_a_step_leaves_behind_stays_in_its_branch(siege: Siege, attack: Attack) -> None:
    siege.outcome(attack_on_other_branches, SNAPSHOTS, attack, at_once=2)


async def told_alone(siege: Siege, code: str) -> tuple[str, str | None]:
    interpreter = await siege.executor.open()
    execution = await siege.small_step(interpreter, code, None)
    await interpreter.close()
    return told(execution)


CUT = "--- what the step before printed ends here ---"


def told(execution: Execution) -> tuple[str, str | None]:
    """The output of the last part of the code, without line numbers."""
    error = execution.error and re.sub(r" \(line .*", "", execution.error)
    return execution.output.rpartition(CUT + "\n")[2], error
