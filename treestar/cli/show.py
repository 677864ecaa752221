"""Results with their executed trajectories, and the progress of running searches, on a terminal."""

from __future__ import annotations

import time
from threading import Lock

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from treestar.search import Search, SearchConfig, SearchResult, SearchStats, TrajectoryStep

__all__ = ["SearchDisplay", "code_view", "result_view"]

DOUBTFUL = 0.5
"""An answer with less confidence than this is more likely wrong than right."""

VISIBLE, MOST_OTHERS = 0.01, 3
"""Other answers are shown from this share of the weight on, at most so many."""

MOST_ROWS = 12
"""With more problems than this, only totals are shown instead of each search."""


def result_view(result: SearchResult) -> RenderableType:
    """A finished problem: question, answer and verdict, and the winning trajectory with its outputs."""
    parts: list[RenderableType] = [Rule(style="dim"), Text(result.problem.question, style="bold")]
    parts += [Padding(step_view(number, step), (0, 0, 0, 2)) for number, step in enumerate(result.trajectory, start=1)]
    parts.append(verdict(result))
    if others := others_of(result):
        parts.append(Text(f"also found, by weight: {others}", style="dim"))
    return Group(*parts)


def step_view(number: int, step: TrajectoryStep) -> RenderableType:
    score = "" if step.score is None else f"  PPM {step.score:+.2f}"
    heading = Text(f"step {number}  Q {step.q_value:+.2f}  N {step.visits}{score}", style="dim")
    body = Text(step.text.rstrip()) if step.is_prose else code_view(step.code)
    output = [Text(f"→ {step.output.rstrip()}", style="cyan")] if step.output.strip() else []
    return Group(heading, body, *output)


def code_view(code: str) -> RenderableType:
    """The code of a step, whole: a line that is too long for the terminal continues on the next."""
    return Syntax(code, "python", background_color="default", word_wrap=True)


def verdict(result: SearchResult) -> Text:
    stats = result.stats
    line = Text()
    if result.answer is None:
        line.append(f"no answer ({result.stopped})", style="bold red")
    else:
        line.append(f"answer {result.answer}", style="bold")
    if result.correct is not None:
        wrong = " ✗ wrong" if result.problem.kind == "code" else f" ✗ wrong, it is {result.problem.answer}"
        line.append(" ✓ right" if result.correct else wrong,
                    style="bold green" if result.correct else "bold red")  # fmt: skip
    elif result.answer is not None and result.confidence < DOUBTFUL:
        line.append(" doubtful", style="bold yellow")
    if stats.discarded:
        line.append(f"   {stats.discarded} discarded before it: not reproduced when run again", style="yellow")
    line.append(
        f"   confidence {result.confidence:.0%} · {counted(stats.rollouts, 'rollout')} · "
        f"{counted(stats.nodes, 'node')} · {counted(stats.executions, 'execution')} · "
        f"{counted(stats.generated_tokens, 'token')} · "
        + (f"{counted(stats.cut_off, 'candidate')} cut off at the token limit · " if stats.cut_off else "")
        + (no_answer_reasons(stats) if result.answer is None else "")
        + (f"{stats.rejected_tokens} of them rejected · " if stats.rejected_tokens else "")
        + (f"{stats.judged_tokens} by the judge · " if stats.judged_tokens else "")
        + (f"{stats.scored_tokens} read by the PPM · " if stats.scored_tokens else "")
        + f"{stats.seconds:.1f} s",
        style="dim",
    )
    return line


def no_answer_reasons(stats: SearchStats) -> str:
    """What kept trajectories from an answer, besides the token limit."""
    failed = f"{counted(stats.failed, 'candidate')} failed or stated no answer · " if stats.failed else ""
    too_long = f"{counted(stats.too_long, 'path')} ended at --max-depth or the model's context · "
    return failed + (too_long if stats.too_long else "")


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def others_of(result: SearchResult) -> str:
    """The other answers with a visible share, the largest three; "" if there is none."""
    visible = [(answer, share) for answer, share in result.other_answers if share >= VISIBLE]
    return ", ".join(f"{answer} ({share:.0%})" for answer, share in visible[:MOST_OTHERS])


class SearchDisplay:
    """The live display of running searches; its methods can be called from any thread.

    Args:
        console: where to draw; nothing is drawn if it is not a terminal.
        total: how many problems are solved.
    """

    def __init__(self, console: Console, total: int) -> None:
        self.running: dict[str, Search[SearchConfig]] = {}
        self.total = total
        self.finished = 0
        self.answered = 0
        self.right = 0
        self.judged = 0
        self.tokens = 0
        self.started = time.perf_counter()
        self.lock = Lock()
        self.live = Live(console=console, get_renderable=self.view, refresh_per_second=8, transient=True)

    def __enter__(self) -> SearchDisplay:
        self.started = time.perf_counter()  # not before the model was loaded
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def on_progress(self, search: Search[SearchConfig]) -> None:
        with self.lock:
            self.running[search.tree.problem.id] = search

    def on_result(self, result: SearchResult) -> None:
        with self.lock:
            self.running.pop(result.problem.id, None)
            self.finished += 1
            self.answered += result.answer is not None
            self.judged += result.correct is not None
            self.right += bool(result.correct)
            self.tokens += result.stats.generated_tokens

    def summary(self) -> Text:
        """One line over all results."""
        right = f"{self.right} of {self.judged} right · " if self.judged else ""
        seconds = time.perf_counter() - self.started
        answered = f"{self.answered} of {self.finished} answered · {right}"
        return Text(f"{answered}{self.tokens:,} tokens generated · {seconds:.1f} s", style="bold")

    def view(self) -> RenderableType:
        with self.lock:
            searches = list(self.running.values())
        totals = f"{self.finished}/{self.total} problems"
        if self.judged:
            totals += f" · {self.right}/{self.judged} right"
        totals += f" · {time.perf_counter() - self.started:.0f} s"
        table = Table.grid(padding=(0, 2))
        if self.total <= MOST_ROWS:
            for search in searches:
                table.add_row(*progress_row(search))
        return Group(table, Text(totals, style="bold"))


def progress_row(search: Search[SearchConfig]) -> list[RenderableType]:
    stats, groups = search.stats, search.groups.groups
    samples: int = getattr(search.config, "samples", None) or 1
    wanted = search.config.max_rollouts or samples
    leader = max(groups, key=lambda group: group.mass).answer if groups else "…"
    question = Text(" ".join(search.tree.problem.question.split()), overflow="ellipsis", no_wrap=True)
    question.truncate(48, overflow="ellipsis")
    return [
        question,
        ProgressBar(total=wanted, completed=min(stats.rollouts, wanted), width=16),
        f"{stats.rollouts}/{wanted} rollouts",
        f"{stats.nodes} nodes",
        f"{stats.generated_tokens} tokens",
        Text(f"leading: {leader}", overflow="ellipsis", no_wrap=True),
    ]
