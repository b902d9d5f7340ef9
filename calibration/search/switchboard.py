"""Output error of any choice of quantised layers and range methods, from one session: a run for each, and no new graph.

It simulates INT8: rounded values, computed in float. Sums of ONNX Runtime's form are sums of fractions here, while
`graph_runner(..., exact=True)` sums integers: errors differ by a thousandth of themselves at most, and the order of
layers hardly.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Collection, Mapping

import numpy as np

from calibration.onnx_graph.graph import OnnxGraph
from calibration.qdq.insert import place_pairs, write_pairs
from calibration.qdq.placement import Placement
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.ranges.record import Ranges
from calibration.search.sensitivity import NO_ROUNDING, LogitComparison, Sensitivity
from calibration.search.switch_graph import build_switch_graph
from edge.contract import Contract
from edge.errors import BackendError, InputError
from edge.runtime.onnxruntime import open_session

_LARGE_CONSTANT_BYTES = 4096


class Switchboard:
    """A network with a switch for every node that rounds, on a few prepared frames.

    What is quantised, and with which weights and biases, is what the config says; a run chooses among these nodes, and
    the range method of each tensor. The order of the layers hardly depends on the number of frames, and two do.

    Args:
        model: float graph (onnx.ModelProto); left as it is.
        ranges: ranges of its activations.
        config: quantisation config: methods of ranges and weights, and the layers that are in float in every run.
        form: form of the quantised graph, "tensorrt" or "onnxruntime".
        unsigned_levels: largest level of unsigned activations, see calibration.qdq.insert.
        contract: input and output of the graph.
        frames: prepared frames, each (1, height, width, 3) uint8 RGB.

    Attributes:
        nodes: names of the nodes that round in a run, in graph order, without those that only pass rounded values on.

    Raises:
        GraphError: the graph is quantised already, or ONNX Runtime cannot load it.
        InputError: there are no frames, a range is missing, the form is unknown, or the config names a layer that is
            not there.
    """

    def __init__(
        self,
        model: Any,
        ranges: Ranges,
        config: QuantizationConfig,
        form: str,
        unsigned_levels: int,
        contract: Contract,
        frames: list[np.ndarray],
    ) -> None:
        if not frames:
            raise InputError("a switchboard got no frames, expected at least one to measure on")
        self._config, self._form, self._contract, self._frames = config, form, contract, frames
        pairs, self._ranges, placement = place_pairs(model, ranges, config, form)
        self._view = _without_values(pairs)  # for placements with other methods
        write_pairs(pairs, placement, self._ranges, config, form, unsigned_levels)
        self._graph = build_switch_graph(model, pairs, contract.output_name, config.bias_correction)
        del pairs, placement
        self._session = open_session(self._graph.data, exact=True)
        self._graph = dataclasses.replace(self._graph, data=b"")  # the session has its own
        kinds = {node.name: node.op_type for node in self._view.nodes}
        self.nodes = [name for name in self._graph.switches if kinds[name] not in NO_ROUNDING]
        self._passing = [name for name in self._graph.switches if kinds[name] in NO_ROUNDING]
        self._placement = self._placement_with({})
        self._comparison = LogitComparison([self._logits(frozenset(), frame) for frame in frames])

    def output_error(self, on: Collection[str] | None = None, methods: Mapping[str, str] | None = None) -> Sensitivity:
        """Measure the change of the network's output that some nodes in INT8 cause, all others in float.

        A node that is on reads what the config with all nodes in INT8 has it read, whatever its neighbours do: an Add
        that reads a rounded residual is measured by that.

        Args:
            on: names of the nodes in INT8, from `nodes` or from those that pass values on; None for all of both.
            methods: name of a tensor -> its range method, beside those of the config; None for the config's alone.

        Raises:
            BackendError: ONNX Runtime failed.
            InputError: a node has no switch, or a method is unknown.
        """
        self._placement = self._placement_with(methods or {})
        chosen = self._chosen(on)
        return self._comparison.of(self._logits(chosen, frame) for frame in self._frames)

    def range_tensors(self, node: str, methods: Mapping[str, str] | None = None) -> list[str]:
        """Return the tensors whose ranges a node's rounded inputs take: a group that shares a scale has one of them.

        Args:
            node: name of a node of `nodes`.
            methods: name of a tensor -> its range method, as for `output_error`.
        """
        placement = self._placement_with(methods or {})
        inputs = next(item for item in self._view.nodes if item.name == node).input
        read = [name for index, name in enumerate(inputs) if (node, index) in placement.reads]
        return list(dict.fromkeys(placement.range_source(name) for name in read if name in self._graph.scales))

    def _placement_with(self, methods: Mapping[str, str]) -> Placement:
        merged = {**self._config.tensor_methods, **methods}
        config = dataclasses.replace(self._config, tensor_methods=merged)
        return Placement(self._view, self._ranges, config, self._form)

    def _chosen(self, on: Collection[str] | None) -> frozenset[str]:
        """Return the nodes whose switch is on; an interpolation of TensorRT's form follows those that read it."""
        switches = self._graph.switches
        if on is None:
            return frozenset(switches)
        unknown = sorted(set(on) - set(switches))
        if unknown:
            raise InputError(f"no node with a switch is named {', '.join(unknown[:3])}, expected one that rounds")
        chosen = set(on)
        if self._form == "tensorrt":
            nodes = {node.name: node for node in self._view.nodes}
            for name in self._passing:
                readers = self._view.readers.get(nodes[name].output[0], [])
                if readers and all(reader.name in chosen for reader, _ in readers):
                    chosen.add(name)
        return frozenset(chosen)

    def _logits(self, on: frozenset[str], frame: np.ndarray) -> np.ndarray:
        graph, feeds = self._graph, {self._contract.input_name: np.ascontiguousarray(frame)}
        feeds.update({name: np.array(node in on) for node, name in graph.switches.items()})
        for tensor, name in graph.scales.items():
            feeds[name] = np.array(self._placement.threshold(tensor) / graph.steps[tensor], np.float32)
        try:
            return self._session.run([self._contract.output_name], feeds)[0]
        except Exception as error:  # onnxruntime's exceptions share no base class but Exception
            raise BackendError(f"ONNX Runtime failed on the graph with switches: {error}") from None


def _without_values(view: OnnxGraph) -> OnnxGraph:
    """Return a copy of a graph whose large constants have sizes and no values, which placements do not look at."""
    model = type(view.model)()
    model.CopyFrom(view.model)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > _LARGE_CONSTANT_BYTES:
            tensor.ClearField("raw_data")
    return OnnxGraph(model, lenient=True)
