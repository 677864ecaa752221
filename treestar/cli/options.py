"""Command-line options made from configuration dataclasses, and `--help` grouped by subject.

A field becomes an option, and its docstring the help text. The field's dataclass determines the group.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from functools import wraps
from math import isfinite
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

import typer
from typer.core import TyperCommand
from typer.models import OptionInfo

from treestar.config.fields import field_docstrings, field_types
from treestar.config.renamed import RENAMED, renaming
from treestar.retrieval.config import RetrievalConfig
from treestar.search import STRATEGIES, Budget, SearchConfig

__all__ = [
    "BUDGET",
    "CLUSTER",
    "EXECUTION",
    "MODELS",
    "RETRIEVAL",
    "SEARCH",
    "GroupedCommand",
    "config_from_options",
    "finite",
    "flag",
    "taken",
    "with_config_options",
]

ResultT = TypeVar("ResultT")
ConfigT = TypeVar("ConfigT")

MODELS, BUDGET, SEARCH = "Models", "Budget", "Search: all strategies"
EXECUTION, CLUSTER, RETRIEVAL, OTHER = "Execution", "Cluster", "Retrieval", "Other options"
SHARED = (MODELS, BUDGET, SEARCH, RETRIEVAL, EXECUTION, CLUSTER, OTHER)
"""The groups that several commands share, in the order of `--help`."""

OWN_GROUPS: dict[type[Any], str] = {RetrievalConfig: RETRIEVAL}
"""Classes whose fields have the same heading in every command."""

CLICK_ERROR: Any = typer.BadParameter.__base__
"""click's UsageError, which typer does not export."""

OLD_NAMES = {new: old for old, new in RENAMED.items()}


class GroupedCommand(TyperCommand):
    """A command whose `--help` lists the options by group (`rich_help_panel`), without the boxes of typer's other
    modes, which truncate long names. An argument that is not understood gets advice on how to write a question."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = [*args]  # click empties the list
        try:
            return super().parse_args(ctx, args)
        except CLICK_ERROR as error:
            if any(each.name == "question" for each in self.params):
                error.message += advice(given, error, ctx.command_path)
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx)
            if record is not None:
                group = "Arguments" if each.param_type_name == "argument" else getattr(each, "rich_help_panel", None)
                groups.setdefault(group or OTHER, []).append(record)
        for group in sorted(groups, key=place_in_help):
            with formatter.section(group):
                formatter.write_dl(groups[group])


def advice(args: Iterable[str], error: Any, command: str) -> str:
    """How to write a question that was taken for several arguments, or for an option; "" if this is not the error."""
    unknown = getattr(error, "option_name", None)
    if unknown is None:
        several = "extra argument" in error.message
        return f"\nPut the question in quotes: {command} 'What is 2 + 3?'" if several else ""
    if any(each.startswith(unknown) and (" " in each or each[1:2].isdigit()) for each in args):
        return f"\nPut a question that begins with a dash last, after two dashes: {command} -- '-2 + 3 = ?'"
    return ""


def place_in_help(group: str) -> tuple[int, int]:
    """Sort key of the groups: a command's own groups, then the shared ones. Among the groups of search settings, those
    that more strategies have come first."""
    if group.startswith("Search"):
        return SHARED.index(SEARCH), -len(STRATEGIES) if group.startswith(SEARCH) else -group.count(",")
    return (SHARED.index(group) if group in SHARED else -1), 0


def with_config_options(
    *classes: type[Any], without: Collection[str] = (), group: str, own_group: str
) -> Callable[[Callable[..., ResultT]], Callable[..., ResultT]]:
    """Decorate a typer command whose last parameter is `options: dict[str, Any]`: the fields of `classes`, except those
    named in `without`, become its options, and those that the user gives arrive in that dictionary.

    Old names of fields are options too, which `--help` does not show.

    Args:
        group: the heading under which `--help` lists the fields of classes that do not configure a search.
        own_group: the heading of the command's own options without a `rich_help_panel`.
    """
    by_name: dict[str, type[Any]] = {}
    for config_class in classes:
        for field in fields(config_class):
            if field.name not in without:
                by_name.setdefault(field.name, config_class)
    old_names = {OLD_NAMES[name]: name for name in by_name if name in OLD_NAMES}

    def decorate(command: Callable[..., ResultT]) -> Callable[..., ResultT]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[:-1]
        for each in own:
            for about in get_args(each.annotation):
                if isinstance(about, OptionInfo):
                    about.rich_help_panel = about.rich_help_panel or own_group
        made = [option(name, config_class, classes, group, by_name) for name, config_class in by_name.items()]
        hidden = [parameter(old, by_name[name], name, hidden=True) for old, name in old_names.items()]

        @wraps(command)
        def wrapped(**given: Any) -> ResultT:
            options = {name: given.pop(name) for name in by_name}
            for old, name in old_names.items():
                value = given.pop(old)
                if value is not None:
                    print(f"warning: {renaming(flag(old), flag(name))}", file=sys.stderr)
                    options[name] = value
            return command(**given, options={name: value for name, value in options.items() if value is not None})

        parameters = [*own, *made, *hidden]
        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
        return wrapped

    return decorate


def option(
    name: str, config_class: type[Any], classes: Iterable[type[Any]], group: str, options: Collection[str]
) -> inspect.Parameter:
    """One field as a keyword-only option that is None unless given. The help text includes the default of each class,
    unless the field's docstring says it, or says what happens if the field is unset. Other fields that are `options` of
    the command are named as options."""
    with_it = [field for each in classes for field in fields(each) if field.name == name]
    help_text = field_docstrings(cast(type, config_class)).get(name, "")
    if "if unset" in help_text.lower():
        with_it = [field for field in with_it if field.default is not None]
    if with_it and "by default" not in help_text.lower():
        help_text += f" [default: {defaults_text(name, with_it)}]"
    help_text = re.sub(r"`(\w+)`", lambda match: flag(match[1]) if match[1] in options else match[0], help_text)
    panel = search_group(name) if issubclass(config_class, SearchConfig) else OWN_GROUPS.get(config_class, group)
    return parameter(name, config_class, name, help=help_text.strip(), show_default=False, rich_help_panel=panel)


def parameter(name: str, config_class: type[Any], field: str, **about: Any) -> inspect.Parameter:
    """A field as an option of that name."""
    kind = field_types(config_class)[field]
    if get_origin(kind) is tuple:  # of any length: the option can be repeated
        kind = list[get_args(kind)[0]]  # type: ignore[misc]
    annotation: Any = Annotated[kind | None, typer.Option(**about)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def search_group(name: str) -> str:
    """The heading of a search setting: the strategies that have it."""
    if any(field.name == name for field in fields(Budget)):
        return BUDGET
    have = fields_named(name)
    without = [each for each in STRATEGIES if each not in have]
    if not without:
        return SEARCH
    if len(without) == 1:
        return f"{SEARCH} but {without[0]}"
    return f"Search: {', '.join(have)}"


def fields_named(name: str) -> dict[str, Field[Any]]:
    """The search setting of that name, of each strategy that has it."""
    return {each: field for each, (config, _) in STRATEGIES.items() for field in fields(config) if field.name == name}


def defaults_text(name: str, with_it: Collection[Field[Any]]) -> str:
    """The default of a field; where strategies differ, that of each."""
    texts = {default_text(field) for field in with_it}
    if len(texts) == 1:
        return texts.pop()
    users: dict[str, list[str]] = {}
    for each, field in fields_named(name).items():
        users.setdefault(default_text(field), []).append(each)
    return ", ".join(f"{text} ({', '.join(each)})" for text, each in users.items())


def default_text(field: Field[Any]) -> str:
    if field.default is MISSING:
        return "required" if field.default_factory is MISSING else "depends on this machine"
    if field.default is None:
        return "no limit" if field.name.startswith("max_") else "none"
    return str(field.default)


def finite(value: float | None) -> float | None:
    """A callback for options that take a number: some versions of typer take nan for a number in every range."""
    if value is not None and not isfinite(value):
        raise typer.BadParameter(f"must be a finite number, not {value}")
    return value


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def taken(config_class: type[Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options that are fields of `config_class`, which are removed from `options`."""
    return {field.name: options.pop(field.name) for field in fields(config_class) if field.name in options}


def config_from_options(config_class: type[ConfigT], user: str, options: Mapping[str, Any]) -> ConfigT:
    """The configuration with the given options; `user` names its purpose in errors, which name options, not fields.

    Raises:
        typer.BadParameter: the configuration does not have an option, or a value is not allowed.
    """
    known = {field.name for field in fields(cast(Any, config_class))}
    for name in options:
        if name not in known:
            others = ", ".join(fields_named(name))
            raise typer.BadParameter(f"{flag(name)} is not an option of {user}{f', but of {others}' if others else ''}")
    try:
        return config_class(**options)
    except ValueError as error:
        of_class = rf"\b{cast(type, config_class).__name__}\.(\w+)"
        raise typer.BadParameter(re.sub(of_class, lambda field: flag(field[1]), str(error))) from error
