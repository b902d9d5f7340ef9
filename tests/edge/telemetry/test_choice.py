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

    def make(*there, has_jtop_package=False):
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
        ):
            monkeypatch.setattr(source, "open", opener(name))
        spec = importlib.util.find_spec("json") if has_jtop_package else None
        monkeypatch.setattr(telemetry.importlib.util, "find_spec", lambda name: spec)
        return opened

    return make


def test_none_opens_nothing(machine):
    opened = machine("jtop", "sysfs", "nvml", has_jtop_package=True)
    assert open_power_source("none", is_on_gpu=True) == (None, ())
    assert opened == []


@pytest.mark.parametrize("name", ["jtop", "sysfs", "nvml"])
def test_asked_for_source_is_opened_or_an_error(machine, name):
    others = {"jtop", "sysfs", "nvml"} - {name}
    machine(*others, has_jtop_package=True)
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
    ("there", "has_jtop_package", "is_on_gpu", "expected"),
    [
        (("jtop", "sysfs", "nvml"), True, True, "jtop"),
        (("sysfs", "nvml"), True, True, "sysfs"),
        (("sysfs", "nvml"), False, True, "sysfs"),
        (("nvml",), False, True, "nvml"),
        # The card idles while the CPU does the work: its power is not the work's.
        (("nvml",), False, False, None),
        ((), False, True, None),
    ],
)
def test_auto_takes_what_is_there(machine, there, has_jtop_package, is_on_gpu, expected):
    machine(*there, has_jtop_package=has_jtop_package)
    source, passed_over = open_power_source("auto", is_on_gpu)
    assert (source.name if source else None) == expected
    # Only a package that is installed and does not work is worth a line.
    assert passed_over == (("no jtop here",) if has_jtop_package and expected != "jtop" else ())


def test_unknown_source_is_refused():
    with pytest.raises(InputError, match="power source is 'watts', expected one of auto, jtop, sysfs, nvml, none"):
        open_power_source("watts", is_on_gpu=False)


def test_files_of_another_root_are_read(make_jetson, monkeypatch):
    source, _ = open_power_source("sysfs", is_on_gpu=False, root=make_jetson("orin"))
    assert source.read().total_mw == 13690.0
