"""Which source is taken: the one that was asked for or an error, and for "auto" what is there."""

from __future__ import annotations

import importlib.util

import pytest

import edge.telemetry as telemetry
from edge.errors import BackendError, InputError, MissingDependencyError
from edge.telemetry import open_power_source


@pytest.fixture
def machine(monkeypatch):
    """Return a function that says which sources this machine has; those that are opened are listed."""

    def make(*there, has_package=False):
        opened = []

        def opener(name):
            def open_source(self):
                if name not in there:
                    raise BackendError(f"no {name} here")
                opened.append(name)

            return open_source

        for name, source in (
            ("jtop", telemetry.JtopSource),
            ("sysfs", telemetry.SysfsSource),
            ("nvml", telemetry.NvmlSource),
            ("rapl", telemetry.RaplSource),
            ("host", telemetry.HostSource),
        ):
            monkeypatch.setattr(source, "open", opener(name))
        spec = importlib.util.find_spec("json") if has_package else None
        monkeypatch.setattr(telemetry.importlib.util, "find_spec", lambda name: spec)
        return opened

    return make


def test_none_opens_nothing(machine):
    opened = machine("jtop", "sysfs", "nvml", has_package=True)
    assert open_power_source("none", is_on_gpu=True) == (None, ())
    assert opened == []


@pytest.mark.parametrize("name", ["jtop", "sysfs", "nvml", "rapl", "host"])
def test_asked_for_source_is_opened_or_an_error(machine, name):
    others = {"jtop", "sysfs", "nvml", "rapl", "host"} - {name}
    machine(*others, has_package=True)
    with pytest.raises(BackendError, match=f"no {name} here"):
        open_power_source(name, is_on_gpu=False)
    opened = machine(name)
    source, passed_over = open_power_source(name, is_on_gpu=False)
    assert (source.name, passed_over, opened) == (name, (), [name])


def test_asked_for_jtop_without_its_package_names_the_command():
    if importlib.util.find_spec("jtop") is not None:
        pytest.skip("jetson-stats is installed here")
    with pytest.raises(MissingDependencyError, match="pip3 install -U jetson-stats"):
        open_power_source("jtop", is_on_gpu=False)


@pytest.mark.parametrize(
    ("there", "has_package", "is_on_gpu", "expected"),
    [
        # The board's own files before the service that reads the same ones.
        (("jtop", "sysfs", "nvml"), True, True, "sysfs"),
        (("jtop", "nvml", "host"), True, True, "jtop"),
        (("nvml", "rapl", "host"), True, True, "nvml"),
        # The card idles while the CPU does the work: its power is not the work's.
        (("nvml", "rapl", "host"), True, False, "rapl"),
        (("host",), False, False, "host"),
        ((), False, True, None),
    ],
)
def test_auto_takes_what_is_there(machine, there, has_package, is_on_gpu, expected):
    machine(*there, has_package=has_package)
    source, passed_over = open_power_source("auto", is_on_gpu)
    assert (source.name if source else None) == expected
    # Only what is installed or there, and does not work, is worth a line.
    before = {"sysfs": (), "jtop": (), "nvml": ("no jtop here",), "rapl": ("no jtop here",)}
    assert passed_over == before.get(expected, ())


def test_auto_leaves_out_what_tells_no_power_where_power_is_needed(machine):
    machine("host")
    assert open_power_source("auto", is_on_gpu=False, needs_power=True) == (None, ())


def test_counters_that_are_there_and_refuse_are_worth_a_line(machine, monkeypatch):
    machine("host")

    def refuse(self):
        self.is_present = True
        raise BackendError("the counters are for root")

    monkeypatch.setattr(telemetry.RaplSource, "open", refuse)
    source, passed_over = open_power_source("auto", is_on_gpu=False)
    assert (source.name, passed_over) == ("host", ("the counters are for root",))


def test_graphics_card_without_its_package_is_worth_a_line(machine, tmp_path):
    machine("host")
    driver = tmp_path / "proc/driver/nvidia/version"
    driver.parent.mkdir(parents=True)
    driver.touch()
    _, passed_over = open_power_source("auto", is_on_gpu=True, root=tmp_path)
    assert passed_over == ("nvml needs the package nvidia-ml-py, which is not installed",)


def test_unknown_source_is_refused():
    with pytest.raises(
        InputError, match="power source is 'watts', expected one of auto, sysfs, jtop, nvml, rapl, host, none"
    ):
        open_power_source("watts", is_on_gpu=False)


def test_files_of_another_root_are_read(make_jetson, monkeypatch):
    source, _ = open_power_source("sysfs", is_on_gpu=False, root=make_jetson("orin"))
    assert source.read().total_mw == 13690.0
