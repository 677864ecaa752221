"""Memory limits of containers, read as Linux shows them."""

from pathlib import Path

import pytest

from treestar.machine import available_cores, available_memory, memory_limits

GROUPS_2 = "0::/kubepods/pod1/box\n"
GROUPS_1 = "5:devices:/docker/box\n4:memory:/docker/box\n0::/\n"


@pytest.mark.parametrize(
    ("groups", "files", "limits"),
    [
        (GROUPS_2, {"kubepods/pod1/box/memory.max": "max", "kubepods/pod1/memory.max": "2000"}, [2000]),
        (GROUPS_2, {"kubepods/pod1/box/memory.max": "1000", "kubepods/memory.max": "3000"}, [1000, 3000]),
        (GROUPS_2, {"memory.max": "500"}, [500]),
        (GROUPS_1, {"memory/docker/box/memory.limit_in_bytes": "700", "devices/memory.max": "1"}, [700]),
        (GROUPS_1, {"memory/memory.limit_in_bytes": "9223372036854771712"}, [9223372036854771712]),
        ("3:hugetlb,memory:/box\n", {"memory/box/memory.limit_in_bytes": "900"}, [900]),
        (GROUPS_2, {}, []),
        ("", {"memory.max": "500"}, []),
    ],
)
def test_limits_of_control_groups(tmp_path: Path, groups: str, files: dict[str, str], limits: list[int]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert list(memory_limits(groups, tmp_path)) == limits


def test_this_process_has_something_to_use() -> None:
    assert available_cores() >= 1
    assert 2**26 < available_memory() < 2**50
