"""The classes of steps: their allowed base classes, and a safe replacement of numpy's array class."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from types import GenericAlias, resolve_bases
from typing import Any

import numpy
import sympy

from treestar.sandbox.language.compiler import OWN_MODULE, NotAllowed, words
from treestar.sandbox.language.wear import wear

__all__ = ["Array", "build_class", "is_builtin_base"]

BUILTIN_BASES = frozenset({object, list, dict, set, frozenset, tuple, str, int, float, complex})
BASE_MODULES = frozenset(
    words("abc collections collections.abc datetime decimal enum fractions numbers random typing")  # of base classes
)


class ArrayKind(type):
    """Makes `Array` look like `numpy.ndarray` in type checks and comparisons."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, numpy.ndarray)

    def __subclasscheck__(cls, kind: type) -> bool:
        return kind is cls or issubclass(kind, numpy.ndarray)

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise NotAllowed("'numpy.ndarray' may not be called: it reads any memory; use 'numpy.array' or 'numpy.zeros'")

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_") or not hasattr(numpy.ndarray, name):  # an error of its own: numpy's holds the class
            raise AttributeError(f"type object 'numpy.ndarray' has no attribute '{name}'")
        return getattr(numpy.ndarray, name)

    def __repr__(cls) -> str:
        return repr(numpy.ndarray)


class Array(metaclass=ArrayKind):
    """Replaces `numpy.ndarray` in steps, because its constructor can interpret a buffer as addresses of objects."""

    __module__ = "numpy"
    __qualname__ = "ndarray"
    __class_getitem__: Any = classmethod(GenericAlias)


Array.__name__ = "ndarray"


def build_class(body: Callable[[], Any], name: str, *bases: Any) -> Any:
    """Replaces `__build_class__`, which class statements call.

    Raises:
        NotAllowed: a base class is unsafe: its constructor, or a library's use of its attributes, escapes the sandbox.
    """
    for base in resolve_bases(bases):
        if not isinstance(base, type):
            raise TypeError(f"a class cannot derive from a '{type(base).__name__}'")
        if issubclass(base, GenericAlias):  # its objects pass reads of attributes on, unguarded
            raise NotAllowed(f"a class may not derive from '{base.__name__}'")
        if issubclass(base, sympy.Basic):
            wear(f"'{name}' derives from a sympy class, and sympy's caches use equality")
        elif base.__module__ not in BASE_MODULES | {OWN_MODULE} and not is_builtin_base(base):
            raise NotAllowed(f"a class may not derive from '{base.__name__}'")
    made = builtins.__build_class__(body, name, *bases)
    if isinstance(made, type) and {"__eq__", "__hash__"} <= vars(made).keys() and vars(made)["__hash__"] is not None:
        wear(f"'{name}' defines its own equality, which libraries use to cache results")
    return made


def is_builtin_base(kind: Any) -> bool:
    """Whether `kind` is a built-in class that the step's own classes may derive from."""
    return isinstance(kind, type) and (kind in BUILTIN_BASES or issubclass(kind, BaseException))
