"""What the sampling of power and temperatures costs the latencies beside it: at most 1 % of p50 is the goal.

    python benchmarks/telemetry_overhead.py --rounds 20 --seconds 3
    python benchmarks/telemetry_overhead.py --sources sysfs --json

A pretended engine works about 5 ms on a frame, outside of Python's lock as real ones do, on one thread. In every round
it runs once beside a source and once alone, in turns that alternate, so that what else the machine does hits both. The
peer is the same loop without a sampler. sysfs and rapl read files of a made AGX Orin and of a made processor; host
reads this machine's. A real INA3221 answers over I2C, which takes longer than a file, asleep and not on a core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from benchmarks.paired_rounds import added_share, sized_work
from edge.console import CommandParser, RealNumber, positive_int, print_json, print_status, run_command
from edge.machine import this_machine
from edge.telemetry.base import PowerSource
from edge.telemetry.host import HostSource
from edge.telemetry.rapl import RaplSource
from edge.telemetry.sampler import PowerSampler
from edge.telemetry.sysfs import SysfsSource

GOAL_SHARE = 0.01
WORK_NS = 5_000_000
"""Time in ns that the pretended engine takes for a frame."""

SOURCES: dict[str, Callable[[Path], PowerSource]] = {
    "sysfs": SysfsSource,
    "rapl": RaplSource,
    "host": lambda root: HostSource(),
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(prog="benchmarks/telemetry_overhead.py", description=__doc__.splitlines()[0])
    parser.add_argument("--sources", nargs="+", choices=tuple(SOURCES), default=list(SOURCES), help="which to measure")
    parser.add_argument("--rounds", type=positive_int, default=20, metavar="N", help="pairs of runs of each source")
    parser.add_argument("--seconds", type=RealNumber(0.5, 600.0, "s"), default=3.0, help="time of each run in s")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _measure(arguments), arguments.json)


def _measure(arguments: argparse.Namespace) -> int:
    work = sized_work(WORK_NS)
    with tempfile.TemporaryDirectory(prefix="telemetry-overhead-") as folder:
        root = Path(folder)
        _write_board(root)
        found = {name: _overhead(lambda make=SOURCES[name]: make(root), work, arguments) for name in arguments.sources}
    result = {"machine": this_machine().cpu, "goal_share": GOAL_SHARE, "sources": found}
    if arguments.json:
        print_json(result)
    else:
        print(f"{'source':8} {'p50 alone':>10} {'beside':>10}  added to p50 (95 %)")
        for name, each in found.items():
            low, high = each["added_share_interval"]
            print(
                f"{name:8} {each['p50_ms_alone']:7.3f} ms {each['p50_ms_beside']:7.3f} ms  "
                f"{100 * each['added_share']:+.2f} % ({100 * low:+.2f} to {100 * high:+.2f})"
            )
    return 0


def _overhead(
    make: Callable[[], PowerSource], work: Callable[[], object], arguments: argparse.Namespace
) -> dict[str, object]:
    ratios, p50_ms = [], {True: [], False: []}
    for number in range(arguments.rounds):
        for is_sampled in (number % 2 == 0, number % 2 == 1):
            if is_sampled:
                with make() as source, PowerSampler(source):
                    p50_ms[True].append(_p50_ms(work, arguments.seconds))
            else:
                p50_ms[False].append(_p50_ms(work, arguments.seconds))
        ratios.append(p50_ms[True][-1] / p50_ms[False][-1])
        print_status(f"round {number + 1}: p50 with sampling {100 * (ratios[-1] - 1):+.2f} %")
    return {
        "rounds": arguments.rounds,
        "p50_ms_alone": float(np.median(p50_ms[False])),
        "p50_ms_beside": float(np.median(p50_ms[True])),
        **added_share(ratios),
    }


def _p50_ms(work: Callable[[], object], seconds: float) -> float:
    """Return the median time of the pretended engine's frames in ms."""
    end_ns, taken_ns = time.perf_counter_ns() + int(1e9 * seconds), []
    while time.perf_counter_ns() < end_ns:
        start_ns = time.perf_counter_ns()
        work()
        taken_ns.append(time.perf_counter_ns() - start_ns)
    return float(np.median(taken_ns)) / 1e6


def _write_board(root: Path) -> None:
    """Write the files that the sources read: as many as an AGX Orin and a processor with RAPL have."""
    labels = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "NC", "VDDQ_VDD2_1V8AO", "NC")
    files: dict[str, object] = {"proc/stat": Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]}
    for number, label in enumerate(labels):
        device = f"sys/bus/i2c/devices/1-004{number // 3}"
        folder, channel = f"{device}/hwmon/hwmon{number // 3}", number % 3 + 1
        files[f"{device}/name"] = "ina3221"
        files[f"{folder}/in{channel}_label"] = label
        files[f"{folder}/in{channel}_input"], files[f"{folder}/curr{channel}_input"] = 19000, 300
    for number, kind in enumerate(("CPU", "GPU", "CV0", "CV1", "CV2", "SOC0", "SOC1", "SOC2", "tj")):
        zone = f"sys/devices/virtual/thermal/thermal_zone{number}"
        files[f"{zone}/type"], files[f"{zone}/temp"] = f"{kind}-therm", 41500
        files[f"sys/class/thermal/cooling_device{number}/type"] = f"{kind}-throttle-alert"
        files[f"sys/class/thermal/cooling_device{number}/cur_state"] = 0
    for number in (1, 2, 3):
        files[f"sys/class/hwmon/hwmon9/oc{number}_event_cnt"] = 0
    for core in (0, 4, 8):
        policy = f"sys/devices/system/cpu/cpufreq/policy{core}"
        files[f"{policy}/scaling_cur_freq"] = files[f"{policy}/scaling_max_freq"] = 2201600
    gpu = "sys/class/devfreq/17000000.gpu"
    files[f"{gpu}/cur_freq"] = files[f"{gpu}/max_freq"] = 1300500000
    files[f"{gpu}/device/load"] = 990
    files["sys/class/hwmon/hwmon2/name"], files["sys/class/hwmon/hwmon2/pwm1"] = "pwmfan", 77
    files["var/lib/nvpmodel/status"] = "pmode:0000"
    for zone, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram")):
        files[f"sys/class/powercap/{zone}/name"] = name
        files[f"sys/class/powercap/{zone}/energy_uj"] = 10_000_000
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n", encoding="ascii")


if __name__ == "__main__":
    sys.exit(main())
