"""Positions of Q/DQ pairs, and the groups that share a scale: TensorRT's rules and ONNX Runtime's.

Sources: TensorRT developer guide, "Explicit Quantization" (Q/DQ layer-placement recommendations: quantise all inputs of
weighted operations, do not quantise their outputs, quantise the residual input of an Add; Q/DQ propagation: max pooling
and data movement commute with Q/DQ); ONNX Runtime documentation, "Quantize ONNX models" (representation of QDQ).
"""

from __future__ import annotations

from typing import Any

from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import KEEPS_RANGE, WEIGHTED, group_of, interpolates
from calibration.qdq.quantization_config import FLOAT, MEASURED_APART, QuantizationConfig
from calibration.qdq_ort.pointwise_matmul import is_pointwise
from calibration.ranges.record import Ranges

ONNXRUNTIME_WEIGHTED = ("Conv", "Gemm")

ONNXRUNTIME_STORED = (
    *ONNXRUNTIME_WEIGHTED,
    "Add",
    "Relu",
    "Concat",
    "Resize",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
)
"""Operators that ONNX Runtime has on uint8 in the Q/DQ form."""

FOLLOW_THEIR_INPUT = ("Concat", "Resize", "MaxPool", "AveragePool", "GlobalAveragePool", "Relu")
"""Operators of these that run on integers where they are given some, and do not make any of floats."""

HOSTILE_RATIO = 4.0
"""Branches of a Concat whose ranges differ by more keep their own scales: sharing would cost the smaller two bits."""

Reads = set  # of (node name, input index) that read a Q/DQ pair


class Placement:
    """The positions of the Q/DQ pairs of one graph in one form.

    Args:
        view: the float graph, whose nodes have names of their own.
        ranges: ranges of the graph's activations.
        config: quantisation config, which says which layers stay in float.
        form: form of the quantised graph, "tensorrt" or "onnxruntime".

    Attributes:
        reads: (node name, input index) of each input that reads a Q/DQ pair.
        float_reasons: name of a weighted node that stays in float -> reason.
    """

    def __init__(self, view: OnnxGraph, ranges: Ranges, config: QuantizationConfig, form: str) -> None:
        self._view, self._ranges, self._config, self._form = view, ranges, config, form
        self.float_reasons = self._asked_float()
        self.reads = self._tensorrt_reads() if form == "tensorrt" else self._onnxruntime_reads()
        self._add_reasons()
        # Now, since the nodes are rewritten while sources are asked for.
        self._sources = self._shared_scales() if form == "tensorrt" else self._starts()
        self._interpolations = {} if form == "tensorrt" else self._count_interpolations()

    def runs_in_int8(self, node: Any) -> bool:
        """Return whether a weighted node is computed with integers."""
        return node.name not in self.float_reasons

    def range_source(self, tensor: str) -> str:
        """Return the tensor whose range the Q/DQ pair of a tensor takes."""
        return self._sources.get(tensor, tensor)

    def threshold(self, tensor: str) -> float:
        """Return the largest magnitude that the Q/DQ pair of a tensor represents."""
        source = self.range_source(tensor)
        return self._ranges.threshold(source, self._config.method_of(source))

    def interpolations(self, tensor: str) -> int:
        """Return the number of interpolations between a tensor and its range source, in ONNX Runtime's form.

        Up to version 1.26, ONNX Runtime interpolates integers where the pairs on both sides of a Resize have one scale,
        and cuts the result instead of rounding it: up to half a step is lost on average. Where scales differ, all
        versions interpolate in float. So each interpolation takes the next larger float32 as its scale: that rounds to
        the same integers, and what interpolates is the same everywhere.

        Source: ONNX Runtime 1.19 to 1.26, DropQDQNodesRules (optimizer/qdq_transformer), which 1.27 restricts to
        "nearest"; docs/int8.md, "Versions of ONNX Runtime".
        """
        return self._interpolations.get(tensor, 0)

    def _passes(self, node: Any) -> bool:
        if node.op_type == "Resize" and self._config.resize == FLOAT:
            return False
        return node.op_type in KEEPS_RANGE

    def _asked_float(self) -> dict[str, str]:
        reasons = dict(self._config.float_layers)
        if self._config.classifier == FLOAT:
            reasons.update({node.name: "classifier: asked for" for node in self._view.classifiers()})
        return {node.name: reasons[node.name] for node in self._view.nodes if node.name in reasons}

    def _is_quantized(self, node: Any) -> bool:
        """Return whether a weighted node is to read integers."""
        kinds = WEIGHTED if self._form == "tensorrt" else ONNXRUNTIME_WEIGHTED
        return (
            node.op_type in kinds
            and self._view.weight_of(node) is not None
            and node.name not in self.float_reasons
            and node.input[0] in self._ranges.tensors
            and self._has_matrix(node)
            and not (node.op_type == "ConvTranspose" and group_of(node) != 1)
        )

    def _has_matrix(self, node: Any) -> bool:
        """Return whether a MatMul has a weight (in, out): a vector has no output channels, a stack has them in each."""
        return node.op_type != "MatMul" or len(self._view.weight_of(node).dims) == 2

    # TensorRT

    def _tensorrt_reads(self) -> Reads:
        reads = set()
        for node in self._view.nodes:
            if self._is_quantized(node):
                reads.add((node.name, 0))
            elif node.op_type == "Add" and node.name not in self.float_reasons:
                residual = self._residual_input(node)
                if residual is not None:
                    reads.add((node.name, residual))
        if self._config.resize != FLOAT:
            reads |= self._resize_reads(reads)
        return reads

    def _residual_input(self, node: Any) -> int | None:
        """Return the index of the residual input of an Add behind a convolution; None if neither input is one."""
        view = self._view
        if any(name in view.constants for name in node.input):
            return None
        fused = [
            index
            for index, name in enumerate(node.input)
            if view.only_reader(name, "Add") is not None
            and name in view.producers
            and view.producers[name].op_type == "Conv"
            and self._is_quantized(view.producers[name])
        ]
        if not fused or node.input[1 - fused[-1]] not in self._ranges.tensors:
            return None
        return 1 - fused[-1]

    def _resize_reads(self, reads: Reads) -> Reads:
        """Return the reads of those interpolations that only quantised nodes follow, which therefore run in INT8."""
        found = set()
        for node in self._view.nodes:
            if node.op_type != "Resize" or node.input[0] not in self._ranges.tensors:
                continue
            readers = self._view.readers.get(node.output[0], [])
            is_output = node.output[0] in self._view.outputs
            if readers and not is_output and all((reader.name, index) in reads for reader, index in readers):
                found.add((node.name, 0))
        return found

    def _shared_scales(self) -> dict[str, str]:
        """Return for each quantised tensor the tensor with the largest range in its group.

        A value that TensorRT stores once needs one scale: groups are the tensors that a Concat joins or that only
        move (KEEPS_RANGE), as far as pairs stand on them.
        """
        quantized = {node.input[index] for node in self._view.nodes for index in self._read_inputs(node)}
        parent: dict[str, str] = {}

        def root(tensor: str) -> str:
            while parent.get(tensor, tensor) != tensor:
                tensor = parent[tensor]
            return tensor

        for node in self._view.nodes:
            if node.op_type == "Concat" and not self._is_hostile(node):
                members = [*node.input, node.output[0]]
            elif self._passes(node):
                members = [node.input[0], node.output[0]]
            else:
                continue
            for member in members[1:]:
                parent[root(member)] = root(members[0])
        largest: dict[str, str] = {}
        for tensor in sorted(quantized):
            group = root(tensor)
            if group not in largest or self._own_threshold(tensor) > self._own_threshold(largest[group]):
                largest[group] = tensor
        return {tensor: largest[root(tensor)] for tensor in quantized}

    def _read_inputs(self, node: Any) -> list[int]:
        return [index for index in range(len(node.input)) if (node.name, index) in self.reads]

    def _own_threshold(self, tensor: str) -> float:
        return self._ranges.threshold(tensor, self._config.method_of(tensor))

    def _is_hostile(self, node: Any) -> bool:
        known = [self._own_threshold(name) for name in node.input if name in self._ranges.tensors]
        return bool(known) and max(known) > HOSTILE_RATIO * min(known)

    # ONNX Runtime

    def _onnxruntime_reads(self) -> Reads:
        """Return all reads of every tensor that a uint8 kernel stores or reads."""
        view, known = self._view, self._ranges.tensors
        stored, made_of_integers = set(), set()
        for node in view.nodes:
            # Ranges know the Relu behind a convolution and not its input, since one kernel makes both.
            if self._reads_float(node):
                continue
            if node.op_type in (*KEEPS_RANGE, "Relu") and node.input[0] in made_of_integers:
                made_of_integers.update(node.output)
            if node.op_type not in ONNXRUNTIME_STORED or not any(name in known for name in node.input):
                continue
            if node.op_type in WEIGHTED and not self._is_quantized(node):
                continue
            # Joining, pooling or interpolating what no integer kernel has made would round it for nothing: with all
            # layers around it in float its pairs would still be there.
            if node.op_type in FOLLOW_THEIR_INPUT and not made_of_integers.intersection(node.input):
                continue
            made_of_integers.update(node.output)
            stored.update(name for name in (*node.input, *node.output) if name in known)
        # The kernel of a convolution writes integers, whatever reads them.
        for node in view.nodes:
            if node.op_type == "Relu" and node.input[0] in view.producers:
                producer = view.producers[node.input[0]]
                if self._is_quantized(producer) and node.output[0] in known:
                    stored.add(node.output[0])
        stored -= view.outputs
        return {
            (node.name, index)
            for node in view.nodes
            if not self._reads_float(node)
            for index, name in enumerate(node.input)
            if name in stored
        }

    def _reads_float(self, node: Any) -> bool:
        """Return whether a node is asked to compute in float, from values that were never rounded for it.

        A convolution in front of it gives float then: by a product of matrices if it is pointwise, else it runs in
        float altogether, since its integer kernel would round.
        """
        return node.name in self.float_reasons or (node.op_type == "Resize" and self._config.resize == FLOAT)

    def _starts(self) -> dict[str, str]:
        """Return for each tensor that nodes only pass on the tensor that it started as: both ends share a scale."""
        starts: dict[str, str] = {}
        for node in self._view.nodes:
            if self._passes(node) and node.input[0] in self._ranges.tensors:
                starts[node.output[0]] = starts.get(node.input[0], node.input[0])
        return starts

    def _count_interpolations(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for node in self._view.nodes:
            if self._passes(node) and node.input[0] in self._ranges.tensors:
                counts[node.output[0]] = counts.get(node.input[0], 0) + interpolates(node)
        return counts

    # Why not

    def _add_reasons(self) -> None:
        for node in self._view.nodes:
            if node.op_type not in WEIGHTED or node.name in self.float_reasons:
                continue
            reason = self._reason(node)
            if reason:
                self.float_reasons[node.name] = reason

    def _reason(self, node: Any) -> str:
        if self._view.weight_of(node) is None:
            return "its weight is computed, not constant"
        if not self._has_matrix(node):
            return f"its weight has shape {tuple(self._view.weight_of(node).dims)}, expected (in, out)"
        if self._form == "onnxruntime" and node.op_type not in ONNXRUNTIME_WEIGHTED:
            return f"ONNX Runtime has no INT8 kernel for {node.op_type}"
        if (node.name, 0) not in self.reads:
            if node.input[0] not in self._ranges.tensors:
                return "its input has no range"
            return f"a {node.op_type} in groups has no channel of its own per scale"
        if self._form == "tensorrt":
            return ""
        if node.op_type == "Gemm" or is_pointwise(self._view, node):
            return ""  # there is a kernel that writes float
        # That of a convolution writes integers, so all that reads them must read integers.
        output = self._view.stored_output(node)
        if output in self._view.outputs:
            return "its output is the network's, which is float"
        for reader, index in self._view.readers.get(output, []):
            is_apart = self.float_reasons.get(reader.name) == MEASURED_APART
            if (reader.name, index) not in self.reads and not is_apart:
                return f"its output is read in float by {reader.name}"
        return ""
