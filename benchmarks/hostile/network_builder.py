"""An ONNX graph that grows node by node over pictures, so that every layer is set to what the layers before it give."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.shapes import infer_shapes
from edge.runtime.onnxruntime import import_onnxruntime

OPSET, IR_VERSION = 17, 8
IMAGE = "image"
LEAST_RMS = 0.01
"""Root mean square that a channel is taken to have at least: a dead one is read by weights a hundred times larger."""


class NetworkBuilder:
    """A float network with random weights of a fixed seed, of which each tensor is known on some pictures.

    A convolution is scaled to the pictures as a trained one with batch normalisation is: it reads channels of any range
    as if they were equally strong, and its output has mean 0 and variance 1 in every channel, times a spread.

    Attributes:
        values: Name of a tensor -> what the pictures give there, (pictures, channels, height, width) float32.
        random: Source of the weights.

    Args:
        images: Pictures as the network takes them, (pictures, 3, height, width) float32.
        seed: Seed of the weights; equal seeds give equal networks on equal pictures.
    """

    def __init__(self, images: np.ndarray, seed: int) -> None:
        self.values: dict[str, np.ndarray] = {IMAGE: np.ascontiguousarray(images, np.float32)}
        self.random = np.random.default_rng(seed)
        self._nodes: list[Any] = []
        self._constants: dict[str, np.ndarray] = {}

    def add(
        self,
        operator: str,
        inputs: Sequence[str],
        constants: Sequence[np.ndarray] = (),
        outputs: int = 1,
        **attributes: Any,
    ) -> str | tuple[str, ...]:
        """Add a node and compute it on the pictures.

        Args:
            operator: ONNX operator, such as "PRelu".
            inputs: Names of the tensors that it reads.
            constants: Constants that it reads behind them.
            outputs: Number of its outputs.
            **attributes: Attributes of the node.

        Returns:
            The name of its output; the names of all where there are several.
        """
        onnx = import_onnx("making a network")
        name = f"{operator.lower()}_{len(self._nodes)}"
        names = [f"{name}_{index}" for index in range(outputs)] if outputs > 1 else [name]
        kept = {f"{name}_constant_{index}": value for index, value in enumerate(constants)}
        node = onnx.helper.make_node(operator, [*inputs, *kept], names, name=name, **attributes)
        results = _compute(node, {tensor: self.values[tensor] for tensor in inputs if tensor}, kept)
        self.values.update(zip(names, results))
        self._nodes.append(node)
        self._constants.update(kept)
        return tuple(names) if outputs > 1 else name

    def channels(self, tensor: str) -> int:
        """Return the number of channels of a tensor."""
        return self.values[tensor].shape[1]

    def conv(
        self,
        tensor: str,
        channels: int,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        spread: np.ndarray | float = 1.0,
        shift: np.ndarray | float = 0.0,
    ) -> str:
        """Add a convolution with a bias.

        Args:
            tensor: Name of its input.
            channels: Number of its output channels.
            kernel: Side of its kernel.
            stride: Stride in both directions.
            dilation: Dilation in both directions.
            groups: Number of groups; as many as channels for a depthwise one.
            spread: Standard deviation of the output, or of each of its channels.
            shift: Mean of the output, or of each of its channels, in standard deviations.

        Returns:
            The name of its output.
        """
        data = self.values[tensor]
        rms = np.maximum(np.sqrt(np.mean(data**2, axis=(0, 2, 3))), LEAST_RMS)
        per_group = data.shape[1] // groups
        weight = self.random.standard_normal((channels, per_group, kernel, kernel))
        group_of = np.arange(channels) // (channels // groups)
        weight /= rms.reshape(groups, per_group)[group_of][:, :, None, None] * np.sqrt(per_group * kernel**2)
        attributes = {
            "kernel_shape": [kernel, kernel],
            "strides": [stride, stride],
            "dilations": [dilation, dilation],
            "pads": [dilation * (kernel // 2)] * 4,
            "group": groups,
        }
        onnx = import_onnx("making a network")
        probe = onnx.helper.make_node("Conv", [tensor, "w"], ["y"], **attributes)
        plain = _compute(probe, {tensor: data}, {"w": weight.astype(np.float32)})[0]
        factor = spread / np.maximum(plain.std(axis=(0, 2, 3)), 1e-6)
        bias = np.broadcast_to(shift, channels) * spread - plain.mean(axis=(0, 2, 3)) * factor
        constants = ((weight * factor[:, None, None, None]).astype(np.float32), bias.astype(np.float32))
        return self.add("Conv", [tensor], constants, **attributes)

    def batch_norm(self, tensor: str) -> str:
        """Add a batch normalisation, a node of its own where no convolution stands before it, and return its output."""
        data, channels = self.values[tensor], self.channels(tensor)
        mean, variance = data.mean(axis=(0, 2, 3)), data.var(axis=(0, 2, 3))
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        return self.add("BatchNormalization", [tensor], (ones, zeros, mean, variance), epsilon=1e-5)

    def prelu(self, tensor: str, low: float = 0.0, high: float = 0.4) -> str:
        """Add a PRelu with slopes between two values, one a channel, and return its output."""
        slopes = self.random.uniform(low, high, (self.channels(tensor), 1, 1)).astype(np.float32)
        return self.add("PRelu", [tensor], (slopes,))

    def resize(self, tensor: str, factor: int) -> str:
        """Add a bilinear interpolation to a multiple of the size, and return its output."""
        scales = np.array([1, 1, factor, factor], np.float32)
        attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        return self.add("Resize", [tensor, ""], (scales,), **attributes)

    def model(self, output: str, height: int, width: int, weight: np.ndarray | None = None, bias: Any = None) -> Any:
        """Return the network for one picture.

        Args:
            output: Name of the tensor that it gives.
            height: Rows of a picture.
            width: Columns of a picture.
            weight: Weight of a last 1x1 convolution that gives the logits, (classes, channels); None for none.
            bias: Its bias, (classes,).

        Returns:
            The model, onnx.ModelProto, with the input "image", (1, 3, height, width) float32.
        """
        onnx = import_onnx("making a network")
        nodes, constants = list(self._nodes), dict(self._constants)
        if weight is not None:
            constants["classifier_weight"] = weight[:, :, None, None].astype(np.float32)
            constants["classifier_bias"] = np.asarray(bias, np.float32)
            inputs = [output, "classifier_weight", "classifier_bias"]
            nodes.append(onnx.helper.make_node("Conv", inputs, ["logits"], name="classifier", kernel_shape=[1, 1]))
            output = "logits"
        read = {tensor for node in nodes for tensor in node.input}
        floats = onnx.TensorProto.FLOAT
        graph = onnx.helper.make_graph(
            nodes,
            "hostile",
            [onnx.helper.make_tensor_value_info(IMAGE, floats, [1, 3, height, width])],
            [onnx.helper.make_tensor_value_info(output, floats, None)],
            [onnx.numpy_helper.from_array(value, name) for name, value in constants.items() if name in read],
        )
        opsets = [onnx.helper.make_opsetid("", OPSET)]
        made = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        shape = infer_shapes(made).shapes[output]
        made.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(output, floats, shape))
        return made


def _compute(node: Any, inputs: dict[str, np.ndarray], constants: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return the outputs of one node."""
    onnx, ort = import_onnx("making a network"), import_onnxruntime()
    graph = onnx.helper.make_graph(
        [node],
        "node",
        [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, value.shape)
            for name, value in inputs.items()
        ],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in node.output],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    data = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)
