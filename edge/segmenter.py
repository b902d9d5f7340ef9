"""From a camera's frame to its label map: preprocess, network, post-process, each stage timed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from edge.card import build_command
from edge.contract import UNCERTAINTY, Contract, OutputTensor
from edge.errors import InputError
from edge.postprocess import LabelUpsampler
from edge.preprocess import FramePreparer
from edge.runtime.base import Runner

STAGES = ("preprocess", "inference", "postprocess")

MOST_SIZES = 4
"""Sizes of label maps whose tables and buffer are kept; a folder may have a size for every picture."""


@dataclass(frozen=True)
class Segmentation:
    """Labels of one frame, and how long each stage took.

    Attributes:
        labels: (height, width) uint8; overwritten by the segmenter's next call.
        stage_ns: nanoseconds of each of STAGES. The clock of "inference" covers the copies to and
            from the device, and closes when every output is in host memory.
        uncertainty: (h, w) float32 at the network's stride, in the unit of `uncertainty_output`; valid until the
            segmenter's next call. None if the network gives none.
    """

    labels: np.ndarray
    stage_ns: dict[str, int]
    uncertainty: np.ndarray | None = None

    @property
    def total_ns(self) -> int:
        """Nanoseconds from the frame in host memory to its labels in host memory."""
        return sum(self.stage_ns.values())


def uncertainty_output(contract: Contract) -> OutputTensor | None:
    """Return the output that says how unsure a network is of its labels: the first of that kind, None without one."""
    return next((output for output in contract.extra_outputs if output.kind == UNCERTAINTY), None)


class Segmenter:
    """Labels frames of one source with one active runner. One segmenter serves one thread.

    Args:
        runner: an active runner of an engine for single frames.
        color_order: channel order of the frames, "bgr" as OpenCV gives them, or "rgb".

    Raises:
        InputError: the engine takes several frames at once.
    """

    def __init__(self, runner: Runner, color_order: str = "bgr") -> None:
        self._runner = runner
        contract = runner.contract
        if contract.batch != 1:
            raise InputError(
                f"{contract.model} engine takes batches of {contract.batch} frames, frames of a source come one by one "
                f"and need a batch of 1. Next: {build_command(contract)}"
            )
        uncertainty = uncertainty_output(contract)
        self._uncertainty_name = uncertainty.name if uncertainty is not None else None
        self._prepare = FramePreparer(contract.height, contract.width, color_order)
        self._upsamplers: dict[tuple[int, int], tuple[LabelUpsampler, np.ndarray]] = {}

    def __call__(self, frame: np.ndarray, height: int | None = None, width: int | None = None) -> Segmentation:
        """Label one frame.

        Args:
            frame: (h, w, 3) uint8, any size.
            height: rows of the label map; None for the network's own size.
            width: columns of the label map; None for the network's own size.
        """
        contract = self._runner.contract
        size = (height or contract.height, width or contract.width)
        upsample, labels = self._upsampler(*size)
        start_ns = time.perf_counter_ns()
        tensor = self._prepare(frame)
        prepared_ns = time.perf_counter_ns()
        outputs = self._runner.infer_all(tensor)
        inferred_ns = time.perf_counter_ns()
        upsample(outputs[contract.output_name], labels)
        done_ns = time.perf_counter_ns()
        durations = (prepared_ns - start_ns, inferred_ns - prepared_ns, done_ns - inferred_ns)
        uncertainty = outputs[self._uncertainty_name][0] if self._uncertainty_name is not None else None
        return Segmentation(labels, dict(zip(STAGES, durations)), uncertainty)

    def label_frame(self, frame: np.ndarray, height: int, width: int) -> np.ndarray:
        """Label one frame at a given size, as edge.accuracy wants it."""
        return self(frame, height, width).labels

    def _upsampler(self, height: int, width: int) -> tuple[LabelUpsampler, np.ndarray]:
        if (height, width) not in self._upsamplers:
            if len(self._upsamplers) >= MOST_SIZES:
                del self._upsamplers[next(iter(self._upsamplers))]
            contract = self._runner.contract
            upsampler = LabelUpsampler(*contract.output_shape[1:], height, width, contract.coordinates)
            self._upsamplers[(height, width)] = (upsampler, np.empty((height, width), np.uint8))
        return self._upsamplers[(height, width)]
