"""Atomic files, and the error for files made with other settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from treestar.storage.files import read_json, write_json, write_text
from treestar.storage.settings import begin_folder, check_same_settings
from treestar.storage.table import Schema, Table
from treestar.types import TreestarError


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    write_json(path, {"text": "é"})
    assert read_json(path) == {"text": "é"}
    with pytest.raises(TypeError):
        write_json(path, {"text": object()})
    assert read_json(path) == {"text": "é"}
    assert os.listdir(tmp_path) == ["data.json"]


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "text"
    write_text(Path(os.devnull), "text")
    assert not Path(os.devnull).is_file()


def test_other_settings_are_named() -> None:
    check_same_settings(
        "OUT", {"seed": 0, "search": {"c": 2}, "old": None}, {"search": {"c": 2}, "seed": 0, "new": None}
    )
    with pytest.raises(TreestarError) as raised:
        check_same_settings("OUT", {"seed": 0, "search": {"c": 1, "d": 2}}, {"seed": 0, "search": {"c": 2}, "k": [4]})
    assert str(raised.value) == (
        "OUT was made with other settings (search.c, search.d, k): use the same settings to continue it, or choose "
        "another path"
    )


def test_a_setting_left_open_now_may_have_been_the_former_default() -> None:
    check_same_settings("OUT", {"search": {"temperature": 1.0}}, {"search": {"temperature": None}})
    for then, now in ((None, 1.0), (0.6, None)):
        with pytest.raises(TreestarError, match=r"other settings \(search\.temperature\)"):
            check_same_settings("OUT", {"search": {"temperature": then}}, {"search": {"temperature": now}})


def test_a_folder_is_continued_with_the_settings_it_was_begun_with(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.json"
    begin_folder(path, {"seed": 0, "rule": "sign", "found": 3})
    begin_folder(path, {"seed": 0, "rule": "ratio"}, can_change=["rule", "found"])
    assert read_json(path) == {"seed": 0, "rule": "ratio"}
    with pytest.raises(TreestarError, match=r"made with other settings \(seed, rule\)"):
        begin_folder(path, {"seed": 1, "rule": "sign"})
    assert read_json(path)["seed"] == 0
    for damaged in ("", "[1]", "3"):
        path.write_text(damaged)
        with pytest.raises(TreestarError, match=r"settings\.json is damaged, so .* cannot be continued"):
            begin_folder(path, {"seed": 0}, can_change=["found"])


@pytest.mark.parametrize("place", ["", "rows"])
def test_data_without_the_settings_that_made_it_is_not_continued(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "settings.json.partial").write_text("killed while this was written")
    begin_folder(folder / "settings.json", {"seed": 0})
    with Table(folder / place, Schema("rows", {"name": "string"}, ("name",))) as table:
        table.append({"name": "a"})
    begin_folder(folder / "settings.json", {"seed": 0})
    (folder / "settings.json").unlink()
    with pytest.raises(TreestarError, match=r"settings\.json is missing, so nothing says with which settings"):
        begin_folder(folder / "settings.json", {"seed": 1})
    assert not (folder / "settings.json").exists()


def test_a_name_that_is_no_unicode_is_kept(tmp_path: Path) -> None:
    """Names of files can be any bytes; Python reads those that are not UTF-8 as half characters."""
    path = tmp_path / "data.json"
    write_json(path, {"file": "caf\udce9"})
    assert read_json(path) == {"file": "caf\udce9"}
    write_text(path, "caf\udce9")
    assert path.read_text() == r"caf\udce9"
