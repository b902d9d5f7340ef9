"""Conversion of a graph for single frames to one for several frames in a call, or for any number of them.

A graph is exported for one frame, and calibrated, searched and judged so. What it computes has the frame's axis in
front; several frames are computed as each one alone if every tensor keeps that axis and no node works along it. Each
node is checked for this by a rule of its operator, and what holds the number 1 on that axis is rewritten:

    inputs, outputs         the first size is the batch
    Reshape                 a 1 in front becomes 0, "as it is"; -1 in front stays
    Resize by sizes         sizes of the others stay constant, the first is read from the input's shape for a free
                            batch: scales instead of sizes would be rounded, and move every pixel a little
    Concat with constants   has a copy of each for every frame; for a free batch it is refused
    shapes in between       are inferred anew

A node that no rule knows, or that works along the first axis, is refused.

Sources: ONNX operator specifications, opset 17; TensorRT developer guide, "Working with Dynamic Shapes".
"""

from __future__ import annotations

from typing import Any, Callable, Dict

import numpy as np

from calibration.onnx_graph.file import import_onnx, parse_graph
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import attribute_of, input_of, name_of
from edge.errors import GraphError

FREE_BATCH = "batch"
"""Name of the size that a profile bounds."""

_NO_BOUND = 1_000_000_000
"""End of a Slice that no batch reaches: converters write this number, or a larger one, for "to the end"."""

_BY_ELEMENT = frozenset(
    (
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Max",
        "Min",
        "Neg",
        "Abs",
        "Exp",
        "Log",
        "Sqrt",
        "Reciprocal",
        "Erf",
        "Cast",
        "Identity",
        "Dropout",
        "Clip",
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Selu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Softplus",
        "Softsign",
        "Floor",
        "Ceil",
        "Round",
        "Sign",
        "Sin",
        "Cos",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Equal",
        "Not",
        "And",
        "Or",
        "Xor",
        "Where",
    )
)
_BY_FRAME = frozenset(
    (
        "Conv",
        "ConvTranspose",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "BatchNormalization",
        "InstanceNormalization",
        "LRN",
        "DepthToSpace",
        "SpaceToDepth",
        "LpPool",
    )
)
_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceProd")
_AXIS_OPERATORS = {"Softmax": -1, "LogSoftmax": -1, "Concat": None, "ArgMax": 0, "ArgMin": 0, "Split": 0}
"""Operator -> its default axis."""


def with_batch(graph: bytes, batch: int | None) -> bytes:
    """Return a graph that takes several frames in a call, and gives for each the result that it gives for it alone.

    Args:
        graph: content of an ONNX file whose inputs have a first size of 1; with Q/DQ pairs or without.
        batch: number of frames of every call; None for a first size that is free.

    Returns:
        Content of an ONNX file with the same names.

    Raises:
        MissingDependencyError: onnx is not installed.
        GraphError: the file is no ONNX graph, or a node works across frames; the message names the node.
    """
    model = parse_graph(graph, "an engine for several frames")
    _Rewrite(model, batch).run()
    return model.SerializeToString()


class _Rewrite:
    def __init__(self, model: Any, batch: int | None) -> None:
        self._model, self._batch = model, batch
        self._view = OnnxGraph(model)
        self._shapes = self._view.shapes  # of single frames, whatever is rewritten
        self._per_frame: set[str] = set()
        self._made = 0

    def run(self) -> None:
        graph = self._model.graph
        for name in self._view.inputs:
            shape = self._shapes.get(name)
            if not shape or shape[0] != 1:
                raise GraphError(f"input {name} has the shape {shape}, expected a first size of 1")
            self._per_frame.add(name)
        for node in self._view.nodes:
            self._follow(node)
        lost = [value.name for value in graph.output if value.name not in self._per_frame]
        if lost:
            raise GraphError(f"output {lost[0]} does not depend on the input, expected one for each frame")
        del graph.value_info[:]
        for value in (*self._view.inputs.values(), *graph.output):
            size = value.type.tensor_type.shape.dim[0]
            size.Clear()
            if self._batch is None:
                size.dim_param = FREE_BATCH
            else:
                size.dim_value = self._batch
        self._check_shapes()

    def _follow(self, node: Any) -> None:
        """Check that a node keeps frames apart, and change it to take several."""
        read = [name for name in node.input if name in self._per_frame]
        if node.op_type.startswith("Random") or node.op_type in ("Bernoulli", "Multinomial"):
            raise self._refused(node, "draws noise for one frame")
        if not read:
            return  # a constant, which is broadcast where it meets frames
        rule = _RULES.get(node.op_type)
        if rule is None:
            raise self._refused(node, "is of an operator that no rule for several frames knows")
        reason = rule(self, node)
        if reason:
            raise self._refused(node, reason)
        for name in filter(None, node.output):
            shape = self._shapes.get(name)
            if not shape or shape[0] != 1:
                raise self._refused(node, f"gives the shape {shape}, expected a first size of 1")
            self._per_frame.add(name)

    def _refused(self, node: Any, reason: str) -> GraphError:
        return GraphError(
            f"the graph cannot take several frames in a call: {node.op_type} {name_of(node)} {reason}. "
            "Next: leave --batch out"
        )

    def _check_shapes(self) -> None:
        """Infer all shapes anew: each tensor has the batch in front, and the sizes of one frame behind it."""
        before, after = self._shapes, OnnxGraph(self._model).shapes
        for name in sorted(self._per_frame):
            found = after.get(name)
            # A size that follows from a shape tensor is not known before run time.
            if (
                found is None
                or any(size not in (None, known) for size, known in zip(found[1:], before[name][1:]))
                or found[0] not in (None, self._batch)
            ):
                raise GraphError(
                    f"the graph cannot take several frames in a call: {name} would have the shape {found}, "
                    f"{before[name]} for one frame. Next: leave --batch out"
                )

    # Rules: each returns why a node cannot take several frames, None if it can.

    def by_element(self, node: Any) -> str | None:
        ranks = [len(self._shapes[name]) for name in node.input if name in self._per_frame]
        others = [self._view.shape_of(name) for name in node.input if name and name not in self._per_frame]
        of_constants = [len(shape) for shape in others if shape]
        if len(set(ranks)) > 1 or max(of_constants, default=0) > ranks[0]:
            return "joins tensors of different ranks, which moves the frames' axis"
        return self._constant_in_front(node)

    def by_frame(self, node: Any) -> str | None:
        return None if node.input[0] in self._per_frame else "has frames as its weights"

    def quantizer(self, node: Any) -> str | None:
        axis = attribute_of(node, "axis", 1)
        scale = self._view.shape_of(node.input[1])
        return "has a scale along the first axis" if axis == 0 and scale and scale != (1,) else None

    def by_axis(self, node: Any) -> str | None:
        axis = attribute_of(node, "axis", _AXIS_OPERATORS[node.op_type])
        rank = len(self._shapes[node.input[0]] if node.input[0] in self._per_frame else self._shapes[node.output[0]])
        if axis % rank == 0:
            return "works along the first axis"
        return self._repeat_constants(node) if node.op_type == "Concat" else None

    def _repeat_constants(self, node: Any) -> str | None:
        """Give each frame its own copy of the constants that a Concat joins it with: a Concat does not broadcast."""
        for index, name in enumerate(node.input):
            if name in self._per_frame:
                continue
            value = self._view.value_of(name)
            if self._batch is None or value is None or value.shape[0] != 1:
                return "joins frames with a constant"
            self._set_input(node, index, np.repeat(value, self._batch, axis=0))
        return None

    def reduction(self, node: Any) -> str | None:
        axes = attribute_of(node, "axes", None)
        if axes is None:
            values = self._view.value_of(input_of(node, 1))
            axes = None if values is None else values.tolist()
        rank = len(self._shapes[node.input[0]])
        return "works along the first axis" if not axes or 0 in [axis % rank for axis in axes] else None

    def moved_axes(self, node: Any) -> str | None:
        """Check that a Squeeze or an Unsqueeze leaves the first axis where it is."""
        axes = attribute_of(node, "axes", None)
        if axes is None:
            values = self._view.value_of(input_of(node, 1))
            axes = None if values is None else values.tolist()
        rank = len(self._shapes[node.input[0]]) + (len(axes or ()) if node.op_type == "Unsqueeze" else 0)
        return "moves the first axis" if not axes or 0 in [axis % rank for axis in axes] else None

    def transpose(self, node: Any) -> str | None:
        return None if attribute_of(node, "perm", [1])[0] == 0 else "moves the first axis"

    def slice(self, node: Any) -> str | None:
        starts, ends, axes, steps = (self._view.value_of(input_of(node, index)) for index in range(1, 5))
        if starts is None or ends is None:
            return "has bounds that are computed"
        rank = len(self._shapes[node.input[0]])
        for index, axis in enumerate(range(len(starts)) if axes is None else axes.tolist()):
            step = 1 if steps is None else int(steps[index])
            # Up to a bound that no batch reaches is all of them.
            if axis % rank == 0 and (int(starts[index]) != 0 or step != 1 or int(ends[index]) < _NO_BOUND):
                return "cuts the first axis"
        return None

    def pad(self, node: Any) -> str | None:
        pads = self._view.value_of(node.input[1])
        if pads is None or len(node.input) > 3:
            return "has pads that are computed, or of some axes"
        return "pads the first axis" if pads[0] or pads[len(pads) // 2] else None

    def matmul(self, node: Any) -> str | None:
        first, second = (self._view.shape_of(name) for name in node.input[:2])
        output = self._shapes[node.output[0]]
        if first is None or second is None:
            return "has inputs of unknown shape"
        are_frames = [name in self._per_frame for name in node.input[:2]]
        rank = len(output)
        # Of two matrices the rows of the first are the first axis; of stacks, the stack is.
        if rank == 2:
            return None if are_frames == [True, False] else "sums or places frames across rows"
        shapes = [shape for shape, is_frames in zip((first, second), are_frames) if is_frames]
        if any(len(shape) != rank for shape in shapes):
            return "joins tensors of different ranks, which moves the frames' axis"
        return self._constant_in_front(node)

    def gemm(self, node: Any) -> str | None:
        is_plain = not attribute_of(node, "transA", 0)
        are_frames = [name in self._per_frame for name in node.input]
        return None if is_plain and are_frames[0] and not any(are_frames[1:]) else "sums or places frames across rows"

    def reshape(self, node: Any) -> str | None:
        target = self._view.value_of(node.input[1])
        if target is None or not target.size:
            return "has a shape that is computed"
        sizes = target.tolist()
        if attribute_of(node, "allowzero", 0) and 0 in sizes:
            return "has a size of 0"
        if sizes[0] == 1:
            sizes[0] = 0
            self._set_input(node, 1, np.array(sizes, np.int64))
        # With -1 in front the rest is all of one frame, since it gives 1 for a single one.
        return None if sizes[0] in (0, -1) else "gives the first axis another size"

    def resize(self, node: Any) -> str | None:
        if attribute_of(node, "axes", None) is not None:
            return "names its axes"
        scales, sizes = (self._view.value_of(input_of(node, index)) for index in (2, 3))
        if sizes is None or not sizes.size:
            is_fixed = scales is not None and scales.size and scales[0] == 1
            return None if is_fixed else "resizes the first axis, or by sizes that are computed"
        if sizes[0] != 1:
            return "resizes the first axis"
        if self._batch is not None:
            self._set_input(node, 3, np.array([self._batch, *sizes[1:]], np.int64))
            return None
        where = list(self._model.graph.node).index(node)
        shape, first, joined = (self._name(node, part) for part in ("shape", "frames", "sizes"))
        helper = import_onnx().helper
        zero, one = self._store(node, np.array([0], np.int64)), self._store(node, np.array([1], np.int64))
        made = (
            helper.make_node("Shape", [node.input[0]], [shape], name=shape),
            helper.make_node("Slice", [shape, zero, one], [first], name=first),
            helper.make_node("Concat", [first, self._store(node, sizes[1:])], [joined], name=joined, axis=0),
        )
        for offset, inserted in enumerate(made):
            self._model.graph.node.insert(where + offset, inserted)
        self._model.graph.node[where + len(made)].input[3] = joined
        return None

    # What the rules look things up with.

    def _constant_in_front(self, node: Any) -> str | None:
        rank = len(self._shapes[node.output[0]])
        for name in node.input:
            shape = self._view.shape_of(name) if name and name not in self._per_frame else None
            if shape and len(shape) == rank and shape[0] != 1:
                return f"joins frames with a constant of the shape {shape}"
        return None

    def _set_input(self, node: Any, index: int, value: np.ndarray) -> None:
        """Give a node a constant of its own, since others may read the old one."""
        node.input[index] = self._store(node, value)

    def _store(self, node: Any, value: np.ndarray) -> str:
        name = self._name(node, "constant")
        self._model.graph.initializer.append(import_onnx().numpy_helper.from_array(value, name))
        return name

    def _name(self, node: Any, what: str) -> str:
        self._made += 1
        return f"{name_of(node)}/batch_{what}_{self._made}"


_RULES: Dict[str, Callable[[_Rewrite, Any], str | None]] = {
    **dict.fromkeys(_BY_ELEMENT, _Rewrite.by_element),
    **dict.fromkeys(_BY_FRAME, _Rewrite.by_frame),
    **dict.fromkeys(_AXIS_OPERATORS, _Rewrite.by_axis),
    **dict.fromkeys(_REDUCTIONS, _Rewrite.reduction),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), _Rewrite.moved_axes),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _Rewrite.quantizer),
    **{"Transpose": _Rewrite.transpose, "Slice": _Rewrite.slice, "Pad": _Rewrite.pad, "MatMul": _Rewrite.matmul},
    **{"Gemm": _Rewrite.gemm, "Reshape": _Rewrite.reshape, "Resize": _Rewrite.resize},
}
