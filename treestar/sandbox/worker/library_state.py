"""Internal state of the libraries that a step can change: random number generators, settings, counters.

It is part of the interpreter state after a step, like its variables, so it is saved with them and restored before a
child step runs. Only parts that a path of steps can have changed are checked, based on the modules that it received.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any

import numpy
import sympy.core.random
from sympy.assumptions.assume import global_assumptions
from sympy.core.parameters import global_parameters

__all__ = ["EVERY_MODULE", "LibraryState", "LibraryValues"]

LibraryValues = dict[str, Any]
"""The value of each part that a path can have changed, by the part's name. Immutable, so states share them."""


@dataclass(frozen=True)
class Part:
    """One part of a library's internal state."""

    modules: frozenset[str]
    """Code without any of these modules cannot change it."""
    read: Callable[[], Any]
    write: Callable[[Any], None]


def random_part(generator: random.Random, *modules: str) -> Part:
    """The state of a generator, packed: Python's representation takes ten times the memory."""

    def read() -> Any:
        version, numbers, gauss = generator.getstate()
        return version, array("I", numbers).tobytes(), gauss

    def write(value: Any) -> None:
        version, packed, gauss = value
        generator.setstate((version, tuple(array("I", packed)), gauss))

    return Part(frozenset(modules), read, write)


def numpy_random() -> Any:
    state: Any = numpy.random.get_state()
    name, keys, position, has_gauss, cached = state
    return name, keys.tobytes(), position, has_gauss, cached


def set_numpy_random(value: Any) -> None:
    name, keys, *rest = value
    numpy.random.set_state((name, numpy.frombuffer(keys, numpy.uint32), *rest))


def numpy_settings() -> Any:
    return numpy.get_printoptions(), numpy.geterr(), numpy.getbufsize()


def set_numpy_settings(value: Any) -> None:
    print_options, errors, buffer_size = value
    numpy.set_printoptions(**print_options)
    numpy.seterr(**errors)
    numpy.setbufsize(buffer_size)


def sympy_settings() -> Any:
    parameters = global_parameters.evaluate, global_parameters.distribute, global_parameters.exp_is_pow
    return sympy.Dummy._count, frozenset(global_assumptions), parameters


def set_sympy_settings(value: Any) -> None:
    sympy.Dummy._count, assumptions, parameters = value
    if assumptions != global_assumptions:
        global_assumptions.clear()
        global_assumptions.update(assumptions)
    global_parameters.evaluate, global_parameters.distribute, global_parameters.exp_is_pow = parameters


PARTS = {
    "random": random_part(random._inst, "random", "statistics", "sympy"),
    "numpy.random": Part(frozenset({"numpy.random"}), numpy_random, set_numpy_random),
    "numpy": Part(frozenset({"numpy"}), numpy_settings, set_numpy_settings),
    "sympy.random": random_part(sympy.core.random.rng, "sympy"),
    "sympy.assumptions": random_part(sympy.core.random._assumptions_rng, "sympy"),
    "sympy": Part(frozenset({"sympy"}), sympy_settings, set_sympy_settings),
}

EVERY_MODULE = frozenset({"decimal"}).union(*(part.modules for part in PARTS.values()))
"""The modules with state that a step can change; the decimal context is kept with the variables."""


class LibraryState:
    """Switches the libraries of this process between the states of different nodes."""

    def __init__(self) -> None:
        """Take the current state as that of a fresh interpreter."""
        self._initial = {name: part.read() for name, part in PARTS.items()}
        self._in_effect = dict(self._initial)

    def put_back(self, values: LibraryValues) -> None:
        """Restore the libraries to `values`; missing parts get their state in a fresh interpreter."""
        for name, part in PARTS.items():
            wanted = values.get(name, self._initial[name])
            if self._in_effect.get(name) is not wanted:
                part.write(wanted)
                self._in_effect[name] = wanted

    def read(self, modules: Set[str]) -> LibraryValues:
        """The current state of the parts that code with access to `modules` can change. Unchanged values are shared."""
        values = {}
        for name, part in PARTS.items():
            if not part.modules.isdisjoint(modules):
                before, now = self._in_effect.get(name), part.read()
                values[name] = self._in_effect[name] = before if equal(before, now) else now
        return values

    def forget(self, modules: Set[str]) -> None:
        """After code with access to `modules` failed: make the next `put_back` restore all that it may have changed."""
        for name, part in PARTS.items():
            if not part.modules.isdisjoint(modules):
                self._in_effect.pop(name, None)


def equal(before: Any, now: Any) -> bool:
    """Whether two values are certainly equal; a step's own objects may claim to equal anything."""
    return plain(before) and plain(now) and before == now


def plain(value: Any) -> bool:
    """Whether `value` consists only of Python's built-in types. Of sets, only the empty set counts."""
    kind = type(value)
    if kind is tuple:
        return all(map(plain, value))
    if kind is dict:
        return all(map(plain, value.values()))
    return kind in PLAIN_TYPES or (kind is frozenset and not value)


PLAIN_TYPES = (int, float, str, bool, bytes, type(None))
