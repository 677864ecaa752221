"""The program that a reply proposes: found in fences or bare, whole or only a function's body, with what it needs.

A reply is parsed, never run, and parsing it never raises.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from treestar.types import Problem
from treestar.verifier.extraction.fences import Block, fenced_blocks
from treestar.verifier.programs.tests import entry_point_of

__all__ = ["continues_question", "program_in"]

PYTHON = frozenset({"python", "python3", "py", "py3", "python2", ""})
DEFINITION = re.compile(r"^(?:async[ \t]+def|def|class|import|from)(?!\w)", re.MULTILINE)
"""How a line begins that defines or imports something."""
PART = re.compile(r"(?:^@.*\n)*" + DEFINITION.pattern + r".*(?:\n(?:[ \t)\]}].*)?$)*", re.MULTILINE)
"""Such a line, with its decorators and the indented and blank lines after it."""
INDENTED = re.compile(r"(?:^[ \t]+\S.*\n?|^[ \t]*\n)+", re.MULTILINE)
"""Lines that are indented or blank."""
INDENT = "    "
DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
LONGEST_REPLY = 200_000
"""In characters; nothing is looked for in a longer one."""
MOST_PARAGRAPHS = 40


@dataclass(frozen=True, slots=True)
class Definition:
    """A top-level statement that defines or imports names."""

    names: frozenset[str]
    source: str
    is_import: bool = False


def program_in(problem: Problem, reply: str) -> str | None:
    """The program that `reply` proposes for `problem`; None if it has none that is complete.

    Where the problem asks for a function, that is the last complete definition of it, with the imports, functions,
    classes and constants of the reply, after what the question defines before it. Examples of its use are left out. A
    reply that holds only the function's body is put after the question.

    Where it asks for a whole program, that is the last block of code that prints something.
    """
    if len(reply) > LONGEST_REPLY:
        return None
    blocks, prose = fenced(reply)
    entry_point = entry_point_of(problem)
    if entry_point is None:
        return whole_program(blocks, prose)
    return function_program(problem.question, entry_point, blocks, prose)


def continues_question(problem: Problem) -> bool:
    """Whether the question is the head of the wanted function, so that a program can continue it."""
    entry_point = entry_point_of(problem)
    return entry_point is not None and definition_of(entry_point).search(problem.question) is not None


def preface(question: str, entry_point: str) -> str:
    """The imports and functions before the head of the wanted function in a question that is one; else nothing."""
    found = list(definition_of(entry_point).finditer(question))
    return question[: found[-1].start()] if found else ""


def definition_of(entry_point: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(entry_point)}[ \t]*\(", re.MULTILINE)


# --- functions -------------------------------------------------------------------------------------------------------


def function_program(question: str, entry_point: str, blocks: list[str], prose: str) -> str | None:
    found = [definitions(block, entry_point) for block in (*blocks, prose)]
    complete = [place for place, each in enumerate(found) if any(entry_point in one.names for one in each)]
    if not complete:
        return body_program(question, entry_point, [prose, *blocks])
    own = found[complete[-1]]
    defined = frozenset[str]().union(*(each.names for each in own if not each.is_import))
    # Functions that the program calls may stand in other blocks.
    others = [
        each
        for place, definitions_there in enumerate(found)
        if place != complete[-1]
        for each in definitions_there
        if each.is_import or not each.names & (defined | {entry_point})
    ]
    parts = [preface(question, entry_point).strip("\n"), *(each.source for each in (*others, *own))]
    parts.sort(key=lambda part: not part.startswith("from __future__"))  # Python wants it first
    return "\n\n".join(part for part in parts if part.strip()) + "\n"


def definitions(text: str, entry_point: str) -> list[Definition]:
    """The definitions and imports of a text that is Python, or has Python among other lines."""
    tree = parsed(text)
    if tree is not None:
        return statements(tree, text, entry_point)
    parts = [(one, part) for part in PART.findall(text) if (one := parsed(part)) is not None]
    return [each for one, part in parts for each in statements(one, part, entry_point)]


def statements(tree: ast.Module, text: str, entry_point: str) -> list[Definition]:
    lines = text.split("\n")
    # A variable belongs to the program if a function reads it; anything else at this level is an example of use.
    used = {entry_point}
    found = []
    for node in reversed(tree.body):
        names, imported = defined_names(node), is_import(node)
        if isinstance(node, DEFINING) or imported or (names & used and is_quiet(node)):
            used |= {
                each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
            }
            first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
            found.append(Definition(names, "\n".join(lines[first - 1 : node.end_lineno]), imported))
    return found[::-1]


def defined_names(node: ast.stmt) -> frozenset[str]:
    if isinstance(node, DEFINING):
        return frozenset({node.name})
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return frozenset(each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name))
    return frozenset()


def is_import(node: ast.stmt) -> bool:
    """Whether a statement is an import, or tries one."""
    if isinstance(node, ast.Try):
        return any(map(is_import, node.body))
    return isinstance(node, ast.Import | ast.ImportFrom)


def is_quiet(node: ast.stmt) -> bool:
    """Whether an assignment reads no input, so that tests can run after it."""
    calls = [each.func for each in ast.walk(node) if isinstance(each, ast.Call)]
    return not any(isinstance(each, ast.Name) and each.id in ("input", "open") for each in calls)


def body_program(question: str, entry_point: str, texts: Iterable[str]) -> str | None:
    """The question with the last of `texts` that is its function's body."""
    if not definition_of(entry_point).search(question):
        return None
    for text in reversed(list(texts)):
        for each in possible_bodies(text.strip("\n")):
            program = f"{question.rstrip(chr(10))}\n{each}\n"
            if is_body(program, entry_point):
                return program
    return None


def possible_bodies(text: str) -> Iterator[str]:
    yield text
    yield INDENT + text.lstrip()  # the first line's indentation gets lost where replies are trimmed
    yield textwrap.indent(text, INDENT)
    if DEFINITION.search(text) is None:
        yield from reversed(INDENTED.findall(text))


def is_body(program: str, entry_point: str) -> bool:
    """Whether the program ends with the wanted function, and that returns something."""
    tree = parsed(program)
    last = tree.body[-1] if tree is not None and tree.body else None
    return isinstance(last, ast.FunctionDef) and last.name == entry_point and any(map(gives_something, last.body))


def gives_something(node: ast.AST) -> bool:
    """Whether a part of a function returns, yields or raises; functions inside it do not count."""
    if isinstance(node, (*DEFINING, ast.Lambda)):
        return False
    gives = isinstance(node, ast.Return | ast.Yield | ast.YieldFrom | ast.Raise)
    return gives or any(map(gives_something, ast.iter_child_nodes(node)))


# --- whole programs --------------------------------------------------------------------------------------------------


def whole_program(blocks: list[str], prose: str) -> str | None:
    complete = [block for block in blocks if parsed(block) is not None and block.strip()]
    printing = [block for block in complete if prints(block)]
    if printing:
        return printing[-1]
    return program_among_prose(prose) or (complete[-1] if complete else None)


def prints(block: str) -> bool:
    return re.search(r"\bprint\s*\(|\.write\s*\(|\.writelines\s*\(", block) is not None


def program_among_prose(text: str) -> str | None:
    """The longest run of paragraphs that is a program which prints something."""
    paragraphs = re.split(r"\n[ \t]*\n", text.strip("\n"))[:MOST_PARAGRAPHS]
    for length in range(len(paragraphs), 0, -1):
        for start in range(len(paragraphs) - length + 1):
            candidate = "\n\n".join(paragraphs[start : start + length])
            if prints(candidate) and parsed(candidate) is not None:
                return candidate + "\n"
    return None


# --- text ------------------------------------------------------------------------------------------------------------


def fenced(text: str) -> tuple[list[str], str]:
    """The blocks of Python in a reply, the last one also if nothing closes it, and the text outside of all blocks.

    Blocks that name no language count as Python; those indented as in a list lose that indentation.
    """
    outside, end = [], 0
    blocks = fenced_blocks(text)
    for block in blocks:
        outside.append(text[end : block.start])
        end = block.end + 1
    outside.append(text[end:])
    python = [without_indent(block) for block in blocks if block.language.lower() in PYTHON]
    return python or [each for each in map(without_indent, blocks) if DEFINITION.search(each)], "".join(outside)


def without_indent(block: Block) -> str:
    return "\n".join(line.removeprefix(block.indent) for line in block.text.split("\n"))


def parsed(text: str) -> ast.Module | None:
    """The syntax tree of `text`; None if it is not Python, or nested too deeply."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escape sequences, for example
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
