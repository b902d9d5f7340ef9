"""The source that asks jetson-stats, with a stand-in for its client: what a sample means, and every way to fail.

The stand-in raises what the client of jetson-stats 4.3.2 and 7.2.2 raises, with its words. The real service and client
run in test_jtop_service.py.
"""

from __future__ import annotations

import datetime
import sys
import types

import pytest

import edge.telemetry.jtop as jtop_module
from edge.errors import BackendError, MissingDependencyError
from edge.telemetry.jtop import JtopSource

RAIL = {"volt": 19000, "curr": 300, "warn": 32760, "crit": 32760, "power": 5700, "online": True, "avg": 5100}

OFF = {**RAIL, "curr": 0, "power": 0, "avg": 0}
RAILS = {"GPU": RAIL, "CPU": RAIL, "SOC": OFF, "CV": OFF, "VDDRQ": OFF, "SYS5V": OFF}
"""What jtop shows of an AGX Xavier."""


class JtopError(Exception):
    """jtop's only class of errors."""


class Client:
    """Answers like jtop.jtop; its service samples every `server_s`."""

    server_s = None

    def __init__(self, interval):
        self.asked_s = interval
        self.interval = self.server_s or interval
        self.is_closed, self.seconds = False, 0.0
        self.power = {"rail": {**RAILS, "CPU": {**RAIL, "power": 3990}}, "tot": {"power": 9690, "avg": 9000}}
        self.temperature = {"GPU": {"temp": 39.75, "online": True}, "CV0": {"temp": -256, "online": False}}
        self.gpu = {"gv11b": {"status": {"load": 55.3}, "freq": {"cur": 905250, "max": 1377000}}}
        self.fan = {"pwmfan": {"speed": [30.2], "rpm": [1800]}}
        self.nvpmodel = "MODE_30W_ALL"
        core = {"online": True, "freq": {"min": 115200, "cur": 1190400, "max": 2265600}}
        self.cpu = {"total": {"user": 20.0, "system": 5.0, "idle": 75.0}, "cpu": [core, core, {"online": False}]}

    def start(self):
        pass

    def ok(self, spin=False):
        self.seconds += self.interval
        return True

    @property
    def uptime(self):
        return datetime.timedelta(seconds=self.seconds)

    def close(self):
        self.is_closed = True


def changed(**attributes):
    """A Client whose samples differ in something."""

    def make(interval):
        client = Client(interval)
        vars(client).update(attributes)
        return client

    return make


def read(make_client):
    with JtopSource(make_client=make_client) as source:
        return source.read(), source


def test_sample_has_the_projects_units():
    sample, source = read(Client)
    assert {name: value for name, value in sample.rails_mw.items() if value} == {"GPU": 5700.0, "CPU": 3990.0}
    assert sample.total_mw == 9690.0  # `power`, not `avg`, which is half of the last one
    assert sample.temperatures_c == {"GPU": 39.75, "CV0": None}
    assert sample.gpu_load_percent == 55.3
    assert (sample.gpu_clock_mhz, sample.gpu_clock_limit_mhz) == (905.25, 1377.0)  # jtop has kHz
    assert (sample.cpu_load_percent, sample.cpu_clock_mhz, sample.cpu_clock_limit_mhz) == (25.0, 1190.4, 2265.6)
    assert sample.fan_percent == 30.2
    assert sample.power_mode == "MODE_30W_ALL"
    assert source.covers == "the module: the sum of its six rails (Jetson AGX Xavier)"


def test_input_rail_is_the_total_and_a_rail():
    parts = {"VDD_CPU_GPU_CV": RAIL, "VDD_SOC": RAIL}
    sample, source = read(changed(power={"rail": parts, "tot": {**RAIL, "power": 21000, "name": "VDD_IN"}}))
    assert sample.total_mw == 21000.0
    assert sample.rails_mw == {"VDD_CPU_GPU_CV": 5700.0, "VDD_SOC": 5700.0, "VDD_IN": 21000.0}
    assert "its input rail VDD_IN" in source.covers


def test_unknown_board_has_rails_and_no_total_although_jtop_has_one():
    sample, source = read(changed(power={"rail": {"CORE": RAIL}, "tot": {"power": 5700, "avg": 5700}}))
    assert (sample.rails_mw, sample.total_mw) == ({"CORE": 5700.0}, None)
    assert source.covers.startswith("no total")


def test_what_a_board_lacks_is_none():
    sample, _ = read(changed(temperature={}, gpu={}, fan={}, nvpmodel=None, cpu={"total": {}, "cpu": []}))
    assert (sample.cpu_load_percent, sample.cpu_clock_mhz, sample.gpu_clock_limit_mhz) == (None,) * 3
    assert sample.temperatures_c == {}
    assert (sample.gpu_load_percent, sample.gpu_clock_mhz, sample.fan_percent, sample.power_mode) == (None,) * 4


@pytest.mark.parametrize("left", [{}, {"GPU": RAIL}])
def test_rail_that_vanishes_leaves_no_total(left):
    # jtop's own total is 0 then, or smaller by what fell out of it.
    with JtopSource(make_client=Client) as source:
        source._client.power = {"rail": left, "tot": {"power": 5700 * len(left), "avg": 0}}
        sample = source.read()
    assert sample.rails_mw == {**dict.fromkeys(RAILS), **({"GPU": 5700.0} if left else {})}
    assert sample.total_mw is None


def test_memory_of_an_orin_is_counted_once_although_jtop_counts_it_twice():
    rails = {
        name: {**RAIL, "power": power_mw}
        for name, power_mw in (
            ("VDDQ_VDD2_1V8AO", 1140),
            ("VDD_CPU_CV", 3990),
            ("VIN_SYS_5V0", 4000),
            ("VDD_GPU_SOC", 5700),
        )
    }
    sample, source = read(changed(power={"rail": rails, "tot": {"power": 14830, "avg": 14830}}))
    assert sample.total_mw == 13690.0
    assert sample.rails_mw["VDDQ_VDD2_1V8AO"] == 1140.0
    assert "without VDDQ_VDD2_1V8AO, which is in VIN_SYS_5V0" in source.covers


@pytest.mark.parametrize("name", ["1-00081", "ucsi-source-psy-1-00081"])
def test_port_that_jetson_stats_4_lists_as_a_rail_is_none(name):
    rails = {**RAILS, name: {**RAIL, "power": 45000}}
    sample, _ = read(changed(power={"rail": rails, "tot": {"power": 56400, "avg": 56400}}))
    assert (set(sample.rails_mw), sample.total_mw) == (set(RAILS), 11400.0)


@pytest.mark.parametrize("power", [{}, {"rail": {}, "tot": {"power": 0, "avg": 0}}])
def test_machine_without_rails_is_refused_rather_than_measured_as_zero(power):
    made = []

    def make(interval):
        made.append(changed(power=power)(interval))
        return made[-1]

    with pytest.raises(BackendError, match="jtop finds no power rail"):
        JtopSource(make_client=make).open()
    assert made[0].is_closed


def test_interval_below_the_least_is_raised():
    with JtopSource(0.01, Client) as source:
        assert source.interval_s == 0.1


def test_service_that_others_pace_is_asked_at_its_own_pace(monkeypatch):
    made = []

    class Busy(Client):
        server_s = 2.0

        def __init__(self, interval):
            super().__init__(interval)
            made.append(self)

    with JtopSource(0.5, Busy) as source:
        assert source.interval_s == 2.0
    assert [client.asked_s for client in made] == [0.5, 2.0]
    assert all(client.is_closed for client in made)


def test_sample_that_comes_twice_is_counted_once():
    class Stuttering(Client):
        calls = 0

        def ok(self, spin=False):
            self.calls += 1
            return super().ok() if self.calls % 2 else True

    with JtopSource(make_client=Stuttering) as source:
        for _ in range(3):
            source.read()
        assert source._client.calls == 5  # 1, 3 and 5 brought news


def failing(error):
    class Failing(Client):
        def start(self):
            raise error

    return Failing


MISMATCH = """Mismatch version jtop service: [4.2.12] and client: [7.2.2]. Please run:

sudo jtop --install-service"""


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (JtopError(MISMATCH), ("[4.2.12]", "[7.2.2]", "the same major.minor", "systemctl restart jtop")),
        (
            JtopError("I can't access jtop.service.\nPlease logout or reboot this board."),
            ("expected a member of the group jtop", "sudo usermod -aG jtop $USER"),
        ),
        (PermissionError(13, "Permission denied"), ("expected a member of the group jtop",)),
        (
            JtopError("The jtop.service is not active. Please run:\nsudo systemctl restart jtop.service"),
            ("jtop's service does not run", "sudo systemctl restart jtop"),
        ),
        (FileNotFoundError(2, "No such file or directory"), ("jtop's service does not run",)),
        (JtopError("Mismatch of Python versions between library and service"), ("another Python",)),
        (JtopError("Lost connection with jtop server"), ("cannot be used: Lost connection",)),
        (EOFError(), ("cannot be used: EOFError",)),
    ],
)
def test_refusal_is_one_line_that_says_what_to_do(error, parts):
    with pytest.raises(BackendError) as caught:
        JtopSource(make_client=failing(error)).open()
    text = str(caught.value)
    assert all(part in text for part in parts), text
    assert "Next: " in text
    assert "--power sysfs or none" in text
    assert "\n" not in text


def test_service_that_never_answers_is_given_up(monkeypatch):
    import threading

    monkeypatch.setattr(jtop_module, "_ANSWER_S", 0.05)
    release = threading.Event()

    class Silent(Client):
        def start(self):
            release.wait(5)

    with pytest.raises(BackendError, match="accepted but gave no answer"):
        JtopSource(make_client=Silent).open()
    release.set()


def test_service_whose_first_sample_is_late_is_asked_again():
    made = []

    class Late(Client):
        def start(self):
            made.append(self)
            if len(made) < 3:
                raise JtopError("Error connection")

    with JtopSource(make_client=Late) as source:
        assert source.read().total_mw == 9690.0
    assert len(made) == 3


def ending(outcome):
    """A client that gives one sample and then `outcome`."""

    class Ending(Client):
        calls = 0

        def ok(self, spin=False):
            self.calls += 1
            if self.calls == 1:
                return super().ok()
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

    return Ending


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (False, "the client has stopped"),
        (JtopError("Lost connection with jtop server"), "Lost connection with jtop server"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        (EOFError(), "EOFError"),
    ],
)
def test_stream_that_ends_is_an_error(outcome, why):
    with JtopSource(make_client=ending(outcome)) as source:
        source.read()
        with pytest.raises(BackendError, match="jtop's stream ended while it was needed") as caught:
            source.read()
    assert why in str(caught.value)
    assert "journalctl -u jtop" in str(caught.value)


def test_stream_that_repeats_itself_has_ended(monkeypatch):
    # A service whose reader died still answers, with its last sample.
    monkeypatch.setattr(jtop_module, "_SILENCE_S", 0.05)
    with JtopSource(0.1, ending(True)) as source:
        source.read()
        with pytest.raises(BackendError, match=r"no new sample came for 0\.3 s"):
            source.read()


def test_missing_package_names_its_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "jtop", None)  # import raises ModuleNotFoundError
    with pytest.raises(MissingDependencyError, match=r"--power jtop needs the package jetson-stats.*pip3 install"):
        JtopSource().open()


def test_installed_package_is_used_and_its_version_kept(monkeypatch):
    monkeypatch.setitem(sys.modules, "jtop", types.SimpleNamespace(jtop=Client, __version__="4.3.2"))
    with JtopSource() as source:
        assert source.version == "4.3.2"
        assert source.read().total_mw == 9690.0


def test_closing_twice_is_harmless():
    source = JtopSource(make_client=Client)
    source.open()
    client = source._client
    source.close()
    source.close()
    assert client.is_closed
