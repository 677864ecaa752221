"""Random steps for the sandbox, and the properties that compiled steps must have."""

from __future__ import annotations

import dis
import json
import keyword
import os
import re
import resource
import select
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FrameType, ModuleType
from typing import Any

from hypothesis import strategies as st
from support.paths import DATA, SHARED

from treestar.sandbox.language.compiler import (
    METHOD_NAMES,
    OWN_MODULE,
    NotAllowed,
    compile_step,
    words,
)
from treestar.sandbox.language.guards import Output, step_builtins
from treestar.sandbox.language.hardening import refuse_system_calls
from treestar.sandbox.language.modules import is_facade

# --- programs from a grammar ------------------------------------------------------------------------------------------

GOOD_NAMES = ["x", "y", "n", "items", "f", "Point", "print", "len", "int", "str", "object", "__x", "_y", "__", "type"]
EVIL_NAMES = [
    *("_getattr_", "_write_", "_write_attribute_", "_match_", "_subject_", "_captured_", "_target_", "__builtins__"),
    *("__import__", "__build_class__", "__name__", "__class__", "__debug__", "__annotations__", "_show_"),
]
GOOD_ATTRIBUTES = ["real", "x", "append", "_y", "__x", "name", "upper", "__init__", "__doc__", "__name__"]
EVIL_ATTRIBUTES = [
    *("__class__", "__dict__", "__globals__", "__subclasses__", "__base__", "__mro__", "mro", "__code__", "__self__"),
    *("gi_frame", "f_back", "f_globals", "tb_frame", "format", "format_map", "__getattribute__", "__reduce__", "sys"),
    *("__array_interface__", "__match_args__", "register", "tofile", "ctypes", "_module", "__traceback__", "obj"),
]
NAMES = st.sampled_from(GOOD_NAMES * 30 + EVIL_NAMES)
ATTRIBUTES = st.sampled_from(GOOD_ATTRIBUTES * 20 + EVIL_ATTRIBUTES)
MODULES = st.sampled_from(["math", "sympy", "numpy", "os", "sys", "collections.abc", "sympy.core", "builtins", "enum"])
CONSTANTS = st.sampled_from(["0", "2", "1.5", "3j", "None", "True", "''", "'ab'", "b'a'", "...", "'{0.__class__}'"])


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arguments = st.lists(inner | st.builds("*{}".format, inner) | st.builds("n={}".format, inner), max_size=2)
    return st.one_of(
        st.builds(
            "({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "%", "|", "@", "and", "is", "in"]), inner
        ),
        st.builds("({} < {} <= {})".format, inner, inner, inner),
        st.builds("(-{})".format, inner),
        st.builds("({}).{}".format, inner, ATTRIBUTES),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}[{}:{}]".format, inner, inner, inner),
        st.builds("{}({})".format, inner, arguments.map(", ".join)),
        st.builds("getattr({}, {!r})".format, inner, ATTRIBUTES),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("[{}, *{}]".format, inner, inner),
        st.builds("{{{}: {}}}".format, inner, inner),
        st.builds("({},)".format, inner),
        st.builds("[{} for {} in {} if {}]".format, inner, NAMES, inner, inner),
        st.builds("({} for {}, {} in {})".format, inner, NAMES, NAMES, inner),
        st.builds("(lambda {}, *{}, {}=1: {})".format, NAMES, NAMES, NAMES, inner),
        st.builds("({} := {})".format, NAMES, inner),
        st.builds("f'{{{}!r:>{{{}}}}}'".format, inner.filter(lambda text: "'" not in text and "\\" not in text), NAMES),
        st.builds("({!r}.format({}))".format, st.sampled_from(["{0.x}", "{0.__class__.__base__}", "{n[0]}"]), inner),
        st.builds("super().{}({})".format, ATTRIBUTES, inner),
        st.builds("(yield {})".format, inner),
    )


EXPRESSIONS = st.recursive(CONSTANTS | NAMES, _expressions, max_leaves=6)
TARGETS = st.one_of(
    NAMES,
    st.builds("{}.{}".format, NAMES, ATTRIBUTES),
    st.builds("({}).{}".format, EXPRESSIONS, ATTRIBUTES),
    st.builds("{}[{}]".format, NAMES, EXPRESSIONS),
    st.builds("({}, *{}.{})".format, NAMES, NAMES, ATTRIBUTES),
)
PATTERNS = st.recursive(
    st.one_of(CONSTANTS.filter(lambda text: text != "..."), NAMES, st.builds("{}.{}".format, NAMES, ATTRIBUTES)),
    lambda inner: st.one_of(
        st.builds("[{}, *{}]".format, inner, NAMES),
        st.builds("{{'k': {}, **{}}}".format, inner, NAMES),
        st.builds("{}({})".format, NAMES, inner),
        st.builds("{}({}={}, {}={})".format, NAMES, ATTRIBUTES, inner, ATTRIBUTES, inner),
        st.builds("({} | {})".format, inner, inner),
        st.builds("({} as {})".format, inner, NAMES),
        st.builds("{}.{}()".format, NAMES, ATTRIBUTES),
    ),
    max_leaves=4,
)
SIMPLE = st.one_of(
    EXPRESSIONS,
    st.builds("{} = {}".format, TARGETS, EXPRESSIONS),
    st.builds("{} = {} = {}".format, TARGETS, TARGETS, EXPRESSIONS),
    st.builds("{} {}= {}".format, TARGETS, st.sampled_from(["+", "-", "**", "@", "|"]), EXPRESSIONS),
    st.builds("{}: {} = {}".format, TARGETS, EXPRESSIONS, EXPRESSIONS),
    st.builds("{}: {}".format, TARGETS, EXPRESSIONS),
    st.builds("del {}".format, TARGETS),
    st.builds("import {} as {}".format, MODULES, NAMES),
    st.builds("import {}".format, MODULES),
    st.builds("from {} import {} as {}".format, MODULES, ATTRIBUTES, NAMES),
    st.builds("from {} import *".format, MODULES),
    st.builds("global {}".format, NAMES),
    st.builds("nonlocal {}".format, NAMES),
    st.builds("return {}".format, EXPRESSIONS),
    st.builds("raise {} from {}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("assert {}, {}".format, EXPRESSIONS, EXPRESSIONS),
    st.sampled_from(["pass", "break", "continue", "from . import x", "from __future__ import annotations"]),
)
HEADERS = st.one_of(
    st.builds("if {}:".format, EXPRESSIONS),
    st.builds("for {} in {}:".format, TARGETS, EXPRESSIONS),
    st.builds("for {} in range(3):".format, NAMES),
    st.builds("def {}({}, /, {}: {} = 1, *, {}=1, **{}):".format, NAMES, NAMES, NAMES, EXPRESSIONS, NAMES, NAMES),
    st.builds("@{}\ndef {}():".format, EXPRESSIONS, NAMES),
    st.builds("class {}({}):".format, NAMES, st.sampled_from(["", "object", "str", "int", "x", "metaclass=type"])),
    st.builds("@{}\nclass {}:".format, EXPRESSIONS, NAMES),
    st.builds("with {} as {}:".format, EXPRESSIONS, TARGETS),
    st.builds("try:\n    {}\nexcept {} as {}:".format, SIMPLE, EXPRESSIONS, NAMES),
    st.builds("match {}:\n  case {} if {}:".format, EXPRESSIONS, PATTERNS, EXPRESSIONS),
    st.builds("async def {}():".format, NAMES),
    st.builds("async for {} in {}:".format, TARGETS, EXPRESSIONS),
)


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())


def _block(header: str, body: list[str]) -> str:
    return "\n".join([header, *map(_indented, body)])


STATEMENTS = st.recursive(
    SIMPLE, lambda inner: st.builds(_block, HEADERS, st.lists(inner, min_size=1, max_size=3)), max_leaves=6
)
PRELUDE = """
from dataclasses import dataclass
from enum import Enum
import math, numpy, sympy, re, functools
class Color(Enum):
    RED = 1
@dataclass
class Point(str):
    format: int = 1
    x: int = 2
def f(*args, **options):
    return args
def generate():
    yield 1
x, y, n, items, g = Point(), 3, 2, [1, generate], generate()
"""
PROGRAMS = st.lists(STATEMENTS, min_size=1, max_size=5).map(lambda lines: PRELUDE + "\n".join(lines) + "\n")


# --- mutated attacks --------------------------------------------------------------------------------------------------


def seeds() -> list[str]:
    """Programs to mutate: the known attacks and ordinary constructs."""
    found = [part.partition("\n")[2] for part in (DATA / "constructs.txt").read_text().split("=== ")[1:]]
    for path in (SHARED / "attack_payloads.json", SHARED / "hostile_steps.json"):
        if path.exists():
            found += [entry["code"] for entry in json.loads(path.read_text()) if len(entry["code"]) < 2000]
    return found


SEEDS = seeds()
WORDS = sorted(
    {word for seed in SEEDS for word in re.findall(r"[A-Za-z_]\w*", seed) if not keyword.iskeyword(word)}
    | {*GOOD_NAMES, *EVIL_NAMES, *GOOD_ATTRIBUTES, *EVIL_ATTRIBUTES}
)
SIGNS = sorted({sign for seed in SEEDS for sign in re.findall(r"[^\w\s]+", seed)})


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """An attack with some of its tokens replaced, perhaps with lines of another one inserted."""
    lines = draw(st.sampled_from(SEEDS)).splitlines()
    if draw(st.booleans()):
        other = draw(st.sampled_from(SEEDS)).splitlines()
        at, start = draw(st.integers(0, len(lines))), draw(st.integers(0, len(other)))
        lines[at:at] = other[start : start + draw(st.integers(1, 4))]
    pieces = re.findall(r"\w+|[^\w\s]+|\s+", "\n".join(lines)) or ["x"]
    places = [at for at, piece in enumerate(pieces) if piece.isidentifier() and not keyword.iskeyword(piece)] or [0]
    for _ in range(draw(st.integers(0, 5))):
        pieces[draw(st.sampled_from(places))] = draw(st.sampled_from(WORDS))
    if draw(st.integers(0, 3)) == 0:
        pieces[draw(st.integers(0, len(pieces) - 1))] = draw(st.sampled_from(SIGNS))
    return "".join(pieces)


# --- properties of compiled code --------------------------------------------------------------------------------------

_GUARDS = frozenset(
    words(
        "_getattr_ _write_ _write_attribute_ _match_ _inplace_ _show_ "
        "_import_ _import_submodule_ _import_from_ _import_star_"
    )
)
_KEPT = {"_target_", "_subject_", "_captured_"}
_OF_CLASSES = {
    "__module__",
    "__qualname__",
    "__annotations__",
    "__slots__",
    "__match_args__",
    "__doc__",
    "__classcell__",
}
_OF_CLASSES |= {"__static_attributes__", "__firstlineno__", "__annotate__", "__class__", "__conditional_annotations__"}
_NEVER = re.compile(r"(LOAD_ATTR|LOAD_METHOD|LOAD_SUPER|IMPORT_)")
_ATTRIBUTE_WRITES = {"STORE_ATTR", "DELETE_ATTR"}
_ITEM_WRITES = {"STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"}
_SILENT = {"CACHE", "PRECALL", "EXTENDED_ARG", "NOP"}


def code_objects(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from code_objects(constant)


def check_code(code: CodeType) -> None:
    """`code` does not bypass the guards: no attribute access, item write or import without one, and no guard is
    rebound."""
    for each in code_objects(code):
        _check_one(each)


def _check_one(code: CodeType) -> None:
    instructions = [each for each in dis.get_instructions(code) if each.opname not in _SILENT]
    seen: Counter[str] = Counter()
    for before, each in zip([None, *instructions], instructions, strict=False):
        assert not _NEVER.match(each.opname), each
        if each.opname == "MATCH_CLASS":
            assert each.arg == 0, each
            assert before is not None, each
            assert before.argval == (), each
        if each.opname in _ATTRIBUTE_WRITES:
            assert before is not None, each
            assert before.opname.startswith("CALL"), (before, each)
            seen["attributes written"] += 1
        of_pattern = each.opname == "DELETE_SUBSCR" and before is not None and re.match("SWAP|ROT", before.opname)
        seen["items written"] += each.opname in _ITEM_WRITES and not of_pattern  # `case {"a": 1, **rest}` deletes "a"
        if isinstance(each.argval, str) and re.search(r"_(NAME|GLOBAL|FAST|DEREF|CLOSURE|CELL)", each.opname):
            seen[each.argval] += 1
            _check_name(each)
    assert seen["attributes written"] <= seen["_write_attribute_"]
    assert seen["items written"] <= seen["_write_"] + seen["__annotations__"]


def _check_name(instruction: dis.Instruction) -> None:
    name = instruction.argval
    if not re.match(r"_.+_$", name) or name in METHOD_NAMES | _KEPT | _OF_CLASSES:
        return
    assert instruction.opname.startswith("LOAD"), instruction
    assert name in _GUARDS | {"__name__"}, instruction


def compiled(source: str) -> CodeType | None:
    """The checked code of a step; None if the language rejects it with one of its allowed errors."""
    try:
        code = compile_step(source, "<step 0>")
    except (NotAllowed, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    check_code(code)
    return code


# --- properties of running code ---------------------------------------------------------------------------------------

_SECONDS = 2
"""Limit on a program's CPU time. CPU time, so that a loaded machine cannot hide a breach."""
_MOST_SECONDS = 60.0
"""Wall-clock seconds after which a program that waits without computing is stopped."""
_NEVER_REACHED = (open, eval, exec, compile, __import__, globals, vars, type)


def is_forbidden(value: Any) -> bool:
    """Whether `value` is forbidden for every step."""
    if isinstance(value, (FrameType, CodeType)) or any(value is each for each in _NEVER_REACHED):
        return True
    if isinstance(value, ModuleType):
        return not is_facade(value)
    if isinstance(value, BuiltinFunctionType):
        return value.__name__ in {"__subclasses__", "__getattribute__", "__reduce_ex__"}
    return isinstance(value, type) and issubclass(value, type)


def breach(source: str) -> str | None:
    """How `source` breaks the rules as a step, or None. The libraries must be loaded as for steps."""
    code = compiled(source)
    return None if code is None else breach_of_code(code)


def unguarded_breach(source: str) -> str | None:
    """Like `breach`, for code compiled without guards: checks that breaches are detected."""
    return breach_of_code(compile_step(source, "<step 0>", restricted=False))


def breach_of_code(code: CodeType) -> str | None:
    """Run `code` in a separate process, where a breach is harmless."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, _breach_here(code).encode(errors="backslashreplace")[:4000])
        finally:
            os._exit(0)
    os.close(writing)
    found = b""
    if select.select([reading], [], [], _MOST_SECONDS)[0]:
        found = os.read(reading, 4096)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    return found.decode() or None


def _breach_here(code: CodeType) -> str:
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    broken: list[str] = []
    namespace: dict[str, Any] = {"__name__": OWN_MODULE, "__doc__": None}
    made = step_builtins(Output(1000), lambda: namespace)

    def watched(name: str) -> Any:
        guard = made[name]

        def call(*arguments: Any) -> Any:
            value = guard(*arguments)
            if is_forbidden(value):
                broken.append(f"{name}{arguments[1:]} gave {value!r}")
            return value

        return call

    namespace["__builtins__"] = {**made, "_getattr_": watched("_getattr_"), "getattr": watched("getattr")}
    sys.addaudithook(_watch(broken))
    refuse_system_calls()
    try:
        exec(code, namespace)
    except BaseException as error:
        if "a step may not do this" in str(error):  # raised by the audit hook, below the guards
            broken.append(str(error))
    del namespace["__builtins__"]
    _look_through(list(namespace.values()), broken)
    return broken[0] if broken else ""


def _watch(broken: list[str]) -> Callable[[str, Any], None]:
    def hook(event: str, _: Any) -> None:
        if event.partition(".")[0] in {"os", "subprocess", "ctypes", "socket", "open"}:
            broken.append(event)

    return hook


def _look_through(values: list[Any], broken: list[str]) -> None:
    """Look for forbidden objects in what a step left behind, and in the objects these contain."""
    seen: set[int] = set()
    for value in values:  # which grows meanwhile
        if id(value) in seen or len(seen) > 10_000:
            continue
        seen.add(id(value))
        if is_forbidden(value):
            broken.append(f"a variable holds {value!r}")
        if type(value) in (list, tuple, set, frozenset):
            values += value
        elif type(value) is dict:
            values += [*value, *value.values()]
        elif type(value).__module__ == OWN_MODULE:
            values += getattr(value, "__dict__", {}).values()
