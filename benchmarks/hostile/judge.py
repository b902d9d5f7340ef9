"""What a quantised network costs in labels, counted alike for everything that is compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.mac_count import count_macs
from calibration.onnx_graph.node import WEIGHTED
from calibration.search.accuracy import graph_runner
from edge.console import Progress
from edge.contract import Contract
from edge.datasets import Dataset
from edge.frames import FrameSet
from edge.metrics import ConfusionMatrix
from edge.runtime.base import Runner
from edge.segmenter import Segmenter

LEAST_SHARE = 0.0005
"""Share of the float network's pixels from which a class counts for the worst IoU: ten pixels are lost by chance."""


@dataclass(frozen=True)
class LabelFigures:
    """Figures of a quantised network's labels on the judged pictures.

    Attributes:
        changed_percent: Pixels with another label than the float network's, in percent.
        worst_class: Name of the class whose labels are least like the float network's; "" where none is known.
        worst_iou: IoU of this class's labels with the float network's, 0 to 1; None where none is known.
        miou: MIoU with the true labels, 0 to 1; None without labels.
    """

    changed_percent: float
    worst_class: str = ""
    worst_iou: float | None = None
    miou: float | None = None


class Judge:
    """Judged pictures with the float network's labels of them.

    Args:
        graph: The float network.
        contract: Its contract.
        frames: The pictures.
        labelled: Dataset of the pictures, for their true labels; None where there are none.
    """

    def __init__(self, graph: Path, contract: Contract, frames: FrameSet, labelled: Dataset | None = None) -> None:
        self.contract, self._frames, self._labelled = contract, frames, labelled
        self._float_labels: list[np.ndarray] = []
        self.float_figures = self._figures(graph_runner(graph, contract), "float labels")

    def figures(self, graph: Path | bytes, what: str, exact: bool) -> LabelFigures:
        """Return the figures of a quantised graph that takes and gives what the float network does.

        Args:
            graph: Path or content of the graph.
            what: Text of the progress line.
            exact: Whether INT8 is simulated exactly, instead of being run by the kernels of the CPU.
        """
        return self._figures(graph_runner(graph, self.contract, exact=exact), what)

    def _figures(self, runner: Runner, what: str) -> LabelFigures:
        names = self.contract.class_names
        alike, true = ConfusionMatrix(len(names)), ConfusionMatrix(len(names))
        is_first = not self._float_labels
        with runner, Progress(what, len(self._frames), "image") as progress:
            segmenter = Segmenter(runner, "rgb")
            for index in range(len(self._frames)):
                truth = self._labelled.read_labels(index) if self._labelled is not None else None
                size = truth.shape if truth is not None else (self.contract.height, self.contract.width)
                labels = segmenter(self._frames.read(index), *size).labels
                if is_first:
                    self._float_labels.append(labels.copy())
                alike.update(self._float_labels[index], labels)
                if truth is not None:
                    true.update(truth, labels)
                progress.step()
        worst_class, worst_iou = worst_of(alike, names)
        return LabelFigures(100.0 * (1.0 - (alike.pixel_accuracy() or 0.0)), worst_class, worst_iou, true.miou())


def worst_of(alike: ConfusionMatrix, names: tuple[str, ...]) -> tuple[str, float | None]:
    """Return the class whose labels agree least, and its IoU, of those with a share worth counting in the rows."""
    shares = alike.counts.sum(1) / max(alike.counts.sum(), 1)
    ious = [
        (iou, name)
        for iou, name, share in zip(alike.class_iou(), names, shares)
        if iou is not None and share >= LEAST_SHARE
    ]
    return (min(ious)[1], min(ious)[0]) if ious else ("", None)


def int8_mac_share(model: Any) -> float:
    """Return the share of multiply-adds whose data and weight both come from DequantizeLinear, 0 to 1.

    Args:
        model: A Q/DQ graph with static shapes, onnx.ModelProto; left as it is.
    """
    graph, macs = OnnxGraph(model, lenient=True), count_macs(model)
    total = sum(macs.values())
    quantised = sum(
        macs[node.output[0]]
        for node in graph.nodes
        if node.op_type in WEIGHTED
        and all(graph.producer(tensor, "DequantizeLinear") is not None for tensor in node.input[:2])
    )
    return quantised / total if total else 0.0
