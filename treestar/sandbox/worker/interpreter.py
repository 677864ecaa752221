"""The interpreter of one tree: runs code in the state of any node and keeps the state after each run.

A child runs in a copy of its parent's namespace. If that cannot be copied or this process never had it, the namespace
of the nearest ancestor is copied and the code after it is run again. So the result of a run is always the same as
running its whole path in a fresh interpreter.
"""

from __future__ import annotations

import builtins
import decimal
import gc
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, ModuleType
from typing import Any

from treestar.sandbox.language.compiler import OWN_MODULE, compile_step
from treestar.sandbox.language.guards import Output, show_function, step_builtins
from treestar.sandbox.language.modules import add_to_library, handed_out
from treestar.sandbox.language.programs import ended_well, program_builtins, replaced_streams
from treestar.sandbox.language.wear import forget_wear, worn_by
from treestar.sandbox.worker.copying import NotCopyable, copy_namespace
from treestar.sandbox.worker.errors import describe, without_addresses
from treestar.sandbox.worker.library_state import EVERY_MODULE, LibraryState, LibraryValues

__all__ = ["Interpreter", "Outcome"]

RECURSION_LIMIT = 5000
"""Deep enough for the recursion that models write without `sys.setrecursionlimit`, and for what runs around a step."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run."""

    output: str
    error: str | None
    seconds: float
    """Duration of the new code only, including its compilation."""
    doubtful: bool = False
    """The failure may be caused by earlier work of this process; a fresh process may succeed."""
    worn: bool = False
    """The run changed the libraries permanently, so this process cannot run other branches."""


@dataclass(slots=True)
class State:
    """An interpreter state: the variables and the internal state of the libraries."""

    namespace: dict[str, Any]
    modules: frozenset[str] = frozenset()
    """The modules that the path received."""
    library: LibraryValues = field(default_factory=dict)
    context: decimal.Context | None = None
    """The decimal context, if the path has the decimal module."""
    recursion_limit: int = RECURSION_LIMIT
    """In effect while code of the path runs."""


@dataclass(slots=True)
class Node:
    """A run of the tree."""

    parent: int | None
    code: CodeType
    state: State | None = None
    """The state after the code. None: unknown in this process, or not copyable."""
    copyable: bool = True


class Interpreter:
    """Runs code in the states of a tree of runs. One per process: it owns the process's standard output and libraries.

    `restricted`: run the language of steps; otherwise all of Python.
    """

    def __init__(self, output_limit: int, restricted: bool) -> None:
        self._restricted = restricted
        self._nodes: dict[int, Node] = {}
        self._output = Output(output_limit)
        self._namespace: dict[str, Any] = {}
        """The globals of the running code."""
        self._builtins = self._make_builtins()
        sys.setrecursionlimit(RECURSION_LIMIT)
        random.seed(0)  # a fork reseeds it
        self.library = LibraryState()
        self._first_context = decimal.getcontext().copy()
        sys.stdout = sys.stderr = self._output  # sympy's pprint writes there
        sys.modules[OWN_MODULE] = ModuleType(OWN_MODULE)

    def learn(self, number: int, parent: int | None, source: str) -> None:
        """Add run `number`, which happened in another process. Raises the errors of compiling `source`."""
        self._nodes[number] = Node(parent, compile_step(source, filename(number), self._restricted))

    def run(self, number: int, parent: int | None, source: str, on_replay: Callable[[int], None]) -> Outcome:
        """Run `source` in the state after run `parent`, as run `number`, which is kept if it succeeds.

        Args:
            on_replay: called with the number of runs to repeat first, and with 0 when they are done.
        """
        forget_wear()
        try:
            state, failure = self._state_after(parent, on_replay)
        except MemoryError:
            return Outcome("", "MemoryError", 0.0, doubtful=True)
        if failure is not None:
            return Outcome("", f"an earlier step failed when it was run again: {failure}", 0.0, doubtful=True)
        outcome = self._run(source, filename(number), lambda code: self._execute_new(number, parent, code, state))
        if outcome.error is not None:
            del state
            gc.collect()  # generators of the dead namespace end now, not during another step
        return outcome

    def run_program(self, source: str, text: str) -> Outcome:
        """Run a whole program with the standard input `text` in a fresh namespace. Nothing of it is kept."""
        forget_wear()
        return self._run(source, "<program>", lambda code: self._execute_program(code, text), shown=False)

    def _execute_program(self, code: CodeType, text: str) -> BaseException | None:
        state = self._first_state()
        if self._restricted:
            made = program_builtins(self._builtins, self._output, lambda: self._namespace, text)
            state.namespace["__builtins__"] = made
            failure = self._execute(code, state)
        else:
            with replaced_streams(text):
                failure = self._execute(code, state)
        return None if ended_well(failure) else failure

    def _state_after(self, parent: int | None, on_replay: Callable[[int], None]) -> tuple[State, BaseException | None]:
        """An unshared copy of the state after `parent`, or the exception that stopped the repeated runs."""
        state, again = self._nearest_state(parent)
        if not again:
            return state, None
        on_replay(len(again))
        try:
            for each in again:
                failure = self._execute(self._nodes[each].code, state)
                if failure is not None:
                    return state, failure
            return self._shared(self._nodes[again[-1]], state), None
        finally:
            on_replay(0)

    def _execute_new(self, number: int, parent: int | None, code: CodeType, state: State) -> BaseException | None:
        failure = self._execute(code, state)
        if failure is None:
            self._nodes[number] = Node(parent, code, state)
        return failure

    def _run(
        self, source: str, name: str, execute: Callable[[CodeType], BaseException | None], shown: bool = True
    ) -> Outcome:
        """Compile `source` and `execute` it, which returns what stopped it."""
        self._output.clear()
        started = time.perf_counter()
        failure: BaseException | None
        try:
            code = compile_step(source, name, self._restricted, shown)
        except BaseException as refusal:  # from the parser or the language; hostile source can make them raise anything
            failure = refusal
        else:
            failure = execute(code)
        seconds = time.perf_counter() - started
        error = None if failure is None else describe(failure, source, name)
        output = without_addresses(self._output.text())
        return Outcome(output, error, seconds, isinstance(failure, MemoryError), worn=worn_by() is not None)

    def _nearest_state(self, parent: int | None) -> tuple[State, list[int]]:
        """A copy of the state of `parent` or its nearest ancestor with one, and the runs from there to `parent`."""
        again: list[int] = []
        while parent is not None:
            node = self._nodes[parent]
            state = copy(node)
            if state is not None:
                return state, again[::-1]
            again.append(parent)
            parent = node.parent
        return self._first_state(), again[::-1]

    def _first_state(self) -> State:
        namespace = {"__name__": OWN_MODULE, "__doc__": None, "__builtins__": self._builtins}
        return State(namespace, frozenset() if self._restricted else EVERY_MODULE)

    def _shared(self, node: Node, state: State) -> State:
        """Keep `state` for later children of `node` and return a copy; if that is impossible, return `state` itself."""
        if node.copyable:
            node.state = state
        try:
            return copy(node) or state
        except MemoryError:  # enough memory for only one
            node.state = None
            return state

    def _execute(self, code: CodeType, state: State) -> BaseException | None:
        """Run `code`, which changes `state`. Returns its exception, if any; `state` is then unusable."""
        self._namespace = state.namespace
        self.library.put_back(state.library)
        decimal.setcontext(state.context if state.context is not None else self._first_context.copy())
        handed_out.clear()
        sys.setrecursionlimit(state.recursion_limit)
        try:
            builtins.exec(code, state.namespace)
        except BaseException as error:  # including SystemExit and KeyboardInterrupt: a step may raise anything
            self.library.forget(state.modules | handed_out)
            return error
        finally:
            self._namespace = {}
            state.recursion_limit = sys.getrecursionlimit()
            sys.setrecursionlimit(RECURSION_LIMIT)  # not deeper: copying a state needs C's stack
        if not handed_out <= state.modules:
            state.modules |= handed_out
        state.library = self.library.read(state.modules)
        if "decimal" in state.modules:
            state.context = decimal.getcontext()
        return None

    def _make_builtins(self) -> dict[str, Any]:
        if self._restricted:
            return step_builtins(self._output, lambda: self._namespace)
        made = {**vars(builtins), "_show_": show_function(self._output)}
        add_to_library([made])
        return made


def copy(node: Node) -> State | None:
    """A copy of the node's state, or None if it has none or it cannot be copied."""
    if node.state is None:
        return None
    try:
        namespace, context = copy_namespace(node.state.namespace, node.state.context)
    except NotCopyable:
        pass
    else:
        return State(namespace, node.state.modules, node.state.library, context, node.state.recursion_limit)
    node.state, node.copyable = None, False
    gc.collect()  # as after a failure
    return None


def filename(number: int) -> str:
    """The file name in tracebacks: one for each run, so that lines are looked up in the right source."""
    return f"<step {number}>"
