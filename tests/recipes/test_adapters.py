"""What training changed, as an adapter: nothing is lost where the change has the adapter's rank."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")

import torch

from recipes.word_problems.adapters import factors, write_adapter
from recipes.word_problems.float8 import store_in_float8
from recipes.word_problems.matrices import read_factors
from tests.support.tiny_model import saved_tiny_model
from treestar.policy.models import load_causal_model
from treestar.ppm.model import load_ppm, ppm_from_policy


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_tiny_model(tmp_path_factory.mktemp("base"))


def changed(model: torch.nn.Module, rank: int) -> None:
    """Add a change of that rank to every matrix of the layers."""
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if name.endswith("proj.weight"):
            weight.data += 0.02 * torch.randn(weight.shape[0], rank) @ torch.randn(rank, weight.shape[1])


def test_a_policy_comes_back(base: Path, tmp_path: Path) -> None:
    model = load_causal_model(str(base))
    changed(model, 2)
    model.config.treestar_format = "rstar"
    model.save_pretrained(tmp_path / "trained")
    lost = write_adapter(str(base), str(tmp_path / "trained"), 2, tmp_path / "adapter")
    assert max(lost.values()) < 1e-6
    found, expected = load_causal_model(str(tmp_path / "adapter")).state_dict(), model.state_dict()
    assert all(torch.allclose(found[name], expected[name], atol=5e-3) for name in expected)
    assert load_causal_model(str(tmp_path / "adapter")).config.treestar_format == "rstar"


def test_the_command_says_what_is_lost(base: Path, tmp_path: Path) -> None:
    model = load_causal_model(str(base))
    changed(model, 2)
    model.save_pretrained(tmp_path / "trained")
    arguments = ["--base", base, "--trained", tmp_path / "trained", "--rank", "1", "--out", tmp_path / "adapter"]
    command = [sys.executable, "-m", "recipes.word_problems.adapters", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"14 matrices; lost of the change: median 0\.[1-9]", ran.stdout)
    assert (tmp_path / "adapter" / "adapter_config.json").is_file()


def test_a_ppm_comes_back_with_its_head(base: Path, tmp_path: Path) -> None:
    ppm = ppm_from_policy(str(base))
    changed(ppm.model, 1)
    torch.nn.init.normal_(ppm.model.score.weight)
    ppm.save(tmp_path / "trained")
    write_adapter(str(base), str(tmp_path / "trained"), 1, tmp_path / "adapter")
    found = load_ppm(str(tmp_path / "adapter"), device="cpu", dtype="float32")
    expected = ppm.model.state_dict()
    assert all(torch.allclose(weight, expected[name], atol=5e-3) for name, weight in found.model.state_dict().items())
    assert found.step_format.name == ppm.step_format.name


def test_another_change_than_of_matrices_is_refused(base: Path, tmp_path: Path) -> None:
    model = load_causal_model(str(base))
    model.model.norm.weight.data += 1
    model.save_pretrained(tmp_path / "trained")
    with pytest.raises(ValueError, match="train with LoRA"):
        write_adapter(str(base), str(tmp_path / "trained"), 2, tmp_path / "adapter")


def test_factors_say_what_they_lose() -> None:
    change = torch.diag(torch.tensor([3.0, 4.0]))
    up, down, lost = factors(change, 1)
    assert torch.allclose(up @ down, torch.diag(torch.tensor([0.0, 4.0])), atol=1e-6)
    assert lost == pytest.approx(9 / 25)
    assert factors(torch.zeros(2, 3), 1)[2] == 0.0


def test_in_float8_an_adapter_is_half_as_large_and_changes_almost_the_same(base: Path, tmp_path: Path) -> None:
    plain = load_causal_model(str(base)).state_dict()
    model = load_causal_model(str(base))
    changed(model, 2)
    model.save_pretrained(tmp_path / "trained")
    write_adapter(str(base), str(tmp_path / "trained"), 2, tmp_path / "adapter")
    store_in_float8(tmp_path / "adapter", tmp_path / "small")
    sizes = [(tmp_path / name / "adapter_model.safetensors").stat().st_size for name in ("adapter", "small")]
    assert sizes[1] < 0.75 * sizes[0]  # of this small one, the names are a part
    found, expected = load_causal_model(str(tmp_path / "small")).state_dict(), model.state_dict()
    for name in (name for name in plain if name.endswith("proj.weight")):
        change = expected[name] - plain[name]
        assert (found[name] - expected[name]).norm() < 0.08 * change.norm()
    names = [name for name in plain if name.endswith("proj.weight")]
    for name, (up, down) in zip(names, read_factors(tmp_path / "small", names), strict=True):
        torch.testing.assert_close(plain[name] + up @ down, found[name])


def test_of_an_adapter_a_share_can_be_kept(base: Path, tmp_path: Path) -> None:
    plain = load_causal_model(str(base)).state_dict()
    model = load_causal_model(str(base))
    changed(model, 2)
    model.save_pretrained(tmp_path / "trained")
    write_adapter(str(base), str(tmp_path / "trained"), 2, tmp_path / "adapter")
    for name, share in {"all": 1.0, "half": 0.5}.items():
        store_in_float8(tmp_path / "adapter", tmp_path / name, share)
    half, whole = (load_causal_model(str(tmp_path / name)).state_dict() for name in ("half", "all"))
    for name in plain:
        torch.testing.assert_close(half[name], (plain[name] + whole[name]) / 2)
    with pytest.raises(ValueError, match="share must be from 0 to 1, not 70"):
        store_in_float8(tmp_path / "adapter", tmp_path / "wrong", 70)
