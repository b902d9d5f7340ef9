"""A benchmark record as an AGX Orin would leave one, drawn from a seed: spikes of power, heat, a throttled window."""

from __future__ import annotations

import dataclasses

import numpy as np

from edge.accuracy import Accuracy
from edge.bench.bench_record import BenchRecord
from edge.bench.scenarios.scenario_record import CameraRules, DeadlineRecord, ScenarioRecord
from edge.bench.validity import validity
from edge.card import EngineCard
from edge.frame_statistics.binomial_bound import miss_bound
from edge.frame_statistics.percentiles import summarise
from edge.frame_statistics.steady_state import steadiness
from edge.labels import CAMVID
from edge.machine import Machine
from edge.machine_load import MachineLoad
from edge.telemetry.power_record import PowerRecord, RailPower
from edge.telemetry.throttling import ThrottledWindow

RAILS_MW = {"VDD_GPU_SOC": 14_000, "VDD_CPU_CV": 4_200, "VIN_SYS_5V0": 5_100, "VDDQ_VDD2_1V8AO": 1_900}
WARMEST_C = {"cpu": 58.0, "gpu": 66.0, "soc0": 61.0, "tj": 67.0}
CLOCK, DEADLINE_MS = "from a frame in host memory to its label map in host memory", 50.0
SAMPLE_S, BEFORE_S = 0.1, 2.0
"""Time in s from one sample to the next, and from the first one to the first measured frame."""


def jetson_record(card: EngineCard, duration_s: float = 600.0, fps: float = 30.0) -> BenchRecord:
    """Return a record of a network that runs at a camera's rate and throttles from 55 % to 62 % of the time.

    Args:
        card: Card of the engine that is said to have run.
        duration_s: Length of the measured window in s.
        fps: Frames per second.
    """
    rng = np.random.default_rng(7)
    count = int(duration_s * fps)
    starts_s = np.arange(count) / fps
    throttled_s = (0.55 * duration_s, 0.62 * duration_s)
    is_slow = (starts_s >= throttled_s[0]) & (starts_s < throttled_s[1])
    network_ms = 17.0 + 1.2 * (starts_s / duration_s) + rng.gamma(2.0, 0.5, count) + 9.0 * is_slow
    network_ms[rng.random(count) < 0.002] += 21.0
    stages_ms = {
        "preprocess": 1.6 + rng.gamma(2.0, 0.06, count),
        "inference": network_ms,
        "postprocess": 2.3 + rng.gamma(2.0, 0.09, count),
    }
    total_ms = sum(stages_ms.values())
    ns = {name: np.round(1e6 * values).astype(np.int64) for name, values in stages_ms.items()}
    # AGX Orin: its largest module of Jetson Linux 35, as the machine would name itself.
    machine = Machine("Linux 5.10.120-tegra", "aarch64", "ARMv8 Processor rev 1 (v8l)", 12)
    machine = dataclasses.replace(
        machine, board="NVIDIA Jetson AGX Orin Developer Kit", l4t="35.4.1", gpu="Orin", compute_capability="8.7"
    )
    record = BenchRecord(
        engine=dataclasses.replace(
            card, backend="tensorrt", backend_version="8.5.2", precision="int8", machine=machine
        ),
        machine=machine,
        runner={"backend": "tensorrt", "version": "8.5.2", "device": "Orin", "stream_priority": 0},
        postprocess="cuda",
        opencv_threads=12,
        input="cityscapes val",
        frame_height=1024,
        frame_width=2048,
        distinct_frames=64,
        warmup_frames=60,
        stages={name: summarise(values) for name, values in ns.items()},
        end_to_end=summarise(sum(ns.values())),
        fps=fps,
        duration_s=duration_s,
        accuracy=_accuracy(),
        started_utc="2026-11-30T09:12:44+00:00",
        samples_ms={name: tuple(np.round(values, 6).tolist()) for name, values in stages_ms.items()},
        samples_end_to_end_ms=tuple(np.round(total_ms, 6).tolist()),
        power=_power(rng, duration_s, starts_s, throttled_s),
        load=MachineLoad(0.4, 0.03, False),
        frames_asked=1024,
        run_id="20261130T091244Z-orin-4f1c",
        scenario=ScenarioRecord(
            "camera",
            CLOCK,
            1024,
            duration_s,
            False,
            CameraRules(fps, DEADLINE_MS, 0.01, 0.95, stops_early=False),
            _deadlines(total_ms),
        ),
        steadiness=steadiness(((starts_s + total_ms / 1e3) * 1e9).astype(np.int64), sum(ns.values())),
    )
    return dataclasses.replace(record, validity=validity(record))


def _deadlines(total_ms: np.ndarray) -> DeadlineRecord:
    missed = total_ms > DEADLINE_MS
    return DeadlineRecord(
        arrived_frames=len(missed),
        dropped_frames=0,
        missed_frames=int(missed.sum()),
        age=summarise(np.round(1e6 * total_ms).astype(np.int64)),
        bound=miss_bound(missed),
        is_held=True,
    )


def _accuracy() -> Accuracy:
    iou = {name: 0.35 + 0.055 * index for index, name in enumerate(CAMVID.class_names)}
    return Accuracy("camvid", "val", 101, 0.638, 0.91, iou, {"infrastructure": 0.57, "people": 0.44, "vehicles": 0.81})


def _power(
    rng: np.random.Generator, duration_s: float, starts_s: np.ndarray, throttled_s: tuple[float, float]
) -> PowerRecord:
    times_s = np.arange(-BEFORE_S, duration_s + 0.5, SAMPLE_S)
    count = len(times_s)
    is_slow = (times_s >= throttled_s[0]) & (times_s < throttled_s[1])
    warmth = 1.0 - np.exp(-np.maximum(times_s, 0.0) / (0.25 * duration_s))
    rails = {}
    for name, level_mw in RAILS_MW.items():
        values_mw = level_mw * (1 + 0.06 * warmth) + rng.normal(0.0, 0.02 * level_mw, count)
        values_mw[rng.random(count) < 0.01] *= 1.7
        rails[name] = np.where(is_slow, 0.72 * values_mw, values_mw)
    total_mw = sum(values for name, values in rails.items() if name != "VDDQ_VDD2_1V8AO")
    inside = (times_s >= 0) & (times_s <= duration_s)

    def rail(values_mw: np.ndarray) -> RailPower:
        seen = values_mw[inside]
        return RailPower(float(seen.mean()), float(seen.min()), float(seen.max()), float(seen.mean() * duration_s))

    temperatures = {
        name: 34.0 + (highest_c - 34.0) * warmth + rng.normal(0.0, 0.25, count) for name, highest_c in WARMEST_C.items()
    }
    return PowerRecord(
        source="sysfs",
        version=None,
        covers="the sum of the module's rails without VDDQ_VDD2_1V8AO, which is in VIN_SYS_5V0",
        interval_s=SAMPLE_S,
        gap_limit_s=5 * SAMPLE_S,
        window_s=duration_s,
        frame_count=len(starts_s),
        total=rail(total_mw),
        rails={name: rail(values) for name, values in rails.items()},
        energy_per_frame_mj=float(total_mw[inside].mean() * duration_s / len(starts_s)),
        refusal=None,
        failure=None,
        times_s=_column(times_s),
        total_mw=_column(total_mw),
        rails_mw={name: _column(values) for name, values in rails.items()},
        # A sensor that is offline for a while leaves a gap.
        temperatures_c={**{name: _column(values) for name, values in temperatures.items()}, "cv0": (None,) * count},
        gpu_load_percent=_column(np.clip(rng.normal(88.0, 6.0, count), 0, 100)),
        gpu_clock_mhz=_column(np.where(is_slow, 828.0, 1300.5)),
        fan_percent=_column(np.clip(30 + 70 * warmth, 0, 100)),
        power_mode=("MAXN",) * count,
        frame_start_s=_column(starts_s),
        energy_uncertainty_mj=41_000.0,
        energy_per_frame_uncertainty_mj=41_000.0 / len(starts_s),
        resolution_mw=1.0,
        idle_s=10.0,
        idle_mean_mw=9_800.0,
        idle_gpu_load_percent=0.0,
        net_energy_per_frame_mj=float((total_mw[inside].mean() - 9_800.0) * duration_s / len(starts_s)),
        net_energy_per_frame_uncertainty_mj=3.1,
        gpu_clock_limit_mhz=_column(np.where(is_slow, 828.0, 1300.5)),
        cpu_load_percent=_column(np.clip(rng.normal(31.0, 5.0, count), 0, 100)),
        cpu_clock_mhz=(2201.6,) * count,
        cpu_clock_limit_mhz=(2201.6,) * count,
        throttled=(
            ThrottledWindow(*throttled_s, ("GPU clock limit down to 828 of 1301 MHz", "over-current VDD_GPU_SOC")),
            ThrottledWindow(0.75 * duration_s, 0.75 * duration_s + 0.2, ("fan at its limit",)),
        ),
    )


def _column(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.round(values, 3).tolist())
