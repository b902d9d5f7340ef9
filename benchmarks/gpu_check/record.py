"""The records of a check on a GPU, which are written as one JSON file."""

from __future__ import annotations

from typing import Any

from edge.card import BuildCheck
from edge.machine import Machine
from edge.records import record

RAN, FAILED, SKIPPED = "ran", "failed", "skipped"


@record(schema=1, what="check of the surroundings")
class Environment:
    """The machine and the software that a check ran on.

    Attributes:
        machine: Machine, with the name and the compute capability of the GPU.
        driver: Version of NVIDIA's driver; None where it is unknown.
        cuda_driver: Newest version of CUDA that the driver supports, such as "12.4"; None where it is unknown.
        tensorrt: Version of TensorRT; None where it cannot be imported.
        pycuda: Version of pycuda; None where it cannot be imported.
        cuda_compiler: Name and version of the CUDA compiler, nvcc or NVRTC; None where there is none.
        trtexec: Path of trtexec; None where it is not installed.
        clocks: Name -> value of the clocks, power and temperature that nvidia-smi reports; empty without nvidia-smi.
        is_integrated: Whether the GPU shares the host's memory; None where pycuda is missing.
        memory_bytes: Memory of the GPU in bytes; None where pycuda is missing.
        tactics: Value of SEGEDGE_TENSORRT_TACTICS; "" where it is not set.
        problems: Sentences on what could not be found out, and why.
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
    """The comparison of a kernel with its reference on the host, in one case.

    Attributes:
        kernel: Name of the kernel in kernels.cu; for the pair of label kernels, the name of the second.
        case: Shape and rule of the case, in words.
        values: Number of compared values.
        differing: Number of values that differ from the reference.
        largest_difference: Largest difference between a value and its reference, in levels of 0 to 255; for labels it
            has no meaning but that they differ.
        allowed: Largest difference that counts as right.
    """

    kernel: str
    case: str
    values: int
    differing: int
    largest_difference: float
    allowed: int

    def is_right(self) -> bool:
        """Return whether no value differs by more than allowed."""
        return self.largest_difference <= self.allowed


@record(schema=1, what="kernel check")
class KernelCheck:
    """The comparisons of all kernels, and the time of each kernel.

    Attributes:
        cases: Comparison of a kernel in each case.
        timed_height: Rows of the frame, the network's input and the labels while kernels were timed.
        timed_width: Columns of the frame, the network's input and the labels while kernels were timed.
        timed_classes: Number of classes of the logits while kernels were timed.
        milliseconds: Kernel -> median time of its runs in ms, by CUDA events.
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
        folder: Folder of the engine.
        precision: Precision of the engine, "float32", "float16" or "int8".
        build_seconds: Time in s that TensorRT took.
        engine_bytes: Size of the engine in bytes.
        weights: Origin of the weights, "trained", "imported" or "random"; labels of random weights mean nothing.
        int8_mac_share: Share of the multiply-adds that are computed in INT8, 0 to 1; None for a float engine.
        check: Agreement of the labels with those of the float graph, and mIoU of both; None if not compared.
        notes: Notes on the engine's card.
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
    """A slow layer of an engine.

    Attributes:
        name: Name of the layer in the engine.
        kind: Kind of the layer, as TensorRT calls it.
        precision: Precision in which the layer runs; None where the engine does not say.
        mean_ms: Mean time of the layer in ms.
    """

    name: str
    kind: str
    precision: str | None
    mean_ms: float


@record(schema=1, what="run of a lane")
class LaneRun:
    """The result of one lane, whose labels were compared with those made on the host.

    Attributes:
        depth: Number of frames that were in flight at once.
        is_recorded: Whether frames were started as CUDA graphs, or else call by call.
        cuda_graph: Whether frames were started as CUDA graphs: "yes", or the reason why not.
        memory: Memory of frames and labels, "mapped" or "copied".
        frames: Number of compared frames.
        pixels: Number of pixels of all compared frames.
        differing: Number of pixels whose label differs from the host's.
    """

    depth: int
    is_recorded: bool
    cuda_graph: str
    memory: str
    frames: int
    pixels: int
    differing: int

    def name(self) -> str:
        """Return the name of the lane, such as "depth 2, recorded"."""
        return f"depth {self.depth}, {'recorded' if self.is_recorded else 'call by call'}"


@record(schema=1, what="check of lanes")
class LanesCheck:
    """The comparison of lanes of several depths, recorded and call by call, on the same frames.

    Attributes:
        folder: Folder of the engine.
        precision: Precision of the engine, "float32", "float16" or "int8".
        different_frames: Number of different frames, which were used in turn.
        different_labels: Number of different label maps that the host makes of these frames; a lane that mixes up its
            slots is certain to be seen only where all maps differ.
        host_differing: Number of pixels whose label changes when the host labels the same frames again.
        kernels: Backend of the labels: "cuda", or the reason why there are no lanes.
        runs: Result of each lane; empty where there are no lanes.
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
    """The time per frame with several frames in flight.

    Attributes:
        frames_in_flight: Number of frames that really were in flight at once.
        frame_ms: Time of the whole measurement divided by the number of frames, in ms.
    """

    frames_in_flight: int
    frame_ms: float


@record(schema=2, what="latency check")
class LatencyCheck:
    """The latency of an engine from frame to labels, beside that of the engine alone.

    Attributes:
        folder: Folder of the engine.
        precision: Precision of the engine, "float32", "float16" or "int8".
        synchronous_ms: Mean time in ms from a frame in host memory to its labels there, one frame at a time.
        synchronous_p99_ms: 99th percentile of that time, in ms; None where there are fewer than 100 frames.
        inference_ms: Mean time of the network within that time, in ms, by CUDA events.
        pipelined: Time per frame with two and with three frames in flight.
        warmup_frames: Number of frames before each of these measurements, one at a time.
        bare_ms: Mean time in ms of execute_async_v3 alone, on addresses that were set before, by CUDA events.
        trtexec_ms: Mean GPU compute time that trtexec measured, in ms; None where there is no trtexec.
        trtexec_problem: Reason why trtexec gave no time; None where it did.
        cuda_graph: Whether frames were started as CUDA graphs: "yes", or the reason why not.
        memory: Memory of frames and labels, "mapped" where GPU and host share it, else "copied"; None without a lane.
        kernels: Backend of the labels: "cuda" on the GPU, else "native" or "numpy", with the reason in `runner`.
        runner: Description of the runtime, as its runner gives it.
        slowest_layers: Slowest layers by TensorRT's own profiler; empty where it could not be used.
        stages_ms: Stage -> mean time in ms, with one frame at a time.
    """

    folder: str
    precision: str
    synchronous_ms: float
    synchronous_p99_ms: float | None
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
        """Return the share of the time from frame to labels that is spent outside the network, one frame at a time."""
        return 1.0 - self.inference_ms / self.synchronous_ms

    def best_pipelined(self) -> PipelinedLatency | None:
        """Return the shortest time per frame with several frames in flight; None where several never were."""
        several = [one for one in self.pipelined if one.frames_in_flight > 1]
        return min(several, key=lambda one: one.frame_ms, default=None)

    def peer_ms(self) -> tuple[float, str]:
        """Return the time of the engine alone in ms, and the name of the peer that measured it."""
        if self.trtexec_ms is not None:
            return self.trtexec_ms, "trtexec"
        return self.bare_ms, "execute_async_v3"


@record(schema=1, what="soak")
class SoakCheck:
    """The memory before and after an engine was opened, ran a frame and was closed, many times.

    Attributes:
        folder: Folder of the engine.
        opens: Number of opens; fewer than wanted where the time was up.
        device_bytes_before: Free memory of the GPU in bytes, after a few opens that allocate what is allocated once.
        device_bytes_after: Free memory of the GPU in bytes at the end.
        host_bytes_before: Resident memory of the process in bytes, at the same time as device_bytes_before; None where
            /proc is not there.
        host_bytes_after: Resident memory of the process in bytes at the end; None where /proc is not there.
    """

    folder: str
    opens: int
    device_bytes_before: int
    device_bytes_after: int
    host_bytes_before: int | None
    host_bytes_after: int | None

    def grown_bytes(self) -> int:
        """Return how much less memory of the GPU is free at the end than before, in bytes."""
        return self.device_bytes_before - self.device_bytes_after


@record(schema=1, what="step of the GPU check")
class Step:
    """The record of one step, whether it ran, failed or was skipped.

    Attributes:
        name: Name of the step, such as "build fast_scnn int8 1024x2048".
        kind: Kind of the step: "environment", "kernels", "build", "lanes", "latency" or "soak".
        status: Outcome of the step: RAN, FAILED or SKIPPED.
        reason: Reason why the step failed or was skipped; None for one that ran.
        seconds: Time in s that the step took; 0 for one that was skipped.
        problems: Sentences on what is wrong in the step's result.
        result: Record of the step's kind as JSON; None if the step did not run.
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
    """The verdict on a target: whether it is met.

    Attributes:
        target: Name of what is judged.
        wanted: Limit of the target, in words.
        measured: Measured figure; None where it was not measured.
        unit: Unit of the figure.
        is_met: Whether the target is met; None where the figure was not measured.
        reason: Reason why the target is unmet or was not measured, in words; else the source of the figure.
    """

    target: str
    wanted: str
    measured: float | None
    unit: str
    is_met: bool | None
    reason: str


@record(schema=1, what="GPU check")
class GpuCheck:
    """The record of a whole check on a GPU, which is written anew after every step.

    Attributes:
        started_utc: Time in UTC when the check started, ISO 8601.
        command: Command line by which the check was started.
        minutes: Time in minutes that the check may take.
        seconds: Time in s that the check has taken so far.
        is_finished: Whether all steps have been run or skipped; False in a record that an interruption left.
        environment: Machine and software that the check ran on; None until they are known.
        steps: Steps in the order in which they ran.
        verdicts: Verdicts on the targets, by the steps so far.
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
        """Return everything that failed or is wrong, in sentences; skipped steps and unmet speeds are not wrong."""
        failed = [f"{step.name}: {step.reason}" for step in self.steps if step.status == FAILED]
        return failed + [f"{step.name}: {problem}" for step in self.steps for problem in step.problems]
