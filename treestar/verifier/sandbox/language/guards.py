"""What a step meets at run time: its builtins, and the guards that attribute reads and writes go through.

The guards close the ways from ordinary objects to the interpreter (private and special attributes, modules, format
strings, three-argument `type`). They are the first wall of two; the limits on the process are the other.
"""

from __future__ import annotations

import builtins
import importlib
import operator
import string
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, cast

import sympy
from RestrictedPython.Guards import safe_builtins
from RestrictedPython.transformer import INSPECT_ATTRIBUTES

from treestar.verifier.sandbox.language.compiler import METHOD_NAMES, OWN_MODULE, NotAllowed, compile_expression, words
from treestar.verifier.sandbox.language.modules import (
    add_to_library,
    belongs_to_library,
    handed_out,
    import_module,
    import_star,
    is_facade,
    missing_attribute,
)

__all__ = ["DENIED_ATTRIBUTES", "Output", "guarded_getattr", "show_function", "step_builtins"]

DENIED_ATTRIBUTES = INSPECT_ATTRIBUTES | {"tofile", "dump", "ctypes", "cffi", "identify"}
"""Attributes no object may be asked for: they lead to frames, files, raw memory, or evaluate text."""

_TIME_DEPENDENT = {"now", "today", "utcnow"}
_NAMED_TUPLE_ATTRIBUTES = {"_asdict", "_replace", "_fields", "_make"}
_MISSING = object()

_PLAIN_BUILTINS = words(
    "all any ascii bin bytearray bytes classmethod dict enumerate filter float format frozenset int iter list map max "
    "min next object property reversed set sorted staticmethod str sum super tuple zip NotImplemented "
    "StopAsyncIteration RecursionError ModuleNotFoundError TimeoutError PermissionError FileNotFoundError"
)
_REFUSED_BUILTINS = words("open input exec compile globals locals vars dir breakpoint help exit quit memoryview")


class Output:
    """What a step prints: at most `limit` characters of it, the cut marked."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.clear()

    def clear(self) -> None:
        """Forget everything printed so far."""
        self._pieces: list[str] = []
        self._length = 0
        self._cut = False

    def write(self, text: str) -> int:
        """Append `text`, as far as there is room."""
        room = self._limit - self._length
        if len(text) > room:
            self._cut = True
        if room > 0 and text:
            self._pieces.append(text[:room])
            self._length += min(len(text), room)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def text(self) -> str:
        """The output so far."""
        mark = f"\n[output cut after {self._limit} characters]\n" if self._cut else ""
        return "".join(self._pieces) + mark


# --- attributes ------------------------------------------------------------------------------------------------------


def guarded_getattr(value: Any, name: str, default: Any = _MISSING) -> Any:
    """`getattr` for steps.

    Raises:
        NotAllowed: the attribute leads out of the sandbox.
        AttributeError: there is none of that name, and no default.
    """
    if type(name) is not str:
        raise TypeError("attribute name must be string")
    if isinstance(value, ModuleType) and not is_facade(value):
        raise NotAllowed(f"the module '{value.__name__}' may not be used in a step")
    if name == "__class__":
        return _type_of(value)
    if name.startswith("_"):
        _check_private(value, name)
    elif name in DENIED_ATTRIBUTES:
        raise NotAllowed(f"the attribute '{name}' may not be used in a step")
    elif name in {"format", "format_map"} and isinstance(value, super):
        raise NotAllowed(f"'{name}' may not be called through 'super' in a step")
    elif name in {"format", "format_map"} and _is_string(value):
        return _safe_format(value, name)
    elif name in _TIME_DEPENDENT and _is_date(value):
        raise NotAllowed(f"'{name}' may not be used in a step: its result would depend on when it runs")
    try:
        found = getattr(value, name)
    except AttributeError:
        if default is not _MISSING:
            return default
        if isinstance(value, ModuleType):
            raise missing_attribute(value, name) from None
        raise
    return _given(found, name) if isinstance(found, ModuleType) else found


def _given(module: ModuleType, name: str) -> ModuleType:
    """`module`, if a step may have it; that it now has it is noted."""
    if not is_facade(module):
        raise NotAllowed(f"the module '{name}' may not be reached through an attribute")
    handed_out.add(module.__name__)
    return module


def _check_private(value: Any, name: str) -> None:
    if name in {"__name__", "__doc__"} or (name in METHOD_NAMES and isinstance(value, super)):
        return
    if name in _NAMED_TUPLE_ATTRIBUTES and (isinstance(value, tuple) or _is_class(value, tuple)):
        return
    if (not name.startswith("__") or name in METHOD_NAMES) and _is_own(value, name):
        return
    raise NotAllowed(f"the attribute '{name}' of '{type(value).__name__}' may not be used: it is private")


def _is_own(value: Any, name: str) -> bool:
    """Whether the attribute `name` was made by a step: set on an instance of its class, or defined in the class."""
    kind: Any = value if isinstance(value, type) else type(value)
    if isinstance(value, super):
        kind = cast(Any, value).__self_class__
    if kind.__module__ != OWN_MODULE:
        return False
    if not isinstance(value, (type, super)) and name in getattr(value, "__dict__", ()):
        return True
    return any(name in vars(base) for base in kind.__mro__ if base.__module__ == OWN_MODULE)


def _is_class(value: Any, parent: type) -> bool:
    return isinstance(value, type) and issubclass(value, parent)


def _is_string(value: Any) -> bool:
    return isinstance(value, str) or _is_class(value, str)


def _is_date(value: Any) -> bool:
    kind = value if isinstance(value, type) else type(value)
    return any(base.__module__ == "datetime" for base in kind.__mro__)


def _guarded_write(value: Any) -> Any:
    """`value` itself, if a step may set its attributes or items.

    Raises:
        NotAllowed: it is a module, a class or function that is not the step's own, or something that all steps share.
    """
    if isinstance(value, ModuleType):
        raise NotAllowed(f"names of the module '{value.__name__}' may not be changed")
    if isinstance(value, (type, FunctionType)) and value.__module__ != OWN_MODULE:
        raise NotAllowed(f"attributes of '{value.__name__}' may not be changed")
    if belongs_to_library(value) or isinstance(value, sympy.Basic):
        raise NotAllowed(f"a '{type(value).__name__}' of the library may not be changed")
    return value


def _guarded_private_write(value: Any) -> Any:
    """As `_guarded_write`, for private names: only on the step's own classes and their instances."""
    kind = value if isinstance(value, type) else type(value)
    if kind.__module__ != OWN_MODULE:
        raise NotAllowed(f"private attributes of '{kind.__name__}' may not be changed")
    return value


def _check_written_name(value: Any, name: Any) -> Any:
    if type(name) is not str:
        raise TypeError("attribute name must be string")
    if name.startswith("__"):
        raise NotAllowed(f"the attribute '{name}' may not be changed")
    return _guarded_private_write(value) if name.startswith("_") else _guarded_write(value)


def _guarded_setattr(value: Any, name: str, new: Any) -> None:
    setattr(_check_written_name(value, name), name, new)


def _guarded_delattr(value: Any, name: str) -> None:
    delattr(_check_written_name(value, name), name)


def _guarded_hasattr(value: Any, name: str) -> bool:
    try:
        guarded_getattr(value, name)
    except (AttributeError, NotAllowed):
        return False
    return True


# --- format strings --------------------------------------------------------------------------------------------------


_split_field_name = cast(Any, importlib.import_module("_string")).formatter_field_name_split
"""What `string.Formatter` itself splits `0.name[key]` with."""


class _GuardedFormatter(string.Formatter):
    """`str.format` whose `{0.attribute}` fields go through the guard."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        """The object a replacement field names, and the argument it began with."""
        first, rest = _split_field_name(field_name)
        value = self.get_value(first, args, kwargs)
        for is_attribute, key in rest:
            value = guarded_getattr(value, key) if is_attribute else value[key]
        return value, first


def _safe_format(value: Any, name: str) -> Callable[..., str]:
    def format_from_mapping(template: str, mapping: Any) -> str:
        return _GuardedFormatter().vformat(str(template), (), mapping)

    def format_from_arguments(template: str, /, *args: Any, **kwargs: Any) -> str:
        return _GuardedFormatter().vformat(str(template), args, kwargs)

    function: Callable[..., str] = format_from_mapping if name == "format_map" else format_from_arguments
    if isinstance(value, type):
        return function
    return lambda *args, **kwargs: function(value, *args, **kwargs)


# --- builtins --------------------------------------------------------------------------------------------------------


def _type_of(value: Any, *rest: Any) -> Any:
    """One-argument `type`. Metaclasses are never given away: calling one makes classes unchecked."""
    if rest:
        raise NotAllowed("'type' with three arguments may not be used; write a class statement")
    return _type_of if isinstance(value, type) or value is _type_of else type(value)


def _import(name: str) -> ModuleType:
    import_module(name)
    return import_module(name.partition(".")[0])


def _import_from(name: str, *keys: str) -> list[Any]:
    module = import_module(name)
    return [_member(module, key) for key in keys]


def _member(module: ModuleType, key: str) -> Any:
    """What `from module import key` gives: a permitted name, or a permitted submodule."""
    if not hasattr(module, key):
        try:
            return import_module(f"{module.__name__}.{key}")
        except ImportError:
            error = missing_attribute(module, key)
            if isinstance(error, NotAllowed):
                raise error from None
            raise ImportError(f"cannot import name '{key}' from '{module.__name__}'") from None
    return guarded_getattr(module, key)


_IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "@=": operator.imatmul,
    "<<=": operator.ilshift,
    ">>=": operator.irshift,
    "|=": operator.ior,
    "^=": operator.ixor,
    "&=": operator.iand,
}


def _in_place(symbol: str, left: Any, right: Any) -> Any:
    return _IN_PLACE[symbol](left, right)


def _refused(name: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise NotAllowed(f"'{name}' may not be used in a step")

    refuse.__name__ = name
    return refuse


def _make_print(output: Output) -> Callable[..., None]:
    def print(
        *values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
    ) -> None:
        del flush  # nothing is held back
        if file is not None:
            raise NotAllowed("'print' with 'file' may not be used in a step")
        builtins.print(*values, sep=sep, end=end, file=output)

    return print


def show_function(output: Output) -> Callable[[Any], None]:
    """What compiled code hands the value of a last expression to."""

    def show(value: Any) -> None:
        """Print a last expression's value as a notebook would, unless the step has printed."""
        if value is not None and not output.text():
            output.write(repr(value) + "\n")

    return show


def _make_eval(namespace: Callable[[], dict[str, Any]]) -> Callable[..., Any]:
    def eval(source: str, variables: dict[str, Any] | None = None, more: dict[str, Any] | None = None) -> Any:
        """`eval` of an expression in the step's own language."""
        scope = dict(namespace())
        for given in (variables, more):
            for key, value in (given or {}).items():
                if type(key) is str and not key.startswith("_"):
                    scope[key] = value
        return builtins.eval(compile_expression(str(source)), scope)

    return eval


def step_builtins(output: Output, namespace: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The `__builtins__` of restricted steps: the guards that compiled code calls, and the builtins of Python.

    `namespace` gives the globals of the step that runs now; `eval` and star imports work there.
    """
    made = {
        **safe_builtins,
        **{name: getattr(builtins, name) for name in _PLAIN_BUILTINS},
        **{name: _refused(name) for name in _REFUSED_BUILTINS},
        "__import__": builtins.__import__,  # for numpy's C code, which looks here; steps cannot name it
        "print": _make_print(output),
        "eval": _make_eval(namespace),
        "type": _type_of,
        "getattr": guarded_getattr,
        "setattr": _guarded_setattr,
        "delattr": _guarded_delattr,
        "hasattr": _guarded_hasattr,
        "_getattr_": guarded_getattr,
        "_write_": _guarded_write,
        "_write_private_": _guarded_private_write,
        "_inplace_": _in_place,
        "_show_": show_function(output),
        "_import_": _import,
        "_import_submodule_": import_module,
        "_import_from_": _import_from,
        "_import_star_": lambda name: namespace().update(import_star(name)),
    }
    add_to_library([made, *made.values()])
    return made
