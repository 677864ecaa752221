"""The language of steps: the subset of Python that they may use, and its compiler.

RestrictedPython rewrites attribute reads to `_getattr_(object, "name")` and writes to `_write_(object).name = ...`, so
that `guards.py` checks each of them at run time; import statements become calls of guards too. This transformer
accepts more of the language than RestrictedPython's own, because models use it: augmented assignment to items and
attributes, annotations, star imports, `nonlocal`, `match`, starred calls, private names. In return, all identifiers of
the source are checked in one place before anything else happens (`check_identifiers`).

Names that begin and end with an underscore are reserved for Python's special names and for guards.
"""

from __future__ import annotations

import ast
import re
import sys
from types import CodeType
from typing import Any, TypeVar

from RestrictedPython.transformer import INSPECT_ATTRIBUTES, IOPERATOR_TO_STR, RestrictingNodeTransformer

from treestar.sandbox.language.patterns import check_patterns, guard_of, reads_attributes

__all__ = [
    "METHOD_NAMES",
    "OWN_MODULE",
    "NotAllowed",
    "compile_expression",
    "compile_step",
    "is_reserved",
    "words",
]


def words(text: str) -> tuple[str, ...]:
    """The words of `text`: long lists of names are easier to read without quotes and commas."""
    return tuple(text.split())


OPERATORS = words(
    "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or "  # with r- and i- forms
)

METHOD_NAMES = frozenset(
    f"__{name}__"
    for name in (
        *OPERATORS,
        *(f"r{operator}" for operator in OPERATORS),
        *(f"i{operator}" for operator in OPERATORS),
        *words("new init post_init repr str bool hash call len iter next reversed contains getitem setitem delitem"),
        *words("lt le eq ne gt ge neg pos abs invert round trunc floor ceil int float complex index enter exit"),
        *words("missing format copy deepcopy"),
    )
)
"""The special methods that a step's class may define and call through `super()`."""

OWN_MODULE = "__main__"
"""The `__name__` of steps; classes and functions with this `__module__` are the step's own."""

NodeT = TypeVar("NodeT", bound=ast.expr | ast.stmt | ast.pattern)
LOAD, STORE = ast.Load(), ast.Store()
READABLE = frozenset({"__name__", "__doc__"})
BINDABLE = METHOD_NAMES | {"__slots__", "__match_args__"}
VISIT_DEPTH = 20_000
"""Recursion limit while walking the syntax tree; the nesting of `1 + 1 + ... + 1` grows with its length."""


class NotAllowed(Exception):
    """A step used something that is not allowed. The message names it."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def compile_step(source: str, filename: str, restricted: bool = True, shown: bool = True) -> CodeType:
    """Compile one step's code, or a whole program, for a namespace with the builtins of `guards.step_builtins`.

    Args:
        restricted: whether it is in the language of steps; if False, all of Python is allowed, without guards.
        shown: whether the value of a final expression statement is passed to `_show_`, as in a notebook.

    Raises:
        NotAllowed: the code uses a refused construct or name; `line` is its line number.
        SyntaxError, ValueError, RecursionError, MemoryError: the code is not valid Python, or nested too deeply.
    """
    return compile_tree(source, filename, "exec", restricted, shown)


def compile_expression(source: str) -> CodeType:
    """Compile one expression under the same rules. Raises like `compile_step`."""
    return compile_tree(source.strip(), "<expression>", "eval", restricted=True, shown=False)


def compile_tree(source: str, filename: str, mode: str, restricted: bool, shown: bool) -> CodeType:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(VISIT_DEPTH)
    try:
        tree: Any = ast.parse(source, filename, mode)
        kinds = check_identifiers(tree) if restricted else PLAIN
        if shown and isinstance(tree, ast.Module):
            show_last_expression(tree)
        if not kinds <= PLAIN:
            tree = StepTransformer().visit(tree)
        return compile(tree, filename, mode, dont_inherit=True)
    finally:
        sys.setrecursionlimit(limit)


def show_last_expression(tree: ast.Module) -> None:
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        last.value = call(last.value, "_show_", last.value)


def call(place: ast.expr | ast.stmt | ast.pattern, name: str, *arguments: ast.expr | str) -> ast.Call:
    """A call of `name` with the location of `place`. Strings become constants."""
    constants = [at(place, ast.Constant(each)) if isinstance(each, str) else each for each in arguments]
    return at(place, ast.Call(at(place, ast.Name(name, LOAD)), constants, []))


def at(place: ast.expr | ast.stmt | ast.pattern, node: NodeT) -> NodeT:
    """`node` itself, given the location of `place`; like `ast.copy_location`, but three times as fast."""
    node.lineno, node.col_offset = place.lineno, place.col_offset
    node.end_lineno, node.end_col_offset = place.end_lineno, place.end_col_offset
    return node


def all_at(place: ast.stmt | ast.pattern, node: NodeT) -> NodeT:
    """Like `at`, and also for nodes inside `node` that have no location yet."""
    return ast.fix_missing_locations(at(place, node))


# --- identifiers -----------------------------------------------------------------------------------------------------


PLAIN = frozenset(
    getattr(ast, name)
    for name in words(
        "Module Expression Expr Assign Name Load Store Constant BinOp UnaryOp BoolOp Compare Call keyword IfExp Tuple "
        "List Dict Set If For While Break Continue Pass JoinedStr FormattedValue ListComp SetComp DictComp "
        "GeneratorExp comprehension Starred Assert Add Sub Mult Div FloorDiv Mod Pow LShift RShift BitOr BitXor BitAnd "
        "Invert Not UAdd USub And Or Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn"
    )
)
"""Constructs that the transformer does not change; most arithmetic steps contain only these. A test checks the list."""


def check_identifiers(tree: ast.AST) -> set[type]:
    """Refuse reserved names anywhere: every string field of the syntax tree that is not a constant is a name.

    Returns the kinds of nodes in the tree.
    """
    kinds = set()
    nodes = [tree]
    for node in nodes:  # which grows during the loop
        kind = type(node)
        kinds.add(kind)
        if kind is ast.Constant:
            continue
        for field in kind._fields:
            value = getattr(node, field)
            if isinstance(value, ast.AST):
                nodes.append(value)
            elif isinstance(value, str):
                check_identifier(node, value)
            elif isinstance(value, list):
                for item in value:
                    if isinstance(item, ast.AST):
                        nodes.append(item)
                    elif isinstance(item, str):
                        check_identifier(node, item)
    return kinds


def check_identifier(node: ast.AST, dotted: str) -> None:
    if "_" not in dotted:
        return
    for name in dotted.split("."):
        reason = attribute_refusal(name) if isinstance(node, ast.Attribute) else name_refusal(node, name)
        if reason is not None:
            raise NotAllowed(reason, getattr(node, "lineno", None))


def is_reserved(name: str) -> bool:
    """Whether `name` is or could be a special name of Python or a guard's name. Variables of steps must not use it."""
    return re.match(r"_.+_$", name) is not None


def name_refusal(node: ast.AST, name: str) -> str | None:
    if name in BINDABLE or not is_reserved(name):
        return None
    if name in READABLE and isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        return None
    if name == "__future__" and isinstance(node, ast.ImportFrom):
        return None
    return f"the name '{name}' is reserved; use one that does not begin and end with an underscore"


def attribute_refusal(name: str) -> str | None:
    if re.match(r"__.+__$", name) and name not in METHOD_NAMES | READABLE | {"__class__"}:
        return f"the attribute '{name}' may not be used: it is one of Python's special names"
    if name in INSPECT_ATTRIBUTES:
        return f"the attribute '{name}' may not be used: it belongs to the interpreter"
    return None


# --- the syntax tree -------------------------------------------------------------------------------------------------


class StepTransformer(RestrictingNodeTransformer):  # type: ignore[misc]  # the library is untyped
    """Rewrites constructs that need guards, keeps the rest of the language, and refuses unknown constructs."""

    def __init__(self) -> None:
        super().__init__([], [], {})
        self._inside: list[ast.AST] = []
        """The functions and classes around the visited node."""
        self._annotations_are_text = False

    def error(self, node: ast.AST, info: str) -> None:
        raise NotAllowed(info[0].lower() + info[1:].rstrip("."), getattr(node, "lineno", None))

    def not_allowed(self, node: ast.AST) -> None:
        construct = re.sub(r"(?<!^)(?=[A-Z])", " ", type(node).__name__).lower()
        raise NotAllowed(f"this construct may not be used: {construct}", getattr(node, "lineno", None))

    def check_name(self, node: ast.AST, name: str | None, allow_magic_methods: bool = False) -> None:
        """Do nothing: `check_identifiers` has checked every identifier."""

    def visit(self, node: ast.AST) -> Any:
        """Transform `node`. Like RestrictedPython's method, with a shortcut for unchanged nodes."""
        kind = type(node)
        if kind in PLAIN:
            return self.node_contents_visit(node)
        visitor: Any = getattr(self, "visit_" + kind.__name__, self.generic_visit)
        return visitor(node)

    def node_contents_visit(self, node: ast.AST) -> Any:
        """`node` itself, after visiting everything in it. Like RestrictedPython's method, but twice as fast."""
        for field in node._fields:
            value = getattr(node, field)
            if isinstance(value, list):
                value[:] = self._visit_all(value)
            elif isinstance(value, ast.AST) and value._fields:
                setattr(node, field, self.visit(value))
        return node

    def _visit_all(self, nodes: list[Any]) -> list[Any]:
        visited: list[Any] = []
        for each in nodes:
            becomes = self.visit(each) if isinstance(each, ast.AST) else each
            if isinstance(becomes, list):
                visited += becomes
            else:
                visited.append(becomes)
        return visited

    def _pass(self, node: ast.AST) -> Any:
        return self.node_contents_visit(node)

    visit_Nonlocal = visit_With = visit_Slice = _pass
    visit_MatchValue = visit_MatchSingleton = visit_MatchSequence = visit_MatchStar = _pass
    visit_MatchMapping = visit_MatchClass = visit_MatchAs = visit_MatchOr = _pass

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """`value.name` becomes `_getattr_(value, "name")`; writing to it, `_write_attribute_(value, "name").name`."""
        value = self.visit(node.value)
        name = self._mangled(node.attr)
        if isinstance(node.ctx, ast.Load):
            return call(node, "_getattr_", value, name)
        node.value, node.attr = call(node, "_write_attribute_", value, name), name
        return node

    def _mangled(self, name: str) -> str:
        """`__name` in a class is private to it: `_Class__name`. Python mangles names, but not strings for guards."""
        if name.startswith("__") and not name.endswith("__"):
            for scope in reversed(self._inside):
                if isinstance(scope, ast.ClassDef):
                    owner = scope.name.lstrip("_")
                    return f"_{owner}{name}" if owner else name
        return name

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        """Item writes go through `_write_`; item reads need no guard."""
        node = self.node_contents_visit(node)
        if not isinstance(node.ctx, ast.Load):
            node.value = call(node, "_write_", node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """`object.name += value` becomes `object.name = _inplace_("+=", object.name, value)`, guarded as usual.

        Native augmented assignment would read the attribute without the guard.
        """
        if not isinstance(node.target, ast.Attribute):
            return self.node_contents_visit(node)
        held: ast.expr = node.target.value
        if isinstance(held, ast.Name):
            first: ast.expr = held
        else:  # evaluate the object once: the right-hand side runs first and keeps it
            first = ast.NamedExpr(ast.Name("_target_", STORE), held)
            held = ast.Name("_target_", LOAD)
        read = ast.Attribute(first, node.target.attr, LOAD)
        update = call(node, "_inplace_", IOPERATOR_TO_STR[type(node.op)], read, node.value)
        written = ast.Attribute(held, node.target.attr, STORE)
        return self.visit(all_at(node, ast.Assign(targets=[written], value=update)))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        """Annotations are kept in class bodies, where dataclasses read them, and dropped elsewhere."""
        if self._inside and isinstance(self._inside[-1], ast.ClassDef):
            if self._annotations_are_text:
                node.annotation = at(node, ast.Constant(ast.unparse(node.annotation)))
            return self.node_contents_visit(node)
        if node.value is None:
            return at(node, ast.Pass())
        return self.visit(at(node, ast.Assign(targets=[node.target], value=node.value)))

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
        self._inside.append(node)
        try:
            return self.node_contents_visit(node)
        finally:
            self._inside.pop()

    def visit_Import(self, node: ast.Import) -> Any:
        """`import a.b` becomes `a = _import_("a.b")`, `import a.b as c` becomes `c = _import_submodule_("a.b")`."""
        return [self._import(node, alias) for alias in node.names]

    def _import(self, node: ast.Import, alias: ast.alias) -> ast.stmt:
        target = alias.asname or alias.name.partition(".")[0]
        value = call(node, "_import_submodule_" if alias.asname else "_import_", alias.name)
        return all_at(node, ast.Assign(targets=[ast.Name(target, STORE)], value=value))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        """`from a import b as c, d` becomes `[c, d] = _import_from_("a", "b", "d")`; a star fills the namespace."""
        if node.level or node.module is None:
            raise NotAllowed("an import may not be relative", node.lineno)
        if node.module == "__future__":
            self._annotations_are_text |= any(alias.name == "annotations" for alias in node.names)
            return at(node, ast.Pass())
        if any(alias.name == "*" for alias in node.names):
            return all_at(node, ast.Expr(call(node, "_import_star_", node.module)))
        names: list[ast.expr] = [ast.Name(alias.asname or alias.name, STORE) for alias in node.names]
        value = call(node, "_import_from_", node.module, *(alias.name for alias in node.names))
        return all_at(node, ast.Assign(targets=[ast.List(names, STORE)], value=value))

    def visit_Match(self, node: ast.Match) -> Any:
        """Clear the temporary names of cases that read attributes after the statement."""
        if any(reads_attributes(case.pattern) for case in node.cases):
            check_patterns(node.cases)
        node = self.node_contents_visit(node)
        if not any(isinstance(case.pattern, ast.MatchAs) and case.pattern.name == "_subject_" for case in node.cases):
            return node
        names: list[ast.expr] = [ast.Name("_subject_", STORE), ast.Name("_captured_", STORE)]
        return [node, all_at(node, ast.Assign(targets=names, value=ast.Constant(None)))]

    def visit_match_case(self, node: ast.match_case) -> Any:
        """A case that reads attributes becomes `case _subject_ if (_captured_ := _match_(...)) is not None and ...`."""
        if reads_attributes(node.pattern):
            node.guard = all_at(node.pattern, guard_of(node))
            node.pattern = at(node.pattern, ast.MatchAs(None, "_subject_"))
        return self.node_contents_visit(node)
