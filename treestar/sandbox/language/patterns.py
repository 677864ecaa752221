"""`match` cases whose patterns read attributes: class patterns with arguments, and dotted names such as `Color.RED`.

Python reads these attributes without calling the guard. So such a case becomes `case _subject_ if ...`, whose guard
calls `matched` with a description of the pattern; `matched` reads every attribute through `read`. Descriptions are
tuples: the kind, then its parts.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["check_patterns", "guard_of", "matched", "reads_attributes"]

MISSING = object()
MATCH_THEMSELVES = (bool, bytearray, bytes, dict, float, frozenset, int, list, set, str, tuple)
"""Types that one positional pattern matches as a whole: `case int(n)`."""

Description = tuple[Any, ...]
Read = Callable[[Any, str, Any], Any]


# --- when a step is compiled -----------------------------------------------------------------------------------------


def reads_attributes(pattern: ast.pattern) -> bool:
    """Whether matching `pattern` reads attributes."""
    return any(
        isinstance(node, ast.Attribute) or (isinstance(node, ast.MatchClass) and bool(node.patterns or node.kwd_attrs))
        for node in ast.walk(pattern)
    )


def check_patterns(cases: Sequence[ast.match_case]) -> None:
    """Raise the SyntaxError that Python would: a name is bound twice, alternatives bind different names, a case that
    matches everything comes before others, ..."""
    bare = [ast.match_case(case.pattern, case.guard and ast.Name("guard", ast.Load()), [ast.Pass()]) for case in cases]
    statement = ast.copy_location(ast.Match(ast.Constant(None), bare), cases[0].pattern)
    compile(ast.fix_missing_locations(ast.Module([statement], [])), "<pattern>", "exec")


def guard_of(case: ast.match_case) -> ast.expr:
    """The test that `case`'s pattern matches `_subject_` (binding its names) and its own guard holds; no locations."""
    description = describe(case.pattern)
    call = ast.Call(ast.Name("_match_", ast.Load()), [ast.Name("_subject_", ast.Load()), description], [])
    tests: list[ast.expr] = [ast.Compare(let("_captured_", call), [ast.IsNot()], [ast.Constant(None)])]
    names = captured_names(case.pattern)
    if names:  # a nonempty tuple is true
        captured = ast.Name("_captured_", ast.Load())
        tests.append(tuple_of(let(name, ast.Subscript(captured, ast.Constant(name), ast.Load())) for name in names))
    if case.guard is not None:
        tests.append(case.guard)
    return ast.BoolOp(ast.And(), tests) if len(tests) > 1 else tests[0]


def let(name: str, value: ast.expr) -> ast.expr:
    return ast.NamedExpr(ast.Name(name, ast.Store()), value)


def captured_names(pattern: ast.pattern) -> list[str]:
    """The names that `pattern` binds, each once."""
    names = dict.fromkeys(
        node.rest if isinstance(node, ast.MatchMapping) else node.name
        for node in ast.walk(pattern)
        if isinstance(node, (ast.MatchAs, ast.MatchStar, ast.MatchMapping))
    )
    return [name for name in names if name is not None]


def describe(pattern: ast.pattern) -> ast.expr:
    """An expression whose value is the description of `pattern`, without locations."""
    if isinstance(pattern, ast.MatchValue):
        return description_of("value", pattern.value)
    if isinstance(pattern, ast.MatchSingleton):
        return description_of("singleton", ast.Constant(pattern.value))
    if isinstance(pattern, ast.MatchSequence):
        return description_of("sequence", tuple_of(map(describe, pattern.patterns)))
    if isinstance(pattern, ast.MatchStar):
        return description_of("star", ast.Constant(pattern.name))
    if isinstance(pattern, ast.MatchMapping):
        patterns = tuple_of(map(describe, pattern.patterns))
        return description_of("mapping", tuple_of(pattern.keys), patterns, ast.Constant(pattern.rest))
    if isinstance(pattern, ast.MatchClass):
        positional = tuple_of(map(describe, pattern.patterns))
        names = tuple_of(map(ast.Constant, pattern.kwd_attrs))
        return description_of("class", pattern.cls, positional, names, tuple_of(map(describe, pattern.kwd_patterns)))
    if isinstance(pattern, ast.MatchAs):
        inner = ast.Constant(None) if pattern.pattern is None else describe(pattern.pattern)
        return description_of("as", inner, ast.Constant(pattern.name))
    assert isinstance(pattern, ast.MatchOr)
    return description_of("or", tuple_of(map(describe, pattern.patterns)))


def description_of(kind: str, *parts: ast.expr) -> ast.Tuple:
    return tuple_of([ast.Constant(kind), *parts])


def tuple_of(elements: Any) -> ast.Tuple:
    return ast.Tuple(list(elements), ast.Load())


# --- when it runs ----------------------------------------------------------------------------------------------------


def matched(subject: Any, pattern: Description, read: Read) -> dict[str, Any] | None:
    """The names that `pattern` captures from `subject`, or None if it does not match.

    `read(value, name, default)` reads an attribute. Raises the errors of `read` and of a `match` statement.
    """
    captured: dict[str, Any] = {}
    return captured if matches(subject, pattern, captured, read) else None


def matches(subject: Any, pattern: Description, captured: dict[str, Any], read: Read) -> bool:
    match pattern:
        case ("value", value):
            return bool(subject == value)
        case ("singleton", value):
            return subject is value
        case ("sequence", patterns):
            return matches_sequence(subject, patterns, captured, read)
        case ("mapping", keys, patterns, rest):
            return matches_mapping(subject, keys, patterns, rest, captured, read)
        case ("class", kind, positional, names, patterns):
            return matches_class(subject, kind, positional, names, patterns, captured, read)
        case ("as", inner, name):
            if inner is not None and not matches(subject, inner, captured, read):
                return False
            if name is not None:
                captured[name] = subject
            return True
        case ("or", patterns):
            return any(matches(subject, each, captured, read) for each in patterns)
        case _:
            raise AssertionError(pattern)


def all_match(subjects: Sequence[Any], patterns: Sequence[Description], captured: dict[str, Any], read: Read) -> bool:
    return all(matches(subject, each, captured, read) for subject, each in zip(subjects, patterns, strict=True))


def matches_sequence(subject: Any, patterns: Sequence[Description], captured: dict[str, Any], read: Read) -> bool:
    match subject:
        case [*items]:
            pass
        case _:
            return False
    star = next((index for index, each in enumerate(patterns) if each[0] == "star"), None)
    if star is None:
        return len(items) == len(patterns) and all_match(items, patterns, captured, read)
    after = len(patterns) - star - 1
    if len(items) < star + after:
        return False
    end = len(items) - after
    name = patterns[star][1]
    if name is not None:
        captured[name] = items[star:end]
    outside, around = items[:star] + items[end:], [*patterns[:star], *patterns[star + 1 :]]
    return all_match(outside, around, captured, read)


def matches_mapping(
    subject: Any,
    keys: Sequence[Any],
    patterns: Sequence[Description],
    rest: str | None,
    captured: dict[str, Any],
    read: Read,
) -> bool:
    match subject:
        case {}:
            pass
        case _:
            return False
    if len(set(keys)) < len(keys):
        raise ValueError("mapping pattern checks duplicate key")
    values = [subject.get(key, MISSING) for key in keys]
    if any(value is MISSING for value in values) or not all_match(values, patterns, captured, read):
        return False
    if rest is not None:
        captured[rest] = {key: value for key, value in dict(subject).items() if key not in keys}
    return True


def matches_class(
    subject: Any,
    kind: Any,
    positional: Sequence[Description],
    names: Sequence[str],
    patterns: Sequence[Description],
    captured: dict[str, Any],
    read: Read,
) -> bool:
    if not isinstance(kind, type):
        raise TypeError("called match pattern must be a class")
    if not isinstance(subject, kind):
        return False
    fields: Any = getattr(kind, "__match_args__", ())
    if type(fields) is not tuple:
        raise TypeError(f"{kind.__name__}.__match_args__ must be a tuple (got {type(fields).__name__})")
    whole = fields == () and issubclass(kind, MATCH_THEMSELVES)
    if len(positional) > (1 if whole else len(fields)):
        raise TypeError(f"{kind.__name__}() does not accept {len(positional)} positional sub-patterns")
    wanted = [*fields[: len(positional)], *names]
    if len(set(wanted)) < len(wanted):
        raise TypeError(f"{kind.__name__}() got multiple sub-patterns for one attribute")
    values = [read(subject, name, MISSING) for name in wanted]
    if any(value is MISSING for value in values):
        return False
    itself = [subject] * len(positional) if whole else []
    return all_match([*itself, *values], [*positional, *patterns], captured, read)
