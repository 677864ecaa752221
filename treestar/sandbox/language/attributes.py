"""Guards for every attribute read and write of a step, including `str.format`.

They block the paths from ordinary objects to the interpreter (private and special attributes, modules, format strings,
metaclasses) and protect objects shared by all steps from changes.
"""

from __future__ import annotations

import collections.abc
import decimal
import functools
import importlib
import string
import typing
from collections import defaultdict, deque
from collections.abc import Callable
from types import (
    BuiltinMethodType,
    ClassMethodDescriptorType,
    FunctionType,
    GenericAlias,
    MappingProxyType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, cast

import numpy
import sympy
from RestrictedPython.transformer import INSPECT_ATTRIBUTES
from sympy.multipledispatch import Dispatcher

from treestar.sandbox.language.classes import Array, is_builtin_base
from treestar.sandbox.language.compiler import METHOD_NAMES, OWN_MODULE, NotAllowed, words
from treestar.sandbox.language.modules import belongs_to_library, handed_out, is_facade, missing_attribute
from treestar.sandbox.language.wear import wear

__all__ = [
    "DENIED_ATTRIBUTES",
    "guarded_attribute_write",
    "guarded_delattr",
    "guarded_getattr",
    "guarded_hasattr",
    "guarded_setattr",
    "guarded_write",
    "type_of",
]

DENIED_ATTRIBUTES = INSPECT_ATTRIBUTES | {
    *words("tofile dump ctypes cffi capsule identify mro"),
    *words("func_closure func_code func_defaults func_dict func_globals"),  # of compiled functions
}
"""Attributes denied on all objects: they lead to frames, files, raw memory or hidden classes, or evaluate text."""

FORMATTING = frozenset({"format", "format_map"})
TIME_DEPENDENT = frozenset({"now", "today", "utcnow"})
REGISTERING = frozenset(
    {*words("register register_many add_handler add_handlers remove_handler remove_handlers set_global_settings")}
)
"""Methods that change global state of a library; a step may call its own methods of these names."""
WEARING = frozenset(
    {*words("set_global_dimension set_global_relative_scale_factor set_quantity_dimension set_quantity_scale_factor")}
)
"""Similar methods that steps have a reason to call. Afterwards the process can be used only for this branch."""
RESIZING = frozenset({"resize"})
LOOKED_INTO = DENIED_ATTRIBUTES | FORMATTING | TIME_DEPENDENT | REGISTERING | WEARING | RESIZING
NAMED_TUPLE_ATTRIBUTES = {"_asdict", "_replace", "_fields", "_make"}
WRITABLE: dict[type, frozenset[str]] = {
    decimal.Context: frozenset(words("prec rounding Emin Emax capitals clamp")),
    numpy.ndarray: frozenset(words("shape flat real imag dtype")),
    type(numpy.zeros(0).flags): frozenset({"writeable"}),
    defaultdict: frozenset({"default_factory"}),
}
"""The attributes that a step may set on objects that it did not create."""
FUNCTIONS = (FunctionType, type(functools.lru_cache(print)))
DEFINITIONS = (type, *FUNCTIONS)
UNREMARKABLE = frozenset((int, float, bool, str, tuple, type(None), FunctionType, MethodType, BuiltinMethodType))
"""The types of most attributes; none of the checks below concern them."""
CONTAINERS = (dict, list, set, bytearray, deque, numpy.ndarray)
ALIAS: type = vars(typing)["_BaseGenericAlias"]
FORWARDING = frozenset(
    (
        *(GenericAlias, type(collections.abc.Callable[[], None]), MethodType),
        *(kind for kind in vars(typing).values() if isinstance(kind, type) and issubclass(kind, ALIAS)),
    )
)
"""Types whose objects answer with the attributes of another object: `list[int].append`, `Annotated[date, 1].today`."""
COMPILED = (BuiltinMethodType, MethodDescriptorType, ClassMethodDescriptorType)
MISSING = object()


def guarded_getattr(value: Any, name: str, default: Any = MISSING) -> Any:
    """`getattr` for steps.

    Raises:
        NotAllowed: the attribute leads out of the sandbox.
        AttributeError: the attribute does not exist, and no default was given.
    """
    if type(name) is not str:
        raise TypeError("attribute name must be string")
    while type(value) in FORWARDING and name != "__class__":
        value = value.__func__ if type(value) is MethodType else value.__origin__
    if isinstance(value, ModuleType) and not is_facade(value):
        raise NotAllowed(f"the module '{value.__name__}' may not be used in a step")
    if type(value) is super:
        check_super(value)
    if name == "__class__":
        return type_of(value)
    if name.startswith("_"):
        if name in METHOD_NAMES and is_builtin_base(value):
            return method_of_base(value, name)
        check_private(value, name)
    elif name in LOOKED_INTO:
        check_looked_into(value, name)
    try:
        found = getattr(value, name)
    except AttributeError:
        if default is not MISSING:
            return default
        if isinstance(value, ModuleType):
            raise missing_attribute(value, name) from None
        raise
    if name in LOOKED_INTO and isinstance(found, COMPILED):
        return checked_method(found, name)
    return found if type(found) in UNREMARKABLE else checked_value(value, name, found)


def checked_method(method: Any, name: str) -> Any:
    """The compiled `method`, or what replaces it. What it belongs to decides, not where it was found: decorators copy
    the attributes of a class to a function."""
    owner: Any = getattr(method, "__objclass__", None) or method.__self__
    kind = owner if isinstance(owner, type) else type(owner)
    if name in FORMATTING and issubclass(kind, str):
        return safe_format(owner, name)
    if name in TIME_DEPENDENT and any(base.__module__ == "datetime" for base in kind.__mro__):
        raise NotAllowed(f"'{name}' may not be used in a step: its result would depend on when it runs")
    if name in RESIZING and issubclass(kind, numpy.ndarray):
        raise NotAllowed("an array may not be resized: its views would read freed memory; use 'numpy.resize'")
    return method


def checked_value(value: Any, name: str, found: Any) -> Any:
    """The attribute `found`, or what replaces it.

    Raises:
        NotAllowed: it leads out of the sandbox.
    """
    if isinstance(found, ModuleType):
        return given(found, name)
    if isinstance(found, memoryview):
        raise NotAllowed(f"the attribute '{name}' of '{type(value).__name__}' may not be used: it is raw memory")
    if isinstance(found, MappingProxyType):  # a reflected operator is given the dict behind it
        return MappingProxyType(dict(found))
    if isinstance(found, type):  # errors name the object that lacks an attribute
        return Array if found is numpy.ndarray else type_of if issubclass(found, type) else found
    if isinstance(found, Dispatcher) or (isinstance(found, CONTAINERS) and is_kept_by_class(value, name, found)):
        wear(f"'{name}' of a class of the library can be changed")
    return found


def given(module: ModuleType, name: str) -> ModuleType:
    """`module`, if a step may have it; records that the step has it now."""
    if not is_facade(module):
        raise NotAllowed(f"the module '{name}' may not be reached through an attribute")
    handed_out.add(module.__name__)
    return module


def check_super(value: Any) -> None:
    """Refuse `super` in library classes: they override unsafe methods of their bases."""
    if value.__thisclass__.__module__ != OWN_MODULE:
        raise NotAllowed(f"'super' may not be used with '{value.__thisclass__.__name__}', only with the step's classes")


def check_looked_into(value: Any, name: str) -> None:
    if name in DENIED_ATTRIBUTES:
        raise NotAllowed(f"the attribute '{name}' may not be used in a step")
    if name in FORMATTING and isinstance(value, super):
        raise NotAllowed(f"'{name}' may not be called through 'super' in a step")
    if name in REGISTERING and home_of(value) != OWN_MODULE:
        raise NotAllowed(f"'{name}' may be called on the step's own classes only: it changes the library for all steps")
    if name in REGISTERING | WEARING:  # a step's class may derive from a library class, which registers it too
        wear(f"'{name}' was called")


def check_private(value: Any, name: str) -> None:
    if name in {"__name__", "__doc__"} or (name in METHOD_NAMES and isinstance(value, super)):
        return
    if name in NAMED_TUPLE_ATTRIBUTES and issubclass(value if isinstance(value, type) else type(value), tuple):
        return
    if (not name.startswith("__") or name in METHOD_NAMES) and is_own(value, name):
        return
    raise NotAllowed(f"the attribute '{name}' of '{type(value).__name__}' may not be used: it is private")


def method_of_base(kind: Any, name: str) -> Callable[..., Any]:
    """`list.__init__` and the like, for the step's own classes and their instances."""
    method = getattr(kind, name)

    def call(owner: Any, /, *args: Any, **options: Any) -> Any:
        if (owner if isinstance(owner, type) else type(owner)).__module__ != OWN_MODULE:
            raise NotAllowed(f"'{kind.__name__}.{name}' may be called on the step's own classes only")
        return method(owner, *args, **options)

    return call


def is_kept_by_class(value: Any, name: str, found: Any) -> bool:
    """Whether `found` is stored in a library class, so that all steps would see a change to it."""
    while isinstance(value, FUNCTIONS) and hasattr(value, "__wrapped__"):  # it has the attributes of what it wraps
        value = value.__wrapped__
    kind = value if isinstance(value, type) else type(value)
    return any(vars(base).get(name) is found for base in kind.__mro__ if base.__module__ != OWN_MODULE)


def is_own(value: Any, name: str) -> bool:
    """Whether a step created the attribute `name`: on its function, an instance of its class, or in the class."""
    if isinstance(value, FUNCTIONS):
        return value.__module__ == OWN_MODULE and name in vars(value)
    kind: Any = value if isinstance(value, type) else type(value)
    if isinstance(value, super):
        kind = cast(Any, value).__self_class__
    if kind.__module__ != OWN_MODULE:
        return False
    if not isinstance(value, (type, super)) and name in getattr(value, "__dict__", ()):
        return True
    return any(name in vars(base) for base in kind.__mro__ if base.__module__ == OWN_MODULE)


def home_of(value: Any) -> Any:
    """The module that defines the class or function `value`, or the class of `value`."""
    return value.__module__ if isinstance(value, DEFINITIONS) else type(value).__module__


def guarded_write(value: Any) -> Any:
    """`value` itself, if a step may set its items.

    Raises:
        NotAllowed: all steps share `value`.
    """
    if belongs_to_library(value) or isinstance(value, (ModuleType, sympy.Basic)):
        raise NotAllowed(f"a '{type(value).__name__}' of the library may not be changed")
    return value


def guarded_attribute_write(value: Any, name: Any) -> Any:
    """`value` itself, if a step may set its attribute `name`.

    Raises:
        NotAllowed: a step did not create `value` (with few exceptions), or the name is special.
    """
    if type(name) is not str:
        raise TypeError("attribute name must be string")
    if isinstance(value, ModuleType):
        raise NotAllowed(f"names of the module '{value.__name__}' may not be changed")
    if name.startswith("__"):
        raise NotAllowed(f"the attribute '{name}' may not be changed")
    if home_of(value) == OWN_MODULE and not belongs_to_library(value) and not isinstance(value, sympy.Basic):
        return value
    if any(name in names and isinstance(value, kind) for kind, names in WRITABLE.items()):
        return guarded_write(value)
    what = f"of '{value.__name__}'" if isinstance(value, DEFINITIONS) else f"of a '{type(value).__name__}'"
    raise NotAllowed(f"the attribute '{name}' {what} may not be changed: it belongs to the library")


def guarded_setattr(value: Any, name: str, new: Any) -> None:
    setattr(guarded_attribute_write(value, name), name, new)


def guarded_delattr(value: Any, name: str) -> None:
    delattr(guarded_attribute_write(value, name), name)


def guarded_hasattr(value: Any, name: str) -> bool:
    try:
        guarded_getattr(value, name)
    except (AttributeError, NotAllowed):
        return False
    return True


# --- format strings --------------------------------------------------------------------------------------------------


split_field_name = cast(Any, importlib.import_module("_string")).formatter_field_name_split
"""The function with which `string.Formatter` splits `0.name[key]`."""


class GuardedFormatter(string.Formatter):
    """`str.format` that reads `{0.attribute}` fields through the guard."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        """The object that a replacement field refers to, and the argument its name starts with."""
        first, rest = split_field_name(field_name)
        value = self.get_value(first, args, kwargs)
        for is_attribute, key in rest:
            value = guarded_getattr(value, key) if is_attribute else value[key]
        return value, first


def safe_format(value: Any, name: str) -> Callable[..., str]:
    def format_from_mapping(template: str, mapping: Any) -> str:
        return GuardedFormatter().vformat(str(template), (), mapping)

    def format_from_arguments(template: str, /, *args: Any, **kwargs: Any) -> str:
        return GuardedFormatter().vformat(str(template), args, kwargs)

    function: Callable[..., str] = format_from_mapping if name == "format_map" else format_from_arguments
    if isinstance(value, type):
        return function
    return lambda *args, **kwargs: function(value, *args, **kwargs)


def type_of(value: Any, *rest: Any) -> Any:
    """`type` with one argument. Never returns a metaclass, because calling one creates unchecked classes."""
    if rest:
        raise NotAllowed("'type' with three arguments may not be used; write a class statement")
    if isinstance(value, type) or value is type_of:
        return type_of
    kind = type(value)
    return Array if kind is numpy.ndarray else kind
