"""The rules that an ONNX graph has to keep so that TensorRT 8.5 runs it.

TensorRT 8.5 is the oldest version that the project supports (JetPack 5). A graph that only a newer TensorRT
parses would fail on the device, long after the training. So every export is checked by these rules, which need
no TensorRT. Each rule is one function that yields what breaks it; the rules about single operators are in
export/graph/trt_operator_support.py with their tables. Together the rules are stricter than the parser: they
also refuse what costs time (stray transposes) and what a network of static shapes does not need.

Sources: docs/operators.md of github.com/onnx/onnx-tensorrt, branch 8.5-GA ("the page" below), and
for what it does not say, builtin_op_importers.cpp and onnx2trt_utils.cpp there ("the importer").
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable

from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import STANDARD_DOMAINS, attribute_of, name_of
from edge.errors import GraphError
from export.graph.trt_operator_support import (
    CONTROL_FLOW,
    HIGHEST_OPSET,
    OPERATOR_RULES,
    OPERATORS,
    QUANTIZERS,
    TYPES,
    Found,
)

EXIT_FINDINGS = 1

_NHWC_TO_NCHW = (0, 3, 1, 2)
_ELEMENTWISE = (
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Cast",
    "Identity",
    "Clip",
    "Relu",
    "LeakyRelu",
    "Sigmoid",
    "Tanh",
    *QUANTIZERS,
)
"""Operators that a Transpose can be moved across."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """A part of a graph that TensorRT 8.5 does not run.

    Attributes:
        rule: name of the function that found it.
        node: name of the node or tensor, or "graph".
        message: text that says what was found, and what was expected.
    """

    rule: str
    node: str
    message: str

    def line(self) -> str:
        """Return the finding as one line of text."""
        return f"{self.node}: {self.message} [{self.rule}]"


def check_graph(model: Any, dynamic_batch: bool = False) -> list[Finding]:
    """Return the parts of a graph that TensorRT 8.5 does not run.

    Args:
        model: onnx.ModelProto, float or with the Q/DQ pairs of form "tensorrt"; left as it is.
        dynamic_batch: True if the first axis of tensors may be symbolic.

    Returns:
        Findings, rule by rule; empty for a graph that TensorRT 8.5 runs by its documentation.

    Raises:
        GraphError: the types of the graph contradict each other.
        MissingDependencyError: onnx is not installed.
    """
    import_onnx("checking a graph against TensorRT")
    graph = OnnxGraph(model)
    found = [(rule.__name__, *where_what) for rule in RULES for where_what in rule(graph)]
    found += [(shapes_are_static.__name__, *where_what) for where_what in shapes_are_static(graph, dynamic_batch)]
    return [Finding(*fields) for fields in found]


def require(model: Any, name: str, dynamic_batch: bool = False) -> None:
    """Refuse a graph that TensorRT 8.5 does not run.

    Args:
        model: onnx.ModelProto.
        name: name of the graph in messages, such as the model's name or the file's path.
        dynamic_batch: True if the first axis of tensors may be symbolic.

    Raises:
        GraphError: a rule is broken; the message has the first finding and the count of the others.
        MissingDependencyError: onnx is not installed.
    """
    findings = check_graph(model, dynamic_batch)
    if findings:
        others = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        raise GraphError(
            f"TensorRT 8.5 does not run the graph of {name}: {findings[0].line()}{others}. Next: write that layer with "
            "what export/graph/trt_operator_support.py lists, or add a rewrite to export/graph/fusions.py"
        )


def opset_is_read(graph: OnnxGraph) -> Found:
    """Opset 17 is the highest that the parser reads; a later one may mean something else (the page, first line)."""
    versions = [opset.version for opset in graph.model.opset_import if opset.domain in STANDARD_DOMAINS]
    if not versions or max(versions) > HIGHEST_OPSET:
        yield "graph", f"opset is {max(versions, default='missing')}, expected at most {HIGHEST_OPSET}"


def operators_are_standard(graph: OnnxGraph) -> Found:
    """An operator of another domain, or a function of the file, needs a plugin, and no device here has one."""
    for node in graph.nodes:
        if node.domain not in STANDARD_DOMAINS:
            yield name_of(node), f"{node.op_type} is of domain '{node.domain}', expected a standard operator"
    for function in graph.model.functions:
        yield function.name, "is a function of the file, expected standard operators"


def control_flow_is_absent(graph: OnnxGraph) -> Found:
    """The parser runs If, Loop and Scan; a network for frames of one size has no need of them.

    They hide operators from these rules, and none of their bodies is quantised here.
    """
    for node in graph.of(*CONTROL_FLOW):
        yield name_of(node), f"{node.op_type} is control flow, expected none"


def operators_are_supported(graph: OnnxGraph) -> Found:
    """Only operators with a Y in the page's table."""
    for node in graph.nodes:
        if node.domain in STANDARD_DOMAINS and node.op_type not in OPERATORS:
            yield name_of(node), f"TensorRT 8.5 has no {node.op_type}"


def types_are_supported(graph: OnnxGraph) -> Found:
    """What an operator computes on is of a type that the page's table has for it.

    The parser makes INT32 of INT64, clamped. That is no loss for shapes and indices, which are
    constants; INT64 that is computed would come out as another type. uint8 has a rule of its own.
    """
    for name in graph.inputs:
        if graph.type_of(name) not in (*TYPES, "UINT8"):
            yield name, f"is an input of {graph.type_of(name)}, expected one of {', '.join(TYPES.values())}"
    for node in graph.nodes:
        if node.domain not in STANDARD_DOMAINS or node.op_type not in OPERATORS:
            continue
        taken = OPERATORS[node.op_type]
        # Only the first constant is data: those behind it are shapes, indices and zero points.
        data = [*node.input[:1], *(() if node.op_type in QUANTIZERS else graph.computed_inputs(node))]
        for name in dict.fromkeys(data):
            kind = graph.type_of(name)
            known = "INT32" if kind == "INT64" else TYPES.get(kind)
            is_index = kind == "INT64" and name in graph.constants
            if name and kind not in ("UNDEFINED", "UINT8") and known not in taken and not is_index:
                yield name_of(node), f"{node.op_type} reads {kind} ({name}), expected {' or '.join(taken)}"
        for name in filter(None, node.output):
            if graph.type_of(name) not in (*TYPES, "UNDEFINED", "UINT8"):
                yield name_of(node), f"gives {graph.type_of(name)}, expected one of {', '.join(TYPES.values())}"


def uint8_is_cast_at_once(graph: OnnxGraph) -> Found:
    """A uint8 input is read by one Cast to float, and nothing else is uint8.

    Source: the importer of Cast, which takes uint8 to and from float alone, and those of other
    operators, which refuse it; docs/Changelog.md, 8.5: uint8 is for inputs and outputs.
    """
    for name in (name for name in graph.inputs if graph.type_of(name) == "UINT8"):
        readers = [node for node, _ in graph.readers.get(name, ())]
        kinds = [node.op_type for node in readers]
        if kinds != ["Cast"] or name in graph.outputs:
            yield name, f"is a uint8 input read by {', '.join(kinds) or 'nothing'}, expected one Cast to float alone"
        elif graph.type_of(readers[0].output[0]) not in ("FLOAT", "FLOAT16"):
            yield name_of(readers[0]), f"casts uint8 to {graph.type_of(readers[0].output[0])}, expected float"
    for name in (*graph.constants, *graph.producers):
        if graph.type_of(name) == "UINT8":
            where = name_of(graph.producers[name]) if name in graph.producers else name
            yield where, f"{name} is uint8, expected uint8 in the graph's input alone"


def shapes_are_static(graph: OnnxGraph, dynamic_batch: bool) -> Found:
    """Every tensor has a known shape, so that an engine needs no optimisation profile and its memory is planned once.

    Named is the first tensor of a chain: what is unknown behind it follows from it.
    """
    unsettled = set()
    tensors = [(name, name, []) for name in graph.inputs]
    tensors += [
        (name, name_of(node), graph.computed_inputs(node)) for node in graph.nodes for name in filter(None, node.output)
    ]
    for name, where, sources in tensors:
        shape = graph.shapes.get(name)
        fixed = shape[1:] if dynamic_batch and shape and shape[0] is None else shape
        if fixed is not None and all(fixed):
            continue
        unsettled.add(name)
        if not unsettled.intersection(sources):
            sizes = "not known" if shape is None else f"({', '.join('?' if n is None else str(n) for n in shape)})"
            batch = " (but for the batch)" if dynamic_batch else ""
            yield where, f"the shape of {name} is {sizes}, expected a fixed one{batch}"


def layout_changes_once(graph: OnnxGraph) -> Found:
    """The one Transpose of rank 4 or more turns an input from NHWC to NCHW, before the first convolution.

    Each other one reads and writes a whole feature map, for each frame, only to reorder it, and
    splits what TensorRT would fuse. Matrices of an encoding layer (rank 3) may be transposed.
    """
    inputs = set(graph.inputs)
    for node in graph.of("Transpose"):
        perm = _permutation(graph, node)
        if perm is None or len(perm) < 4:
            continue
        source = _before_elementwise(graph, node.input[0])
        if perm == _NHWC_TO_NCHW and source in inputs:
            inputs.remove(source)  # a second change of the same input is a stray one
        else:
            yield name_of(node), f"is a stray Transpose {perm}, expected one of an input, from NHWC to NCHW"


def transposes_do_not_cancel(graph: OnnxGraph) -> Found:
    """No Transpose keeps the order of axes, or restores what another one changed, at once or behind elementwise work.

    Such a pair is a remnant of a conversion between layouts, and costs two copies for nothing.
    """
    for node in graph.of("Transpose"):
        perm = _permutation(graph, node)
        first = graph.producers.get(_before_elementwise(graph, node.input[0]))
        before = _permutation(graph, first) if first is not None and first.op_type == "Transpose" else None
        if perm is None:
            continue
        if perm == tuple(range(len(perm))):
            yield name_of(node), f"is a Transpose {perm} that changes nothing, expected none"
        elif before is not None and tuple(before[axis] for axis in perm) == tuple(range(len(perm))):
            yield name_of(node), f"is a Transpose {perm} that undoes {name_of(first)}, expected neither"


def _permutation(graph: OnnxGraph, transpose: Any) -> tuple[int, ...] | None:
    """Return the permutation of a Transpose; None if it reverses a tensor of unknown rank."""
    perm = attribute_of(transpose, "perm", None)
    if perm is not None:
        return tuple(perm)
    shape = graph.shapes.get(transpose.input[0])
    return None if shape is None else tuple(reversed(range(len(shape))))


def _before_elementwise(graph: OnnxGraph, tensor: str) -> str:
    """Return the tensor from which elementwise nodes alone, each with one computed input, lead to this one."""
    while tensor in graph.producers:
        node = graph.producers[tensor]
        computed = graph.computed_inputs(node)
        if len(computed) != 1 or node.op_type not in _ELEMENTWISE:
            break
        tensor = computed[0]
    return tensor


RULES: tuple[Callable[[OnnxGraph], Found], ...] = (
    opset_is_read,
    operators_are_standard,
    control_flow_is_absent,
    operators_are_supported,
    types_are_supported,
    uint8_is_cast_at_once,
    *OPERATOR_RULES,
    layout_changes_once,
    transposes_do_not_cancel,
)
