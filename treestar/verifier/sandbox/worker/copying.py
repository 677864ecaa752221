"""Copies the namespace that a step left, so that a child step can run in the copy and leave its parent as it was.

The copy must be what running the path again would give: two names of one list stay two names of one list, a view of
an array stays a view, functions find their globals in the copy, and a set keeps its order now and when it grows. What
cannot be copied like that (generators, the step's own classes and their instances, a memoised function with something
in its memory, ...) raises `NotCopyable`, and the path is run again instead. What nobody can change is shared.
"""

from __future__ import annotations

import collections
import copy
import datetime
import functools
import random
import re
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from types import BuiltinFunctionType, CellType, FunctionType, GenericAlias, MethodType, ModuleType
from typing import Any, ClassVar, TypeVar, cast

import numpy
import sympy

from treestar.verifier.sandbox.language.modules import SeededRandom, belongs_to_library
from treestar.verifier.sandbox.worker.sharing import is_library_class, is_shared

__all__ = ["NotCopyable", "copy_namespace"]

Namespace = dict[str, Any]
ValueT = TypeVar("ValueT")

ATOMS = frozenset(
    (
        *(int, float, complex, bool, str, bytes, type(None), range, type(...), type(NotImplemented), Decimal),
        *(datetime.date, datetime.timedelta, datetime.timezone, re.Pattern, TypeVar),
    )
)
"""Types whose values nobody can change, whatever they were made of."""

_MOST_ITEMS = 300_000
"""Of all containers together. Copying more may take longer than running the path again, which has time of its own."""


class NotCopyable(Exception):
    """The namespace holds something that a copy could not stand in for. The message says what."""


def copy_namespace(namespace: Namespace, context: Context | None) -> tuple[Namespace, Context | None]:
    """A copy of `namespace` in which code can run without being seen in `namespace`.

    `context` is the decimal context that was in effect; it is copied along, since a name may hold it, too.

    Raises:
        NotCopyable: something in it cannot be copied.
        MemoryError: there is no room for the copy.
    """
    copied = dict(namespace)
    copier = _Copier(namespace, copied)
    try:
        for name, value in namespace.items():
            if type(value) not in ATOMS and not belongs_to_library(value):
                copied[name] = copier.copy(value)
        return copied, copier.copy(context)
    except RecursionError as error:
        raise NotCopyable("it is nested too deeply") from error


class _Copier:
    """One copy in progress. `memo` maps the id of what was copied to its copy, for aliases and cycles."""

    def __init__(self, old: Namespace, new: Namespace) -> None:
        self.old = old
        self.new = new
        self.memo: dict[int, Any] = {}
        self.items = 0

    def count(self, items: int) -> None:
        """Say that so many items are about to be copied."""
        self.items += items
        if self.items > _MOST_ITEMS:
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
        copy_this_kind = _COPIERS.get(kind)
        if copy_this_kind is not None:
            return cast(ValueT, copy_this_kind(self, value))
        if is_shared(value):
            return value
        raise NotCopyable(f"a {kind.__name__} cannot be copied")

    def remember(self, value: object, copied: ValueT) -> ValueT:
        self.memo[id(value)] = copied
        return copied


# --- containers ------------------------------------------------------------------------------------------------------


def _all_atoms(values: Any) -> bool:
    return ATOMS.issuperset(map(type, values))


def _copy_list(copier: _Copier, value: list[Any]) -> list[Any]:
    copier.count(len(value))
    copied = copier.remember(value, value.copy())
    if not _all_atoms(value):
        copied[:] = map(copier.copy, value)
    return copied


def _copy_deque(copier: _Copier, value: collections.deque[Any]) -> collections.deque[Any]:
    copier.count(len(value))
    copied: collections.deque[Any] = copier.remember(value, collections.deque(maxlen=value.maxlen))
    copied.extend(map(copier.copy, value))
    return copied


def _copy_tuple(copier: _Copier, value: tuple[Any, ...]) -> tuple[Any, ...]:
    copier.count(len(value))
    if _all_atoms(value):
        return value
    parts = tuple(map(copier.copy, value))
    if all(part is old for part, old in zip(parts, value, strict=True)):
        return value
    copied: tuple[Any, ...] | None = copier.memo.get(id(value))  # a cycle may have copied it meanwhile
    return copied or copier.remember(value, parts)


def _copy_dict(copier: _Copier, value: dict[Any, Any]) -> dict[Any, Any]:
    copied = copier.remember(value, type(value)())
    return _fill(copier, value, copied)


def _copy_defaultdict(copier: _Copier, value: collections.defaultdict[Any, Any]) -> collections.defaultdict[Any, Any]:
    copied: collections.defaultdict[Any, Any] = copier.remember(value, collections.defaultdict())
    copied.default_factory = copier.copy(value.default_factory)
    _fill(copier, value, copied)
    return copied


def _fill(copier: _Copier, value: dict[Any, Any], copied: dict[Any, Any]) -> dict[Any, Any]:
    copier.count(len(value))
    if _all_atoms(value) and _all_atoms(value.values()):
        copied.update(value)
    else:
        for key, item in value.items():
            copied[copier.copy(key)] = copier.copy(item)
    return copied


def _copy_bytearray(copier: _Copier, value: bytearray) -> bytearray:
    return copier.remember(value, value.copy())


def _copy_frozenset(copier: _Copier, value: frozenset[Any]) -> frozenset[Any]:
    copier.count(len(value))
    if any(copier.copy(item) is not item for item in value):
        raise NotCopyable("a frozenset of things that are copied cannot keep its order")
    return value


def _copy_set(copier: _Copier, value: set[Any]) -> set[Any]:
    """A set's order depends on how it grew and shrank, so the copy is only good if it has the same inside."""
    _copy_frozenset(copier, value)  # type: ignore[arg-type]  # the same question
    wanted = _set_layout(value)
    for copied in (value.copy(), _grown_anew(value)):
        if _set_layout(copied) == wanted and all(map(_same, copied, value)):
            return copier.remember(value, copied)
    raise NotCopyable("this set's order depends on how it grew")


def _grown_anew(value: set[Any]) -> set[Any]:
    copied: set[Any] = set()
    for item in value:
        copied.add(item)
    return copied


def _same(first: Any, second: Any) -> bool:
    return first is second


class _At:
    """Lets numpy read words of memory: the fields of a set that decide its order and that Python does not show."""

    def __init__(self, address: int, words: int) -> None:
        self.__array_interface__ = {"data": (address, True), "shape": (words,), "typestr": "<i8", "version": 3}


def _set_layout(value: set[Any]) -> tuple[int, ...]:
    """Of CPython's `PySetObject`: entries ever used, entries in use, size of the table, where `pop` goes on."""
    fill, used, mask, _, _, finger = numpy.asarray(_At(id(value) + object.__basicsize__, 6)).tolist()
    return fill, used, mask, finger


# --- functions -------------------------------------------------------------------------------------------------------


def _copy_function(copier: _Copier, value: FunctionType) -> FunctionType:
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


def _copy_cell(copier: _Copier, value: CellType) -> CellType:
    copied = copier.remember(value, CellType())
    try:
        contents = value.cell_contents
    except ValueError:  # empty
        return copied
    copied.cell_contents = copier.copy(contents)
    return copied


def _copy_method(copier: _Copier, value: MethodType | BuiltinFunctionType) -> Any:
    """`items.append` of the copied `items`."""
    owner = value.__self__
    if owner is None or isinstance(owner, (ModuleType, type)):
        return value
    copied_owner = copier.copy(owner)
    return value if copied_owner is owner else getattr(copied_owner, value.__name__)


def _copy_partial(copier: _Copier, value: functools.partial[Any]) -> functools.partial[Any]:
    if value.__dict__:
        raise NotCopyable("a partial with attributes cannot be copied")
    arguments = map(copier.copy, value.args)
    named = copier.copy(value.keywords)
    return copier.remember(value, functools.partial(copier.copy(value.func), *arguments, **named))


_WRAPPED = ("__wrapped__", *functools.WRAPPER_ASSIGNMENTS, "cache_parameters")


def _copy_memoised(copier: _Copier, value: Any) -> Any:
    hits, misses, _, size = value.cache_info()
    if hits or misses or size or set(value.__dict__) - set(_WRAPPED):
        raise NotCopyable(f"the function '{value.__name__}' remembers results")
    parameters = value.cache_parameters()
    copied = functools.lru_cache(parameters["maxsize"], parameters["typed"])(copier.copy(value.__wrapped__))
    return copier.remember(value, copied)


# --- the libraries' own ----------------------------------------------------------------------------------------------


def _copy_array(copier: _Copier, value: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
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


def _copy_matrix(copier: _Copier, value: Any) -> Any:
    if not all(map(is_shared, value.flat())):
        raise NotCopyable("a matrix of things that a step made itself cannot be copied")
    return copier.remember(value, value.copy())


def _copy_context(copier: _Copier, value: Context) -> Context:
    return copier.remember(value, value.copy())


def _copy_random(copier: _Copier, value: random.Random) -> random.Random:
    copied = type(value)(0)
    copied.setstate(value.getstate())
    return copier.remember(value, copied)


def _copy_bit_generator(copier: _Copier, value: Any) -> Any:
    return copier.remember(value, copy.deepcopy(value))


def _copy_generator(copier: _Copier, value: numpy.random.Generator) -> numpy.random.Generator:
    return copier.remember(value, numpy.random.Generator(copier.copy(value.bit_generator)))


def _share_if(shareable: Callable[[Any], bool]) -> Callable[[_Copier, Any], Any]:
    """For types whose values nobody can change, unless they were made of something that a step can."""

    def share(_: _Copier, value: Any) -> Any:
        if not shareable(value):
            raise NotCopyable(f"this {type(value).__name__} is made of something that can change")
        return value

    return share


def _has_plain_zone(value: datetime.datetime | datetime.time) -> bool:
    return value.tzinfo is None or type(value.tzinfo) is datetime.timezone


_COPIERS: dict[type, Callable[[_Copier, Any], Any]] = {
    Fraction: _share_if(lambda value: type(value.numerator) is int is type(value.denominator)),
    datetime.datetime: _share_if(_has_plain_zone),
    datetime.time: _share_if(_has_plain_zone),
    re.Match: _share_if(lambda value: type(value.string) in (str, bytes)),
    GenericAlias: _share_if(lambda value: all(map(is_library_class, value.__args__))),
    type(ClassVar[int]): _share_if(lambda value: all(map(is_library_class, value.__args__))),
    list: _copy_list,
    tuple: _copy_tuple,
    dict: _copy_dict,
    set: _copy_set,
    frozenset: _copy_frozenset,
    bytearray: _copy_bytearray,
    collections.deque: _copy_deque,
    collections.Counter: _copy_dict,
    collections.OrderedDict: _copy_dict,
    collections.defaultdict: _copy_defaultdict,
    FunctionType: _copy_function,
    CellType: _copy_cell,
    MethodType: _copy_method,
    BuiltinFunctionType: _copy_method,
    functools.partial: _copy_partial,
    type(functools.lru_cache(lambda: None)): _copy_memoised,
    numpy.ndarray: _copy_array,
    sympy.MutableDenseMatrix: _copy_matrix,
    sympy.MutableSparseMatrix: _copy_matrix,
    Context: _copy_context,
    random.Random: _copy_random,
    SeededRandom: _copy_random,
    numpy.random.PCG64: _copy_bit_generator,
    numpy.random.MT19937: _copy_bit_generator,
    numpy.random.Generator: _copy_generator,
}
