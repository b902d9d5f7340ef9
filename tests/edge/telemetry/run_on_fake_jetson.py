"""Runs inside private mounts that look like a Jetson: the real service and client of jetson-stats, and our source.

    python run_on_fake_jetson.py SERVICE_PYTHON SCENE

Prints one JSON object. SERVICE_PYTHON is the interpreter that has the service's jetson-stats, this one the client's.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

from edge.errors import BackendError
from edge.telemetry.jtop import JtopSource
from edge.telemetry.power_record import power_record
from edge.telemetry.sampler import PowerSampler

# jtop asks Python which machine it runs on, and refuses to look for a Jetson's parts on any other.
SERVICE = """
import platform, runpy, sys
platform.machine = lambda: "aarch64"
sys.argv = ["jtop", "--force"]
runpy.run_module("jtop", run_name="__main__")
"""

SOCKET = Path("/run/jtop.sock")
NOBODY = 65534


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


def trace():
    """Change the GPU's current once, within a measured window, and integrate what the service tells of it."""
    current = next(Path("/sys/bus/i2c/devices/1-0040/hwmon").iterdir()) / "curr1_input"
    with JtopSource(0.1) as source, PowerSampler(source) as sampler:
        time.sleep(0.5)
        marks_ns = [time.perf_counter_ns()]
        time.sleep(1.0)
        current.write_text("1300\n")
        marks_ns.append(time.perf_counter_ns())
        time.sleep(1.0)
        marks_ns.append(time.perf_counter_ns())
        sampler.wait_past(marks_ns[-1])
    record = power_record(sampler, marks_ns)
    return {
        "times_s": record.times_s,
        "total_mw": record.total_mw,
        "energy_mj": record.total.energy_mj,
        "refusal": record.refusal,
        "step_s": (marks_ns[1] - marks_ns[0]) / 1e9,
        "window_s": record.window_s,
        "interval_s": record.interval_s,
    }


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
    service_python, scene = sys.argv[1:]
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
        found = {"sample": sample, "trace": trace, "end": lambda: end(service)}.get(scene, refused)()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    print(json.dumps(found), flush=True)
    # This is the first process of its namespace: with it the kernel ends the service and all of the service's own.
    os._exit(0)


if __name__ == "__main__":
    main()
