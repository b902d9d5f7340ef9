"""The rules of a measurement, which are fixed before its first frame."""

from __future__ import annotations

from dataclasses import dataclass

from edge.bench.scenarios.scenario_record import CameraRules

SINGLE_STREAM = "single-stream"
PIPELINED = "pipelined"
OFFLINE = "offline"
CAMERA = "camera"
TURNS = "turns"
"""Name of the scenario of `edge-bench ab`, which no single engine can have."""

SCENARIO_NAMES = (SINGLE_STREAM, PIPELINED, OFFLINE, CAMERA)

QUICK_FRAMES, QUICK_S = 200, 5.0
"""Frames and seconds of a quick look, which no verdict rests on."""

STANDARD_FRAMES, STANDARD_S = 1024, 600.0
"""Frames and seconds of a measurement that names its scenario.

Source: MLPerf Inference rules (mlcommons/inference_policies, inference_rules.adoc), "Scenarios": 1,024 queries at least
in single stream, and a minimum duration of 600 s.
"""


@dataclass(frozen=True)
class BenchSettings:
    """Settings of a benchmark, which ends when both the number of frames and the time are reached.

    Attributes:
        warmup_frames: Number of frames before the measurement.
        frames: Smallest number of measured frames.
        seconds: Shortest time of the measurement in s.
        in_flight: Number of frames that are under way at once, where the device can have several.
        frame_format: Format of the frames: "bgr", as OpenCV gives them, or "nv12", as cameras and decoders do.
        scenario: Order in which frames come, one of SCENARIO_NAMES or TURNS; None for single-stream with one frame
            in flight and pipelined with several.
        includes_decode: Whether the time to read and decode a frame is part of its latency.
        camera: Camera of the scenario of that name; None for one of 30 fps.
        idle_seconds: Time in s before the warm-up in which the power of the idle machine is measured; 0 for none.
    """

    warmup_frames: int = 10
    frames: int = QUICK_FRAMES
    seconds: float = QUICK_S
    in_flight: int = 1
    frame_format: str = "bgr"
    scenario: str | None = None
    includes_decode: bool = False
    camera: CameraRules | None = None
    idle_seconds: float = 0.0

    @property
    def scenario_name(self) -> str:
        """Name of the scenario, one of SCENARIO_NAMES."""
        return self.scenario or (SINGLE_STREAM if self.in_flight == 1 else PIPELINED)
