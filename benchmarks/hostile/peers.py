"""INT8 of the same float graph by onnxruntime.quantization and by NVIDIA's ModelOpt, on the same pictures."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

import numpy as np

from benchmarks.hostile.judge import Judge, int8_mac_share
from calibration.onnx_graph.file import load_graph
from edge.console import print_status
from edge.contract import Contract
from edge.frames import FrameSet
from edge.preprocess import FramePreparer

MODELOPT_LIMIT_S = 1800.0


@dataclass(frozen=True)
class PeerFigures:
    """Figures of a peer's INT8 graph.

    Attributes:
        changed_percent: Pixels with another label than the float network's, in percent.
        worst_class: Name of the class whose labels are least like the float network's.
        worst_iou: IoU of this class's labels with the float network's, 0 to 1; None where none is known.
        drop_points: Points of mIoU that were lost; None without labels.
        int8_mac_share: Share of multiply-adds in INT8, 0 to 1.
        seconds: Seconds of calibration and quantisation.
    """

    changed_percent: float
    worst_class: str
    worst_iou: float | None
    drop_points: float | None
    int8_mac_share: float
    seconds: float


def percentile_figures(graph: Path, contract: Contract, frames: FrameSet, judge: Judge) -> PeerFigures:
    """Return the figures of `quantize_static`: uint8 activations by percentile, int8 weights per channel.

    Its graph is judged as ONNX Runtime runs it on this CPU.

    Args:
        graph: The float graph.
        contract: Its contract.
        frames: Calibration pictures; all of their activations are kept at once.
        judge: The judged pictures.
    """
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._inputs = _inputs(contract, frames)

        def get_next(self) -> dict | None:
            image = next(self._inputs, None)
            return None if image is None else {contract.input_name: image}

    def quantise(path: Path) -> None:
        with contextlib.redirect_stdout(sys.stderr):  # the peer prints as it goes
            method = CalibrationMethod.Percentile
            quantize_static(str(graph), str(path), Reader(), per_channel=True, calibrate_method=method)

    return _figures(quantise, judge, "onnxruntime.quantization", exact=False)


def entropy_figures(
    graph: Path, contract: Contract, frames: FrameSet, judge: Judge, python: Path | None
) -> PeerFigures | None:
    """Return the figures of ModelOpt's INT8 with entropy calibration, simulated exactly.

    Args:
        graph: The float graph.
        contract: Its contract.
        frames: Calibration pictures.
        judge: The judged pictures.
        python: Python that has nvidia-modelopt[onnx]; None for the one that runs this.

    Returns:
        The figures; None, with a line that says why, where ModelOpt is not installed or fails.
    """
    command = [str(python or sys.executable), "-m", "modelopt.onnx.quantization"]
    installed = subprocess.run([command[0], "-c", "import modelopt.onnx"], capture_output=True, check=False)
    if installed.returncode:
        print_status(f"ModelOpt is left out: {command[0]} has no nvidia-modelopt[onnx]. Next: --modelopt-python PYTHON")
        return None

    def quantise(path: Path) -> None:
        data = path.with_name("calibration.npz")
        np.savez(data, **{contract.input_name: np.concatenate([image.copy() for image in _inputs(contract, frames)])})
        options = ["--quantize_mode", "int8", "--calibration_method", "entropy", "--high_precision_dtype", "fp32"]
        options += ["--calibration_eps", "cpu", "--calibration_data_path", str(data), "--output_path", str(path)]
        done = subprocess.run(
            [*command, "--onnx_path", str(graph.resolve()), *options],
            cwd=path.parent,
            capture_output=True,
            text=True,
            timeout=MODELOPT_LIMIT_S,
            check=False,
        )
        if done.returncode or not path.is_file():
            raise RuntimeError(" ".join((done.stderr or done.stdout).strip().splitlines()[-1:]))

    try:
        return _figures(quantise, judge, "nvidia-modelopt", exact=True)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        print_status(f"ModelOpt is left out: {error}")
        return None


def _figures(quantise: Callable[[Path], None], judge: Judge, what: str, exact: bool) -> PeerFigures:
    """Return the figures of the graph that a function writes to a path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "peer.onnx"
        start_s = time.monotonic()
        quantise(path)
        seconds = time.monotonic() - start_s
        share = int8_mac_share(load_graph(path))
        labels = judge.figures(path, what, exact)
    before, drop = judge.float_figures.miou, None
    if before is not None and labels.miou is not None:
        drop = 100.0 * (before - labels.miou)
    return PeerFigures(labels.changed_percent, labels.worst_class, labels.worst_iou, drop, share, seconds)


def _inputs(contract: Contract, frames: FrameSet) -> Iterator[np.ndarray]:
    """Yield each picture as the graph takes it, (1, height, width, 3) uint8."""
    prepare = FramePreparer(contract.height, contract.width, "rgb")
    for index in range(len(frames)):
        yield prepare(frames.read(index)).copy()
