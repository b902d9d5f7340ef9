"""What memory there is: of the machine, and of every control group that the process is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.engine.available_memory import available_bytes

MIB = 1 << 20


def write(root: Path, **files: object) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path, **{"proc/meminfo": "MemTotal: 9999 kB\nMemAvailable:    8192 kB", "proc/self/cgroup": ""})


def test_without_groups_it_is_what_the_kernel_calls_available(root):
    assert available_bytes(root) == 8 * MIB


@pytest.mark.parametrize("mount", ["sys/fs/cgroup", "sys/fs/cgroup/unified"])
def test_group_of_version_two_and_those_above_limit_it(root, mount):
    write(
        root,
        **{
            "proc/self/cgroup": "0::/box/job",
            f"{mount}/box/job/memory.max": "max",
            f"{mount}/box/job/memory.current": 1 * MIB,
            f"{mount}/box/memory.max": 6 * MIB,
            f"{mount}/box/memory.current": 4 * MIB,
            f"{mount}/box/memory.stat": f"anon 5\ninactive_file {1 * MIB}",
        },
    )
    assert available_bytes(root) == 3 * MIB


def test_group_of_version_one_limits_it(root):
    folder = "sys/fs/cgroup/memory/box"
    write(
        root,
        **{
            "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/box",
            f"{folder}/memory.limit_in_bytes": 7 * MIB,
            f"{folder}/memory.usage_in_bytes": 2 * MIB,
            f"{folder}/memory.stat": "total_inactive_file 0",
        },
    )
    assert available_bytes(root) == 5 * MIB


def test_within_a_container_the_mount_is_the_group(root):
    write(
        root,
        **{
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": 2 * MIB,
            "sys/fs/cgroup/memory.current": 3 * MIB,
        },
    )
    assert available_bytes(root) == 0


def test_system_that_does_not_say_is_unmeasured(tmp_path):
    assert available_bytes(tmp_path) is None


def test_this_machine_says_something():
    assert available_bytes() > 0
