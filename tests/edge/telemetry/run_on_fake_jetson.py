"""Runs inside private mounts that look like a Jetson: the real service and client of jetson-stats, and our source.

    python run_on_fake_jetson.py SERVICE_PYTHON SCENE [SPIKES]

Prints one JSON object. SERVICE_PYTHON is the interpreter that has the service's jetson-stats, this one the client's.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

from edge.errors import BackendError
from edge.telemetry.jtop import JtopSource
from edge.telemetry.power_record import power_record
from edge.telemetry.sampler import PowerSampler
from edge.telemetry.sysfs import SysfsSource

# jtop asks Python which machine it runs on, and refuses to look for a Jetson's parts on any other.
SERVICE = """
import platform, runpy, sys
platform.machine = lambda: "aarch64"
sys.argv = ["jtop", "--force"]
runpy.run_module("jtop", run_name="__main__")
"""

SOCKET = Path("/run/jtop.sock")
NOBODY = 65534

BASE_MA, SPIKE_MA = 300, 600
BASE_MW = 18060
"""Power of the board outside of the spikes: what test_sysfs.py adds up by hand."""


def start_service(python):
    service = subprocess.Popen(
        [python, "-c", SERVICE],
        env={**os.environ, "JTOP_SERVICE": "True"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    for _ in range(200):
        if SOCKET.exists() or service.poll() is not None:
            break
        time.sleep(0.1)
    if not SOCKET.exists():
        raise SystemExit(f"the service did not start: {service.communicate()[1].decode()[-2000:]}")
    return service


def sample():
    with JtopSource(0.2) as source:
        seen = source.read()
        return {**vars(seen), "covers": source.covers, "version": source.version, "interval_s": source.interval_s}


class Replay(threading.Thread):
    """Writes a power trace into a rail's file: the GPU draws twice as much in spikes, whose times are kept.

    The truth follows from the moments at which the file really changed, so a late write is no error of the measurement.
    """

    def __init__(self, spikes_s):
        super().__init__(daemon=True)
        self.spikes_s, self.edges_ns = spikes_s, []
        self.file = os.open(next(Path("/sys/bus/i2c/devices/1-0040/hwmon").iterdir()) / "curr1_input", os.O_WRONLY)

    def run(self):
        begin_ns = time.perf_counter_ns()
        for start_s, end_s in self.spikes_s:
            for at_s, milliamperes in ((start_s, SPIKE_MA), (end_s, BASE_MA)):
                time.sleep(max(begin_ns + at_s * 1e9 - time.perf_counter_ns(), 0) / 1e9)
                # In place and in one write: a reader never sees half of it.
                os.pwrite(self.file, f"{milliamperes:05d}\n".encode(), 0)
                self.edges_ns.append(time.perf_counter_ns())

    def energy_mj(self, window_ns):
        inside = [min(max(edge_ns, window_ns[0]), window_ns[1]) for edge_ns in self.edges_ns]
        spiked_s = sum(end_ns - start_ns for start_ns, end_ns in zip(inside[::2], inside[1::2])) / 1e9
        return BASE_MW * (window_ns[1] - window_ns[0]) / 1e9 + 19 * (SPIKE_MA - BASE_MA) * spiked_s


def trace(spikes_s):
    """Measure a replayed trace by the service and by the kernel's files at once."""
    replay = Replay(spikes_s)
    os.pwrite(replay.file, f"{BASE_MA:05d}\n".encode(), 0)
    with JtopSource() as jtop, SysfsSource() as sysfs, PowerSampler(jtop) as slow, PowerSampler(sysfs) as fast:
        time.sleep(0.3)
        marks_ns = [time.perf_counter_ns()]
        replay.start()
        replay.join()
        time.sleep(0.3)
        marks_ns.append(time.perf_counter_ns())
        slow.wait_past(marks_ns[-1])
        fast.wait_past(marks_ns[-1])
    found = {"truth_mj": replay.energy_mj(marks_ns)}
    for name, sampler in (("jtop", slow), ("sysfs", fast)):
        record = power_record(sampler, marks_ns)
        found[name] = {
            "energy_mj": record.total.energy_mj,
            "uncertainty_mj": record.energy_uncertainty_mj,
            "refusal": record.refusal,
            "resolution_mw": record.resolution_mw,
            "longest_step_s": max(after - before for before, after in zip(record.times_s, record.times_s[1:])),
            "samples": len(record.times_s),
            "window_s": record.window_s,
            "cpu_load_percent": record.cpu_load_percent[-1],
            "gpu_clock_limit_mhz": record.gpu_clock_limit_mhz[-1],
        }
    return found


def end(service):
    with JtopSource(0.2) as source, PowerSampler(source) as sampler:
        marks_ns = [time.perf_counter_ns()]
        time.sleep(0.6)
        # Its manager and its reader are processes of their own, in its session.
        os.killpg(service.pid, 9)
        time.sleep(1.0)
        marks_ns.append(time.perf_counter_ns())
        sampler.wait_past(marks_ns[-1])
    record = power_record(sampler, marks_ns)
    return {"failure": record.failure, "energy_mj": record.total.energy_mj, "refusal": record.refusal}


def refused():
    try:
        JtopSource(0.2).open()
    except BackendError as error:
        return {"error": str(error)}
    return {"error": None}


def main():
    service_python, scene, *numbers = sys.argv[1:]
    service = None if scene == "no-service" else start_service(service_python)
    try:
        if scene == "outsider":
            # While this user may still read the interpreter's folder: all that the client imports as it goes.
            for name in (
                "jtop",
                "multiprocessing.connection",
                "multiprocessing.managers",
                "multiprocessing.synchronize",
            ):
                importlib.import_module(name)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        found = {
            "sample": sample,
            "trace": lambda: trace(json.loads(numbers[0])),
            "end": lambda: end(service),
        }.get(scene, refused)()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    print(json.dumps(found), flush=True)
    # This is the first process of its namespace: with it the kernel ends the service and all of the service's own.
    os._exit(0)


if __name__ == "__main__":
    main()
