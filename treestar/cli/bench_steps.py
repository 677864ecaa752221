"""`treestar bench processbench` and `treestar bench prmbench`: measure what a scorer says of single steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from treestar.cli.components import SCORER_FLAGS, ScorerKindName
from treestar.cli.options import MODELS, finite
from treestar.cli.progress import LiveBar, is_tenth, quiet_transformers, resumable
from treestar.config.names import unknown_name
from treestar.policy.models import Dtype
from treestar.ppm.public import ScorerKind

if TYPE_CHECKING:
    from treestar.benchmarks.solutions import Solution
    from treestar.benchmarks.step_values import Valued

__all__ = ["prmbench", "processbench"]

StepScorerName = Annotated[
    str,
    typer.Option(
        *SCORER_FLAGS,
        help="A PPM, a public reward model, or with --scorer-kind judge any policy; MODEL?judge_votes=8 for a majority "
        "of 8 verdicts.",
        rich_help_panel=MODELS,
    ),
]
OutFolder = Annotated[Path, typer.Option(help="Folder for results.json, samples.jsonl and report.md.")]
Problems = Annotated[
    int | None, typer.Option(help="Only this many solutions of each part of the set, evenly spaced.", min=1)
]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder with the set as JSON Lines; without it, the Hugging Face hub.")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="Treat steps with a value below this as wrong, instead of choosing a threshold.",
        min=-1,
        max=1,
        callback=finite,
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")]
DtypeName = Annotated[
    Dtype | None,
    typer.Option(help="Data type of the model. [default: a fast one on the device]", rich_help_panel=MODELS),
]
AtOnce = Annotated[int, typer.Option(help="Maximum number of solutions at the same time.", min=1)]


def processbench(
    scorer: StepScorerName,
    out: OutFolder,
    subsets: Annotated[str, typer.Option(help="Comma-separated subsets.")] = "gsm8k,math,olympiadbench,omnimath",
    threshold_on: Annotated[str, typer.Option(help="The subset on which the threshold is chosen for all.")] = "gsm8k",
    threshold: Threshold = None,
    problems: Problems = None,
    data_dir: DataDir = None,
    resume: Resume = False,
    scorer_kind: ScorerKindName = None,
    dtype: DtypeName = None,
    concurrency: AtOnce = 16,
) -> None:
    """Measure how well a scorer finds the first wrong step of solutions (ProcessBench): F1 for each subset."""
    from treestar.benchmarks.processbench import processbench_report, processbench_results, processbench_summary
    from treestar.benchmarks.solutions import PROCESSBENCH_SUBSETS, load_processbench

    wanted = chosen_parts("subset", subsets, PROCESSBENCH_SUBSETS)
    check_threshold_part(threshold_on, wanted, threshold)
    measure(
        "processbench",
        partial(load_processbench, data_dir, wanted),
        problems,
        out,
        resume,
        (scorer, dtype, scorer_kind),
        concurrency,
        partial(processbench_results, chosen_on=threshold_on, threshold=threshold),
        processbench_report,
        processbench_summary,
    )


def prmbench(
    scorer: StepScorerName,
    out: OutFolder,
    classes: Annotated[str, typer.Option(help="Comma-separated classes of errors. [default: all nine]")] = "",
    threshold_on: Annotated[
        str, typer.Option(help="The class on which the threshold is chosen for all.")
    ] = "counterfactual",
    threshold: Threshold = None,
    problems: Problems = None,
    data_dir: DataDir = None,
    resume: Resume = False,
    scorer_kind: ScorerKindName = None,
    dtype: DtypeName = None,
    concurrency: AtOnce = 16,
) -> None:
    """Measure how well a scorer tells wrong steps from right ones (PRMBench): PRMScore for each class of errors."""
    from treestar.benchmarks.prmbench import prmbench_report, prmbench_results, prmbench_summary
    from treestar.benchmarks.solutions import PRMBENCH_CLASSES, load_prmbench

    wanted = chosen_parts("class", classes, PRMBENCH_CLASSES) or tuple(PRMBENCH_CLASSES)
    check_threshold_part(threshold_on, wanted, threshold)
    measure(
        "prmbench",
        partial(load_prmbench, data_dir, wanted),
        problems,
        out,
        resume,
        (scorer, dtype, scorer_kind),
        concurrency,
        partial(prmbench_results, chosen_on=threshold_on, threshold=threshold),
        prmbench_report,
        prmbench_summary,
    )


def chosen_parts(kind: str, text: str, known: Collection[str]) -> tuple[str, ...]:
    """The parts that `text` names, separated by commas. Raises typer.BadParameter if one is not among `known`."""
    parts = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for part in parts:
        if part not in known:
            raise typer.BadParameter(unknown_name(kind, part, known))
    return parts


def check_threshold_part(part: str, wanted: Sequence[str], threshold: float | None) -> None:
    """Raises typer.BadParameter before anything is computed if the threshold cannot be chosen on `part`."""
    if threshold is None and part not in wanted:
        raise typer.BadParameter(
            f"--threshold-on {part} is not measured: name one of {', '.join(wanted)}, or give --threshold"
        )


def measure(
    benchmark: str,
    load: Callable[[], list[Solution]],
    problems: int | None,
    out: Path,
    resume: bool,
    scorer: tuple[str, Dtype | None, ScorerKind | None],
    concurrency: int,
    compute: Callable[[Sequence[Valued]], dict[str, Any]],
    report: Callable[[dict[str, Any], str], str],
    summary: Callable[[dict[str, Any]], list[str]],
) -> None:
    """Value all steps, and write and print what follows from that."""
    from treestar.benchmarks.solutions import spread
    from treestar.benchmarks.step_values import begin_valuing, read_values, value_solutions
    from treestar.components import load_step_scorer
    from treestar.storage.files import write_json, write_text, writing

    console = Console(stderr=True, soft_wrap=True)
    solutions = spread(load(), problems)
    quiet_transformers()
    loaded = load_step_scorer(*scorer)
    begin_valuing(out, benchmark, loaded.name, solutions, resume, scorer[1])
    total, done = len(solutions), len(read_values(out))
    bar = LiveBar(console, benchmark, total, done)

    def on_done() -> None:
        nonlocal done
        done += 1
        bar.show(benchmark, done, total)
        if not console.is_terminal and is_tenth(done, total):
            bar.say(f"{done:,} of {total:,} solutions")

    with resumable(out), bar:
        asyncio.run(value_solutions(out, loaded, solutions, concurrency, on_done))
    results = {"benchmark": benchmark, "scorer": loaded.name, **compute(read_values(out))}
    with writing(out):
        write_json(out / "results.json", results)
        write_text(out / "report.md", report(results, loaded.name))
    for line in summary(results):
        print(line)
    console.print(f"written: {out / 'report.md'}", highlight=False, markup=False)
