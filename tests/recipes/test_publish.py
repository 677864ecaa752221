"""What becomes of a finished job's models in the package: the files of the last round, and cards with its report."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.evolution_reports import job_reports
from support.evolving import small_job

from recipes.toy.publish import main
from treestar.config.job_files import job_as_yaml
from treestar.selfevolve.job_folder import JOB
from treestar.storage.files import write_json

pytest.importorskip("matplotlib")


def test_the_last_rounds_models_are_copied_with_cards(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    (tmp_path / JOB).write_text(job_as_yaml(job))
    for report in job_reports()[: len(job.rounds) + 1]:
        folder = tmp_path / f"round-{report['round']}"
        for model in ("policy", "ppm"):
            (folder / model).mkdir(parents=True)
            (folder / model / "model.safetensors").write_text(f"{model} {report['round']}")
            (folder / model / "training.json").write_text("not a part of the model")
        write_json(folder / "report.json", report)
    policy, ppm = tmp_path / "published" / "policy", tmp_path / "published" / "ppm"

    arguments = [str(tmp_path), "--policy", str(policy), "--ppm", str(ppm)]
    main(arguments)

    last = len(job.rounds)
    for folder in (policy, ppm):
        assert (folder / "model.safetensors").read_text() == f"{folder.name} {last}"
        assert {file.name for file in folder.iterdir()} == {"model.safetensors", "README.md"}
        card = (folder / "README.md").read_text()
        assert f"## Self-evolution, {last} rounds" in card
        assert "| chain_sum/hard | 40 |" in card
    assert "| 2 | 2,345 | 80 | 0.70 |" in (ppm / "README.md").read_text()
    (tmp_path / f"round-{last}" / "report.json").unlink()
    with pytest.raises(SystemExit):
        main(arguments)
