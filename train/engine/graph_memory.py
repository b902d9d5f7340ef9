"""The memory that a TensorFlow graph takes while it runs, by a run in thought: no number is computed."""

from __future__ import annotations

import collections

import tensorflow as tf

_SHARES_ITS_INPUT = {
    "ExpandDims",
    "Identity",
    "PreventGradient",
    "Reshape",
    "Snapshot",
    "Squeeze",
    "StopGradient",
}
"""Operators whose output is the memory of their first input."""

_TAKES_ITS_INPUT = {
    "Add",
    "AddN",
    "AddV2",
    "BiasAdd",
    "Div",
    "Maximum",
    "Minimum",
    "Mul",
    "Neg",
    "RealDiv",
    "Relu",
    "Relu6",
    "Relu6Grad",
    "ReluGrad",
    "Rsqrt",
    "Select",
    "SelectV2",
    "Sqrt",
    "Square",
    "SquaredDifference",
    "Sub",
}
"""Operators that write into the memory of an input of their size which nobody else needs any more."""

_ASKS_FOR_THE_SHAPE = {"OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike"}
"""Operators that need the shape of their input alone, which is known before the run."""

_HOLDS_NOTHING = {"Const", "Placeholder", "ReadVariableOp", "VarHandleOp"}
"""Operators whose output is there in any case, or is the memory of a variable."""


def peak_bytes(graph: tf.Graph) -> int:
    """Return the most memory that the tensors of a graph take at a time.

    Operators run one after the other, in the order in which they were made. A tensor is there from its operator to the
    last that needs it; what the backward pass needs of the forward pass thus stays. Memory is shared as TensorFlow's
    executor shares it.

    Args:
        graph: graph of a traced function whose shapes are known. Functions that it calls count as their outputs.
    """
    operations = graph.get_operations()
    owners: dict[str, str] = {}
    for operation in operations:
        for tensor in operation.outputs:
            shares = operation.type in _SHARES_ITS_INPUT and operation.inputs
            owners[tensor.name] = owners[operation.inputs[0].name] if shares else tensor.name
    waiting: collections.Counter[str] = collections.Counter()
    for operation in operations:
        waiting.update({owners[tensor.name] for tensor in _needed(operation)})
    held: dict[str, int] = {}
    present = peak = 0
    for operation in operations:
        needed = {owners[tensor.name] for tensor in _needed(operation)}
        for tensor in operation.outputs:
            if owners[tensor.name] != tensor.name or operation.type in _HOLDS_NOTHING:
                continue
            size = _bytes(tensor)
            taken = _taken_input(operation, size, needed, waiting, held)
            if taken is not None:
                present -= held.pop(taken)
            held[tensor.name] = size
            present += size
        peak = max(peak, present)
        for name in needed:
            waiting[name] -= 1
        for name in (*needed, *(tensor.name for tensor in operation.outputs)):
            if not waiting[name] and name in held:
                present -= held.pop(name)
    return peak


def _needed(operation: tf.Operation) -> list[tf.Tensor]:
    return [] if operation.type in _ASKS_FOR_THE_SHAPE else list(operation.inputs)


def _taken_input(
    operation: tf.Operation, size: int, needed: set[str], waiting: collections.Counter[str], held: dict[str, int]
) -> str | None:
    if operation.type not in _TAKES_ITS_INPUT:
        return None
    return next((name for name in needed if waiting[name] == 1 and held.get(name) == size), None)


def _bytes(tensor: tf.Tensor) -> int:
    if tensor.dtype in (tf.resource, tf.variant, tf.string) or not tensor.shape.is_fully_defined():
        return 0
    return tensor.dtype.size * tensor.shape.num_elements()
