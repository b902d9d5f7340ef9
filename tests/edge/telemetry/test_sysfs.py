"""Rails, temperatures and clocks from the kernel's files of two boards."""

from __future__ import annotations

import time

import pytest

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


def read(root):
    with SysfsSource(root) as source:
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
    assert sample.gpu_clock_mhz == 905.25
    assert sample.fan_percent == pytest.approx(20.0)
    assert sample.power_mode == "MODE_30W_ALL"


def test_memory_of_an_orin_is_counted_once_and_the_record_says_so(make_jetson):
    with SysfsSource(make_jetson("orin")) as source:
        sample = source.read()
    rails = sample.rails_mw
    assert sample.total_mw == rails["VDD_GPU_SOC"] + rails["VDD_CPU_CV"] + rails["VIN_SYS_5V0"]
    assert source.covers == "the sum of the module's rails without VDDQ_VDD2_1V8AO, which is in VIN_SYS_5V0"
    with SysfsSource(make_jetson("xavier")) as source:
        assert source.read().total_mw == sum(source.read().rails_mw.values())
        assert source.covers == "the sum of the module's rails"


def test_rail_whose_feeding_rail_is_not_monitored_is_in_the_sum(make_jetson):
    root = make_jetson("orin")
    (root / "sys/bus/i2c/devices/1-0040/hwmon/hwmon3/in3_label").write_text("NC\n")
    with SysfsSource(root) as source:
        assert source.read().total_mw == 5700.0 + 3990.0 + 1140.0
        assert source.covers == "the sum of the module's rails"


def test_new_value_shows_in_the_next_sample(make_jetson):
    root = make_jetson("xavier")
    with SysfsSource(root) as source:
        first = source.read()
        (root / "sys/bus/i2c/devices/1-0040/hwmon/hwmon3/curr1_input").write_text("1300\n")
        second = source.read()
    assert (first.rails_mw["GPU"], second.rails_mw["GPU"]) == (5700.0, 24700.0)
    assert second.total_mw - first.total_mw == 19000.0


@pytest.mark.parametrize("content", [None, "", "n/a"])
def test_rail_that_does_not_answer_is_none_and_so_is_the_total(make_jetson, content):
    root = make_jetson("xavier")
    path = root / "sys/bus/i2c/devices/1-0041/hwmon/hwmon4/curr2_input"
    with SysfsSource(root) as source:
        path.unlink() if content is None else path.write_text(content)
        sample = source.read()
    assert sample.rails_mw["VDDRQ"] is None
    assert sample.rails_mw["GPU"] == 5700.0
    assert sample.total_mw is None


def test_input_rail_is_the_total_and_is_not_added(make_jetson):
    root = make_jetson("orin")
    (root / "sys/bus/i2c/devices/1-0041/hwmon/hwmon4/in1_label").write_text("VDD_IN\n")
    (root / "sys/bus/i2c/devices/1-0041/hwmon/hwmon4/in1_input").write_text("19000\n")
    (root / "sys/bus/i2c/devices/1-0041/hwmon/hwmon4/curr1_input").write_text("1000\n")
    with SysfsSource(root) as source:
        assert source.read().total_mw == 19000.0
        assert source.covers == "the board's input rail VDD_IN"


def test_monitor_that_multiplies_by_itself_is_in_microwatts(make_jetson):
    root = make_jetson("orin")
    folder = root / "sys/bus/i2c/devices/2-0044"
    (folder / "hwmon/hwmon5").mkdir(parents=True)
    (folder / "name").write_text("ina238\n")
    (folder / "hwmon/hwmon5/power1_input").write_text("42500000\n")
    sample = read(root)
    assert (sample.rails_mw["VIN"], sample.total_mw) == (42500.0, 42500.0)


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


def test_two_rails_of_one_name_are_both_in_the_sum(make_jetson):
    root = make_jetson("xavier")
    (root / "sys/bus/i2c/devices/1-0041/hwmon/hwmon4/in1_label").write_text("GPU\n")
    sample = read(root)
    assert (sample.rails_mw["GPU"], sample.rails_mw["GPU (1-0041)"]) == (5700.0, 380.0)
    assert sample.total_mw == 18060.0


def test_machine_without_monitors_is_refused(tmp_path):
    with pytest.raises(BackendError, match=r"no INA3221 or INA238 power monitor under .*expected those of a Jetson"):
        SysfsSource(tmp_path).open()
