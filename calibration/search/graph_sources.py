"""The float graphs that a search quantises: the plain one, and the one whose channels are equalised."""

from __future__ import annotations

from typing import Any, Callable, Mapping

import numpy as np

from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.mac_count import count_macs
from calibration.onnx_graph.node import WEIGHTED
from calibration.qdq.insert import QuantizedGraph, quantize
from calibration.qdq.placement import Placement
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.ranges.record import Ranges
from calibration.search.accuracy import graph_runner
from edge.contract import Contract
from edge.errors import InputError
from edge.runtime.base import Runner

Equalize = Callable[[], "tuple[Any, Ranges] | None"]
"""Returns the graph with equalised channels and its ranges; None instead where no channels can be equalised."""


Moments = Callable[[Any], "Mapping[str, np.ndarray]"]
"""Returns name of a layer -> second moments of its input, of a float graph."""


class GraphSources:
    """Makes the quantised graph of any config, in one form.

    Args:
        model: float graph (onnx.ModelProto).
        ranges: ranges of its activations.
        equalize: function that makes the graph with equalised channels; it is called once at most.
        form: form of the quantised graph, "tensorrt" or "onnxruntime".
        unsigned_levels: largest level of unsigned activations, see calibration.qdq.insert.
        moments: function that returns the second moments of the layers of a graph, see
            calibration.qdq.weight_reconstruction; None where the images for it are not here. It is called for each
            quantised graph, and keeps what it returned.

    Attributes:
        plain: float graph and its ranges.
        form: form of the quantised graphs, "tensorrt" or "onnxruntime".
        unsigned_levels: largest level of unsigned activations in them.
    """

    def __init__(
        self,
        model: Any,
        ranges: Ranges,
        equalize: Equalize,
        form: str,
        unsigned_levels: int,
        moments: Moments | None = None,
    ) -> None:
        self.plain, self.form, self.unsigned_levels = (model, ranges), form, unsigned_levels
        self._equalize, self._equalized, self._is_equalized = equalize, None, False
        self._moments = moments
        self._placed: dict[bool, tuple[OnnxGraph, dict[str, int]]] = {}

    def of(self, config: QuantizationConfig) -> tuple[Any, Ranges]:
        """Return the float graph and the ranges that a config starts from.

        Raises:
            InputError: the config asks for equalised channels, and none can be equalised.
        """
        if not config.equalised:
            return self.plain
        if not self._is_equalized:
            self._is_equalized, self._equalized = True, self._equalize()
        if self._equalized is None:
            raise InputError("the graph has no channels that can be equalised, or their ranges are not here")
        return self._equalized

    def quantized(self, config: QuantizationConfig) -> QuantizedGraph:
        """Return the quantised graph of a config.

        Raises:
            InputError: the config asks for something that cannot be had here: equalised channels, reconstructed
            weights.
        """
        model, ranges = self.of(config)
        return quantize(model, ranges, config, self.form, self.unsigned_levels, self._moments_of(config))

    def _moments_of(self, config: QuantizationConfig) -> Mapping[str, np.ndarray] | None:
        if config.weight_rounding != "reconstructed" or self._moments is None:
            return None
        return self._moments(self.of(config)[0])

    def runner(self, data: bytes, contract: Contract) -> Runner:
        """Return a runner for a graph of this form: ONNX Runtime's by its own kernels, TensorRT's simulated exactly.

        The kernels give what the simulation gives (docs/int8.md), several times faster.
        """
        return graph_runner(data, contract, exact=self.form != "onnxruntime")

    def int8_mac_share(self, config: QuantizationConfig) -> float:
        """Return the share of multiply-adds that a config has in INT8, 0 to 1, without making its graph."""
        if config.equalised not in self._placed:
            view = OnnxGraph(self.of(config)[0], lenient=True)
            self._placed[config.equalised] = (view, count_macs(view.model))
        view, counts = self._placed[config.equalised]
        placement = Placement(view, self.of(config)[1], config, self.form)
        weighted = [(node, counts.get(node.output[0], 0)) for node in view.nodes if node.op_type in WEIGHTED]
        in_int8 = sum(count for node, count in weighted if placement.runs_in_int8(node))
        return in_int8 / max(sum(count for _, count in weighted), 1)
