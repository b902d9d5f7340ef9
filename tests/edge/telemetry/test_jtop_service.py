"""The real service and client of jetson-stats on the files of two boards, in mounts that only they see.

Needs root with the right to mount, and jetson-stats 4.3 and 7.x, each in its own environment: jtop_environments.sh
makes them (.venv-jtop-*, once), or SEGEDGE_JTOP_PYTHONS names interpreters, separated by colons.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("run_on_fake_jetson.py")

UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
"""A namespace of processes too, so that nothing of the service outlives a test."""

NAMESPACE = """
root=$1; shift
mount --make-rprivate /
mount --bind "$root/sys" /sys
mount --bind "$root/group" /etc/group
mount -t tmpfs tmpfs /run
mount -t proc proc /proc
exec "$@"
"""


def pythons():
    named = os.environ.get("SEGEDGE_JTOP_PYTHONS", "")
    if named:
        return [path for path in named.split(":") if path]
    if sys.version_info < (3, 9):
        return []  # the environments' own Python runs client and service: it would be the same run again
    return sorted(str(path) for path in REPOSITORY.glob(".venv-jtop-*/bin/python"))


def why_not():
    if not pythons() and sys.version_info < (3, 9):
        return "runs once, with the tests of the newer Python: jetson-stats has an interpreter of its own"
    if not pythons():
        return "no environment with jetson-stats: tests/edge/telemetry/jtop_environments.sh makes them"
    if not hasattr(os, "getuid") or os.getuid() != 0 or shutil.which("unshare") is None:
        return "needs root, for mounts that look like a Jetson"
    made = subprocess.run([*UNSHARE, "mount", "-t", "proc", "proc", "/proc"], capture_output=True, check=False)
    return None if made.returncode == 0 else "this system gives no private mounts"


@pytest.fixture(scope="module", autouse=True)
def _needs_a_place_to_run():
    reason = why_not()
    if reason:
        pytest.skip(reason)


ROOTS_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""A service runs with root's PATH; jtop's dies without the commands that lie there."""


@pytest.fixture(params=pythons() or ["none"], ids=lambda path: Path(path).parent.parent.name)
def python(request):
    return request.param


@pytest.fixture
def on_jetson(make_jetson):
    """Return a function that runs one scene on a board and gives what it printed."""

    def run(board, scene, client, service=None, numbers=()):
        root = make_jetson(board)
        # Root is in it, others are not; jtop gives its socket to it.
        (root / "group").write_text(Path("/etc/group").read_text() + "jtop:x:990:root\n")
        for index in range(os.cpu_count()):
            folder = root / f"sys/devices/system/cpu/cpu{index}/cpufreq"
            folder.mkdir(parents=True)
            (folder.parent / "online").write_text("1\n")
            (folder / "scaling_governor").write_text("schedutil\n")
            for kind in ("scaling", "cpuinfo"):
                for name, value in (("min", 115200), ("max", 2265600), ("cur", 1190400)):
                    (folder / f"{kind}_{name}_freq").write_text(f"{value}\n")
        gpu = next((root / "sys/class/devfreq").iterdir())
        for name, value in (("governor", "nvhost_podgov"), ("min_freq", 114750000), ("max_freq", 1377000000)):
            (gpu / name).write_text(f"{value}\n")
        of_node = gpu / "device/of_node"
        of_node.mkdir()
        (of_node / "name").write_text(gpu.name.split(".")[1] + "\0")
        for name, value in (("railgate_enable", 1), ("enable_3d_scaling", 1), ("power/control", "auto")):
            path = gpu / "device" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{value}\n")
        for name in ("class/power_supply", "devices/virtual/dmi/id", "kernel/debug/clk"):
            (root / "sys" / name).mkdir(parents=True, exist_ok=True)
        model = root / "sys/firmware/devicetree/base/model"
        model.parent.mkdir(parents=True)
        model.write_text({"xavier": "Jetson-AGX", "orin": "NVIDIA Jetson AGX Orin Developer Kit"}[board] + "\0")
        program = [client, "-W", "ignore", str(SCRIPT), service or client, scene, *numbers]
        result = subprocess.run(
            [*UNSHARE, "sh", "-euc", NAMESPACE, "sh", str(root), *program],
            capture_output=True,
            text=True,
            timeout=90,
            env={
                **os.environ,
                "PATH": f"{os.environ.get('PATH', os.defpath)}:{ROOTS_PATH}",
                "PYTHONPATH": str(REPOSITORY),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])

    return run


@pytest.mark.parametrize(
    ("board", "total_mw", "rails"),
    [
        ("xavier", 18060.0, {"GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"}),
        ("orin", 13690.0, {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}),
    ],
)
def test_real_service_tells_the_boards_values(on_jetson, python, board, total_mw, rails):
    found = on_jetson(board, "sample", python)
    assert found["total_mw"] == total_mw
    assert set(found["rails_mw"]) == rails
    # The memory of an Orin is a part of VIN_SYS_5V0, and its USB-C port, which 4.3 lists as a rail, is none.
    assert sum(v for name, v in found["rails_mw"].items() if name != "VDDQ_VDD2_1V8AO") == total_mw
    assert ("without VDDQ_VDD2_1V8AO" in found["covers"]) is (board == "orin")
    assert found["temperatures_c"]["GPU"] == 39.75
    assert "PMIC" not in found["temperatures_c"]
    assert found["temperatures_c"].get("CV0") is None  # offline on the Orin, absent on the Xavier
    assert (found["gpu_load_percent"], found["gpu_clock_mhz"]) == (55.3, 905.25)
    assert found["fan_percent"] == pytest.approx(20, abs=1)  # jtop rounds the duty
    assert found["version"].count(".") >= 1


def test_energy_of_a_trace_with_spikes_is_true_to_one_percent_by_the_service_and_by_the_files(on_jetson):
    # One version: the other's samples are the same, as the test above says. Each edge of a spike is off by half an
    # interval at most, so ten samples a second can do no better with more spikes in less time.
    spikes_s = [(1.13, 1.61), (3.02, 3.75), (4.88, 5.31)]
    for _ in range(2):
        found = on_jetson("xavier", "trace", pythons()[-1], numbers=[json.dumps(spikes_s)])
        refusals = [found[name]["refusal"] for name in ("jtop", "sysfs")]
        if refusals == [None, None]:
            break
    else:
        # A machine that lets nobody run for 0.3 s gives no energy, which is right, and nothing to judge.
        pytest.skip(f"this machine was too busy: {', '.join(str(each) for each in refusals)}")
    for name in ("jtop", "sysfs"):
        measured = found[name]
        assert measured["energy_mj"] == pytest.approx(found["truth_mj"], rel=0.01)
        assert abs(measured["energy_mj"] - found["truth_mj"]) <= measured["uncertainty_mj"]
        assert measured["resolution_mw"] == pytest.approx((5 * 152**2 + 40**2) ** 0.5)
        assert measured["gpu_clock_limit_mhz"] == 1377.0
        assert 0 <= measured["cpu_load_percent"] <= 100


def test_service_that_dies_is_an_error_and_gives_no_energy(on_jetson, python):
    found = on_jetson("xavier", "end", python)
    assert "jtop's stream ended while it was needed" in found["failure"]
    assert found["energy_mj"] is None
    assert "do not cover the measured window" in found["refusal"]


def test_user_outside_of_the_group_is_refused(on_jetson, python):
    error = on_jetson("xavier", "outsider", python)["error"]
    assert "expected a member of the group jtop" in error


def test_service_that_does_not_run_is_named(on_jetson, python):
    assert "jtop's service does not run" in on_jetson("orin", "no-service", python)["error"]


def test_service_of_another_version_is_refused(on_jetson):
    if len(pythons()) < 2:
        pytest.skip("needs two versions of jetson-stats: tests/edge/telemetry/jtop_environments.sh makes them")
    client, service = pythons()[:2]
    error = on_jetson("xavier", "mismatch", client, service)["error"]
    assert "two versions" in error
    assert "the same major.minor" in error
