"""From a Keras model to the bytes of an ONNX graph: the only file outside train/ that imports TensorFlow.

export/to_onnx.py decides what is exported and whether the result may be kept.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import logging
import os
import warnings
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

import numpy as np

from edge.console import print_note
from edge.errors import GraphError, SegEdgeError, WeightsError
from export.from_keras.stand_ins import restore, stand_ins
from train.tensorflow_import import import_tensorflow

OPSET = 17
"""The highest that TensorRT 8.5 parses (docs/operators.md of onnx-tensorrt 8.5)."""

IR_VERSION = 8
"""The ONNX file format of opset 17, for parsers of that time."""

RANDOM_SEED = 0
NOISE_SEED = 1

UNUSED_PASSES = (
    "remove_redundant_upsample",
    "const_dequantize_optimizer",
    "loop_optimizer",
    "q_dq_optimizer",
    "einsum_optimizer",
)
"""Passes of tf2onnx for loops, quantised models and einsum, of which these graphs have none."""


class KerasNetwork:
    """A Keras inference model with its weights, as the export sees it.

    Args:
        model: key in train.models.MODELS.
        options: all options of the architecture, by name.
        class_count: number of classes of the classifier.
        height: rows of the network's input.
        width: columns of the network's input.
        batch: number of frames in one call.
        weights_path: path of a weights file; None for random weights.

    Raises:
        SizeError: the model cannot take the size.
        WeightsError: the weights do not fit.
        MissingDependencyError: TensorFlow, onnx or tf2onnx is not installed.
    """

    def __init__(
        self,
        model: str,
        options: Mapping[str, Any],
        class_count: int,
        height: int,
        width: int,
        batch: int,
        weights_path: Path | None,
    ) -> None:
        import_tensorflow(
            "exporting a Keras model",
            "pip install -e '.[train,export]' on a workstation",
            ("tensorflow", "keras", "onnx", "tf2onnx"),
        )
        import keras

        from train.models import model_spec
        from train.models.base import inference_model

        keras.utils.set_random_seed(RANDOM_SEED)
        self.name, self.shape = model, (batch, height, width, 3)
        self.spec = model_spec(model)
        self.extra_outputs = self.spec.extra_outputs(class_count, options)
        whole = self.spec.build(height, width, class_count, **options)
        if weights_path is not None:
            try:
                with warnings.catch_warnings():  # Keras warns of what it then refuses
                    warnings.simplefilter("ignore")
                    whole.load_weights(weights_path)
            except (ValueError, OSError, KeyError) as error:
                reason = " ".join(str(error).split())[:200]
                raise WeightsError(f"{weights_path} does not fit {model}: {reason}") from None
        self.decisions = self.spec.pooling_indices
        names = (*(output.name for output in self.extra_outputs), *self.decisions)
        self._model = inference_model(whole, names)
        self.parameter_count = self._model.count_params()
        self.coordinates = self.spec.coordinates(options)
        _, *noise = self._model.inputs
        if noise and batch != 1:
            raise SegEdgeError(f"{model} with samples takes one frame in a call, got a batch of {batch}")
        # Drawn once, so that every frame of a comparison sees the same, in both forms of the network.
        generator = np.random.default_rng(NOISE_SEED)
        self.noise = {value.name: generator.random(value.shape, np.float32) for value in noise}
        self._whole = whole if self.decisions else None
        self._build = height, width, class_count, options

    def forget_model(self) -> None:
        """Give the Keras model's memory back; what describes the network stays."""
        import keras

        self._model = self._whole = None
        for built in ("_compared", "_forward"):
            self.__dict__.pop(built, None)
        keras.backend.clear_session()

    def __call__(self, tensor: np.ndarray, decided: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the network on one batch.

        Args:
            tensor: frames, (batch, height, width, 3) uint8 RGB.
            decided: decisions of the ONNX graph on the same frames, by the names in `decisions`.

        Returns:
            Every output by name, (batch, channels, h, w) float32, and the network's own decisions.
        """
        frames = tensor.astype("float32")
        further = [*self.noise.values(), *(decided[name] for name in self.decisions)]
        outputs = self._forward([frames, *further] if further else frames)
        return {name: np.asarray(value) for name, value in self._channels_first(outputs, np.transpose).items()}

    @functools.cached_property
    def _compared(self) -> Any:
        """The Keras model that takes decisions where it has any, with the same weights."""
        from train.models.base import inference_model

        if not self.decisions:
            return self._model
        height, width, class_count, options = self._build
        led = self.spec.build(height, width, class_count, **options, given_pooling_indices=True)
        led.set_weights(self._whole.get_weights())
        return inference_model(led, (*(output.name for output in self.extra_outputs), *self.decisions))

    @functools.cached_property
    def _forward(self) -> Callable[[Any], Any]:
        import tensorflow

        model = self._compared
        # As one graph: called layer by layer, a Keras model keeps every activation until its end.
        return tensorflow.function(lambda inputs: model(inputs, training=False))

    def _channels_first(self, outputs: Any, transpose: Callable[..., Any]) -> dict[str, Any]:
        """Return the outputs by name, channels first; decisions are already."""
        named = outputs if isinstance(outputs, dict) else {"logits": outputs}
        return {
            name: value if name in self.decisions else transpose(value, (0, 3, 1, 2)) for name, value in named.items()
        }

    def to_onnx(self) -> Any:
        """Return the ONNX graph (onnx.ModelProto), simplified, named and checked; noise is still an input."""
        import tensorflow as tf
        import tf2onnx

        from calibration.onnx_graph.shapes import check_model, describe_tensors
        from export.graph.fusions import simplify
        from export.graph.layer_names import forget_conversion, name_after_layers

        logging.getLogger("tf2onnx").setLevel(logging.ERROR)
        # Otherwise the converter copies the whole graph, weights included, before each of some forty
        # passes, to go on after one that fails: minutes and 12 GB for FastFCN. Here a failure is an error.
        os.environ["TF2ONNX_CATCH_ERRORS"] = "FALSE"
        signature = [tf.TensorSpec(self.shape, tf.uint8, name="frame")]
        signature += [tf.TensorSpec(value.shape, tf.float32, name=name) for name, value in self.noise.items()]

        @tf.function(input_signature=signature)
        def network(frame, *noise):
            frames = tf.cast(frame, tf.float32)
            outputs = self._model([frames, *noise] if noise else frames, training=False)
            # The converter works in NCHW, so these transposes and its own cancel.
            return self._channels_first(outputs, tf.transpose)

        with _useful_passes_alone(), _scalars_added_as_they_are(), _nodes_in_their_order():
            proto = _converted(
                lambda: tf2onnx.convert.from_function(network, input_signature=signature, opset=OPSET)[0]
            )
        proto.ir_version = IR_VERSION
        simplify(proto)
        name_after_layers(proto, [layer.name for layer in self._model.layers])
        forget_conversion(proto)
        for value in [value for value in proto.graph.output if value.name in self.decisions]:
            proto.graph.output.remove(value)  # the tensor stays, under the name of the output
        proto.graph.name = self.name
        proto.producer_name, proto.producer_version = "segedge", ""
        try:
            describe_tensors(proto)
            check_model(proto)
        except GraphError as error:
            raise SegEdgeError(f"the exported graph of {self.name} is not valid ONNX: {error}") from error
        return proto


def _converted(convert: Callable[[], Any]) -> Any:
    """Return what a conversion gives; while it runs, stand-ins take the place of the weights if it can be done."""
    import tf2onnx

    try:
        with stand_ins(tf2onnx) as table:
            proto = convert()
        restore(proto, table)
        return proto
    except Exception as error:
        # StandInError, or what another version says of a tensor with too few bytes: the plain way decides.
        reason = " ".join(str(error).split())[:200]
        print_note(f"the converter works on the weights themselves, which takes more memory and time: {reason}")
        return convert()


def converter_versions() -> dict[str, str]:
    """Return the versions of the packages that decide what a graph looks like."""
    import keras
    import onnx
    import tensorflow
    import tf2onnx

    return {module.__name__: module.__version__ for module in (tensorflow, keras, onnx, tf2onnx)}


def give_memory_back() -> None:
    """Return freed memory to the system: the conversion's would otherwise add to the calibration's."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def _useful_passes_alone() -> Iterator[None]:
    """Leave out the converter's passes that find nothing in these graphs.

    Each pass, repeated until none changes anything, copies all weights into memory that is not given
    back before the end: with all twelve, FastFCN took 9 GB.
    """
    from tf2onnx import optimizer

    passes = optimizer._get_optimizers()
    left_out = {name: passes.pop(name) for name in UNUSED_PASSES if name in passes}
    try:
        yield
    finally:
        passes.update(left_out)


@contextlib.contextmanager
def _scalars_added_as_they_are() -> Iterator[None]:
    """Keep the converter from making a bias of a scalar that is added behind a convolution without one.

    It takes the largest side of the constant's shape for the number of channels, and a scalar has no
    side. MobileNetV3's squeeze and excitation adds 3 there, as long as the biases are zeros.
    """
    from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

    add_handler = TransposeOptimizer._add_handler

    def handle_add(self, transpose, node):
        added = node.inputs[1]
        if added.is_const() and not added.get_tensor_value(as_list=False).shape:
            return self._handle_node_having_branches(transpose, node)
        return add_handler(self, transpose, node)

    TransposeOptimizer._add_handler = handle_add
    try:
        yield
    finally:
        TransposeOptimizer._add_handler = add_handler


@contextlib.contextmanager
def _nodes_in_their_order() -> Iterator[None]:
    """Keep the converter from shuffling the nodes when it drops the unused ones.

    It keeps them in a set, whose order follows from where the objects lie in memory; then which of several
    equal constants stays, and so the bytes of the file, differs from one export to the next.
    """
    from tf2onnx.graph import Graph

    extract = Graph.extract_sub_graph_nodes

    def extract_in_order(self, *arguments, **options):
        used = set(extract(self, *arguments, **options))
        return [node for node in self.get_nodes() if node in used]

    Graph.extract_sub_graph_nodes = extract_in_order
    try:
        yield
    finally:
        Graph.extract_sub_graph_nodes = extract
