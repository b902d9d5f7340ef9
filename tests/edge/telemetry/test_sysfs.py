"""Rails, temperatures and clocks from the kernel's files of two boards."""

from __future__ import annotations

import time

import pytest

import edge.telemetry.sysfs as sysfs
from edge.errors import BackendError
from edge.telemetry.sysfs import SysfsSource

EXPECTED_RAILS_MW = {
    # mV times mA over 1000, by hand.
    "xavier": {"GPU": 5700.0, "CPU": 3990.0, "SOC": 2850.0, "CV": 380.0, "VDDRQ": 1140.0, "SYS5V": 4000.0},
    "orin": {"VDD_GPU_SOC": 5700.0, "VDD_CPU_CV": 3990.0, "VIN_SYS_5V0": 4000.0, "VDDQ_VDD2_1V8AO": 1140.0},
}
EXPECTED_TEMPERATURES_C = {
    "xavier": {"CPU": 41.5, "GPU": 39.75, "AUX": 40.0, "AO": 42.5},
    "orin": {"CPU": 41.5, "GPU": 39.75, "CV0": None, "SOC0": 42.5, "tj": 42.5},
}


def opened(root):
    # Five readings in five milliseconds: these tests are not of time.
    return SysfsSource(root, interval_s=0.005, slow_interval_s=0.0)


def read(root):
    with opened(root) as source:
        return source.read()


@pytest.mark.parametrize(("board", "total_mw"), [("xavier", 18060.0), ("orin", 13690.0)])
def test_board_is_read_with_its_units(make_jetson, board, total_mw):
    before_ns = time.perf_counter_ns()
    sample = read(make_jetson(board))
    assert before_ns <= sample.time_ns <= time.perf_counter_ns()
    assert sample.rails_mw == EXPECTED_RAILS_MW[board]
    assert sample.total_mw == total_mw
    assert sample.temperatures_c == EXPECTED_TEMPERATURES_C[board]
    assert sample.gpu_load_percent == pytest.approx(55.3)
    assert (sample.gpu_clock_mhz, sample.gpu_clock_limit_mhz) == (905.25, 1377.0)
    assert sample.fan_percent == pytest.approx(20.0)
    assert sample.power_mode == "MODE_30W_ALL"


def test_memory_of_an_orin_is_counted_once_and_the_record_says_so(make_jetson):
    with opened(make_jetson("orin")) as source:
        sample = source.read()
    rails = sample.rails_mw
    assert sample.total_mw == rails["VDD_GPU_SOC"] + rails["VDD_CPU_CV"] + rails["VIN_SYS_5V0"]
    assert "without VDDQ_VDD2_1V8AO, which is in VIN_SYS_5V0 (Jetson AGX Orin)" in source.covers
    with opened(make_jetson("xavier")) as source:
        assert source.read().total_mw == sum(source.read().rails_mw.values())
        assert source.covers == "the module: the sum of its six rails (Jetson AGX Xavier)"


def test_unknown_board_has_rails_and_no_total(make_jetson):
    root = make_jetson("orin")
    (root / "sys/bus/i2c/devices/1-0040/hwmon/hwmon3/in3_label").write_text("VDD_OF_MY_OWN\n")
    with opened(root) as source:
        sample = source.read()
        assert set(sample.rails_mw) == {"VDD_GPU_SOC", "VDD_CPU_CV", "VDD_OF_MY_OWN", "VDDQ_VDD2_1V8AO"}
        assert sample.total_mw is None
        assert source.covers.startswith("no total: the rails VDD_GPU_SOC")
        assert source.resolution_mw is None


def test_new_value_shows_in_the_next_sample(make_jetson):
    root = make_jetson("xavier")
    with opened(root) as source:
        first = source.read()
        (root / "sys/bus/i2c/devices/1-0040/hwmon/hwmon3/curr1_input").write_text("1300\n")
        second = source.read()
    assert (first.rails_mw["GPU"], second.rails_mw["GPU"]) == (5700.0, 24700.0)
    assert second.total_mw - first.total_mw == 19000.0


@pytest.mark.parametrize("content", [None, "", "n/a"])
def test_rail_that_does_not_answer_is_none_and_so_is_the_total(make_jetson, content):
    root = make_jetson("xavier")
    path = root / "sys/bus/i2c/devices/1-0041/hwmon/hwmon4/curr2_input"
    with opened(root) as source:
        path.unlink() if content is None else path.write_text(content)
        sample = source.read()
    assert sample.rails_mw["VDDRQ"] is None
    assert sample.rails_mw["GPU"] == 5700.0
    assert sample.total_mw is None


@pytest.mark.parametrize(("board", "rail", "total_mw"), [("orin_nx", "VDD_IN", 12000.0), ("thor", "VIN", 42500.0)])
def test_input_rail_is_the_total_and_is_not_added(make_jetson, board, rail, total_mw):
    with opened(make_jetson(board)) as source:
        sample = source.read()
        assert f"its input rail {rail}" in source.covers or f"the input rail {rail}" in source.covers
    assert (sample.total_mw, sample.rails_mw[rail], len(sample.rails_mw)) == (total_mw, total_mw, 3 + (rail == "VIN"))


def test_power_of_a_sample_is_the_mean_of_its_readings_and_its_time_their_middle(make_jetson, monkeypatch):
    root = make_jetson("xavier")
    current = root / "sys/bus/i2c/devices/1-0040/hwmon/hwmon3/curr1_input"
    clock, readings = FakeClock(), iter((300, 400, 500, 600, 1200))
    monkeypatch.setattr(sysfs, "time", clock)
    clock.at_sleep = lambda: current.write_text(f"{next(readings, 1200)}\n")
    with SysfsSource(root, interval_s=0.1) as source:
        sample = source.read()
    assert sample.rails_mw["GPU"] == pytest.approx(19 * (300 + 400 + 500 + 600 + 1200) / 5)
    assert clock.readings_ns == sorted(clock.readings_ns)
    # One reading in each fifth of the interval, at no fixed place of it.
    assert [int(time_ns // 20e6) for time_ns in clock.readings_ns] == [0, 1, 2, 3, 4]
    assert len({time_ns % 20_000_000 for time_ns in clock.readings_ns}) > 1
    assert sample.time_ns == sum(clock.readings_ns) // 5
    assert clock.now_ns == 100_000_000


class FakeClock:
    """A clock that moves by sleeps alone, and remembers where they ended."""

    def __init__(self):
        self.now_ns, self.readings_ns, self.at_sleep = 0, [], None

    def perf_counter_ns(self):
        return self.now_ns

    def sleep(self, seconds):
        self.now_ns += round(seconds * 1e9)
        if len(self.readings_ns) < 5:
            self.readings_ns.append(self.now_ns)
            self.at_sleep()


def test_resolution_of_the_total_is_that_of_the_shunts(make_jetson):
    with opened(make_jetson("xavier")) as source:
        # 40 uV over 5 mOhm are 8 mA: 152 mW at 19 V on five rails, 40 mW at 5 V on the sixth.
        assert source.resolution_mw == pytest.approx((5 * 152**2 + 40**2) ** 0.5)


def test_what_throttles_is_read(make_jetson):
    root = make_jetson("orin")
    with opened(root) as source:
        calm = source.read()
        (root / "sys/class/hwmon/hwmon9/oc2_event_cnt").write_text("9\n")
        (root / "sys/class/thermal/cooling_device1/cur_state").write_text("1\n")
        (root / "sys/devices/virtual/thermal/thermal_zone1/temp").write_text("99500\n")
        hot = source.read()
    assert calm.event_counts == {"under-voltage": 0, "average over-current": 8, "instantaneous over-current": 813}
    assert not any(calm.active_alerts.values())
    assert hot.event_counts["average over-current"] == 9
    in_force = {cause for cause, state in hot.active_alerts.items() if state}
    assert in_force == {"gpu-throttle-alert", "GPU over its passive trip point of 99 °C"}
    # What starts the fan is no throttling, and a fan or a clock that follows the load announces none.
    assert not any("active" in cause or "pwm" in cause or "devfreq" in cause for cause in hot.active_alerts)


def test_what_changes_slowly_is_kept_for_a_while(make_jetson):
    root = make_jetson("orin")
    with SysfsSource(root, interval_s=0.005, slow_interval_s=3600.0) as source:
        first = source.read()
        (root / "sys/devices/virtual/thermal/thermal_zone1/temp").write_text("99500\n")
        (root / "sys/devices/17000000.ga10b/load").write_text("990\n")
        second = source.read()
    assert second.temperatures_c == first.temperatures_c
    assert (first.gpu_load_percent, second.gpu_load_percent) == (55.3, 99.0)


def test_load_and_clocks_of_the_processor_are_read(make_jetson):
    root = make_jetson("orin")
    (root / "proc").mkdir()
    (root / "proc/stat").write_text("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n")
    for index, (clock, limit) in enumerate(((2201600, 2201600), (729600, 1497600))):
        policy = root / f"sys/devices/system/cpu/cpufreq/policy{4 * index}"
        policy.mkdir(parents=True)
        (policy / "scaling_cur_freq").write_text(f"{clock}\n")
        (policy / "scaling_max_freq").write_text(f"{limit}\n")
    with opened(root) as source:
        (root / "proc/stat").write_text("cpu  160 0 115 720 105 0 0 0 0 0\n")
        sample = source.read()
    assert sample.cpu_load_percent == 75.0  # 75 of 100 ticks
    assert (sample.cpu_clock_mhz, sample.cpu_clock_limit_mhz) == (1465.6, 1849.6)


def test_monitors_are_found_by_their_class_alone(make_jetson, tmp_path):
    root = make_jetson("xavier")
    for number, device in ((3, "1-0040"), (4, "1-0041")):
        folder = root / f"sys/class/hwmon/hwmon{number}"
        (root / f"sys/bus/i2c/devices/{device}/hwmon/hwmon{number}").rename(folder)
        (folder / "name").write_text("ina3221\n")
    assert read(root).total_mw == 18060.0


def test_what_a_board_lacks_is_none(make_jetson):
    root = make_jetson("orin")
    for name in (
        "sys/class/hwmon/hwmon2/pwm1",
        "sys/class/devfreq/17000000.ga10b",
        "var/lib/nvpmodel/status",
    ):
        (root / name).unlink()
    sample = read(root)
    assert (sample.fan_percent, sample.gpu_load_percent, sample.gpu_clock_mhz) == (None, None, None)
    assert sample.power_mode is None


def test_power_mode_without_a_name_is_its_number(make_jetson):
    root = make_jetson("xavier")
    (root / "etc/nvpmodel.conf").unlink()
    assert read(root).power_mode == "3"


def test_two_rails_of_one_name_are_both_there(make_jetson):
    root = make_jetson("xavier")
    (root / "sys/bus/i2c/devices/1-0041/hwmon/hwmon4/in1_label").write_text("GPU\n")
    sample = read(root)
    assert (sample.rails_mw["GPU"], sample.rails_mw["GPU (1-0041)"]) == (5700.0, 380.0)
    assert sample.total_mw is None  # it is no board of the table any more


def test_machine_without_monitors_is_refused(tmp_path):
    with pytest.raises(BackendError, match=r"no INA3221 or INA238 power monitor under .*expected those of a Jetson"):
        SysfsSource(tmp_path).open()
