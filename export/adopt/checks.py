"""Comparison of a given graph with its contract, and selection of the part that is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import onnx
from onnx import TensorProto

from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import STANDARD_DOMAINS, has_bodies, name_of
from edge.decision import BINARY
from edge.errors import GraphError, SizeError
from edge.runtime.onnxruntime import open_session
from export.adopt.contract import ForeignContract

PASSES_LABELS = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""What may stand between an ArgMax and the output of a graph."""


@dataclass(frozen=True)
class Interface:
    """Input, output and size of a graph that are used.

    Attributes:
        input_name: name of the frame, (1, 3, height, width) float32.
        output_name: name of the output in the contract, or in the graph.
        height: rows of the input.
        width: columns of the input.
        is_input_turned: True if the frame is NHWC in the file, and a Transpose was put behind the input.
    """

    input_name: str
    output_name: str
    height: int
    width: int
    is_input_turned: bool = False


def choose_interface(
    path: Path, model: Any, contract: ForeignContract, size: tuple[int, int] | None = None
) -> Interface:
    """Return the input, the output and the size of a graph that are used.

    Args:
        path: path of the graph, for messages.
        model: onnx.ModelProto; left as it is.
        contract: contract that its owner wrote.
        size: requested (height, width); None for the contract's, or the graph's own.

    Raises:
        GraphError: there is no such input or output, several and none is named, or the input is no NCHW float frame.
        SizeError: the graph has a size of its own and another is requested, or it has none and none is requested.
    """
    inputs = OnnxGraph(model).inputs
    outputs = [value.name for value in model.graph.output]
    if contract.input_name is not None and contract.input_name not in inputs:
        raise GraphError(f"{path} has no input '{contract.input_name}', it has {', '.join(inputs) or 'none'}")
    if contract.input_name is None and len(inputs) != 1:
        raise GraphError(
            f'{path} has {len(inputs)} inputs ({", ".join(inputs)}), expected 1. Next: add "input_name" to the contract'
        )
    input_name = contract.input_name or next(iter(inputs))
    tensors = {name for node in model.graph.node for name in node.output if name}
    if contract.output_name is not None and contract.output_name not in tensors:
        raise GraphError(
            f"{path} has no tensor '{contract.output_name}' that a node gives. Next: name an output "
            f"({', '.join(outputs)}) or another tensor of the graph"
        )
    if contract.output_name is None and len(outputs) != 1:
        raise GraphError(
            f'{path} has {len(outputs)} outputs ({", ".join(outputs)}). Next: add "output_name" to the contract'
        )
    sizes = _frame_sizes(path, inputs[input_name])
    wanted = size or contract.size
    if wanted is None and None in sizes:
        raise SizeError(
            f'{path} takes frames of any size, and none is given. Next: --size HxW, or "size" in the contract'
        )
    height, width = (own or given for own, given in zip(sizes, wanted or sizes))
    if wanted is not None and (height, width) != tuple(wanted):
        raise SizeError(
            f"{path} takes frames of {_spell(sizes[0])}x{_spell(sizes[1])}, asked for is {wanted[0]}x{wanted[1]}. "
            "Next: ask for its own size, or export it with free height and width"
        )
    return Interface(input_name, contract.output_name or outputs[0], height, width)


def _frame_sizes(path: Path, value: Any) -> tuple[int | None, int | None]:
    """Return (height, width) of an input, None for a free one; refuse an input that is not an NCHW float frame."""
    kind = value.type.tensor_type
    if kind.elem_type != TensorProto.FLOAT:
        name = TensorProto.DataType.Name(kind.elem_type)
        raise GraphError(
            f"input '{value.name}' of {path} is {name}, expected FLOAT (float32). "
            "Next: export the network without what turns pixels into floats"
        )
    dims = [dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim]
    spelled = f"({', '.join(map(_spell, dims))})"
    if len(dims) != 4:
        raise GraphError(f"input '{value.name}' of {path} is {spelled}, expected (1, 3, height, width)")
    if dims[1] not in (3, None):
        raise GraphError(
            f"input '{value.name}' of {path} is {spelled}, expected 3 channels: (1, 3, height, width) or "
            "(1, height, width, 3)"
        )
    if dims[0] not in (1, None):
        raise GraphError(
            f"input '{value.name}' of {path} takes {dims[0]} frames at once, expected 1. "
            "Next: export it with a batch of 1, or a free one"
        )
    return dims[2], dims[3]


def _spell(size: int | None) -> str:
    return "?" if size is None else str(size)


def select(path: Path, model: Any, interface: Interface, outputs: tuple[str, ...]) -> Any:
    """Return a copy of a graph with only the nodes that some tensors need, for one frame of the interface's size.

    Raises:
        GraphError: the tensors need another input, not the frame at all, or control flow.
    """
    selected = onnx.ModelProto()
    selected.CopyFrom(model)
    graph, producers = selected.graph, OnnxGraph(selected).producers
    needed, waiting = {""}, list(outputs)  # an input that is left out has an empty name
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(producers[name].input if name in producers else ())
    kept = [node for node in graph.node if needed.intersection(node.output)]
    for node in kept:
        if has_bodies(node):
            raise GraphError(
                f"{path}: {name_of(node)} is a {node.op_type}, which is control flow, expected none. "
                "Next: export it for one size, or simplify it with onnxsim"
            )
    constants = {tensor.name for tensor in graph.initializer}
    others = [value.name for value in graph.input if value.name in needed - constants - {interface.input_name}]
    if others:
        raise GraphError(f"{path} needs the input '{others[0]}' beside '{interface.input_name}', expected frames alone")
    if interface.input_name not in needed:
        raise GraphError(f"'{outputs[0]}' of {path} does not depend on the input '{interface.input_name}'")
    frame = next(value for value in graph.input if value.name == interface.input_name)
    for dim, size in zip(frame.type.tensor_type.shape.dim, (1, 3, interface.height, interface.width)):
        dim.dim_value = size
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    kept_frame = onnx.ValueInfoProto()
    kept_frame.CopyFrom(frame)
    for field in (graph.node, graph.initializer, graph.input, graph.output, graph.value_info):
        del field[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights)
    graph.input.append(kept_frame)
    # Type and shape of an output are inferred by whoever reads the graph.
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return selected


class Reference:
    """The user's graph on ONNX Runtime, fed by frames that are normalised by hand.

    Args:
        path: path of the graph, for messages.
        model: the graph as its owner made it, selected for `outputs`.
        contract: contract, which says how a frame is normalised.
        interface: input and size of the graph.
        outputs: names of the tensors to return.

    Raises:
        GraphError: ONNX Runtime does not accept the graph.
    """

    def __init__(
        self, path: Path, model: Any, contract: ForeignContract, interface: Interface, outputs: tuple[str, ...]
    ) -> None:
        self._path, self._contract, self._interface, self._outputs = path, contract, interface, outputs
        selected = select(path, model, interface, outputs)
        for node in selected.graph.node:
            node.name = ""  # ONNX Runtime refuses two nodes of one name
        try:
            # As bytes: the file itself need not have these outputs.
            self._session = open_session(selected.SerializeToString())
        except GraphError as error:
            raise self._does_not_run(str(error)) from None

    def __call__(self, tensor: np.ndarray) -> dict[str, np.ndarray]:
        """Run one prepared frame, (1, height, width, 3) uint8 RGB, and return every output by name.

        Raises:
            GraphError: the graph cannot run at this size.
        """
        feed = {self._interface.input_name: self._contract.normalise(tensor)}
        try:
            return dict(zip(self._outputs, self._session.run(list(self._outputs), feed)))
        except Exception as error:  # onnxruntime's exceptions share no base class but Exception
            raise self._does_not_run(str(error)) from None

    def _does_not_run(self, why: str) -> GraphError:
        # The file is ONNX, or it would not have been read.
        reason = " ".join(why.split("not ONNX: ")[-1].split())[:200]
        if "opset" in reason.lower() or "ir version" in reason.lower():
            return GraphError(f"ONNX Runtime does not load {self._path}: {reason}. Next: export it with opset 17")
        return GraphError(
            f"{self._path} does not run at {self._interface.height}x{self._interface.width} on ONNX Runtime: {reason}. "
            "Next: another --size, such as a multiple of 32"
        )


def check_output(path: Path, model: Any, contract: ForeignContract, interface: Interface, output: np.ndarray) -> int:
    """Refuse an output that does not hold the logits of the contract's classes, or what else its decision is made of.

    Args:
        path: path of the graph, for messages.
        model: onnx.ModelProto of the graph.
        contract: contract, which has the classes.
        interface: input, output and size of the graph.
        output: array that the graph gave for a frame.

    Returns:
        The stride: number of input pixels per logit along an axis.

    Raises:
        GraphError: the output holds labels or another type, has another rank or count of channels, or no whole stride.
    """
    name, counts, shape = interface.output_name, contract.decision.channel_counts, output.shape
    channels = " or ".join(map(str, counts))
    is_logits = output.dtype == np.float32 and output.ndim == 4 and shape[1] in counts
    decided = None if is_logits else _argmax_before(model, name)
    if decided is not None:
        raise GraphError(
            f"output '{name}' of {path} is labels: {name_of(decided)} takes the largest already, expected logits. "
            f'Next: add "output_name": "{decided.input[0]}" to the contract'
        )
    if output.dtype != np.float32:
        raise GraphError(f"output '{name}' of {path} is {output.dtype}, expected float32 logits")
    if output.ndim != 4:
        raise GraphError(f"output '{name}' of {path} is {shape}, expected (1, {channels}, height, width)")
    if shape[1] not in counts:
        raise GraphError(
            f"output '{name}' of {path} is {shape}, the contract has {_classes_of(contract)}, "
            f"expected (1, {channels}, height, width){_count_hint(contract, shape)}"
        )
    strides = {side / logits for side, logits in zip((interface.height, interface.width), shape[2:])}
    if shape[0] != 1 or len(strides) != 1 or not strides.copy().pop().is_integer():
        raise GraphError(
            f"output '{name}' of {path} is {shape} for an input of {interface.height}x{interface.width}, expected "
            f"(1, {shape[1]}, {interface.height}/s, {interface.width}/s) with a whole stride s. Next: another --size"
        )
    return int(strides.pop())


def _classes_of(contract: ForeignContract) -> str:
    """Return what a contract says of the channels of the output, for a message."""
    asked, count = contract.decision, len(contract.class_names)
    words = [f"{count} class{'es' if count != 1 else ''}"]
    if asked.background is not None:
        words = [f"{count - 1} class{'es' if count != 2 else ''} and the background '{asked.background}'"]
    if asked.void_channel is not None:
        words.append(f"void_channel {asked.void_channel}")
    return " and ".join(words)


def _count_hint(contract: ForeignContract, shape: tuple[int, ...]) -> str:
    """Return the next step where the number of channels differs from the contract's."""
    asked, count = contract.decision, shape[1]
    least = min(asked.channel_counts)
    if asked.void_channel is not None and count == least - 1:
        return ". Next: leave void_channel out, which is counted beside the classes"
    if count == 1 and len(contract.class_names) == 2:
        return '. Next: add "decision": "binary", for one channel that is the second class over a threshold'
    if asked.kind == BINARY and count > 2:
        return '. Next: "decision": "per-class" with a name for each channel, or an "output_name"'
    if asked.kind == BINARY and count == 2:
        return ". Next: name both classes, the background first"
    if count == least + 1 and asked.void_channel is None:
        return (
            f'. Next: add "void_channel": INDEX (0 to {least}) if one of them is no class, or its name to class_names'
        )
    if count == least - 1 and asked.kind is None:
        return (
            '. Next: if one class is where no other is over a threshold, add "decision": "per-class" and '
            '"background": NAME and take it out of class_names'
        )
    return ""


def _argmax_before(model: Any, tensor: str) -> Any:
    """Return the ArgMax node that an output comes from; None if there is none."""
    for node in walk_back(OnnxGraph(model), tensor):
        if node.op_type == "ArgMax":
            return node
        if node.op_type not in PASSES_LABELS:
            return None
    return None


def walk_back(graph: OnnxGraph, tensor: str) -> Iterator[Any]:
    """Yield the standard node that gives a tensor, the one that gives its first input, and so on."""
    node = graph.producer(tensor)
    while node is not None and node.domain in STANDARD_DOMAINS:
        yield node
        node = graph.producer(node.input[0]) if node.input else None
