"""Command-line options made from configuration dataclasses: a field is an option, its docstring the help text."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache, wraps
from typing import Annotated, Any, TypeVar, cast, get_type_hints

import typer

__all__ = ["config_from_options", "with_config_options"]

ResultT = TypeVar("ResultT")
ConfigT = TypeVar("ConfigT")


def with_config_options(
    *classes: type[Any], without: Collection[str] = ()
) -> Callable[[Callable[..., ResultT]], Callable[..., ResultT]]:
    """Decorate a typer command whose last parameter is `options: dict[str, Any]`: the fields of `classes`, but those
    named in `without`, become its options, and those that the user gives arrive in that dictionary."""
    by_name: dict[str, type[Any]] = {}
    for config_class in classes:
        for field in fields(config_class):
            if field.name not in without:
                by_name.setdefault(field.name, config_class)

    def decorate(command: Callable[..., ResultT]) -> Callable[..., ResultT]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[:-1]
        made = [option(name, config_class, classes) for name, config_class in by_name.items()]

        @wraps(command)
        def wrapped(**given: Any) -> ResultT:
            options = {name: given.pop(name) for name in by_name}
            return command(**given, options={name: value for name, value in options.items() if value is not None})

        parameters = [*own, *made]
        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
        return wrapped

    return decorate


def option(name: str, config_class: type[Any], classes: Iterable[type[Any]]) -> inspect.Parameter:
    """One field as a keyword-only option that is None unless given; the help names its default in each class, unless
    the field's docstring does."""
    kind: Any = get_type_hints(config_class)[name]
    defaults = {default_text(field) for each in classes for field in fields(each) if field.name == name}
    help_text = field_docstrings(cast(type, config_class)).get(name, "")
    if "by default" not in help_text.lower():
        help_text += f" [default: {' or '.join(sorted(defaults))}]"
    annotation: Any = Annotated[kind | None, typer.Option(help=help_text.strip(), show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def default_text(field: Field[Any]) -> str:
    if field.default is MISSING:
        return "required" if field.default_factory is MISSING else "hangs on this machine"
    return "no limit" if field.default is None else str(field.default)


@cache
def field_docstrings(config_class: type) -> dict[str, str]:
    """The string literals that stand under the fields of a dataclass and of its bases."""
    found: dict[str, str] = {}
    for each in reversed(config_class.__mro__[:-1]):
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(definition, ast.ClassDef)
        for line, after in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(after, ast.Expr):
                found[line.target.id] = " ".join(str(ast.literal_eval(after.value)).split())
    return found


def config_from_options(config_class: type[ConfigT], user: str, options: Mapping[str, Any]) -> ConfigT:
    """The configuration with the given options; `user` names what it is for, in errors.

    Raises:
        typer.BadParameter: an option that this configuration does not have, or a value that is not allowed.
    """
    known = {field.name for field in fields(cast(Any, config_class))}
    for name in options:
        if name not in known:
            flag = "--" + name.replace("_", "-")
            raise typer.BadParameter(f"{flag} is not an option of {user}")
    try:
        return config_class(**options)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
