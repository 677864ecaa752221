"""The language of steps: which Python a step may be written in, and how it is compiled.

RestrictedPython rewrites attribute reads to `_getattr_(object, "name")` and writes to `_write_(object).name = ...`, so
that `guards.py` decides each of them at run time; import statements become calls of guards, too. This transformer
accepts more of the language than the stock one, because models write it: augmented assignment to items and attributes,
annotations, star imports, `nonlocal`, `match`, starred calls, private names. In return every identifier of the source,
wherever the grammar lets one stand, is checked in one place before anything else happens (`_check_identifiers`).
"""

from __future__ import annotations

import ast
import re
import sys
from types import CodeType
from typing import Any

from RestrictedPython.transformer import INSPECT_ATTRIBUTES, IOPERATOR_TO_STR, RestrictingNodeTransformer

__all__ = [
    "METHOD_NAMES",
    "OWN_MODULE",
    "NotAllowed",
    "compile_expression",
    "compile_freely",
    "compile_step",
    "words",
]


def words(text: str) -> tuple[str, ...]:
    """The words of `text`: long lists of names read better without quotes and commas."""
    return tuple(text.split())


_OPERATORS = words(
    "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or "  # with r- and i- forms
)

METHOD_NAMES = frozenset(
    f"__{name}__"
    for name in (
        *_OPERATORS,
        *(f"r{operator}" for operator in _OPERATORS),
        *(f"i{operator}" for operator in _OPERATORS),
        *words("new init post_init repr str bool hash call len iter next reversed contains getitem setitem delitem"),
        *words("lt le eq ne gt ge neg pos abs invert round trunc floor ceil int float complex index enter exit"),
        "missing",
    )
)
"""The special methods a step's class may define, and call through `super()`."""

OWN_MODULE = "__main__"
"""The `__name__` steps run under; classes and functions with this `__module__` are the step's own."""

_READABLE = frozenset({"__name__", "__doc__"})
_BINDABLE = METHOD_NAMES | {"__slots__"}
_VISIT_DEPTH = 20_000
"""Recursion limit while the syntax tree is walked; `1 + 1 + ... + 1` nests as deep as it is long."""


class NotAllowed(Exception):
    """A step used something that steps may not use. The message names it."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def compile_step(source: str, filename: str) -> CodeType:
    """Compile one step's code for a namespace with the builtins of `guards.step_builtins`.

    The value of a last expression statement is handed to `_show_`, as a notebook does.

    Raises:
        NotAllowed: the code uses a refused construct or name; `line` says where.
        SyntaxError, ValueError, RecursionError, MemoryError: the code is no Python, or too nested to be parsed.
    """
    return _compile(source, filename, "exec", restricted=True)


def compile_freely(source: str, filename: str) -> CodeType:
    """As `compile_step`, but all of Python is allowed and nothing is rewritten for guards."""
    return _compile(source, filename, "exec", restricted=False)


def compile_expression(source: str) -> CodeType:
    """Compile one expression under the same rules. Raises as `compile_step` does."""
    return _compile(source.strip(), "<expression>", "eval", restricted=True)


def _compile(source: str, filename: str, mode: str, restricted: bool) -> CodeType:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(_VISIT_DEPTH)
    try:
        tree: Any = ast.parse(source, filename, mode)
        kinds = _check_identifiers(tree) if restricted else _PLAIN
        if isinstance(tree, ast.Module):
            _show_last_expression(tree)
        if not kinds <= _PLAIN:
            tree = ast.fix_missing_locations(_StepTransformer().visit(tree))
        return compile(tree, filename, mode, dont_inherit=True)
    finally:
        sys.setrecursionlimit(limit)


def _show_last_expression(tree: ast.Module) -> None:
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr) and not isinstance(last.value, ast.Constant):
        value = last.value
        last.value = ast.copy_location(_call("_show_", value), value)
        ast.copy_location(last.value.func, value)


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Name(name, ast.Load()), args=list(arguments), keywords=[])


# --- identifiers -----------------------------------------------------------------------------------------------------


_PLAIN = frozenset(
    getattr(ast, name)
    for name in words(
        "Module Expression Expr Assign Name Load Store Constant BinOp UnaryOp BoolOp Compare Call keyword IfExp Tuple "
        "List Dict Set If For While Break Continue Pass JoinedStr FormattedValue ListComp SetComp DictComp "
        "GeneratorExp comprehension Starred Assert Add Sub Mult Div FloorDiv Mod Pow LShift RShift BitOr BitXor BitAnd "
        "Invert Not UAdd USub And Or Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn"
    )
)
"""Constructs that the transformer leaves as they are; most steps of arithmetic have no other. A test compares."""


def _check_identifiers(tree: ast.AST) -> set[type]:
    """Refuse reserved names wherever they stand: a syntax-tree field that is a string and no constant is a name.

    Returns the kinds of nodes in the tree.
    """
    kinds = set()
    nodes = [tree]
    for node in nodes:  # which grows meanwhile
        kind = type(node)
        kinds.add(kind)
        if kind is ast.Constant:
            continue
        for value in vars(node).values():
            if isinstance(value, str):
                _check_identifier(node, value)
            elif isinstance(value, ast.AST):
                nodes.append(value)
            elif isinstance(value, list):
                for item in value:
                    if isinstance(item, ast.AST):
                        nodes.append(item)
                    elif isinstance(item, str):
                        _check_identifier(node, item)
    return kinds


def _check_identifier(node: ast.AST, dotted: str) -> None:
    if "_" not in dotted and not isinstance(node, ast.Attribute):
        return
    for name in dotted.split("."):
        reason = _attribute_refusal(name) if isinstance(node, ast.Attribute) else _name_refusal(node, name)
        if reason is not None:
            raise NotAllowed(reason, getattr(node, "lineno", None))


def _name_refusal(node: ast.AST, name: str) -> str | None:
    if name in _BINDABLE or not re.match(r"__.|_.+_$", name):
        return None
    if name in _READABLE and isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        return None
    if name == "__future__" and isinstance(node, ast.ImportFrom):
        return None
    return f"the name '{name}' is reserved; use one without underscores"


def _attribute_refusal(name: str) -> str | None:
    if name.startswith("__") and name not in METHOD_NAMES | _READABLE | {"__class__"}:
        return f"the attribute '{name}' may not be used: it starts with two underscores"
    if name in INSPECT_ATTRIBUTES:
        return f"the attribute '{name}' may not be used: it belongs to the interpreter"
    return None


# --- the syntax tree -------------------------------------------------------------------------------------------------


class _StepTransformer(RestrictingNodeTransformer):  # type: ignore[misc]  # the library is untyped
    """Rewrites what the guards must see, lets the rest of the language pass, refuses what it does not know."""

    def __init__(self) -> None:
        super().__init__([], [], {})
        self._inside: list[type[ast.AST]] = []

    def error(self, node: ast.AST, info: str) -> None:
        raise NotAllowed(info[0].lower() + info[1:].rstrip("."), getattr(node, "lineno", None))

    def not_allowed(self, node: ast.AST) -> None:
        construct = re.sub(r"(?<!^)(?=[A-Z])", " ", type(node).__name__).lower()
        raise NotAllowed(f"this construct may not be used: {construct}", getattr(node, "lineno", None))

    def check_name(self, node: ast.AST, name: str | None, allow_magic_methods: bool = False) -> None:
        """Every identifier has been checked by `_check_identifiers`."""

    def _pass(self, node: ast.AST) -> Any:
        return self.node_contents_visit(node)

    visit_Module = visit_Constant = visit_Name = visit_Call = visit_JoinedStr = visit_Nonlocal = _pass
    visit_Assign = visit_With = visit_Slice = visit_FormattedValue = _pass
    visit_Match = visit_match_case = visit_MatchSingleton = visit_MatchSequence = visit_MatchStar = _pass
    visit_MatchMapping = visit_MatchAs = visit_MatchOr = _pass

    def guard_iter(self, node: ast.AST) -> Any:
        """Iteration needs no guard: whatever a step can iterate, it may see."""
        return self.node_contents_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """Reads go through `_getattr_`, writes through `_write_` or, for private names, `_write_private_`."""
        value = self.visit(node.value)
        if isinstance(node.ctx, ast.Load):
            return ast.copy_location(_call("_getattr_", value, ast.Constant(node.attr)), node)
        guard = "_write_private_" if node.attr.startswith("_") else "_write_"
        node.value = ast.copy_location(_call(guard, value), node)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        """Item writes go through `_write_`; item reads need no guard."""
        node = self.node_contents_visit(node)
        if not isinstance(node.ctx, ast.Load):
            node.value = ast.copy_location(_call("_write_", node.value), node)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """`object.name += value` becomes `object.name = _inplace_("+=", object.name, value)`, guarded as usual.

        Native augmented assignment would read the attribute behind the guard's back.
        """
        if not isinstance(node.target, ast.Attribute):
            return self.node_contents_visit(node)
        held: ast.expr = node.target.value
        if isinstance(held, ast.Name):
            first: ast.expr = held
        else:  # evaluate the object once: the right-hand side runs first and keeps it
            first = ast.NamedExpr(ast.Name("_target_", ast.Store()), held)
            held = ast.Name("_target_", ast.Load())
        read = ast.Attribute(first, node.target.attr, ast.Load())
        update = _call("_inplace_", ast.Constant(IOPERATOR_TO_STR[type(node.op)]), read, node.value)
        written = ast.Attribute(held, node.target.attr, ast.Store())
        assign = ast.copy_location(ast.Assign(targets=[written], value=update), node)
        return self.visit(ast.fix_missing_locations(assign))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        """Annotations stay in class bodies, where dataclasses read them; elsewhere they are dropped."""
        if self._inside and self._inside[-1] is ast.ClassDef:
            return self.node_contents_visit(node)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return self.visit(ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node))

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return self._visit_scope(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        if node.keywords:
            raise NotAllowed("a class may take no keyword such as metaclass", node.lineno)
        return self._visit_scope(node)

    def _visit_scope(self, node: ast.AST) -> Any:
        self._inside.append(type(node))
        try:
            return self.node_contents_visit(node)
        finally:
            self._inside.pop()

    def visit_Import(self, node: ast.Import) -> Any:
        """`import a.b` becomes `a = _import_("a.b")`, `import a.b as c` becomes `c = _import_submodule_("a.b")`."""
        return [self._import(node, alias) for alias in node.names]

    def _import(self, node: ast.Import, alias: ast.alias) -> ast.stmt:
        target = alias.asname or alias.name.partition(".")[0]
        value = _call("_import_submodule_" if alias.asname else "_import_", ast.Constant(alias.name))
        assign = ast.Assign(targets=[ast.Name(target, ast.Store())], value=value)
        return ast.fix_missing_locations(ast.copy_location(assign, node))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        """`from a import b as c, d` becomes `[c, d] = _import_from_("a", "b", "d")`; a star fills the namespace."""
        if node.level:
            raise NotAllowed("an import may not be relative", node.lineno)
        module = ast.Constant(node.module)
        statement: ast.stmt
        if node.module == "__future__":
            statement = ast.Pass()
        elif any(alias.name == "*" for alias in node.names):
            statement = ast.Expr(_call("_import_star_", module))
        else:
            names: list[ast.expr] = [ast.Name(alias.asname or alias.name, ast.Store()) for alias in node.names]
            value = _call("_import_from_", module, *(ast.Constant(alias.name) for alias in node.names))
            statement = ast.Assign(targets=[ast.List(names, ast.Store())], value=value)
        return ast.fix_missing_locations(ast.copy_location(statement, node))

    def visit_MatchValue(self, node: ast.MatchValue) -> Any:
        if any(isinstance(part, ast.Attribute) for part in ast.walk(node.value)):
            raise NotAllowed("a pattern may not read an attribute; compare with == instead", node.lineno)
        return self.node_contents_visit(node)

    def visit_MatchClass(self, node: ast.MatchClass) -> Any:
        if node.patterns or node.kwd_attrs or not isinstance(node.cls, ast.Name):
            raise NotAllowed("a class pattern may not read attributes; write `case int() as n`", node.lineno)
        return self.node_contents_visit(node)
