"""Sensitivity of layers to INT8: each layer alone in INT8, all others in float, compared with the float graph."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Iterable

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.node import KEEPS_RANGE
from calibration.qdq.insert import quantize
from calibration.qdq.placement import Placement
from calibration.qdq.quantization_config import MEASURED_APART, QuantizationConfig
from calibration.ranges.record import Ranges
from calibration.search.accuracy import graph_runner
from edge.contract import Contract
from edge.records import record

LEAST_POSITIONS = 8
"""Positions of a class in the float network's labels below which nothing is said of that class."""

NO_ROUNDING = (*KEEPS_RANGE, "Relu")
"""Operators that add no rounding of their own: they have the precision of the layer that gives their input."""


@record(schema=1, what="layer sensitivity")
class Sensitivity:
    """Change of the network's output that one layer alone in INT8 causes.

    Attributes:
        output_error: RMS of the change of the logits over the RMS of the logits.
        label_change: share of logit positions whose largest class changes, 0 to 1.
        class_change: 1 less the IoU with the float network's labels, at the logits' own size, of the class that it is
            largest for, 0 to 1; classes with few positions are left out.
        is_measured: False where both are a forecast (calibration.search.noise_gain), scaled to a measured group.
    """

    output_error: float
    label_change: float
    class_change: float = 0.0
    is_measured: bool = True


class LogitComparison:
    """Compares the logits of other forms of a network with those of the float network, on a few frames.

    Args:
        float_logits: logits of the float network for each frame, each (1, classes, h, w) float32.
    """

    def __init__(self, float_logits: list[np.ndarray]) -> None:
        self._logits = float_logits
        self._labels = [logits.argmax(-3) for logits in float_logits]
        self._signal = sum(float(np.square(logits, dtype=np.float64).sum()) for logits in float_logits)

    def of(self, others: Iterable[np.ndarray]) -> Sensitivity:
        """Return the change in the logits of another form, given for the same frames, in order."""
        noise = changed = positions = 0.0
        overlaps = np.zeros((3, self._logits[0].shape[-3]))
        for logits, reference, labels in zip(others, self._logits, self._labels):
            noise += float(np.square(logits - reference, dtype=np.float64).sum())
            own = logits.argmax(-3)
            changed += int((own != labels).sum())
            positions += labels.size
            for row, counted in enumerate((labels, own, labels[own == labels])):
                overlaps[row] += np.bincount(counted.ravel(), minlength=overlaps.shape[1])
        error = float(np.sqrt(noise / self._signal)) if self._signal else 0.0
        return Sensitivity(error, changed / positions, _worst_class_change(*overlaps))


def _worst_class_change(before: np.ndarray, after: np.ndarray, both: np.ndarray) -> float:
    """Return 1 less the IoU of the class that differs most; arguments are positions of each class, (classes,)."""
    seen = before >= LEAST_POSITIONS
    if not seen.any():
        return 0.0
    return float(1.0 - (both[seen] / (before + after - both)[seen]).min())


def quantized_nodes(model: Any, ranges: Ranges, config: QuantizationConfig, form: str) -> tuple[list[str], list[str]]:
    """Return the nodes that a config quantises.

    Returns:
        Names of the nodes that round, in graph order, and of those that only pass rounded values on.
    """
    copy = import_onnx().ModelProto()
    copy.CopyFrom(model)
    view = EditableGraph(copy)
    reading = {name for name, _ in Placement(view, ranges, config, form).reads}
    nodes = [node for node in view.nodes if node.name in reading]
    return (
        [node.name for node in nodes if node.op_type not in NO_ROUNDING],
        [node.name for node in nodes if node.op_type in NO_ROUNDING],
    )


class SensitivityMeter:
    """Measures layers one by one on a few prepared frames.

    Args:
        model: float graph (onnx.ModelProto).
        ranges: ranges of its activations.
        form: form of the quantised graph, "tensorrt" or "onnxruntime".
        unsigned_levels: largest level of unsigned activations, see calibration.qdq.insert.
        contract: input and output of the graph.
        frames: prepared frames, each (1, height, width, 3) uint8 RGB.
    """

    def __init__(
        self, model: Any, ranges: Ranges, form: str, unsigned_levels: int, contract: Contract, frames: list[np.ndarray]
    ) -> None:
        self._model, self._ranges, self._form, self._levels = model, ranges, form, unsigned_levels
        self._contract, self._frames = contract, frames
        self._comparison = LogitComparison(self._logits(model.SerializeToString()))

    def measure(self, config: QuantizationConfig, node: str, others: list[str]) -> Sensitivity:
        """Measure one layer.

        Args:
            config: calibration methods and weight ranges.
            node: name of the layer that stays in INT8.
            others: names of all other quantised nodes, which are put into float.
        """
        alone = dataclasses.replace(config, float_layers={name: MEASURED_APART for name in others if name != node})
        return self.compare(quantize(self._model, self._ranges, alone, self._form, self._levels).data)

    def compare(self, data: bytes) -> Sensitivity:
        """Measure a whole graph: the change of the logits against the float graph, simulated exactly.

        Args:
            data: content of an ONNX file with Q/DQ pairs.
        """
        return self._comparison.of(self._logits(data))

    def _logits(self, data: bytes) -> list[np.ndarray]:
        with graph_runner(data, self._contract, exact=True) as runner:
            return [runner.infer(frame).copy() for frame in self._frames]


def measure_all(
    meter: SensitivityMeter,
    config: QuantizationConfig,
    nodes: tuple[list[str], list[str]],
    known: dict[str, Sensitivity],
    each: Callable[[str, Sensitivity], None],
) -> dict[str, Sensitivity]:
    """Measure every layer that is not known yet.

    Args:
        meter: meter of the graph.
        config: calibration methods and weight ranges.
        nodes: names of nodes, as quantized_nodes returns them.
        known: earlier results, which are not measured again.
        each: function that is called after each measurement with the layer and its result; it may raise to stop.
    """
    own, passing = nodes
    results = dict(known)
    for node in own:
        if node not in results:
            results[node] = meter.measure(config, node, [*own, *passing])
            each(node, results[node])
    return results
