"""What gives the logits of a frame: a network of one fixed size, or one that is built for any size.

Keras models of any size are train/keras_networks.py; here are runners of engines and graphs, whose size is fixed.
"""

from __future__ import annotations

import abc
import functools
from typing import Callable

import numpy as np

from edge.contract import Contract
from edge.errors import InputError
from edge.evaluation.looks import Looks
from edge.postprocess import LabelUpsampler
from edge.preprocess import prepare_rgb
from edge.runtime.base import Runner
from edge.segmenter import Segmenter

Planes = Callable[[np.ndarray], np.ndarray]
"""Function that gives the logits of a frame of one size: (height, width, 3) uint8 RGB -> (classes, h, w) float32."""


class Network(abc.ABC):
    """A network whose predictions are evaluated.

    Attributes:
        size: Height and width in pixels that a whole frame is brought to.
        class_names: Names of its classes, one for each plane of the logits.
        coordinates: Coordinate rule of the upsampling of the logits.
        any_size: Whether it takes frames of other sizes too.
        size_multiple: Number of pixels that the sides of a frame are multiples of.
    """

    size: tuple[int, int]
    class_names: tuple[str, ...]
    coordinates: str
    any_size: bool = False
    size_multiple: int = 1

    @abc.abstractmethod
    def planes(self, frame_rgb: np.ndarray) -> np.ndarray:
        """Return the logits of a frame.

        Args:
            frame_rgb: (height, width, 3) uint8 of a size that the network takes.

        Returns:
            (classes, h, w) float32, valid until the next call.
        """

    def label_frame(self, frame_rgb: np.ndarray, height: int, width: int) -> np.ndarray:
        """Label one whole frame at the network's own size, as a device does: (height, width) uint8."""
        logits = self.planes(prepare_rgb(frame_rgb, *self.size)[0])
        return _upsampler(*logits.shape, height, width, self.coordinates)(logits)


@functools.lru_cache(maxsize=4)
def _upsampler(*sizes_and_rule: int | str) -> LabelUpsampler:
    """Return the tables of one size, which most frames of a set share."""
    return LabelUpsampler(*sizes_and_rule)


class RunnerNetwork(Network):
    """An engine, or a graph, of a fixed size.

    Args:
        runner: Active runner of single frames.
    """

    def __init__(self, runner: Runner) -> None:
        contract = runner.contract
        self.size, self.class_names = (contract.height, contract.width), contract.class_names
        self.coordinates = contract.coordinates
        self._runner, self._segmenter = runner, Segmenter(runner, "rgb")

    def planes(self, frame_rgb: np.ndarray) -> np.ndarray:
        """Return the logits of a frame of the engine's size."""
        return self._runner.infer(frame_rgb[None])

    def label_frame(self, frame_rgb: np.ndarray, height: int, width: int) -> np.ndarray:
        """Label one whole frame on the way that a device takes."""
        return self._segmenter.label_frame(frame_rgb, height, width)


def check_classes(class_names: tuple[str, ...], wanted: tuple[str, ...], what: str, dataset: str) -> None:
    """Refuse a network whose classes are not those of the dataset.

    Raises:
        InputError: The names, or their order, differ.
    """
    if tuple(class_names) == tuple(wanted):
        return
    place = next((i for i, pair in enumerate(zip(class_names, wanted)) if pair[0] != pair[1]), None)
    differs = (
        f"class {place} is {class_names[place]} there and {wanted[place]} here"
        if place is not None
        else "one has classes that the other lacks"
    )
    raise InputError(
        f"{what} has {len(class_names)} classes, {dataset} has {len(wanted)}: {differs}. Next: name the dataset whose "
        "classes the network has with --dataset"
    )


def check_way(network: Network, what: str, looks: Looks, contract: Contract | None = None) -> None:
    """Refuse looks at a frame that a network cannot take, before a frame is read.

    Args:
        network: Network that is evaluated.
        what: Name of it for messages.
        looks: How the network is to look at a frame.
        contract: Contract of an engine; None of Keras weights.

    Raises:
        InputError: The network has a fixed size, and other sizes would be needed; or it decides by thresholds.
    """
    window = looks.window
    if contract is not None and contract.gives_labels and not looks.is_one:
        raise InputError(
            f"{what} gives labels, and means over several looks are of class probabilities. Next: leave --scales, "
            "--flip and --sliding-window out"
        )
    if contract is not None and contract.decision is not None and not looks.is_one:
        raise InputError(
            f"{what} decides by {contract.decision_sentence()}, and means over several looks are of class "
            "probabilities. Next: leave --scales, --flip and --sliding-window out"
        )
    if network.any_size:
        if window is not None and any(side % network.size_multiple for side in window.size):
            near = "x".join(str(max(1, round(s / network.size_multiple)) * network.size_multiple) for s in window.size)
            raise InputError(
                f"--sliding-window is {window}, {what} takes multiples of {network.size_multiple}. "
                f"Next: --sliding-window {near}"
            )
        return
    own = f"{network.size[0]}x{network.size[1]}"
    if window is not None and window.size != network.size:
        raise InputError(f"--sliding-window is {window}, {what} takes {own} alone. Next: --sliding-window {own}")
    if window is None and looks.scales != (1.0,):
        raise InputError(
            f"{what} takes {own} alone, other scales need other sizes. Next: --sliding-window {own}, or evaluate the "
            "weights that it was built from"
        )
