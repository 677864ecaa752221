"""Copies the namespace after a step, so that a child step can run in the copy without changing its parent's state.

The copy must equal the result of running the path again: two names of one list stay two names of one list, a view of
an array stays a view, functions use the globals of the copy, and a set keeps its order now and when it grows. Values
that cannot be copied like this (generators, the step's own classes and their instances, a memoized function with cached
results, ...) raise `NotCopyable`, and the path is run again instead. Immutable values are shared.
"""

from __future__ import annotations

import collections
import copy
import datetime
import functools
import operator
import random
import re
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from types import BuiltinFunctionType, CellType, FunctionType, GenericAlias, MethodType, ModuleType
from typing import Any, ClassVar, TypeVar, cast

import numpy
import sympy

from treestar.sandbox.language.modules import SeededRandom, belongs_to_library
from treestar.sandbox.worker.sharing import is_library_class, is_shared

__all__ = ["NotCopyable", "copy_namespace"]

Namespace = dict[str, Any]
ValueT = TypeVar("ValueT")

ATOMS = frozenset(
    (
        *(int, float, complex, bool, str, bytes, type(None), range, type(...), type(NotImplemented), Decimal),
        *(datetime.date, datetime.timedelta, datetime.timezone, re.Pattern, TypeVar),
    )
)
"""Types whose values are always immutable, including everything inside them."""

MOST_ITEMS = 300_000
"""Maximum total items in all containers. Copying more may take longer than running the path again, which has a
separate time limit."""


class NotCopyable(Exception):
    """The namespace holds a value that cannot be copied faithfully. The message names it."""


def copy_namespace(namespace: Namespace, context: Context | None) -> tuple[Namespace, Context | None]:
    """A copy of `namespace`; code that runs in the copy does not affect `namespace`.

    `context` is the active decimal context. It is copied too, because a variable may refer to it.

    Raises:
        NotCopyable: `namespace` holds a value that cannot be copied.
        MemoryError: not enough memory for the copy.
    """
    copied = dict(namespace)
    copier = Copier(namespace, copied)
    try:
        for name, value in namespace.items():
            if type(value) not in ATOMS and not belongs_to_library(value):
                copied[name] = copier.copy(value)
        return copied, copier.copy(context)
    except RecursionError as error:
        raise NotCopyable("it is nested too deeply") from error


class Copier:
    """One copy in progress. `memo` maps the id of each copied object to its copy, for aliases and cycles."""

    def __init__(self, old: Namespace, new: Namespace) -> None:
        self.old = old
        self.new = new
        self.memo: dict[int, Any] = {}
        self.items = 0

    def count(self, items: int) -> None:
        """Count `items` that are about to be copied. Raises NotCopyable beyond `MOST_ITEMS`."""
        self.items += items
        if self.items > MOST_ITEMS:
            raise NotCopyable("there is too much of it")

    def copy(self, value: ValueT) -> ValueT:
        kind = type(value)
        if kind in ATOMS:
            return value
        found = self.memo.get(id(value))
        if found is not None:
            return cast(ValueT, found)
        if belongs_to_library(value):
            return value
        copy_this_kind = COPIERS.get(kind)
        if copy_this_kind is not None:
            return cast(ValueT, copy_this_kind(self, value))
        if is_shared(value):
            return value
        raise NotCopyable(f"a {kind.__name__} cannot be copied")

    def remember(self, value: object, copied: ValueT) -> ValueT:
        self.memo[id(value)] = copied
        return copied


# --- containers ------------------------------------------------------------------------------------------------------


def all_atoms(values: Any) -> bool:
    return ATOMS.issuperset(map(type, values))


def copy_list(copier: Copier, value: list[Any]) -> list[Any]:
    copier.count(len(value))
    copied = copier.remember(value, value.copy())
    if not all_atoms(value):
        copied[:] = map(copier.copy, value)
    return copied


def copy_deque(copier: Copier, value: collections.deque[Any]) -> collections.deque[Any]:
    copier.count(len(value))
    copied: collections.deque[Any] = copier.remember(value, collections.deque(maxlen=value.maxlen))
    copied.extend(map(copier.copy, value))
    return copied


def copy_tuple(copier: Copier, value: tuple[Any, ...]) -> tuple[Any, ...]:
    copier.count(len(value))
    if all_atoms(value):
        return value
    parts = tuple(map(copier.copy, value))
    if all(part is old for part, old in zip(parts, value, strict=True)):
        return value
    copied: tuple[Any, ...] | None = copier.memo.get(id(value))  # a cycle may have copied it in the meantime
    return copied or copier.remember(value, parts)


def copy_dict(copier: Copier, value: dict[Any, Any]) -> dict[Any, Any]:
    copied = copier.remember(value, type(value)())
    return fill_copy(copier, value, copied)


def copy_defaultdict(copier: Copier, value: collections.defaultdict[Any, Any]) -> collections.defaultdict[Any, Any]:
    copied: collections.defaultdict[Any, Any] = copier.remember(value, collections.defaultdict())
    copied.default_factory = copier.copy(value.default_factory)
    fill_copy(copier, value, copied)
    return copied


def fill_copy(copier: Copier, value: dict[Any, Any], copied: dict[Any, Any]) -> dict[Any, Any]:
    copier.count(len(value))
    if all_atoms(value) and all_atoms(value.values()):
        copied.update(value)
    else:
        for key, item in value.items():
            copied[copier.copy(key)] = copier.copy(item)
    return copied


def copy_by_itself(copier: Copier, value: Any) -> Any:
    """For types whose `copy` method gives a whole copy."""
    return copier.remember(value, value.copy())


def copy_frozenset(copier: Copier, value: frozenset[Any]) -> frozenset[Any]:
    copier.count(len(value))
    if any(copier.copy(item) is not item for item in value):
        raise NotCopyable("a frozenset of things that are copied cannot keep its order")
    return value


def copy_set(copier: Copier, value: set[Any]) -> set[Any]:
    """A set's order depends on how it grew and shrank, so the copy is valid only if its internal layout is the same."""
    copy_frozenset(copier, value)  # type: ignore[arg-type]  # the same question
    wanted = set_layout(value)
    for copied in (value.copy(), set(iter(value))):  # as it is, or grown again item by item
        if set_layout(copied) == wanted and all(map(operator.is_, copied, value)):
            return copier.remember(value, copied)
    raise NotCopyable("this set's order depends on how it grew")


class At:
    """Lets numpy read memory words: the internal fields of a set that determine its order."""

    def __init__(self, address: int, words: int) -> None:
        self.__array_interface__ = {"data": (address, True), "shape": (words,), "typestr": "<i8", "version": 3}


def set_layout(value: set[Any]) -> tuple[int, ...]:
    """Fields of CPython's `PySetObject`: entries ever used, entries in use, table size, where `pop` continues."""
    fill, used, mask, _, _, finger = numpy.asarray(At(id(value) + object.__basicsize__, 6)).tolist()
    return fill, used, mask, finger


# --- functions -------------------------------------------------------------------------------------------------------


def copy_function(copier: Copier, value: FunctionType) -> FunctionType:
    if value.__globals__ is not copier.old:
        raise NotCopyable(f"the function '{value.__name__}' was not made by a step")
    closure = value.__closure__ and tuple(map(copier.copy, value.__closure__))
    copied = FunctionType(value.__code__, copier.new, value.__name__, None, closure)
    copier.remember(value, copied)
    copied.__defaults__ = value.__defaults__ and tuple(map(copier.copy, value.__defaults__))
    copied.__kwdefaults__ = copier.copy(value.__kwdefaults__)
    copied.__qualname__, copied.__doc__ = value.__qualname__, value.__doc__
    copied.__dict__.update(copier.copy(value.__dict__))
    return copied


def copy_cell(copier: Copier, value: CellType) -> CellType:
    copied = copier.remember(value, CellType())
    try:
        contents = value.cell_contents
    except ValueError:  # empty
        return copied
    copied.cell_contents = copier.copy(contents)
    return copied


def copy_method(copier: Copier, value: MethodType | BuiltinFunctionType) -> Any:
    """The bound method of the copied object, such as `items.append` of the copied `items`."""
    owner = value.__self__
    if owner is None or isinstance(owner, (ModuleType, type)):
        return value
    copied_owner = copier.copy(owner)
    return value if copied_owner is owner else getattr(copied_owner, value.__name__)


def copy_partial(copier: Copier, value: functools.partial[Any]) -> functools.partial[Any]:
    if value.__dict__:
        raise NotCopyable("a partial with attributes cannot be copied")
    arguments = map(copier.copy, value.args)
    named = copier.copy(value.keywords)
    return copier.remember(value, functools.partial(copier.copy(value.func), *arguments, **named))


WRAPPED = ("__wrapped__", *functools.WRAPPER_ASSIGNMENTS, "cache_parameters")


def copy_memoised(copier: Copier, value: Any) -> Any:
    if (
        getattr(value.__dict__.get("cache_parameters"), "__module__", None) != "functools"
    ):  # its own code would run here
        raise NotCopyable(f"'{type(value).__name__}' was called by a step")
    hits, misses, _, size = value.cache_info()
    if hits or misses or size or set(value.__dict__) - set(WRAPPED):
        raise NotCopyable(f"the function '{value.__name__}' remembers results")
    parameters = value.cache_parameters()
    copied = functools.lru_cache(parameters["maxsize"], parameters["typed"])(copier.copy(value.__wrapped__))
    return copier.remember(value, copied)


# --- the libraries' own ----------------------------------------------------------------------------------------------


def copy_array(copier: Copier, value: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    if value.dtype.hasobject or value.dtype.fields is not None:
        raise NotCopyable("an array of objects or records cannot be copied")
    copier.count(value.nbytes // 64)
    if value.base is None:
        copied = value.copy(order="K")
        if copied.strides != value.strides:
            raise NotCopyable("an array with gaps cannot be copied")
    else:
        if type(value.base) is not numpy.ndarray or not value.base.flags.c_contiguous:
            raise NotCopyable("a view of something unusual cannot be copied")
        offset = value.__array_interface__["data"][0] - value.base.__array_interface__["data"][0]
        base = copier.copy(value.base)
        copied = numpy.ndarray(value.shape, value.dtype, base, offset, value.strides)
    if copied.flags.writeable and not value.flags.writeable:
        copied.flags.writeable = False
    if copied.flags.writeable != value.flags.writeable:
        raise NotCopyable("a view that may write to an array that may not be written cannot be copied")
    return copier.remember(value, copied)


def copy_matrix(copier: Copier, value: Any) -> Any:
    if not all(map(is_shared, value.flat())):
        raise NotCopyable("a matrix of things that a step made itself cannot be copied")
    return copier.remember(value, value.copy())


def copy_random(copier: Copier, value: random.Random) -> random.Random:
    copied = type(value)(0)
    copied.setstate(value.getstate())
    return copier.remember(value, copied)


def copy_bit_generator(copier: Copier, value: Any) -> Any:
    return copier.remember(value, copy.deepcopy(value))


def copy_generator(copier: Copier, value: numpy.random.Generator) -> numpy.random.Generator:
    return copier.remember(value, numpy.random.Generator(copier.copy(value.bit_generator)))


def share_if(shareable: Callable[[Any], bool]) -> Callable[[Copier, Any], Any]:
    """For types whose values are immutable unless they contain something that a step can change."""

    def share(_: Copier, value: Any) -> Any:
        if not shareable(value):
            raise NotCopyable(f"this {type(value).__name__} is made of something that can change")
        return value

    return share


def has_plain_zone(value: datetime.datetime | datetime.time) -> bool:
    return value.tzinfo is None or type(value.tzinfo) is datetime.timezone


COPIERS: dict[type, Callable[[Copier, Any], Any]] = {
    Fraction: share_if(lambda value: type(value.numerator) is int is type(value.denominator)),
    datetime.datetime: share_if(has_plain_zone),
    datetime.time: share_if(has_plain_zone),
    re.Match: share_if(lambda value: type(value.string) in (str, bytes)),
    GenericAlias: share_if(lambda value: all(map(is_library_class, value.__args__))),
    type(ClassVar[int]): share_if(lambda value: all(map(is_library_class, value.__args__))),
    list: copy_list,
    tuple: copy_tuple,
    dict: copy_dict,
    set: copy_set,
    frozenset: copy_frozenset,
    bytearray: copy_by_itself,
    collections.deque: copy_deque,
    collections.Counter: copy_dict,
    collections.OrderedDict: copy_dict,
    collections.defaultdict: copy_defaultdict,
    FunctionType: copy_function,
    CellType: copy_cell,
    MethodType: copy_method,
    BuiltinFunctionType: copy_method,
    functools.partial: copy_partial,
    type(functools.lru_cache(lambda: None)): copy_memoised,
    numpy.ndarray: copy_array,
    sympy.MutableDenseMatrix: copy_matrix,
    sympy.MutableSparseMatrix: copy_matrix,
    Context: copy_by_itself,
    random.Random: copy_random,
    SeededRandom: copy_random,
    numpy.random.PCG64: copy_bit_generator,
    numpy.random.MT19937: copy_bit_generator,
    numpy.random.Generator: copy_generator,
}
