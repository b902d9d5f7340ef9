"""What the tests of power share: a source of given samples, and the files of four Jetsons as a kernel has them."""

from __future__ import annotations

import shutil
import threading
import time

import pytest

from edge.errors import BackendError
from edge.telemetry.base import PowerSample, PowerSource

RAILS = {
    # i2c address, number of hwmon, and channel -> (label, mV, mA): what a developer kit of each has on its bus.
    "xavier": (
        ("1-0040", 3, {1: ("GPU", 19000, 300), 2: ("CPU", 19000, 210), 3: ("SOC", 19000, 150)}),
        ("1-0041", 4, {1: ("CV", 19000, 20), 2: ("VDDRQ", 19000, 60), 3: ("SYS5V", 5000, 800)}),
    ),
    "orin": (
        ("1-0040", 3, {1: ("VDD_GPU_SOC", 19000, 300), 2: ("VDD_CPU_CV", 19000, 210), 3: ("VIN_SYS_5V0", 5000, 800)}),
        ("1-0041", 4, {1: ("NC", 0, 0), 2: ("VDDQ_VDD2_1V8AO", 19000, 60), 3: ("NC", 0, 0)}),
    ),
    "orin_nx": (
        ("1-0040", 1, {1: ("VDD_IN", 5000, 2400), 2: ("VDD_CPU_GPU_CV", 5000, 900), 3: ("VDD_SOC", 5000, 500)}),
    ),
    "thor": (
        ("2-0040", 1, {1: ("VDD_GPU", 19000, 700), 2: ("VDD_CPU_SOC_MSS", 19000, 350), 3: ("VIN_SYS_5V0", 5000, 1300)}),
    ),
}

ZONES = {
    "xavier": {"CPU-therm": 41500, "GPU-therm": 39750, "AUX-therm": 40000, "AO-therm": 42500, "PMIC-Die": 50000},
    "orin": {"CPU-therm": 41500, "GPU-therm": 39750, "CV0-therm": -256000, "SOC0-therm": 42500, "tj-therm": 42500},
    "orin_nx": {"cpu-thermal": 41500, "gpu-thermal": 39750},
    "thor": {"tj-thermal": 55100, "soc012-thermal": 55100},
}

GPUS = {"xavier": "17000000.gv11b", "orin": "17000000.ga10b", "orin_nx": "17000000.gpu", "thor": "gpu-gpc-0"}


@pytest.fixture
def make_jetson(tmp_path):
    """Return a function that writes the files of a board under a root of its own, and gives the root."""

    def make(board):
        root = tmp_path / board
        shutil.rmtree(root, ignore_errors=True)

        def write(name, value):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")

        for address, number, channels in RAILS[board]:
            device = f"sys/bus/i2c/devices/{address}"
            write(f"{device}/name", "ina3221")
            folder = f"{device}/hwmon/hwmon{number}"
            for channel, (label, millivolts, milliamperes) in channels.items():
                write(f"{folder}/in{channel}_label", label)
                write(f"{folder}/in{channel}_input", millivolts)
                write(f"{folder}/curr{channel}_input", milliamperes)
                write(f"{folder}/shunt{channel}_resistor", 5000)
            # What the driver shows beside its three channels.
            write(f"{folder}/in7_label", "sum of shunt voltages")
            write(f"{folder}/in7_input", 4711)
            write(f"{folder}/curr7_input", 4711)
        write("sys/bus/i2c/devices/1-0050/name", "24c02")
        if board == "thor":
            carrier = "sys/bus/i2c/devices/2-0044"
            write(f"{carrier}/name", "ina238")
            for name, value in (("power1_input", 42500000), ("in1_input", 20000), ("curr1_input", 2125)):
                write(f"{carrier}/hwmon/hwmon5/{name}", value)
        for index, (kind, value) in enumerate(ZONES[board].items()):
            write(f"sys/devices/virtual/thermal/thermal_zone{index}/type", kind)
            write(f"sys/devices/virtual/thermal/thermal_zone{index}/temp", value)
            for trip, (name, limit) in enumerate((("active", 40000), ("passive", 99000), ("critical", 104500))):
                write(f"sys/devices/virtual/thermal/thermal_zone{index}/trip_point_{trip}_type", name)
                write(f"sys/devices/virtual/thermal/thermal_zone{index}/trip_point_{trip}_temp", limit)
        for index, (kind, state) in enumerate((("pwm-fan", 3), ("gpu-throttle-alert", 0), ("devfreq-gpu", 5))):
            write(f"sys/class/thermal/cooling_device{index}/type", kind)
            write(f"sys/class/thermal/cooling_device{index}/cur_state", state)
        gpu = GPUS[board]
        write(f"sys/devices/{gpu}/load", 553)
        write(f"sys/devices/{gpu}/devfreq/{gpu}/cur_freq", 905250000)
        write(f"sys/devices/{gpu}/devfreq/{gpu}/max_freq", 1377000000)
        # Relative, as the kernel's own links: they hold wherever the tree is mounted.
        (root / f"sys/devices/{gpu}/devfreq/{gpu}/device").symlink_to("../..")
        (root / "sys/class/devfreq").mkdir(parents=True)
        (root / f"sys/class/devfreq/{gpu}").symlink_to(f"../../devices/{gpu}/devfreq/{gpu}")
        write("sys/class/hwmon/hwmon0/name", "tegra")
        if board != "xavier":
            write("sys/class/hwmon/hwmon9/name", "soctherm_oc")
            for index, count in ((1, 0), (2, 8), (3, 813)):
                write(f"sys/class/hwmon/hwmon9/oc{index}_event_cnt", count)
        write("sys/class/hwmon/hwmon2/name", "pwmfan")
        write("sys/class/hwmon/hwmon2/pwm1", 51)
        if board == "orin":
            # A USB-C port with what it negotiated, in uV and uA: no monitor, and nobody's consumption.
            port = "sys/class/power_supply/ucsi-source-psy-1-00081"
            for name, value in (("type", "USB"), ("online", 1), ("voltage_now", 15000000), ("current_now", 3000000)):
                write(f"{port}/{name}", value)
        write("var/lib/nvpmodel/status", "pmode:0003 fmode:fanNull")
        write("etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=3 NAME=MODE_30W_ALL >")
        return root

    return make


class ScriptedSource(PowerSource):
    """Gives the samples of a function of time; ends with an error after `lasts` of them."""

    name = "scripted"
    is_paced = True

    def __init__(self, power_mw=lambda time_ns: 5000.0, lasts=None):
        # Samples come every 2 ms, and the source promises one in 5 s: a busy machine makes no gaps in it.
        super().__init__(5.0)
        self.power_mw, self.lasts = power_mw, lasts
        self.covers, self.version = "a made board", "1"
        self.given, self.threads, self.is_open = [], set(), False

    def open(self):
        self.is_open = True

    def read(self):
        self.threads.add(threading.current_thread())
        if self.lasts is not None and len(self.given) >= self.lasts:
            raise BackendError("the script is at its end. Next: write more")
        time.sleep(0.002)
        time_ns = time.perf_counter_ns()
        power_mw = self.power_mw(time_ns)
        self.given.append(
            PowerSample(
                time_ns,
                {"A": power_mw, "B <&>": None},
                power_mw,
                {"GPU": 41.5},
                gpu_load_percent=50.0,
                gpu_clock_mhz=900.0,
                power_mode="MAXN",
            )
        )
        return self.given[-1]

    def close(self):
        self.is_open = False


@pytest.fixture
def scripted_source():
    """Return the class of a source that follows a script."""
    return ScriptedSource
