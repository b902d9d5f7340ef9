"""The frames of a set that are labelled worst, kept with their labels while memory stays flat."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from edge.evaluation.counts import folded
from edge.evaluation.predicted_values import PredictedValues
from edge.evaluation.scores import mean_of, ratio
from edge.opencv import cv2

MOST = 6


@dataclass(frozen=True)
class WorstFrame:
    """A frame that is labelled badly.

    Attributes:
        index: Position of the frame in the set.
        name: Name of the frame.
        miou: Mean IoU over the classes that the frame has or that are predicted in it, 0 to 1; None without labels.
        packed: Predicted train ids as a PNG file.
    """

    index: int
    name: str
    miou: float | None
    packed: bytes

    def labels(self) -> np.ndarray:
        """Return the predicted train ids, (height, width) uint8."""
        return cv2.imdecode(np.frombuffer(self.packed, np.uint8), cv2.IMREAD_UNCHANGED)


class WorstFrames:
    """Keeps the frames with the lowest mean IoU.

    Args:
        values: Meaning of the predicted values.
        class_count: Number of classes.
        most: Number of frames that are kept.
    """

    def __init__(self, values: PredictedValues, class_count: int, most: int = MOST) -> None:
        self._values, self._class_count, self._most = values, class_count, most
        self._heap: list[tuple[float, int, WorstFrame]] = []

    def add(self, index: int, name: str, pairs: np.ndarray, predicted: np.ndarray) -> None:
        """Look at one frame.

        Args:
            index: Position of the frame in the set; a higher one than that of any frame before.
            name: Name of the frame.
            pairs: (256, 256) int64, pixels of each true train id and predicted value.
            predicted: (height, width) uint8 predicted values.
        """
        miou = frame_miou(pairs, self._values, self._class_count)
        if miou is None or not self._most or (len(self._heap) == self._most and -self._heap[0][0] <= miou):
            return
        entry = (-miou, -index, WorstFrame(index, name, miou, self._packed(predicted)))
        (heapq.heappush if len(self._heap) < self._most else heapq.heapreplace)(self._heap, entry)

    def keep(self, index: int, name: str, predicted: np.ndarray) -> None:
        """Keep a frame of which nothing says how well it is labelled."""
        heapq.heappush(self._heap, (0.0, -index, WorstFrame(index, name, None, self._packed(predicted))))

    def _packed(self, predicted: np.ndarray) -> bytes:
        labels = cv2.LUT(predicted, self._values.to_train.astype(np.uint8))
        return cv2.imencode(".png", labels)[1].tobytes()

    def frames(self) -> list[WorstFrame]:
        """Return the frames, the worst first; of equal ones the earlier first."""
        return [entry[2] for entry in sorted(self._heap, key=lambda entry: (-entry[0], -entry[1]))]


def frame_miou(pairs: np.ndarray, values: PredictedValues, class_count: int) -> float | None:
    """Return the mean IoU of one frame over the classes that it has or that are predicted in it."""
    inside = folded(pairs, values, class_count)[:class_count]
    hits = np.diag(inside)
    union = inside.sum(1) + inside[:, :class_count].sum(0) - hits
    return mean_of(ratio(*pair) for pair in zip(hits.tolist(), union.tolist()))
