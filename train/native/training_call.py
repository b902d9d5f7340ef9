"""The call of a network in training, with kernels in place of the layers that there is one for.

The network itself stays as it is: its layers, weights and names, and what is exported of it. Only the graph of the
training step holds kernels. They take the place of

    BatchNormalization, and a ReLU behind it     batch_norm.cpp
    DepthwiseConv2D                              depthwise.cpp
    Conv2D with a dilation                       dilated_conv.py, products of matrices
    AdaptiveAveragePooling                       two products of matrices, whose gradients are two more: the layer's
                                                 slices have a gradient of the size of the whole map each

in float32 with channels last, and compute the same within rounding.
"""

from __future__ import annotations

from typing import Any, Iterator

import keras
import numpy as np
import tensorflow as tf

from train.models.layers import AdaptiveAveragePooling
from train.native.dilated_conv import dilated_conv
from train.native.library import kernels
from train.native.operations import KERNEL_SIZES, LANES, batch_norm, depthwise_conv


def training_outputs(network: keras.Model, frames: tf.Tensor) -> Any:
    """Return the outputs of a functional network in training.

    Args:
        network: functional network with one input.
        frames: frames (N, height, width, 3) in 0..255, uint8 or float32.

    Returns:
        The same as `network(frames, training=True)`.
    """
    if kernels() is None:
        return network(frames, training=True)
    call = _Call(network, [tf.cast(frames, network.inputs[0].dtype)])
    return keras.tree.map_structure(call.value_of, network.output)


class _Call:
    """One call of a network: the values of its symbolic tensors, node after node.

    Args:
        network: functional network.
        inputs: values of its inputs, in their order.
    """

    def __init__(self, network: keras.Model, inputs: list[tf.Tensor]) -> None:
        self._values = {id(symbol): value for symbol, value in zip(network.inputs, inputs)}
        nodes = [node for node in _nodes(network) if not node.is_input]
        self._readers: dict[int, list[Any]] = {id(symbol): [None] for symbol in network.outputs}
        for node in nodes:
            for symbol in node.input_tensors:
                self._readers.setdefault(id(symbol), []).append(node)
        for node in nodes:
            if id(node.outputs[0]) not in self._values:
                self._compute(node)

    def value_of(self, symbol: keras.KerasTensor) -> tf.Tensor:
        """Return the value of a symbolic tensor of the network."""
        return self._values[id(symbol)]

    def _compute(self, node: Any) -> None:
        arguments, keywords = node.arguments.fill_in(self._values)
        operation = node.operation
        if isinstance(operation, keras.layers.BatchNormalization) and _has_norm_kernel(operation, arguments[0]):
            relu = self._only_reader(node.outputs[0])
            fused = relu is not None and _is_plain_relu(relu.operation)
            value = _norm(operation, arguments[0], fused)
            self._values[id((relu if fused else node).outputs[0])] = value
            return
        if isinstance(operation, keras.layers.DepthwiseConv2D) and _has_depthwise_kernel(operation, arguments[0]):
            value = depthwise_conv(
                arguments[0],
                operation.kernel.value,
                operation.strides[0],
                operation.dilation_rate[0],
                operation.padding,
            )
        elif isinstance(operation, keras.layers.Conv2D) and _is_dilated(operation, arguments[0]):
            value = dilated_conv(arguments[0], operation.kernel.value, operation.dilation_rate[0])
            value = value if operation.bias is None else value + operation.bias.value
        elif isinstance(operation, AdaptiveAveragePooling) and _is_known_float32(arguments[0]):
            value = _pooled(arguments[0], operation.bins)
        elif isinstance(operation, keras.Function) and not isinstance(operation, keras.Sequential):
            inner = _Call(operation, keras.tree.flatten(arguments[0]))
            value = keras.tree.map_structure(inner.value_of, operation.output)
        else:
            if getattr(operation, "_call_has_training_arg", False):
                keywords = {**keywords, "training": True}
            value = operation(*arguments, **keywords)
        for symbol, part in zip(node.outputs, keras.tree.flatten(value)):
            self._values[id(symbol)] = part

    def _only_reader(self, symbol: keras.KerasTensor) -> Any | None:
        """Return the node that alone reads a tensor; None where there are several, or it is an output."""
        readers = self._readers.get(id(symbol), [])
        return readers[0] if len(readers) == 1 else None


def _nodes(network: keras.Model) -> Iterator[Any]:
    for depth in sorted(network._nodes_by_depth, reverse=True):
        yield from network._nodes_by_depth[depth]


def _norm(layer: keras.layers.BatchNormalization, features: tf.Tensor, relu: bool) -> tf.Tensor:
    """Normalise, and move the layer's statistics towards those of the batch as Keras does."""
    output, mean, variance = batch_norm(features, layer.gamma.value, layer.beta.value, layer.epsilon, relu)
    for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + tf.stop_gradient(new) * (1.0 - layer.momentum))
    return output


def _pooled(features: tf.Tensor, bins: int) -> tf.Tensor:
    """Average maps (N, h, w, C) into a grid of cells, (N, bins, bins, C)."""
    height, width, channels = features.shape[1:]
    rows, columns = (tf.constant(averaging_matrix(size, bins), features.dtype) for size in (height, width))
    strips = tf.matmul(rows, tf.reshape(features, (-1, height, width * channels)))
    cells = tf.matmul(columns, tf.reshape(strips, (-1, width, channels)))
    return tf.reshape(cells, (-1, bins, bins, channels))


def averaging_matrix(size: int, bins: int) -> np.ndarray:
    """Return the (bins, size) matrix that averages an axis into the cells of AdaptiveAveragePooling, float32."""
    matrix = np.zeros((bins, size), np.float32)
    for index in range(bins):
        start, stop = index * size // bins, -(-(index + 1) * size // bins)
        matrix[index, start:stop] = 1.0 / (stop - start)
    return matrix


def _is_known_float32(features: tf.Tensor) -> bool:
    return features.dtype == tf.float32 and features.shape.rank == 4 and None not in features.shape[1:]


def _has_eight_channels(features: tf.Tensor) -> bool:
    return _is_known_float32(features) and features.shape[-1] % LANES == 0


def _has_norm_kernel(layer: keras.layers.BatchNormalization, features: tf.Tensor) -> bool:
    return (
        _has_eight_channels(features)
        and layer.compute_dtype == "float32"
        and layer.axis in (-1, 3)
        and layer.trainable
        and layer.scale
        and layer.center
        and not layer.synchronized
        and not getattr(layer, "renorm", False)
    )


def _is_plain_relu(operation: Any) -> bool:
    return (
        isinstance(operation, keras.layers.ReLU)
        and operation.max_value is None
        and not operation.negative_slope
        and not operation.threshold
    )


def _has_depthwise_kernel(layer: keras.layers.DepthwiseConv2D, features: tf.Tensor) -> bool:
    return (
        _has_eight_channels(features)
        and layer.compute_dtype == "float32"
        and layer.data_format == "channels_last"
        and layer.depth_multiplier == 1
        and not layer.use_bias
        and layer.activation is keras.activations.linear
        and layer.kernel_size[0] == layer.kernel_size[1]
        and layer.kernel_size[0] in KERNEL_SIZES
        and layer.strides[0] == layer.strides[1]
        and layer.dilation_rate[0] == layer.dilation_rate[1]
    )


def _is_dilated(layer: keras.layers.Conv2D, features: tf.Tensor) -> bool:
    """Return whether a convolution is one that `dilated_conv` computes; depthwise ones are of another class."""
    return (
        _is_known_float32(features)
        and layer.compute_dtype == "float32"
        and layer.data_format == "channels_last"
        and layer.padding == "same"
        and layer.groups == 1
        and layer.activation is keras.activations.linear
        and layer.kernel_size[0] == layer.kernel_size[1]
        and layer.kernel_size[0] % 2 == 1
        and layer.strides == (1, 1)
        and layer.dilation_rate[0] == layer.dilation_rate[1] > 1
    )
