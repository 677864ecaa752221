"""Takes the dangerous powers out of the libraries that steps may call.

sympy evaluates strings: everything that calls `sympify` on one ends in `eval_expr`, and `lambdify` (so `nsolve`, too)
compiles source text built from symbol names. Both get a checked evaluator here. `refuse_system_calls` is the net below:
an audit hook, which nothing can remove, that refuses files, processes, sockets and foreign memory by whatever road.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Mapping
from types import CodeType
from typing import Any, cast

from treestar.verifier.sandbox.language import NotAllowed, compile_expression

__all__ = ["harden_sympy", "refuse_system_calls"]

_EXPRESSION_BUILTINS = frozenset({"abs", "divmod", "max", "min", "pow", "round", "sum", "len", "all", "any"})
_GENERATED_BUILTINS = _EXPRESSION_BUILTINS | {"range", "complex", "float", "int", "bool", "list", "tuple", "zip"}
_GENERATED_ROOTS = frozenset({"math", "mpmath", "numpy", "sympy", "cmath"})
_GENERATED_IMPORT = re.compile(r"(from|import) (math|cmath|mpmath|numpy|sympy)\b[\w., *;]*")
_NAMELESS = re.compile(r"_+(Dummy_?|lambdifygenerated|i|x|a)?_*\d*")

_HARMLESS_EVENTS = frozenset(
    "import compile exec code.__new__ object.__getattr__ object.__setattr__ object.__delattr__ sys._getframe "
    "builtins.id array.__new__ sys.excepthook sys.unraisablehook cpython.run_command "
    "sys._getframemodulename".split()
)


def harden_sympy() -> None:
    """Replace sympy's evaluators of strings. Call it once, after sympy is imported and before any step runs."""
    import importlib

    from sympy.core.function import UndefinedFunction
    from sympy.parsing import sympy_parser

    lambdify_module: Any = importlib.import_module("sympy.utilities.lambdify")
    sympy_parser.eval_expr = _eval_expression
    sympy_parser.eval = _refuse_source
    lambdify_module.compile = _compile_generated
    lambdify_module.exec = _execute_generated
    _harden_undefined_functions(UndefinedFunction)


def _refuse_source(*_: Any) -> Any:
    raise NotAllowed("text cannot be evaluated this way in a step")


def _eval_expression(code: Any, local_dict: Mapping[str, Any], global_dict: Mapping[str, Any]) -> Any:
    """sympy's `eval_expr`, with the step's own language and sympy's exported names instead of all of Python."""
    from treestar.verifier.sandbox.guards import guarded_getattr
    from treestar.verifier.sandbox.modules import import_module, import_star

    if not isinstance(code, str):
        raise NotAllowed("sympy cannot evaluate compiled code in a step; leave out evaluate=False")
    import_module("sympy")
    scope = dict(import_star("sympy"))
    scope["max"], scope["min"] = scope["Max"], scope["Min"]
    for key, value in (local_dict or {}).items():
        if type(key) is str and not key.startswith("_") and value is not None:
            scope[key] = value
    names = {name: getattr(builtins, name) for name in _EXPRESSION_BUILTINS - {"max", "min"}}
    scope["__builtins__"] = {**names, "__import__": builtins.__import__}
    scope["_getattr_"] = guarded_getattr
    return builtins.eval(compile_expression(code), scope)


def _harden_undefined_functions(metaclass: Any) -> None:
    """`Function("f", ...)` makes a class; keep special names out of it."""
    original = metaclass.__new__

    def new(cls: Any, name: Any, *args: Any, **options: Any) -> Any:
        if args or any(key.startswith("_") for key in options):
            raise NotAllowed("'Function' may take a name and assumptions only")
        return original(cls, name, **options)

    metaclass.__new__ = new


# --- source text that lambdify generates -----------------------------------------------------------------------------


def _compile_generated(source: str, filename: str, mode: str) -> CodeType:
    """Compile what lambdify wrote, if it is arithmetic and calls of mathematical functions, nothing else."""
    tree = ast.parse(source, filename, mode)
    for node in ast.walk(tree):
        _check_generated(node)
    return cast(CodeType, builtins.compile(tree, filename, mode))


def _check_generated(node: ast.AST) -> None:
    from treestar.verifier.sandbox.modules import import_module

    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Global, ast.ClassDef, ast.With)):
        raise NotAllowed("lambdify may not generate statements of this kind")
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
        raise NotAllowed("lambdify may not be given text")
    if isinstance(node, (ast.Name, ast.arg)):
        name = node.id if isinstance(node, ast.Name) else node.arg
        numpy_name = hasattr(sys.modules.get("numpy"), name) and not hasattr(import_module("numpy"), name)
        is_builtin = hasattr(builtins, name) and name not in _GENERATED_BUILTINS
        private = name.startswith("_") and not _NAMELESS.fullmatch(name)
        if (is_builtin or private or numpy_name or name == "builtins") and name not in _GENERATED_ROOTS:
            raise NotAllowed(f"lambdify may not use the name '{name}'")
    if isinstance(node, ast.Attribute):
        root = node.value.id if isinstance(node.value, ast.Name) else ""
        if root not in _GENERATED_ROOTS or not hasattr(import_module(root), node.attr):
            raise NotAllowed(f"lambdify may not use the attribute '{node.attr}'")


def _execute_generated(code: Any, *scopes: Any) -> None:
    if isinstance(code, str) and not _GENERATED_IMPORT.fullmatch(code.strip()):
        raise ImportError("lambdify may import mathematical modules only")  # it then tries the next one
    builtins.exec(code, *scopes)


# --- the net below ---------------------------------------------------------------------------------------------------


def refuse_system_calls() -> None:
    """From now on this process may compute and nothing else: whatever Python audits is refused, with few exceptions.

    It cannot be undone, so it is called in the forked process of a step. Modules that are not imported yet cannot be
    imported any more, because that would read files.
    """

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event not in _HARMLESS_EVENTS:
            raise PermissionError(f"a step may not do this: {event}")

    sys.addaudithook(hook)
