"""`treestar doctor --policy`: what was recognized in a model's files."""

from __future__ import annotations

from pathlib import Path

from support.instruct_server import InstructServer
from support.tiny_model import save_tiny_model
from typer.testing import CliRunner

from treestar.cli.commands import app


def doctor(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["doctor", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_a_model_folder(tmp_path: Path) -> None:
    shown = doctor("--policy", str(save_tiny_model(tmp_path)), "--step-format", "cot", "--step-separator", "## Step")
    for expected in ("cot", "instruct", "'## Step'", "temperature 0.8", "64 steps of at most 128 tokens", "512 tokens"):
        assert expected in shown
    assert "What is 12 + 7 * 3?" in shown
    assert "\\boxed{}" in shown


def test_the_models_own_format_is_what_its_config_says(tmp_path: Path) -> None:
    assert "bound" in doctor("--policy", str(save_tiny_model(tmp_path, treestar_format="bound")))


def test_a_server_is_asked_how_it_goes_on_and_the_messages_are_shown() -> None:
    with InstructServer("4", continues=True) as server:
        shown = doctor("--policy", f"openai:Qwen/Qwen3-8B@{server.url}", "--step-format", "cot")
    assert "qwen3" in shown
    assert "continue" in shown
    assert "user: What is 12 + 7 * 3?" in shown


def test_a_server_that_is_not_there_is_a_sentence() -> None:
    shown = doctor("--policy", "openai:some-model@http://127.0.0.1:9")  # nothing listens on the discard port
    assert "not asked" in shown
    assert "connection failed" in shown
