"""The interpreter of one tree: runs code in the state of any node and keeps the state that each run left.

A child runs in a copy of its parent's namespace. Where that cannot be copied, and where this process never had it, the
nearest ancestor's is copied and the codes from there on are run again; so every run gives what running its whole path
in a fresh interpreter gives.
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

from treestar.verifier.sandbox.language.compiler import OWN_MODULE, compile_freely, compile_step
from treestar.verifier.sandbox.language.guards import Output, show_function, step_builtins
from treestar.verifier.sandbox.language.modules import add_to_library, handed_out
from treestar.verifier.sandbox.language.wear import forget_wear, worn_by
from treestar.verifier.sandbox.worker.copying import NotCopyable, copy_namespace
from treestar.verifier.sandbox.worker.errors import describe, without_addresses
from treestar.verifier.sandbox.worker.library_state import EVERY_MODULE, LibraryState, LibraryValues

__all__ = ["Interpreter", "Outcome"]

RECURSION_LIMIT = 5000
"""Deep enough for the recursions that models write after `sys.setrecursionlimit(10**6)`, which does nothing here."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did."""

    output: str
    error: str | None
    seconds: float
    """Of the new code alone, compiling it included."""
    doubtful: bool = False
    """It failed in a way that what this process did before may have caused: a fresh one may do better."""
    worn: bool = False
    """It left a mark on the libraries, so this process is no good for other branches any more."""


@dataclass(slots=True)
class State:
    """An interpreter state: the variables, and what the libraries keep for themselves."""

    namespace: dict[str, Any]
    modules: frozenset[str] = frozenset()
    """The modules that the path was given."""
    library: LibraryValues = field(default_factory=dict)
    context: decimal.Context | None = None
    """The decimal context, where the path has the decimal module."""


@dataclass(slots=True)
class Node:
    """A run of the tree."""

    parent: int | None
    code: CodeType
    state: State | None = None
    """What the code left behind. None: not known here, or not to be copied."""
    copyable: bool = True


class Interpreter:
    """Runs code in the states of a tree of runs. One per process: it owns the process's standard output and libraries.

    `restricted`: in the language of steps; otherwise in all of Python.
    """

    def __init__(self, output_limit: int, restricted: bool) -> None:
        self._restricted = restricted
        self._nodes: dict[int, Node] = {}
        self._output = Output(output_limit)
        self._namespace: dict[str, Any] = {}
        """The globals of the code that runs now."""
        self._builtins = self._make_builtins()
        sys.setrecursionlimit(RECURSION_LIMIT)
        random.seed(0)  # a fork seeds it anew
        self.library = LibraryState()
        self._first_context = decimal.getcontext().copy()
        sys.stdout = sys.stderr = self._output  # sympy's pprint writes there
        sys.modules[OWN_MODULE] = ModuleType(OWN_MODULE)

    def learn(self, number: int, parent: int | None, source: str) -> None:
        """Add the run `number`, which happened in another process. Raises what compiling `source` raises."""
        self._nodes[number] = Node(parent, self._compile(source, number))

    def run(self, number: int, parent: int | None, source: str, on_replay: Callable[[int], None]) -> Outcome:
        """Run `source` in the state that the run `parent` left, as the run `number`, which is kept if it succeeds.

        Args:
            on_replay: called with the number of runs that are to be run again first, and with 0 when they are done.
        """
        forget_wear()
        try:
            state, failure = self._state_after(parent, on_replay)
        except MemoryError:
            return Outcome("", "MemoryError", 0.0, doubtful=True)
        if failure is not None:
            return Outcome("", f"an earlier step failed when it was run again: {failure}", 0.0, doubtful=True)
        outcome = self._run_new(number, parent, source, state)
        if outcome.error is not None:
            del state
            gc.collect()  # generators of the dead namespace end now, not in the middle of another step
        return outcome

    def _state_after(self, parent: int | None, on_replay: Callable[[int], None]) -> tuple[State, BaseException | None]:
        """A state like the one after `parent` that nobody else holds; or what stopped the runs that lead there."""
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

    def _run_new(self, number: int, parent: int | None, source: str, state: State) -> Outcome:
        self._output.clear()
        started = time.perf_counter()
        failure: BaseException | None
        try:
            code = self._compile(source, number)
        except BaseException as refusal:  # of the parser or the language, and whatever hostile source makes them raise
            failure = refusal
        else:
            failure = self._execute(code, state)
        if failure is None:
            self._nodes[number] = Node(parent, code, state)
        seconds = time.perf_counter() - started
        error = None if failure is None else describe(failure, source, filename(number))
        output = without_addresses(self._output.text())
        return Outcome(output, error, seconds, isinstance(failure, MemoryError), worn=worn_by() is not None)

    def _nearest_state(self, parent: int | None) -> tuple[State, list[int]]:
        """A copy of the state of `parent` or of its nearest ancestor that has one, and the runs from there to it."""
        again: list[int] = []
        while parent is not None:
            node = self._nodes[parent]
            state = copy(node)
            if state is not None:
                return state, again[::-1]
            again.append(parent)
            parent = node.parent
        namespace = {"__name__": OWN_MODULE, "__doc__": None, "__builtins__": self._builtins}
        return State(namespace, frozenset() if self._restricted else EVERY_MODULE), again[::-1]

    def _shared(self, node: Node, state: State) -> State:
        """Keep `state` for the later children of `node` and give a copy; where it cannot be copied, give it away."""
        if node.copyable:
            node.state = state
        try:
            return copy(node) or state
        except MemoryError:  # there is room for one
            node.state = None
            return state

    def _execute(self, code: CodeType, state: State) -> BaseException | None:
        """Run `code`, which changes `state`. Returns what it raised; `state` is then good for nothing."""
        self._namespace = state.namespace
        self.library.put_back(state.library)
        decimal.setcontext(state.context if state.context is not None else self._first_context.copy())
        handed_out.clear()
        try:
            builtins.exec(code, state.namespace)
        except BaseException as error:  # SystemExit and KeyboardInterrupt, too: the step may raise what it likes
            self.library.forget(state.modules | handed_out)
            return error
        finally:
            self._namespace = {}
        if not handed_out <= state.modules:
            state.modules |= handed_out
        state.library = self.library.read(state.modules)
        if "decimal" in state.modules:
            state.context = decimal.getcontext()
        return None

    def _compile(self, source: str, number: int) -> CodeType:
        return (compile_step if self._restricted else compile_freely)(source, filename(number))

    def _make_builtins(self) -> dict[str, Any]:
        if self._restricted:
            return step_builtins(self._output, lambda: self._namespace)
        made = {**vars(builtins), "_show_": show_function(self._output)}
        add_to_library([made])
        return made


def copy(node: Node) -> State | None:
    """A copy of the node's state, or None where it has none that can be copied."""
    if node.state is None:
        return None
    try:
        namespace, context = copy_namespace(node.state.namespace, node.state.context)
    except NotCopyable:
        pass
    else:
        return State(namespace, node.state.modules, node.state.library, context)
    node.state, node.copyable = None, False
    gc.collect()  # as after a failure
    return None


def filename(number: int) -> str:
    """The file that tracebacks name: one for each run, so that a line is looked for in the right one."""
    return f"<step {number}>"
