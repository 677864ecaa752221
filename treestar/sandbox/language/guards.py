"""The run-time environment of a step: its builtins, including the guards that compiled code calls.

They are the first of two layers of protection; the limits on the process are the second.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

from RestrictedPython.Guards import safe_builtins

from treestar.sandbox.language.attributes import (
    guarded_attribute_write,
    guarded_delattr,
    guarded_getattr,
    guarded_hasattr,
    guarded_setattr,
    guarded_write,
    type_of,
)
from treestar.sandbox.language.classes import build_class
from treestar.sandbox.language.compiler import NotAllowed, compile_expression, words
from treestar.sandbox.language.modules import add_to_library, import_module, import_star, missing_attribute
from treestar.sandbox.language.patterns import matched

__all__ = ["Output", "import_guards", "show_function", "step_builtins"]

PLAIN_BUILTINS = words(
    "all any ascii bin bytearray bytes classmethod dict enumerate filter float format frozenset int iter list map max "
    "min next object property reversed set sorted staticmethod str sum super tuple zip NotImplemented "
    "StopAsyncIteration RecursionError ModuleNotFoundError TimeoutError PermissionError FileNotFoundError"
)
REFUSED_BUILTINS = words("open input exec compile globals locals vars dir breakpoint help exit quit memoryview")


class Output:
    """The printed output of a step, cut to `limit` characters with a mark at the cut."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.clear()

    def clear(self) -> None:
        """Forget everything printed so far."""
        self._pieces: list[str] = []
        self._length = 0
        self._cut = False

    def write(self, text: str) -> int:
        """Append `text`, up to the limit."""
        room = self._limit - self._length
        if len(text) > room:
            self._cut = True
        if room > 0 and text:
            self._pieces.append(text[:room])
            self._length += min(len(text), room)
        return len(text)

    def flush(self) -> None:
        """Do nothing: output is not buffered."""

    def text(self) -> str:
        """The output so far."""
        mark = f"\n[output cut after {self._limit} characters]\n" if self._cut else ""
        return "".join(self._pieces) + mark


# --- builtins --------------------------------------------------------------------------------------------------------


def import_guards(load: Callable[[str], ModuleType]) -> dict[str, Callable[..., Any]]:
    """The guards that import statements call, for a `load` that returns the module of a dotted name."""

    def load_root(name: str) -> ModuleType:
        load(name)
        return load(name.partition(".")[0])

    def load_members(name: str, *keys: str) -> list[Any]:
        module = load(name)
        return [member(module, key) for key in keys]

    return {"_import_": load_root, "_import_submodule_": load, "_import_from_": load_members}


def member(module: ModuleType, key: str) -> Any:
    """The result of `from module import key`: a permitted name or a permitted submodule."""
    if not hasattr(module, key):
        try:
            return import_module(f"{module.__name__}.{key}")
        except ImportError:
            error = missing_attribute(module, key)
            if isinstance(error, NotAllowed):
                raise error from None
            raise ImportError(f"cannot import name '{key}' from '{module.__name__}'") from None
    return guarded_getattr(module, key)


IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
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


def refused(name: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise NotAllowed(f"'{name}' may not be used in a step")

    refuse.__name__ = name
    return refuse


def make_print(output: Output) -> Callable[..., None]:
    def print(
        *values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
    ) -> None:
        del flush  # output is not buffered
        if file is not None:
            raise NotAllowed("'print' with 'file' may not be used in a step")
        builtins.print(*values, sep=sep, end=end, file=output)

    return print


def show_function(output: Output) -> Callable[[Any], None]:
    """The function to which compiled code passes the value of a final expression."""

    def show(value: Any) -> None:
        """Print a final expression's value, as a notebook does."""
        if value is not None:
            output.write(repr(value) + "\n")

    return show


def make_eval(namespace: Callable[[], dict[str, Any]]) -> Callable[..., Any]:
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

    `namespace` returns the globals of the running step, which `eval` and star imports use.
    """
    made = {
        **safe_builtins,
        **{name: getattr(builtins, name) for name in PLAIN_BUILTINS},
        **{name: refused(name) for name in REFUSED_BUILTINS},
        "__build_class__": build_class,
        "__import__": builtins.__import__,  # for numpy's C code, which looks it up here; steps cannot name it
        "print": make_print(output),
        "eval": make_eval(namespace),
        "type": type_of,
        "getattr": guarded_getattr,
        "setattr": guarded_setattr,
        "delattr": guarded_delattr,
        "hasattr": guarded_hasattr,
        "_getattr_": guarded_getattr,
        "_write_": guarded_write,
        "_write_attribute_": guarded_attribute_write,
        "_match_": lambda subject, pattern: matched(subject, pattern, guarded_getattr),
        "_inplace_": lambda symbol, left, right: IN_PLACE[symbol](left, right),
        "_show_": show_function(output),
        **import_guards(import_module),
        "_import_star_": lambda name: namespace().update(import_star(name)),
    }
    add_to_library([made, *made.values()])
    return made
