"""`--help` in groups, and flags by their old names."""

from __future__ import annotations

import re
from math import inf, nan

import pytest
from typer import BadParameter
from typer.main import get_command
from typer.testing import CliRunner

from treestar.cli.commands import app
from treestar.cli.options import BUDGET, SEARCH, finite

COMMANDS = [("solve",), ("bench", "run"), ("serve",), ("evolve",), ("ppm", "train"), ("exec",)]


def options_of(names: tuple[str, ...]) -> dict[str, str | None]:
    """The visible options of a command, with their groups."""
    command = get_command(app)
    for name in names:
        command = command.commands[name]  # type: ignore[attr-defined]
    visible = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    return {each.opts[0]: getattr(each, "rich_help_panel", None) for each in visible}


@pytest.mark.parametrize("names", COMMANDS)
def test_each_option_is_listed_once_in_its_group(names: tuple[str, ...]) -> None:
    options = options_of(names)
    assert [name for name, group in options.items() if not group] == []
    shown = CliRunner().invoke(app, [*names, "--help"]).output
    sections = dict(re.findall(r"^(\w[^\n]*):\n((?:  .*\n|\n)+)", shown, re.MULTILINE))
    for name, group in options.items():
        holding = [each for each, text in sections.items() if re.search(rf"^  {name}\b", text, re.MULTILINE)]
        assert holding == [group], name
    assert "--help" in sections["Other options"]


def test_a_setting_of_a_search_is_listed_under_the_strategies_that_have_it() -> None:
    options = options_of(("solve",))
    assert {name for name, group in options.items() if group == BUDGET} == {
        "--max-generated-tokens",
        "--max-executed-seconds",
        "--max-wall-seconds",
        "--max-rollouts",
        "--total-tokens",
        "--difficulty",
    }
    assert options["--max-depth"] == SEARCH
    assert options["--temperature"] == "Search: all strategies but greedy"
    assert options["--children"] == "Search: mcts, beam, dvts"
    assert options["--rule"] == "Search: mcts"


def test_the_default_of_an_unset_setting_is_what_its_documentation_says() -> None:
    shown = " ".join(CliRunner().invoke(app, ["solve", "--help"]).output.split())
    assert "If unset: what the model's files or its family recommend, else 1. --top-p" in shown
    assert "reach this probability. If unset: the model's own. --top-k" in shown
    assert "16 for steps of code. --max-step-tokens" in shown
    assert "is continued with `Wait`. [default: none] Search" in shown
    assert "Stop after this many seconds. [default: no limit]" in shown


def test_defaults_that_differ_name_their_strategies_and_settings_are_named_as_options() -> None:
    shown = " ".join(CliRunner().invoke(app, ["solve", "--help"]).output.split())
    assert "the votes are checked. [default: 1 (adaptive_consistency), 5 (esc), 16 (deepconf)]" in shown
    assert "sampled at each expansion. [default: 8 (mcts), 4 (beam, dvts)]" in shown
    assert "at least --stop-mass. [default: none]" in shown


@pytest.mark.parametrize("names", [(), ("train",), ("judge",), ("ppm",), ("models",), ("retrieval",)])
def test_lists_of_commands_say_whole_sentences(names: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "80"}).output
    listed = shown.partition("Commands:")[2].strip().splitlines()
    assert listed
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


def test_old_flags_work_with_a_sentence_and_are_not_shown() -> None:
    assert "--rollouts" not in CliRunner().invoke(app, ["solve", "--help"]).output.replace("--max-rollouts", "")
    ran = CliRunner().invoke(app, ["solve", "q", "--rollouts", "0"])
    assert "warning: `--rollouts` is now `--max-rollouts`; the old name is accepted until 0.3" in ran.output
    assert "--max-rollouts must be a whole number, 1 or more, not 0" in " ".join(ran.output.split())


@pytest.mark.parametrize(
    "command", [("bench", "processbench", "--threshold"), ("bench", "prmbench", "--threshold"), ("grade", "--seconds")]
)
@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_number_in_a_range_is_finite(command: tuple[str, ...], number: str) -> None:
    ran = CliRunner().invoke(app, [*command, number, *([] if command[0] == "bench" else ["1", "2"])])
    assert ran.exit_code == 2
    assert command[-1] in ran.output


@pytest.mark.parametrize("number", [nan, inf, -inf])
def test_numbers_that_are_not_finite_are_refused_whatever_their_range_says(number: float) -> None:
    assert (finite(None), finite(-0.5)) == (None, -0.5)
    with pytest.raises(BadParameter, match=f"must be a finite number, not {number}"):
        finite(number)
