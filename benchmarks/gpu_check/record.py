"""What a check on a GPU found: the records that are written as one JSON."""

from __future__ import annotations

from typing import Any

from edge.card import BuildCheck
from edge.machine import Machine
from edge.records import record

RAN, FAILED, SKIPPED = "ran", "failed", "skipped"


@record(schema=1, what="check of the surroundings")
class Environment:
    """What everything ran on.

    Attributes:
        machine: with the GPU's name and compute capability.
        driver: version of NVIDIA's driver; None where nothing tells.
        cuda_driver: newest CUDA that the driver knows, "12.4".
        tensorrt: version; None where it cannot be imported.
        pycuda: version; None where it cannot be imported.
        cuda_compiler: nvcc or NVRTC with its version; None where there is none.
        trtexec: its path; None where there is none.
        clocks: what nvidia-smi says of clocks, power and temperature; empty where it is not there.
        is_integrated: whether the GPU shares the host's memory; None where pycuda is missing.
        memory_bytes: of the GPU; None where pycuda is missing.
        tactics: value of SEGEDGE_TENSORRT_TACTICS, "" where it is not set.
        problems: what could not be found out, and why.
    """

    machine: Machine
    driver: str | None
    cuda_driver: str | None
    tensorrt: str | None
    pycuda: str | None
    cuda_compiler: str | None
    trtexec: str | None
    clocks: dict[str, str]
    is_integrated: bool | None
    memory_bytes: int | None
    tactics: str
    problems: tuple[str, ...] = ()


@record(schema=1, what="comparison of a kernel")
class KernelCase:
    """A kernel against its reference on the host.

    Attributes:
        kernel: its name in kernels.cu; of both label kernels, the second.
        case: shape and rule, in words.
        values: how many were compared.
        differing: how many of them are not the reference's.
        largest_difference: between a value and its reference, in levels; of labels it only says that they differ.
        allowed: the largest difference that is right.
    """

    kernel: str
    case: str
    values: int
    differing: int
    largest_difference: float
    allowed: int

    def is_right(self) -> bool:
        """Say whether no value is further off than allowed."""
        return self.largest_difference <= self.allowed


@record(schema=1, what="kernel check")
class KernelCheck:
    """All comparisons, and the time of each kernel.

    Attributes:
        cases: the comparisons.
        timed_height: rows of frame, input and labels while kernels were timed.
        timed_width: columns.
        timed_classes: of the logits.
        milliseconds: kernel -> median of its runs, by CUDA events.
    """

    cases: tuple[KernelCase, ...]
    timed_height: int
    timed_width: int
    timed_classes: int
    milliseconds: dict[str, float]


@record(schema=1, what="built engine")
class BuiltCheck:
    """An engine as its build left it.

    Attributes:
        folder: of the engine.
        precision: "float32", "float16" or "int8".
        build_seconds: time that TensorRT took.
        engine_bytes: size of the engine.
        weights: "trained", "imported" or "random"; labels of random weights mean nothing.
        int8_mac_share: share of multiply-adds in INT8; None for a float engine.
        check: label agreement with the float graph, mIoU before and after.
        notes: of the card.
    """

    folder: str
    precision: str
    build_seconds: float
    engine_bytes: int
    weights: str
    int8_mac_share: float | None
    check: BuildCheck | None
    notes: tuple[str, ...]


@record(schema=1, what="slow layer")
class SlowLayer:
    """A layer of an engine and its mean time."""

    name: str
    kind: str
    precision: str | None
    mean_ms: float


@record(schema=1, what="run of a lane")
class LaneRun:
    """Frames that went through one lane, compared with the host's way.

    Attributes:
        depth: frames that were under way at once.
        is_recorded: whether a frame was started as a CUDA graph.
        cuda_graph: "yes", or why not.
        memory: "mapped" or "copied".
        frames: that were compared.
        pixels: of all of them.
        differing: pixels whose label is not the host's.
    """

    depth: int
    is_recorded: bool
    cuda_graph: str
    memory: str
    frames: int
    pixels: int
    differing: int

    def name(self) -> str:
        """Return what it is in words."""
        return f"depth {self.depth}, {'recorded' if self.is_recorded else 'call by call'}"


@record(schema=1, what="check of lanes")
class LanesCheck:
    """The same frames by lanes of several depths, recorded and call by call.

    Attributes:
        folder: of the engine.
        precision: of the engine.
        different_frames: that went through, again and again.
        different_labels: label maps of them that differ by the host's way; a wrong slot shows where all do.
        host_differing: pixels in which the host's way differs from itself when it is gone again.
        kernels: "cuda", or why there are no lanes.
        runs: of each lane; empty without lanes.
    """

    folder: str
    precision: str
    different_frames: int
    different_labels: int
    host_differing: int
    kernels: str
    runs: tuple[LaneRun, ...]


@record(schema=1, what="pipelined latency")
class PipelinedLatency:
    """Time per frame with several frames in flight.

    Attributes:
        frames_in_flight: that there really were.
        frame_ms: time over frames.
    """

    frames_in_flight: int
    frame_ms: float


@record(schema=2, what="latency check")
class LatencyCheck:
    """An engine end to end, against the engine alone.

    Attributes:
        folder: of the engine.
        precision: of the engine.
        synchronous_ms: mean from a frame in host memory to its labels there, one frame at a time.
        synchronous_p99_ms: its 99th percentile.
        inference_ms: mean of the network within that, by CUDA events.
        pipelined: time per frame with two and with three frames in flight.
        warmup_frames: that went before each of these measurements, one at a time.
        bare_ms: mean of execute_async_v3 alone on addresses set before, by CUDA events.
        trtexec_ms: mean GPU compute time of trtexec; None where it is not there.
        trtexec_problem: why there is no figure of trtexec.
        cuda_graph: "yes", or why not.
        memory: "mapped" where GPU and host share it, else "copied"; None without a lane.
        kernels: "cuda" where labels are made on the GPU, else "native" or "numpy", with the reason in `runner`.
        runner: what the runtime says of itself.
        slowest_layers: by TensorRT's own profiler; empty where it could not be asked.
        stages_ms: stage -> mean of the synchronous run.
    """

    folder: str
    precision: str
    synchronous_ms: float
    synchronous_p99_ms: float
    inference_ms: float
    pipelined: tuple[PipelinedLatency, ...]
    warmup_frames: int
    bare_ms: float
    trtexec_ms: float | None
    trtexec_problem: str | None
    cuda_graph: str | None
    memory: str | None
    kernels: str
    runner: dict[str, Any]
    slowest_layers: tuple[SlowLayer, ...]
    stages_ms: dict[str, float]

    def outside_share(self) -> float:
        """Return the share of the end-to-end time of a frame alone that is not the network's, 0 to 1."""
        return 1.0 - self.inference_ms / self.synchronous_ms

    def best_pipelined(self) -> PipelinedLatency | None:
        """Return the shortest time per frame with more than one in flight; None where there was never more than one."""
        several = [one for one in self.pipelined if one.frames_in_flight > 1]
        return min(several, key=lambda one: one.frame_ms, default=None)

    def peer_ms(self) -> tuple[float, str]:
        """Return the engine's own time, and who measured it."""
        if self.trtexec_ms is not None:
            return self.trtexec_ms, "trtexec"
        return self.bare_ms, "execute_async_v3"


@record(schema=1, what="soak")
class SoakCheck:
    """An engine that was opened, ran a frame and was closed again and again.

    Attributes:
        folder: of the engine.
        opens: how often; fewer than wanted where time ran out.
        device_bytes_before: of the GPU that were free, after a few opens that take what is taken once.
        device_bytes_after: that were free at the end.
        host_bytes_before: resident memory of the process.
        host_bytes_after: the same at the end; None where /proc is not there.
    """

    folder: str
    opens: int
    device_bytes_before: int
    device_bytes_after: int
    host_bytes_before: int | None
    host_bytes_after: int | None

    def grown_bytes(self) -> int:
        """Return how much less of the GPU's memory is free than before."""
        return self.device_bytes_before - self.device_bytes_after


@record(schema=1, what="step of the GPU check")
class Step:
    """One step, whatever became of it.

    Attributes:
        name: "build fast_scnn int8 1024x2048".
        kind: "environment", "kernels", "build", "lanes", "latency" or "soak".
        status: RAN, FAILED or SKIPPED.
        reason: why it failed or was skipped; None for one that ran.
        seconds: that it took; 0 for one that was skipped.
        problems: what is wrong in what it found.
        result: the record of its kind in JSON; None if it did not run.
    """

    name: str
    kind: str
    status: str
    reason: str | None
    seconds: float
    problems: tuple[str, ...] = ()
    result: Any = None


@record(schema=1, what="verdict of the GPU check")
class Verdict:
    """A target, and whether it is met.

    Attributes:
        target: what is judged.
        wanted: the limit, in words.
        measured: the figure; None where it was not measured.
        unit: of the figure.
        is_met: None where it was not measured.
        reason: of an unmet or unmeasured target, in words; else what the figure comes from.
    """

    target: str
    wanted: str
    measured: float | None
    unit: str
    is_met: bool | None
    reason: str


@record(schema=1, what="GPU check")
class GpuCheck:
    """Everything that a check on a GPU found; written anew after every step.

    Attributes:
        started_utc: ISO 8601.
        command: how it was called.
        minutes: that it was given.
        seconds: that it has taken so far.
        is_finished: whether all steps have been gone through; False in what an interruption left.
        environment: what it ran on; None until that is known.
        steps: in the order in which they ran.
        verdicts: targets, judged by the steps so far.
    """

    started_utc: str
    command: str
    minutes: float
    seconds: float
    is_finished: bool
    environment: Environment | None
    steps: tuple[Step, ...]
    verdicts: tuple[Verdict, ...]

    def wrongs(self) -> list[str]:
        """Return everything that failed or is wrong, in words; skipped steps and unmet speeds are not."""
        failed = [f"{step.name}: {step.reason}" for step in self.steps if step.status == FAILED]
        return failed + [f"{step.name}: {problem}" for step in self.steps for problem in step.problems]
