"""A Keras network becomes a graph with the same numbers: its noise given, its decisions followed, its batch kept."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")

import keras
import onnx
from keras import layers
from tf2onnx import optimizer, tf_loader, tf_utils
from tf2onnx.graph import Graph
from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

from edge.contract import UNCERTAINTY, OutputTensor
from edge.errors import SegEdgeError, SizeError, WeightsError
from edge.runtime.onnxruntime import open_session
from export.from_keras.network import IR_VERSION, OPSET, RANDOM_SEED, UNUSED_PASSES, KerasNetwork, converter_versions
from train.models.base import FRAME, LOGITS, ModelSpec, normalize
from train.models.bayesian_segnet import DropoutByNoise, SampleStatistics
from train.models.unpooling import PHASES, MaxPoolingWithIndices, MaxUnpooling
from train.options import resolve_options

HEIGHT, WIDTH, CLASSES, STRIDE = 32, 48, 5, 4
PLACES = tuple(f"pool_place{index}" for index in range(len(PHASES)))
FRAMES = np.random.default_rng(0).integers(0, 256, (2, HEIGHT, WIDTH, 3)).astype(np.uint8)


def build_tiny(
    height: int, width: int, class_count: int, monte_carlo: int = 0, given_pooling_indices: bool = False, **options
) -> keras.Model:
    """All that an export has to deal with, in a few channels: decisions, noise, a second output."""
    TINY.check_size(height, width)
    frame = layers.Input((height, width, 3), batch_size=1 if monte_carlo else None, name=FRAME)
    inputs, outputs = [frame], {}
    features = layers.Conv2D(6, STRIDE, STRIDE, use_bias=False, name="stem")(normalize(frame))
    features = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_bn")(features))
    size = features.shape[1:3]
    features, *masks = MaxPoolingWithIndices(name="pool")(features)
    outputs.update(zip(PLACES, masks))
    if monte_carlo:
        _, rows, columns, channels = features.shape
        inputs.append(layers.Input(batch_shape=(monte_carlo, channels, rows, columns), name="drop_noise"))
        features = DropoutByNoise(0.5, name="drop")(features, inputs[-1])
    if given_pooling_indices:
        masks = [layers.Input(mask.shape[1:], name=f"given_{name}") for name, mask in zip(PLACES, masks)]
        inputs += masks
    features = MaxUnpooling(*size, name="unpool")(features, *masks)
    logits = layers.Conv2D(class_count, 3, padding="same", name="classifier")(features)
    if monte_carlo:
        outputs[LOGITS], outputs["uncertainty"] = SampleStatistics("entropy", name="statistics")(logits)
    else:
        outputs[LOGITS] = logits
    return keras.Model(inputs if len(inputs) > 1 else frame, outputs, name="tiny")


def extra_outputs(class_count, options):
    return (OutputTensor("uncertainty", 1, UNCERTAINTY, "nats", 9.0),) if options["monte_carlo"] else ()


# Named like an architecture, whose options it has.
TINY = ModelSpec(
    "bayesian_segnet", "Tiny", "none", build_tiny, STRIDE, 8, {}, extra_outputs=extra_outputs, pooling_indices=PLACES
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr("train.models.model_spec", lambda name: TINY)


def make_network(weights_path=None, batch=1, height=HEIGHT, width=WIDTH, **options) -> KerasNetwork:
    resolved = resolve_options("bayesian_segnet", options)
    return KerasNetwork("bayesian_segnet", resolved, CLASSES, height, width, batch, weights_path)


def own_places(tensor: np.ndarray) -> dict[str, np.ndarray]:
    """Return the places that the network of random weights chooses on frames."""
    keras.utils.set_random_seed(RANDOM_SEED)
    outputs = build_tiny(HEIGHT, WIDTH, CLASSES)(tensor.astype(np.float32), training=False)
    return {name: np.asarray(outputs[name]) for name in PLACES}


def run_graph(model: onnx.ModelProto, network: KerasNetwork, tensor: np.ndarray) -> dict[str, np.ndarray]:
    """Run an exported graph, its noise and decisions laid open."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in network.decisions)
    session = open_session(exposed.SerializeToString())
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {"frame": tensor, **network.noise})))


def shapes(values) -> dict[str, tuple[int, ...]]:
    return {value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in values}


# The network


def test_outputs_are_channels_first_and_named():
    network = make_network(batch=2)
    places = own_places(FRAMES)
    outputs = network(FRAMES, places)
    size = (HEIGHT // STRIDE, WIDTH // STRIDE)
    assert {name: value.shape for name, value in outputs.items()} == {
        LOGITS: (2, CLASSES, *size),
        **dict.fromkeys(PLACES, (2, 6, size[0] // 2, size[1] // 2)),
    }
    keras.utils.set_random_seed(RANDOM_SEED)
    expected = build_tiny(HEIGHT, WIDTH, CLASSES)(FRAMES.astype(np.float32), training=False)[LOGITS]
    np.testing.assert_allclose(outputs[LOGITS], np.asarray(expected).transpose(0, 3, 1, 2), atol=1e-5)


def test_network_follows_the_decisions_that_it_is_given_and_tells_its_own():
    network = make_network()
    places = own_places(FRAMES[:1])
    own = network(FRAMES[:1], places)
    elsewhere = {name: places[PLACES[(index + 1) % 4]] for index, name in enumerate(PLACES)}
    led = network(FRAMES[:1], elsewhere)
    assert np.abs(led[LOGITS] - own[LOGITS]).max() > 0.1 * np.ptp(own[LOGITS])
    for name in PLACES:
        np.testing.assert_array_equal(own[name], places[name])
        np.testing.assert_array_equal(led[name], places[name])


def test_random_weights_and_noise_are_the_same_every_time():
    first, second = (make_network(monte_carlo=3) for _ in range(2))
    assert list(first.noise) == ["drop_noise"]
    noise = first.noise["drop_noise"]
    assert (noise.shape, noise.dtype) == ((3, 6, 4, 6), np.float32)
    assert noise.min() >= 0 and noise.max() < 1
    np.testing.assert_array_equal(noise, second.noise["drop_noise"])
    places = own_places(FRAMES[:1])
    for name, value in first(FRAMES[:1], places).items():
        np.testing.assert_array_equal(value, second(FRAMES[:1], places)[name])


def test_samples_take_one_frame_in_a_call():
    with pytest.raises(SegEdgeError, match="takes one frame in a call, got a batch of 2") as caught:
        make_network(batch=2, monte_carlo=3)
    assert "\n" not in str(caught.value)
    assert make_network(batch=1, monte_carlo=3).extra_outputs == TINY.extra_outputs(CLASSES, {"monte_carlo": 3})


def test_size_that_the_model_cannot_take_is_refused():
    with pytest.raises(SizeError, match="multiples of 8"):
        make_network(height=30)


# Weights


def test_weights_of_a_network_without_samples_are_those_of_one_with(tmp_path):
    trained = build_tiny(HEIGHT, WIDTH, CLASSES)
    generator = np.random.default_rng(3)
    trained.set_weights([generator.uniform(0.1, 1, weight.shape) for weight in trained.get_weights()])
    path = tmp_path / "best.weights.h5"
    trained.save_weights(path)
    places = own_places(FRAMES[:1])
    for samples in (0, 2):
        network = make_network(path, monte_carlo=samples)
        assert not np.allclose(
            network(FRAMES[:1], places)[LOGITS], make_network(monte_carlo=samples)(FRAMES[:1], places)[LOGITS]
        )
        for model in (network._model, network._compared):  # what is exported, and what it is compared with
            for weight, wanted in zip(model.get_weights(), trained.get_weights()):
                np.testing.assert_array_equal(weight, wanted.astype(np.float32))


@pytest.mark.parametrize("content", ["other classes", "no weights"])
def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "best.weights.h5"
    if content == "no weights":
        path.write_bytes(b"no weights at all")
    else:
        build_tiny(HEIGHT, WIDTH, CLASSES + 1).save_weights(path)
    with pytest.raises(WeightsError, match="does not fit bayesian_segnet") as caught:
        make_network(path)
    assert "\n" not in str(caught.value)


# The graph


@pytest.fixture(scope="module")
def exported():
    """Return a function that exports the network with some options at the first call."""
    graphs = {}

    def get(batch: int = 1, monte_carlo: int = 0):
        if (batch, monte_carlo) not in graphs:
            network = make_network(batch=batch, monte_carlo=monte_carlo)
            graphs[batch, monte_carlo] = network, network.to_onnx()
        return graphs[batch, monte_carlo]

    return get


@pytest.mark.parametrize(("batch", "monte_carlo"), [(1, 0), (2, 0), (1, 3)])
def test_graph_gives_the_numbers_of_the_network(exported, batch, monte_carlo):
    network, model = exported(batch, monte_carlo)
    actual = run_graph(model, network, FRAMES[:batch])
    expected = network(FRAMES[:batch], {name: actual[name] for name in PLACES})
    assert set(actual) == set(expected)
    for name, value in expected.items():
        # Sums of 48 and 54 products in another order.
        np.testing.assert_allclose(actual[name], value, atol=1e-5 * max(1, np.abs(value).max()), err_msg=name)


@pytest.mark.parametrize(("batch", "monte_carlo"), [(1, 0), (2, 0), (1, 3)])
def test_graph_takes_frames_and_noise_and_keeps_its_decisions_to_itself(exported, batch, monte_carlo):
    network, model = exported(batch, monte_carlo)
    noise = {"drop_noise": (3, 6, 4, 6)} if monte_carlo else {}
    assert shapes(model.graph.input) == {"frame": (batch, HEIGHT, WIDTH, 3), **noise}
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    size = (HEIGHT // STRIDE, WIDTH // STRIDE)
    extra = {"uncertainty": (1, 1, *size)} if monte_carlo else {}
    assert shapes(model.graph.output) == {LOGITS: (batch, CLASSES, *size), **extra}
    assert set(PLACES) <= {name for node in model.graph.node for name in node.output}
    assert network.decisions == PLACES


def test_graph_is_of_the_opset_and_format_that_tensorrt_8_5_reads(exported):
    _, model = exported()
    assert [(entry.domain, entry.version) for entry in model.opset_import if not entry.domain] == [("", OPSET)]
    assert (model.ir_version, OPSET, IR_VERSION) == (8, 17, 8)
    assert (model.graph.name, model.producer_name) == ("bayesian_segnet", "segedge")


def test_batch_norm_is_folded_and_nodes_are_named_after_layers(exported):
    _, model = exported()
    names = [node.name for node in model.graph.node]
    assert {"stem/Conv", "stem_relu/Relu", "classifier/Conv"} <= set(names)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert len(set(names)) == len(names)


def test_second_export_in_the_same_process_is_the_same_graph(exported):
    _, first = exported(1, 3)
    second = make_network(monte_carlo=3).to_onnx()
    assert second.SerializeToString(deterministic=True) == first.SerializeToString(deterministic=True)


def test_scalar_that_is_added_behind_a_convolution_without_bias_is_exported(monkeypatch):
    # MobileNetV3's hard sigmoid, behind convolutions whose biases are still zeros.
    def build(height, width, class_count, **options):
        frame = layers.Input((height, width, 3), name=FRAME)
        features = layers.Conv2D(class_count, STRIDE, STRIDE, name="stem")(normalize(frame))
        gate = layers.ReLU(6.0, name="gate")(features + 3.0) * (1.0 / 6.0)
        return keras.Model(frame, {LOGITS: gate}, name="scalar")

    spec = ModelSpec("bayesian_segnet", "Scalar", "none", build, STRIDE, 8, {})
    monkeypatch.setattr("train.models.model_spec", lambda name: spec)
    network = make_network()
    actual = run_graph(network.to_onnx(), network, FRAMES[:1])[LOGITS]
    expected = network(FRAMES[:1], {})[LOGITS]
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.ptp(expected))


@pytest.mark.parametrize("fails", [False, True])
def test_converter_is_left_as_it_was(monkeypatch, fails):
    def passes():
        methods = TransposeOptimizer._add_handler, Graph.extract_sub_graph_nodes
        return list(optimizer._get_optimizers()), methods, tf_loader.tf_optimize, tf_utils.numpy_helper

    before = passes()
    assert set(UNUSED_PASSES) & set(before[0])
    during = []

    def from_function(*arguments, **options):
        during.append(passes())
        raise RuntimeError("failed")

    if fails:
        monkeypatch.setattr("tf2onnx.convert.from_function", from_function)
        with pytest.raises(RuntimeError, match="failed"):
            make_network().to_onnx()
        assert not set(UNUSED_PASSES) & set(during[0][0])
    else:
        make_network().to_onnx()
    assert passes() == before


def test_versions_are_those_of_what_converts():
    versions = converter_versions()
    assert set(versions) == {"tensorflow", "keras", "onnx", "tf2onnx"}
    assert versions["keras"] == keras.__version__ and versions["onnx"] == onnx.__version__
