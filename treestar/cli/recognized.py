"""`treestar doctor --policy`: what was recognized in a model's files, and how it is therefore talked to."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from treestar.policy.backends.openai import OPENAI_PREFIX, describe_server
from treestar.policy.backends.prompt_tokens import prompt_tokens
from treestar.policy.formats import FormatName, StepFormat
from treestar.policy.formats.prose import ProseFormat
from treestar.policy.load import read_policy_files, read_step_format
from treestar.types import Problem, State, TreestarError

__all__ = ["show_policy"]

EXAMPLE = State(Problem("What is 12 + 7 * 3?"))


def show_policy(console: Console, policy: str, step_format: FormatName | None, step_separator: str | None) -> None:
    """Print how the model `policy` is talked to. Raises TreestarError if it does not exist or cannot be read."""
    chosen = read_step_format(policy, step_format, step_separator)
    is_served = policy.startswith(OPENAI_PREFIX)
    table = Table.grid(padding=(0, 3))
    for name, found in (*recognized(chosen), *(of_server(policy, chosen) if is_served else from_files(policy, chosen))):
        table.add_row(name, escape(found))
    console.print(table, highlight=False)
    console.print(f"\nthe prompt of {EXAMPLE.problem.question!r}, after which the model writes its first step:\n")
    prompt = chosen.prompt(EXAMPLE)
    if is_served and (messages := chosen.messages(EXAMPLE)) is not None:  # the server applies the template itself
        prompt = "\n".join(f"{each['role']}: {each['content']}" for each in messages)
    console.print(prompt, markup=False, highlight=False, soft_wrap=True)


def recognized(chosen: StepFormat) -> list[tuple[str, str]]:
    """What follows from the step format and the family."""
    settings = chosen.recommended
    sampling = [f"temperature {settings.temperature:g}", f"top_p {settings.top_p:g}"]
    sampling += [f"top_k {settings.top_k}"] if settings.top_k else []
    sampling += [f"min_p {settings.min_p:g}"] if settings.min_p else []
    rows: list[tuple[str, str]] = [("step format", chosen.name)]
    if isinstance(chosen, ProseFormat):
        rows.append(("family", chosen.family.name))
        if not chosen.family.greedy:
            sampling.append("(its makers advise against greedy decoding)")
    return [
        *rows,
        ("stops at", "  ".join(map(repr, chosen.stop_strings(EXAMPLE)))),
        ("sampling", ", ".join(sampling)),
        ("limits", f"{settings.max_depth} steps of at most {settings.max_step_tokens} tokens"),
    ]


def of_server(policy: str, chosen: StepFormat) -> list[tuple[str, str]]:
    """What a server answered."""
    try:
        return [("server", describe_server(policy, chosen.name))]
    except TreestarError as error:
        return [("server", f"not asked: {error}")]


def from_files(policy: str, chosen: StepFormat) -> list[tuple[str, str]]:
    """What follows from the model's files."""
    from treestar.policy.backends.transformers import context_length

    found = read_policy_files(policy)
    ids = prompt_tokens(found.tokenizer, chosen, EXAMPLE)
    begin = f"{len(ids)} tokens, the first is {found.tokenizer.convert_ids_to_tokens(ids[0])}" if ids else "empty"
    return [("context", f"{context_length(found.config, found.tokenizer):,} tokens"), ("prompt", begin)]
