"""The peers of the runtime: TensorRT's own trtexec, and execute_async_v3 in a loop with nothing around it."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge.card import EngineCard
from edge.runtime.calls import call, one_line
from edge.runtime.cuda.context import CudaContext
from edge.runtime.resource_stack import ResourceStack, release_traceback_locals
from edge.runtime.tensorrt import import_tensorrt, message_logger

TRTEXEC_PLACES = ("trtexec", "/usr/src/tensorrt/bin/trtexec")
TRTEXEC_TIMEOUT_S = 60
WARMUP_RUNS = 20

_GPU_COMPUTE = re.compile(r"GPU Compute Time:.*?\bmean = ([\d.]+) ms")


def find_trtexec() -> str | None:
    """Return the path of trtexec; None where it is not installed."""
    return next(filter(None, map(shutil.which, TRTEXEC_PLACES)), None)


def parse_trtexec(output: str) -> float | None:
    """Return the mean GPU compute time that trtexec printed, in ms; None where it printed none.

    Source: trtexec of TensorRT 8.5 to 10, section "Performance summary".
    """
    found = _GPU_COMPUTE.findall(output)
    return float(found[-1]) if found else None


def time_trtexec(engine: Path, seconds: float, warmup_seconds: float) -> tuple[float | None, str | None]:
    """Let trtexec run an engine, and return the time that it measured.

    Returns:
        The mean GPU compute time in ms and None; or None and the reason why there is no time.
    """
    program = find_trtexec()
    if program is None:
        return None, "trtexec is neither on the PATH nor in /usr/src/tensorrt/bin"
    options = [f"--duration={max(1, round(seconds))}", f"--warmUp={max(1, round(1e3 * warmup_seconds))}"]
    command = [program, f"--loadEngine={os.fspath(engine)}", *options]
    try:
        run = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TRTEXEC_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        return None, f"trtexec could not be run ({one_line(error)})"
    mean_ms = parse_trtexec(run.stdout)
    if run.returncode or mean_ms is None:
        lines = [line for line in (run.stderr + run.stdout).splitlines() if "[E]" in line] or ["it printed no GPU time"]
        return None, f"trtexec ended with {run.returncode}: {' '.join(lines[0].split())[:200]}"
    return mean_ms, None


def time_bare(engine: Path, card: EngineCard, frame: np.ndarray, runs: int, warmup_seconds: float) -> list[float]:
    """Time an engine with nothing around it: addresses are set once, and the frame stays on the GPU.

    The runner of edge.runtime.tensorrt takes no part.

    Args:
        engine: Path of the engine file.
        card: Card of the engine, whose contract names the tensors.
        frame: Input of the network, (1, height, width, 3) uint8.
        runs: Number of timed runs.
        warmup_seconds: Shortest time in s of the warm-up, which has WARMUP_RUNS runs at least.

    Returns:
        Time of each run in ms by CUDA events; the host waits for each run.

    Raises:
        BackendError: a call failed.
    """
    resources = ResourceStack()
    context = CudaContext()
    resources.push("context", context, ("Context.detach", lambda made: made.detach))
    try:
        with release_traceback_locals():  # a failed call keeps nothing beyond the end of its context
            return _time_bare(engine, card, frame, runs, warmup_seconds, context, resources)
    finally:
        resources.release()


def _time_bare(
    engine: Path,
    card: EngineCard,
    frame: np.ndarray,
    runs: int,
    warmup_seconds: float,
    context: CudaContext,
    resources: ResourceStack,
) -> list[float]:
    trt, driver, contract = import_tensorrt(), context.driver, card.contract
    logger = message_logger(trt)
    resources.push("stream", driver.Stream())
    resources.push("runtime", call("tensorrt.Runtime", trt.Runtime, logger, refused=(None,), logger=logger))
    load = resources["runtime"].deserialize_cuda_engine
    resources.push("engine", call("Runtime.deserialize_cuda_engine", load, engine.read_bytes(), refused=(None,)))
    create = resources["engine"].create_execution_context
    resources.push("execution", call("ICudaEngine.create_execution_context", create, refused=(None,)))
    sizes = {name: 4 * int(np.prod(shape)) for name, shape in contract.output_shapes.items()}
    sizes[contract.input_name] = frame.nbytes
    for name, size_bytes in sizes.items():
        memory = call("pycuda.driver.mem_alloc", driver.mem_alloc, size_bytes)
        resources.push(name, memory, ("DeviceAllocation.free", lambda made: made.free))
        call("IExecutionContext.set_tensor_address", resources["execution"].set_tensor_address, name, int(memory))
        del memory
    driver.memcpy_htod(resources[contract.input_name], np.ascontiguousarray(frame))
    for name in ("begin", "end"):
        resources.push(name, driver.Event())
    end_s, done = time.monotonic() + warmup_seconds, 0
    while done < WARMUP_RUNS or time.monotonic() < end_s:
        _run_once(resources)
        done += 1
    return [_run_once(resources) for _ in range(runs)]


def _run_once(resources: ResourceStack) -> float:
    stream: Any = resources["stream"]
    resources["begin"].record(stream)
    execute = resources["execution"].execute_async_v3
    call("IExecutionContext.execute_async_v3", execute, stream.handle, refused=(False,))
    resources["end"].record(stream)
    call("Stream.synchronize", stream.synchronize)
    return resources["begin"].time_till(resources["end"])


def mean_ms(samples: list[float]) -> float:
    """Return the mean of samples, in ms."""
    return statistics.fmean(samples)
