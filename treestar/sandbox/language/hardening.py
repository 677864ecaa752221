"""Removes dangerous features from the libraries that steps may call.

`enum` creates classes from lists of names. sympy evaluates strings: every `sympify` of a string calls `eval_expr`, and
`lambdify` (so `nsolve` too) compiles source text built from symbol names. Here they get a checked evaluator.
`refuse_system_calls` is a second line of defense: an audit hook, which cannot be removed, that refuses all access to
files, processes, sockets and foreign memory.
"""

from __future__ import annotations

import ast
import builtins
import enum
import importlib
import re
import sys
from collections.abc import Callable, Mapping
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any, cast

from treestar.sandbox.language.compiler import OWN_MODULE, NotAllowed, compile_expression, is_reserved, words

__all__ = ["harden_enum", "harden_sympy", "refuse_system_calls"]

EXPRESSION_BUILTINS = frozenset({"abs", "divmod", "max", "min", "pow", "round", "sum", "len", "all", "any"})
GENERATED_BUILTINS = EXPRESSION_BUILTINS | {"range", "complex", "float", "int", "bool", "list", "tuple", "zip"}
GENERATED_ROOTS = frozenset({"math", "mpmath", "numpy", "sympy", "cmath"})
GENERATED_IMPORT = re.compile(
    r"from (math|cmath|mpmath|numpy|sympy)(\.\w+)* import (\*|\w+(, \w+)*)|import (math|cmath|mpmath|numpy|sympy)"
    r"|from functools import reduce"
)
GENERATED_REFUSED = (ast.Import, ast.ImportFrom, ast.Global, ast.ClassDef, ast.With, ast.Try, ast.NamedExpr)
DENIED_MPMATH = frozenset({"identify", "findpoly", "plot", "splot", "cplot", "runtests", "doctests"})
NAMELESS = re.compile(r"_+(Dummy_?|lambdifygenerated|i|x|a)?_*\d*")

HARMLESS_EVENTS = words(
    "import compile exec code.__new__ function.__new__ object.__getattr__ object.__setattr__ object.__delattr__ "
    "sys._getframe sys._getframemodulename sys.excepthook sys.unraisablehook builtins.id array.__new__ "
    "cpython.run_command"
)


def harden_enum() -> None:
    """Keep special names out of the classes that `Enum("Name", members)` creates. Call once, before any step runs."""
    metaclass: Any = type(enum.Enum)
    original = metaclass._create_

    def create(cls: Any, class_name: Any, names: Any, *, start: Any = 1, **options: Any) -> Any:
        if isinstance(names, str):
            names = names.replace(",", " ").split()
        members = [
            each if type(each) is str else tuple(each) for each in (names.items() if isinstance(names, dict) else names)
        ]
        for each in members:
            name = each if isinstance(each, str) else each[0]
            if type(name) is not str or name.startswith("_") or options.get("type") is not None:
                raise NotAllowed("an enumeration may take member names without leading underscores, and no type")
        return original(cls, class_name, members, module=OWN_MODULE, start=start)

    metaclass._create_ = create


def harden_sympy() -> None:
    """Replace sympy's evaluators of strings. Call it once, after sympy is imported and before any step runs."""
    from sympy.core.function import UndefinedFunction
    from sympy.parsing import sympy_parser

    lambdify_module: Any = importlib.import_module("sympy.utilities.lambdify")
    sympy_parser.builtins = SimpleNamespace(**{name: getattr(builtins, name) for name in EXPRESSION_BUILTINS})
    sympy_parser.eval_expr = eval_expression
    sympy_parser.compile = keep_expression
    sympy_parser.exec = import_sympy_names
    lambdify_module.compile = compile_generated
    lambdify_module._get_namespace = namespace_for(lambdify_module._get_namespace)
    monomials: Any = importlib.import_module("sympy.polys.monomials")
    lambdify_module.exec = monomials.exec = execute_generated
    for name, other in list(sys.modules.items()):
        if name.startswith(("sympy.", "mpmath.")):
            for power in ("eval", "exec", "compile", "open"):
                other.__dict__.setdefault(power, refuse_source)
    harden_undefined_functions(UndefinedFunction)
    harden_rings(importlib.import_module("sympy.polys.rings"))


def refuse_source(*_: Any) -> Any:
    raise NotAllowed("text cannot be evaluated this way in a step")


def keep_expression(tree: ast.Expression, *_: Any) -> str:
    """Replaces `compile` in sympy's parser: returns the source, for `eval_expression`."""
    return ast.unparse(tree)


def import_sympy_names(_: str, scope: dict[str, Any]) -> None:
    """Replaces `exec("from sympy import *", scope)` in sympy's parser: adds the names that steps get too."""
    from treestar.sandbox.language.modules import import_star

    scope.update(import_star("sympy"))


def eval_expression(code: Any, local_dict: Mapping[str, Any], global_dict: Mapping[str, Any]) -> Any:
    """sympy's `eval_expr`, with the step's own language and sympy's exported names instead of all of Python."""
    del global_dict  # all of Python's builtins are in there
    from treestar.sandbox.language.attributes import guarded_getattr
    from treestar.sandbox.language.modules import import_star

    if not isinstance(code, str):
        raise NotAllowed("sympy may evaluate text only")
    scope = dict(import_star("sympy"))
    scope["max"], scope["min"] = scope["Max"], scope["Min"]
    for key, value in (local_dict or {}).items():
        if type(key) is str and not key.startswith("_") and value is not None:
            scope[key] = value
    names = {name: getattr(builtins, name) for name in EXPRESSION_BUILTINS - {"max", "min"}}
    scope["__builtins__"] = {**names, "__import__": builtins.__import__}
    scope["_getattr_"] = guarded_getattr
    return builtins.eval(compile_expression(code), scope)


def harden_undefined_functions(metaclass: Any) -> None:
    """`Function("f", ...)` creates a class; keep special names out of it."""
    original = metaclass.__new__

    def new(cls: Any, name: Any, *args: Any, **options: Any) -> Any:
        if args or any(key.startswith("_") for key in options):
            raise NotAllowed("'Function' may take a name and assumptions only")
        return original(cls, name, **options)

    metaclass.__new__ = new


def harden_rings(rings: Any) -> None:
    """A ring of polynomials has its generators as attributes; keep special names out of it."""
    original = rings._parse_symbols

    def parse(symbols: Any) -> Any:
        made = original(symbols)
        for each in made:
            if isinstance(each, rings.Symbol) and (type(each).name is not rings.Symbol.name or is_reserved(each.name)):
                raise NotAllowed("a ring may take symbols only whose names do not begin and end with an underscore")
        return made

    rings._parse_symbols = parse


# --- source text that lambdify generates -----------------------------------------------------------------------------


def namespace_for(original: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """`original`, which returns the names that generated code uses, without the names of classes and of other objects:
    the methods in there are not those that a step gets."""

    def namespace(module: Any) -> dict[str, Any]:
        if not isinstance(module, (str, dict, ModuleType)):
            raise NotAllowed("lambdify may take names from modules and dictionaries only")
        return original(module)

    return namespace


def compile_generated(source: str, filename: str, mode: str) -> CodeType:
    """Compile lambdify's output if it contains only arithmetic and calls of mathematical functions."""
    tree = cast(ast.Module, ast.parse(source, filename, mode))
    own = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, GENERATED_REFUSED):
            raise NotAllowed("lambdify may not generate statements of this kind")
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            raise NotAllowed("lambdify may not be given text")
        if isinstance(node, (ast.Name, ast.arg, ast.Attribute)):
            check_generated_name(node, own)
    return builtins.compile(tree, filename, mode)


def check_generated_name(node: ast.Name | ast.arg | ast.Attribute, own: set[str]) -> None:
    from treestar.sandbox.language.attributes import DENIED_ATTRIBUTES

    if isinstance(node, ast.Attribute):
        name = node.attr
        refused = not isinstance(node.value, ast.Name) or node.value.id not in GENERATED_ROOTS or is_denied(name)
    else:
        name = node.id if isinstance(node, ast.Name) else node.arg
        is_builtin = hasattr(builtins, name) and name not in GENERATED_BUILTINS
        if name in GENERATED_ROOTS:  # it refers to the module and must not refer to anything else
            refused = not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
        else:
            refused = name not in own and (is_builtin or name == "builtins" or is_denied(name))
    if refused or name in DENIED_ATTRIBUTES or (name.startswith("_") and not NAMELESS.fullmatch(name)):
        raise NotAllowed(f"lambdify may not use the name '{name}'")


def is_denied(name: str) -> bool:
    """Whether `name` is one of the names of numpy or mpmath that steps may not use."""
    from treestar.sandbox.language.modules import import_module

    if any(isinstance(getattr(sys.modules[root], name, None), ModuleType) for root in GENERATED_ROOTS):
        return True
    in_numpy = hasattr(sys.modules["numpy"], name) and not hasattr(import_module("numpy"), name)
    return in_numpy or name in DENIED_MPMATH or name == "ndarray"


def execute_generated(code: Any, *scopes: Any) -> None:
    """`exec` for sympy: code that was compiled above, imports of mathematical modules, or generated source."""
    if isinstance(code, str):
        statements = [statement.strip() for statement in code.split(";")]
        if code.startswith(("import ", "from ")):
            if not all(GENERATED_IMPORT.fullmatch(statement) for statement in statements):
                raise ImportError("lambdify may import mathematical modules only")  # it then tries the next one
        else:
            code = compile_generated(code, "<generated>", "exec")
    builtins.exec(code, *scopes)


# --- the audit hook --------------------------------------------------------------------------------------------------


def refuse_system_calls() -> None:
    """Restrict this process to computation: every event that Python audits is refused, with few exceptions.

    This cannot be undone, so call it in the forked process of a step. Modules that are not loaded yet can no longer be
    imported, because that would read files.
    """

    harmless = frozenset(HARMLESS_EVENTS)  # a step that finds this module could replace a global

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event not in harmless:
            raise PermissionError(f"a step may not do this: {event}")

    sys.addaudithook(hook)
