"""The way from a camera's frame to its label map: preprocess, network and post-process, each of them timed.

On a GPU all of it is done there, in a lane (edge/runtime/lane.py). Elsewhere the runner executes the network, and this
file does what comes before and after it. The labels are the same. A graph that gives labels itself leaves nothing to do
after it, but a label map of another size, which takes the nearest label.
"""

from __future__ import annotations

import collections
import contextlib
import time
from dataclasses import dataclass
from typing import Callable, Iterator

import numpy as np

from edge.card import build_command
from edge.contract import UNCERTAINTY, Contract, OutputTensor
from edge.errors import BackendError, InputError
from edge.opencv import cv2
from edge.postprocess import LabelUpsampler
from edge.preprocess import COLOR_ORDERS, FramePreparer
from edge.runtime.base import Runner
from edge.runtime.lane import Blend, Lane, LaneRequest

NV12 = "nv12"
FRAME_FORMATS = (*COLOR_ORDERS, NV12)
"""Formats of frames: three bytes a pixel in this order, or NV12 (luma and half-size chroma) as cameras give it."""

STAGES = ("preprocess", "inference", "postprocess")
"""Stages of a frame on the host. A lane has stages of its own: see edge/runtime/cuda/slot.py."""

MAX_SIZES = 4
"""Most sizes whose tables and memory are kept; in a folder every picture may have a size of its own."""


@dataclass(frozen=True)
class Segmentation:
    """Labels of one frame, and the time of each stage.

    Attributes:
        labels: (height, width) uint8, valid until the segmenter's next frame. Labels of a device are a view of memory
            that is freed when the runner or the segmenter is closed: copy what is to stay.
        stage_ns: Stage -> time in nanoseconds. On the host these are STAGES, whose sum is `total_ns`; the clock of
            "inference" covers copies to and from a device. The stages of a lane are measured by the device's clock,
            without the launch and the waits between them.
        total_ns: Time in nanoseconds from the frame in host memory to its labels in host memory, by the host's clock.
            With several frames under way it includes the wait for the frames before.
        uncertainty: (h, w) float32 at the network's stride, in the unit of `uncertainty_output`; valid as long as the
            labels. None if the network has no such output.
        picture: (height, width, 3) uint8, the frame blended with the colours of its labels; None where that was not
            asked for, or is left to the host.
    """

    labels: np.ndarray
    stage_ns: dict[str, int]
    total_ns: int
    uncertainty: np.ndarray | None = None
    picture: np.ndarray | None = None


def uncertainty_output(contract: Contract) -> OutputTensor | None:
    """Return the first output of a contract that is an uncertainty of the labels; None where there is none."""
    return next((output for output in contract.extra_outputs if output.kind == UNCERTAINTY), None)


class Segmenter:
    """Labels the frames of one source with one active runner. One segmenter serves one thread.

    A call has the least latency. For throughput, `submit` and `collect` keep up to `depth` frames under way.

    Args:
        runner: Active runner of an engine that takes single frames.
        color_order: Format of the frames: "bgr" as OpenCV gives them, "rgb" or "nv12".
        depth: Frames that are to be under way at once where the device can have several.
        blend: Colours that the device paints over the frame where it can; the labels then need the size of the frame.

    Raises:
        InputError: The engine takes several frames at once, or the colour order is unknown.

    Example:
        >>> segmenter = Segmenter(runner, "bgr", depth=2)
        >>> for frame in frames:
        ...     if segmenter.is_full:
        ...         use(segmenter.collect().labels)
        ...     segmenter.submit(frame)
    """

    def __init__(self, runner: Runner, color_order: str = "bgr", depth: int = 1, blend: Blend | None = None) -> None:
        self._runner = runner
        contract = runner.contract
        if runner.batches[0] > 1:
            raise InputError(
                f"{contract.model} engine takes batches of {runner.batches[0]} frames, frames of a source come one by "
                f"one and need a batch of 1. Next: {build_command(contract)}"
            )
        if color_order not in FRAME_FORMATS:
            raise InputError(f"colour order is '{color_order}', expected one of: {', '.join(FRAME_FORMATS)}")
        uncertainty = uncertainty_output(contract)
        self._uncertainty_name = uncertainty.name if uncertainty is not None else None
        self._color_order, self._wanted_depth, self._blend = color_order, depth, blend
        self._prepare = FramePreparer(contract.height, contract.width, "rgb" if color_order == NV12 else color_order)
        self._upsamplers: dict[tuple[int, int], tuple[LabelUpsampler, np.ndarray]] = {}
        self._lanes: dict[tuple[int, ...], Lane] = {}
        self._has_lanes = not contract.gives_labels
        self._under_way: collections.deque[tuple[Lane | None, int, Segmentation | None]] = collections.deque()

    @property
    def depth(self) -> int:
        """Frames that may be under way at once; 1 where the host does the work, known after the first frame."""
        return self._wanted_depth if self._has_lanes else 1

    @property
    def is_on_device(self) -> bool:
        """Whether whole frames are uploaded and only labels come back, which is known after the first frame."""
        return bool(self._lanes)

    @property
    def is_full(self) -> bool:
        """Whether a frame has to be collected before the next one can be submitted."""
        return len(self._under_way) >= self.depth

    @property
    def under_way(self) -> int:
        """Number of frames that were submitted and not yet collected."""
        return len(self._under_way)

    def __call__(self, frame: np.ndarray, height: int | None = None, width: int | None = None) -> Segmentation:
        """Label one frame while no other frame is under way.

        Args:
            frame: (h, w, 3) uint8 of any size, or (h * 3 / 2, w) uint8 for NV12.
            height: Rows of the label map; None for the network's own size.
            width: Columns of the label map; None for the network's own size.

        Raises:
            InputError: The frame has another shape or dtype, or logits are not finite.
            BackendError: The device failed.
        """
        if self._under_way:
            raise BackendError(f"{len(self._under_way)} frames are under way, expected none. Next: collect them first")
        self.submit(frame, height, width)
        return self.collect()

    def submit(self, frame: np.ndarray, height: int | None = None, width: int | None = None) -> None:
        """Send a frame on its way; arguments and errors are those of a call.

        Raises:
            BackendError: `depth` frames are already under way, or the device failed.
        """
        if self.is_full:
            raise BackendError(f"{len(self._under_way)} frames are under way, expected fewer than {self.depth}")
        contract = self._runner.contract
        size = (height or contract.height, width or contract.width)
        lane = self._lane(frame, size) if self._has_lanes else None
        if lane is None:
            self._under_way.append((None, 0, self._on_host(frame, size)))
            return
        start_ns = time.perf_counter_ns()  # a new size took its memory before, which is no part of a frame's time
        with self._abandoned_on_failure():
            lane.submit(frame)
            self._under_way.append((lane, start_ns, None))

    def collect(self) -> Segmentation:
        """Wait for the oldest frame under way, and return its labels.

        Raises:
            BackendError: No frame is under way, or the device failed.
            InputError: Logits of the frame are not finite.
        """
        if not self._under_way:
            raise BackendError("no frame is under way")
        lane, start_ns, done = self._under_way.popleft()
        if lane is None:
            return done
        with self._abandoned_on_failure():
            result = lane.collect()
        uncertainty = result.outputs[self._uncertainty_name][0] if self._uncertainty_name is not None else None
        total_ns = time.perf_counter_ns() - start_ns
        return Segmentation(result.labels, result.stage_ns, total_ns, uncertainty, result.picture)

    def close(self) -> None:
        """Free the device memory that this segmenter's frames use; frames under way are lost.

        The runner does the same when it is deactivated. Labels and pictures lie in that memory.
        """
        self._under_way.clear()
        while self._lanes:
            self._lanes.popitem()[1].close()

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _abandoned_on_failure(self) -> Iterator[None]:
        """Drop the frames under way when one fails or is interrupted; else the next would get the labels of another."""
        try:
            yield
        except InputError:  # of one frame alone
            raise
        except BaseException:
            with contextlib.suppress(BackendError):  # the first failure is the one to tell
                self.close()
            raise

    def label_frame(self, frame: np.ndarray, height: int, width: int) -> np.ndarray:
        """Label one frame at a given size, with the signature that edge.accuracy takes."""
        return self(frame, height, width).labels

    def _on_host(self, frame: np.ndarray, size: tuple[int, int]) -> Segmentation:
        finish = self._finisher(*size)
        start_ns = time.perf_counter_ns()
        if self._color_order == NV12:
            _check_nv12(frame)
            frame = cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12)
        tensor = self._prepare(frame)
        prepared_ns = time.perf_counter_ns()
        outputs = self._runner.infer_all(tensor)
        inferred_ns = time.perf_counter_ns()
        labels = finish(outputs[self._runner.contract.output_name])
        done_ns = time.perf_counter_ns()
        durations = (prepared_ns - start_ns, inferred_ns - prepared_ns, done_ns - inferred_ns)
        uncertainty = outputs[self._uncertainty_name][0] if self._uncertainty_name is not None else None
        return Segmentation(labels, dict(zip(STAGES, durations)), sum(durations), uncertainty)

    def _lane(self, frame: np.ndarray, size: tuple[int, int]) -> Lane | None:
        """Return the open lane for frames and labels of these sizes; None where the device has none."""
        key = (*frame.shape, *size)
        lane = self._lanes.get(key)
        if lane is not None:
            return lane
        if self._color_order == NV12:
            _check_nv12(frame)
        elif frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise InputError(f"frame is {frame.shape} {frame.dtype}, expected (height, width, 3) uint8")
        if len(self._lanes) >= MAX_SIZES:
            if self._under_way:
                raise BackendError("frames of too many sizes are under way at once, expected one size")
            self._lanes.pop(next(iter(self._lanes))).close()
        outputs = (self._uncertainty_name,) if self._uncertainty_name is not None else ()
        request = LaneRequest(frame.shape, self._color_order, *size, self._wanted_depth, outputs, self._blend)
        lane = self._runner.open_lane(request)
        if lane is None:
            self._has_lanes = False
        else:
            self._lanes[key] = lane
        return lane

    def _finisher(self, height: int, width: int) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function that makes the label map of a size from what the network gives."""
        contract = self._runner.contract
        if not contract.gives_labels:
            upsample, labels = self._upsampler(height, width)
            return lambda logits: upsample(logits, labels)
        if (height, width) == (contract.height, contract.width):
            return lambda labels: labels
        return lambda labels: cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)

    def _upsampler(self, height: int, width: int) -> tuple[LabelUpsampler, np.ndarray]:
        if (height, width) not in self._upsamplers:
            if len(self._upsamplers) >= MAX_SIZES:
                del self._upsamplers[next(iter(self._upsamplers))]
            contract = self._runner.contract
            upsampler = LabelUpsampler(*contract.output_shape[1:], height, width, contract.coordinates)
            self._upsamplers[(height, width)] = (upsampler, np.empty((height, width), np.uint8))
        return self._upsamplers[(height, width)]


def _check_nv12(frame: np.ndarray) -> None:
    if frame.ndim != 2 or frame.dtype != np.uint8 or not frame.size or frame.shape[0] % 3 or frame.shape[1] % 2:
        raise InputError(
            f"frame is {frame.shape} {frame.dtype}, expected NV12: (height * 3 / 2, width) uint8, both sides even"
        )
