"""A symbolic run of a Keras model, without numbers: every call of a layer, with the shapes of its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Sequence

import keras

from edge.errors import SegEdgeError

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a symbolic run, compared by identity: two tensors of equal shapes differ."""

    spec: keras.KerasTensor

    @property
    def shape(self) -> Shape:
        """Return the size of every axis, the batch first."""
        return tuple(self.spec.shape)


@dataclass(frozen=True)
class Call:
    """One call of a layer, or of an operation of keras.ops.

    Attributes:
        operation: layer (keras.layers.Layer), or another node of a functional model.
        inputs: tensors among the arguments, in their order.
        outputs: tensors that the call returned.
        arguments: positional arguments, with symbolic tensors for tensors.
        keywords: keyword arguments, with symbolic tensors for tensors.
    """

    operation: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


@dataclass(frozen=True)
class SymbolicRun:
    """The inputs, calls and outputs of a model; each call stands behind the calls that it depends on."""

    inputs: tuple[Tensor, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Tensor, ...]


def run_symbolically(model: keras.Model) -> SymbolicRun:
    """Run a model on a batch of one.

    Calls are listed, not layers: one that is called twice is there twice. Models inside the model are
    followed into. The shapes are computed anew, so that a network which makes several samples of one
    frame shows how many.

    Args:
        model: functional or sequential; inputs with a batch of their own keep it.

    Returns:
        The run, whose `inputs` and `outputs` have the order of the model's.

    Raises:
        SegEdgeError: a side of a tensor is not known.
    """
    inputs = tuple(
        Tensor(keras.KerasTensor((tensor.shape[0] or 1, *tensor.shape[1:]), dtype=tensor.dtype))
        for tensor in model.inputs
    )
    calls: list[Call] = []
    outputs = tuple(_follow(model, inputs, calls))
    return SymbolicRun(inputs, tuple(calls), outputs)


def _follow(model: keras.Model, inputs: Sequence[Tensor], calls: list[Call]) -> list[Tensor]:
    if isinstance(model, keras.Sequential):
        tensors = list(inputs)
        for layer in model.layers:
            tensors = _call(layer, tensors, (tensors[0].spec,), {}, calls)
        return tensors
    known = dict(zip(map(id, model.inputs), inputs))
    specs = {key: tensor.spec for key, tensor in known.items()}
    for node in _nodes(model):
        if node.is_input:
            continue
        arguments, keywords = node.arguments.fill_in(specs)
        tensors = [known[id(tensor)] for tensor in node.input_tensors]
        for symbol, tensor in zip(node.outputs, _call(node.operation, tensors, arguments, keywords, calls)):
            known[id(symbol)], specs[id(symbol)] = tensor, tensor.spec
    return [known[id(tensor)] for tensor in model.outputs]


def _nodes(model: keras.Model) -> Iterator[Any]:
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from model._nodes_by_depth[depth]


def _call(
    operation: Any, tensors: Sequence[Tensor], arguments: tuple, keywords: dict, calls: list[Call]
) -> list[Tensor]:
    if isinstance(operation, (keras.Function, keras.Sequential)):
        return _follow(operation, tensors, calls)
    specs = keras.tree.flatten(operation.compute_output_spec(*arguments, **keywords))
    outputs = [Tensor(spec) for spec in specs]
    for tensor in outputs:
        if None in tensor.shape:
            raise SegEdgeError(
                f"layer '{operation.name}' ({type(operation).__name__}) gives a tensor of shape {tensor.shape}, "
                "expected every side to be known"
            )
    calls.append(Call(operation, tuple(tensors), tuple(outputs), arguments, keywords))
    return outputs
