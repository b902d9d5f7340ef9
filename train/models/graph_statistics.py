"""Parameters, multiply-adds, strides and receptive fields, counted from the graph of a built Keras model.

Multiply-adds are those of convolutions, dense layers and matrix products for one frame, products with
padding included. Biases, normalisation (which an export folds away), activations, pooling and resizing
are not counted: the convention of the papers, and of tools that count PyTorch models by their modules.

A layer of a kind that Keras does not have, and that multiplies matrices, offers

    multiply_adds(*input_shapes) -> int     for one entry of the batch

with a shape (N, h, w, C) for each of its inputs, as `compute_output_shape` takes them. A layer of an
unknown kind with weights of two or more axes and without that method is an error, never a zero; so is a
layer that holds such layers, unless it is a model.

A graph in ONNX is counted by calibration/onnx_graph/mac_count.py, which cannot serve here: a network would
have to be exported first, which takes some ten times as long, and training knows nothing of the export.
Both counts are equal for every architecture (tests/export/from_keras/test_multiply_adds.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Mapping

import keras
from keras import layers

from edge.errors import SegEdgeError
from train.models.base import FRAME, LOGITS, ModelSpec, inference_model
from train.models.receptive_field import receptive_field
from train.models.symbolic_run import Call, Shape, SymbolicRun, Tensor, run_symbolically


@dataclass(frozen=True)
class OutputStatistics:
    """One output of a network.

    Attributes:
        name: name of the output.
        native_stride: rows of the frame for one row of the output; None where it has no rows.
        receptive_field_height: rows of the frame that one position depends on, without branches that look at
            the whole frame; None where all branches do.
        receptive_field_width: columns of that receptive field.
        sees_whole_frame: True where a branch that looks at the whole frame leads to this output.
    """

    name: str
    native_stride: float | None
    receptive_field_height: int | None
    receptive_field_width: int | None
    sees_whole_frame: bool


@dataclass(frozen=True)
class GraphStatistics:
    """A network at one frame size.

    Attributes:
        parameters: trainable weights of the network, scales and offsets of BatchNorm among them.
        convolution_parameters: weights of its convolutions and dense layers alone, with their biases.
        normalisation_statistics: weights that are not trained, the means and variances of BatchNorm.
        training_only_parameters: trainable weights of heads that only training has.
        multiply_adds: multiply-adds for one frame.
        outputs: statistics of each output, the logits first.
    """

    parameters: int
    convolution_parameters: int
    normalisation_statistics: int
    training_only_parameters: int
    multiply_adds: int
    outputs: tuple[OutputStatistics, ...]


def count_model(
    spec: ModelSpec, height: int, width: int, class_count: int, options: Mapping[str, Any]
) -> GraphStatistics:
    """Build an architecture and count its network for inference.

    Args:
        spec: the architecture.
        height: rows of the frame.
        width: columns of the frame.
        class_count: number of classes.
        options: options for the architecture's build function.

    Raises:
        SizeError: the architecture cannot take the size.
        SegEdgeError: a layer whose work or receptive field is not known; the message names it.
    """
    model = spec.build(height, width, class_count, **options)
    further = tuple(output.name for output in spec.extra_outputs(class_count, options))
    return graph_statistics(inference_model(model, further), model)


def graph_statistics(network: keras.Model, training_model: keras.Model | None = None) -> GraphStatistics:
    """Count a network.

    Args:
        network: functional model for inference; its input named "frame", or its only one, is
            (N, height, width, 3). A single output that is not in a dict is taken for the logits.
        training_model: the model that the network is a part of; None if it is the whole model.

    Returns:
        The statistics at the size that the model was built for.

    Raises:
        SegEdgeError: a layer whose work or receptive field is not known; the message names it.
    """
    run = run_symbolically(network)
    tensors = dict(zip(map(id, network.outputs), run.outputs))
    outputs = network.output if isinstance(network.output, dict) else {LOGITS: network.output}
    frame = _frame(network, run)
    trained = _unique(network.trainable_weights)
    training = _unique(training_model.trainable_weights) if training_model is not None else {}
    products = [layer for layer in network._flatten_layers() if type(layer) in _PRODUCTS]
    return GraphStatistics(
        parameters=_count(trained),
        convolution_parameters=_count(_unique(weight for layer in products for weight in layer.weights)),
        normalisation_statistics=_count(_unique(network.non_trainable_weights)),
        training_only_parameters=_count({key: weight for key, weight in training.items() if key not in trained}),
        multiply_adds=sum(_work_of_call(call) for call in run.calls),
        outputs=tuple(_output_statistics(name, run, tensors[id(symbol)], frame) for name, symbol in outputs.items()),
    )


def _frame(network: keras.Model, run: SymbolicRun) -> Tensor:
    names = [symbol.name for symbol in network.inputs]
    if len(names) == 1:
        return run.inputs[0]
    if FRAME not in names:
        raise SegEdgeError(f"{network.name} has the inputs {', '.join(names)}, expected one named {FRAME}")
    return run.inputs[names.index(FRAME)]


def _output_statistics(name: str, run: SymbolicRun, output: Tensor, frame: Tensor) -> OutputStatistics:
    has_rows = len(output.shape) == len(frame.shape)
    stride = frame.shape[1] / output.shape[1] if has_rows else None
    field = receptive_field(run, output, frame)
    return OutputStatistics(
        name=name,
        native_stride=int(stride) if has_rows and stride.is_integer() else stride,
        receptive_field_height=field.height,
        receptive_field_width=field.width,
        sees_whole_frame=field.whole_frame,
    )


def _unique(weights: Iterable[Any]) -> dict[int, Any]:
    return {id(weight): weight for weight in weights}


def _count(weights: dict[int, Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights.values())


# Multiply-adds of Keras' kinds: (layer, input shape, output shape) -> products


def _convolution(layer: Any, input_shape: Shape, output_shape: Shape) -> int:
    return math.prod(output_shape) // layer.kernel.shape[-1] * math.prod(layer.kernel.shape)


def _depthwise(layer: Any, input_shape: Shape, output_shape: Shape) -> int:
    return math.prod(output_shape) * math.prod(layer.kernel.shape[:2])


def _separable(layer: Any, input_shape: Shape, output_shape: Shape) -> int:
    weights = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
    return math.prod(output_shape) // layer.filters * weights


def _transposed_convolution(layer: Any, input_shape: Shape, output_shape: Shape) -> int:
    return math.prod(input_shape) // layer.kernel.shape[-1] * math.prod(layer.kernel.shape)


def _dense(layer: Any, input_shape: Shape, output_shape: Shape) -> int:
    return math.prod(input_shape) * layer.kernel.shape[-1]


# Exact kinds: a subclass may do something else.
_PRODUCTS: dict[type, Callable[[Any, Shape, Shape], int]] = {
    layers.Conv2D: _convolution,
    layers.DepthwiseConv2D: _depthwise,
    layers.SeparableConv2D: _separable,
    layers.Conv2DTranspose: _transposed_convolution,
    layers.Dense: _dense,
}


def _work_of_call(call: Call) -> int:
    layer = call.operation
    if not isinstance(layer, layers.Layer):
        return 0  # elementwise, or receptive_field refuses it
    shapes = [tensor.shape for tensor in call.inputs]
    if hasattr(layer, "multiply_adds"):
        return shapes[0][0] * layer.multiply_adds(*shapes)
    if type(layer) in _PRODUCTS:
        return _PRODUCTS[type(layer)](layer, shapes[0], call.outputs[0].shape)
    for weight in layer.weights:
        if len(weight.shape) > 1:
            kind = type(layer).__name__
            raise SegEdgeError(
                f"layer '{layer.name}' is of the kind {kind}, has a weight of shape {tuple(weight.shape)}, and "
                f"nobody knows what that multiplies. Next: a method multiply_adds in {kind}, "
                "see train/models/graph_statistics.py"
            )
    return 0
