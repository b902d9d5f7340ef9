"""A conversion with stand-ins for the weights gives the bytes that it gives without, and does use them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")

import keras
import onnx
import tf2onnx
from keras import layers
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.python.framework.tensor_util import MakeNdarray

from edge.labels import CITYSCAPES
from export.from_keras import network as network_module
from export.from_keras import stand_ins
from export.from_keras.network import KerasNetwork
from export.from_keras.stand_ins import LEAST_BYTES, StandInError, WeightTable, key_of, restore
from train.models.base import FRAME, LOGITS, ModelSpec, normalize
from train.options import resolve_options


def make_network(model: str, height: int, width: int, batch: int = 1, **options) -> KerasNetwork:
    classes = len(CITYSCAPES.class_names)
    return KerasNetwork(model, resolve_options(model, options), classes, height, width, batch, None)


def plain(monkeypatch) -> None:
    """Let the conversions of this test do without stand-ins."""

    def none(module):
        raise StandInError("not wanted")

    monkeypatch.setattr(network_module, "stand_ins", none)


def serialised(network: KerasNetwork) -> bytes:
    return network.to_onnx().SerializeToString(deterministic=True)


def build_small(height: int, width: int, class_count: int, **options) -> keras.Model:
    """Every reader of weights in a few layers: scaled and not, transposed, depthwise, dilated, equal, of one number."""
    frame = layers.Input((height, width, 3), name=FRAME)
    features = layers.Conv2D(64, 3, 2, padding="same", use_bias=False, name="stem")(normalize(frame))
    features = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_bn")(features))
    features = layers.Conv2D(96, 3, padding="same", dilation_rate=2, use_bias=False, name="dilated")(features)
    features = layers.BatchNormalization(name="dilated_bn")(features)
    features = layers.DepthwiseConv2D(5, padding="same", use_bias=False, name="depthwise")(features)
    features = layers.ReLU(name="depthwise_relu")(layers.BatchNormalization(name="depthwise_bn")(features))
    features = layers.Conv2DTranspose(48, 2, 2, name="transposed")(features)
    one = layers.Conv2D(48, 1, kernel_initializer=keras.initializers.Constant(0.01), use_bias=False, name="one")(
        features
    )
    one = layers.BatchNormalization(name="one_bn")(one)
    same = [
        layers.Conv2D(48, 1, kernel_initializer=keras.initializers.GlorotUniform(seed=1), name=f"same{index}")(one)
        for index in range(2)
    ]
    gate = layers.Dense(48, name="gate")(layers.GlobalAveragePooling2D(keepdims=True, name="mean")(features))
    shared = layers.Conv2D(48, 3, padding="same", name="shared")
    features = layers.Add(name="sum")([*same, layers.Multiply(name="gated")([features, gate])])
    features = layers.BatchNormalization(name="shared_bn")(shared(shared(features)))
    return keras.Model(frame, {LOGITS: layers.Conv2D(class_count, 1, name="classifier")(features)}, name="small")


SMALL = ModelSpec("bayesian_segnet", "Small", "none", build_small, 1, 8, {})


@pytest.fixture
def small(monkeypatch):
    """Give networks of `build_small`, with statistics and scales that are not those of the start."""
    monkeypatch.setattr("train.models.model_spec", lambda name: SMALL)

    def make() -> KerasNetwork:
        network = make_network("bayesian_segnet", 32, 48)
        rng = np.random.default_rng(5)
        for layer in network._model.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.set_weights([rng.uniform(0.5, 2.0, value.shape) for value in layer.get_weights()])
        return network

    return make


@pytest.fixture
def tables(monkeypatch):
    """Collect how many arrays stand behind each model that weights are put into."""
    seen = []

    def counted(model, table):
        seen.append(sum(key_of(tensor.raw_data) is not None for tensor in model.graph.initializer))
        restore(model, table)

    monkeypatch.setattr(network_module, "restore", counted)
    return seen


def test_graph_is_the_same_to_the_byte(small, tables, monkeypatch):
    with_stand_ins = serialised(small())
    (stood_in,) = tables
    graph = onnx.load_model_from_string(with_stand_ins).graph
    large = [tensor for tensor in graph.initializer if len(tensor.raw_data) >= LEAST_BYTES]
    assert stood_in >= len(large) >= 8  # the hooks are those of the tf2onnx and TensorFlow that are installed
    plain(monkeypatch)
    assert serialised(small()) == with_stand_ins
    assert len(tables) == 1


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("fast_scnn", {}),
        ("unet", {"batch_norm": True, "base_width": 16}),
        pytest.param("panoptic_deeplab", {"backbone": "mobilenet_v3_large"}, marks=pytest.mark.slow),
        *(
            pytest.param(name, {}, marks=pytest.mark.slow)
            for name in ("unet", "bayesian_segnet", "deeplabv3plus", "panoptic_deeplab", "fastfcn")
        ),
        pytest.param("bayesian_segnet", {"monte_carlo": 2}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_graph_of_every_architecture_is_the_same_to_the_byte(model, options, tables, monkeypatch):
    height, width = {"fast_scnn": (96, 160), "fastfcn": (128, 256)}.get(model, (64, 128))
    with_stand_ins = serialised(make_network(model, height, width, **options))
    assert len(tables) == 1 and tables[0] >= 15
    plain(monkeypatch)
    assert serialised(make_network(model, height, width, **options)) == with_stand_ins


def test_weights_pass_grappler_thin(small, monkeypatch):
    sizes = {}

    def make_thin(graph_def, table):
        kernels = original(graph_def, table)
        sizes.update({node.name: node.ByteSize() for node in graph_def.node if node.name in kernels})
        return kernels

    original = stand_ins._make_thin
    monkeypatch.setattr(stand_ins, "_make_thin", make_thin)
    small().to_onnx()
    assert {name.split("/")[1].rsplit("_", 1)[0] for name in sizes} >= {"dilated", "same0", "same1", "shared"}
    assert max(sizes.values()) < 1000


@pytest.mark.parametrize("missing", ["no such function", "another product"])
def test_where_stand_ins_cannot_be_used_the_graph_is_the_same(missing, small, tables, monkeypatch):
    expected = serialised(small())
    before = [getattr(module, name) for module, name, _ in stand_ins._hooks(tf2onnx, WeightTable())]
    if missing == "another product":
        monkeypatch.setattr(stand_ins, "_PROBE", np.float32(3))
        monkeypatch.setattr(stand_ins, "_make_thin", lambda graph, table: make_thin_of_twos(graph, table))
    else:
        hooks = stand_ins._hooks

        def one_more(module, table):
            return [*hooks(module, table), (module.graph, "no_such_function", lambda original: original)]

        monkeypatch.setattr(stand_ins, "_hooks", one_more)
    assert serialised(small()) == expected
    assert len(tables) == 1
    monkeypatch.undo()
    assert [getattr(module, name) for module, name, _ in stand_ins._hooks(tf2onnx, WeightTable())] == before


def make_thin_of_twos(graph_def, table, make_thin=stand_ins._make_thin):
    kernels = make_thin(graph_def, table)
    for node in graph_def.node:
        if node.name in kernels and node.op == "Const":
            node.attr["value"].tensor.float_val[:] = [2.0]
    return kernels


# The table


def test_equal_arrays_share_a_key_and_others_do_not():
    table = WeightTable()
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    key = table.add(array)
    assert table.add(array.T.copy().T) == key  # laid out otherwise
    assert table.add(array.reshape(3, 2)) != key
    assert table.add(array.T) != key
    assert table.add(array + 1) != key
    assert len(table) == 4
    table.keep({key})
    assert len(table) == 1
    np.testing.assert_array_equal(table[key], array)


def test_array_of_the_table_is_not_changed_by_a_reader():
    table = WeightTable()
    key = table.add(np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="read-only"):
        table[key][0] = 1


def a_model(tensor, node=None):
    nodes = [node or onnx.helper.make_node("Add", ["x", "w"], ["y"], name="add")]
    return onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], [tensor]))


def test_arrays_take_the_place_of_their_stand_ins():
    table = WeightTable()
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = onnx.TensorProto(name="w", dims=array.T.shape, data_type=1, raw_data=table.add(array.T))
    model = a_model(tensor)
    restore(model, table)
    assert model.graph.initializer[0] == onnx.numpy_helper.from_array(array.T, "w")
    assert len(table) == 0


def test_stand_in_of_another_shape_is_refused():
    table = WeightTable()
    tensor = onnx.TensorProto(name="w", dims=(6,), data_type=1, raw_data=table.add(np.zeros((2, 3), np.float32)))
    with pytest.raises(StandInError, match="w has the shape"):
        restore(a_model(tensor), table)


def test_stand_in_in_an_attribute_is_refused():
    table = WeightTable()
    tensor = onnx.TensorProto(name="w", dims=(2, 3), data_type=1, raw_data=table.add(np.zeros((2, 3), np.float32)))
    node = onnx.helper.make_node("Constant", [], ["y"], name="constant", value=tensor)
    with pytest.raises(StandInError, match="constant has a stand-in as its value"):
        restore(a_model(tensor, node), table)


# Around Grappler


def graph_of(kernel: np.ndarray, reader: str, table: WeightTable) -> GraphDef:
    """Return a frozen graph: a stand-in, its read, and who reads that."""
    graph = GraphDef()
    constant = graph.node.add(name="kernel/resource", op="Const")
    constant.attr["value"].tensor.CopyFrom(
        stand_ins._stand_in(type(constant.attr["value"].tensor), table.add(kernel), kernel.shape)
    )
    graph.node.add(name="kernel", op="Identity", input=["kernel/resource"])
    graph.node.add(name="reader", op=reader, input=["frame", "kernel"])
    graph.node.add(name="done", op="NoOp", input=["^kernel"])
    return graph


@pytest.mark.parametrize(
    ("shape", "reader", "channels"),
    [
        ((3, 3, 64, 128), "Conv2D", 1),
        ((1, 1, 96, 64), "Conv2D", 3),
        ((3, 3, 9, 64), "Conv2D", None),  # no common divisor
        ((3, 3, 64, 128), "Conv2DBackpropInput", None),
        ((5, 5, 128, 1), "DepthwiseConv2dNative", None),
    ],
)
def test_kernel_is_as_thin_as_groups_allow(shape, reader, channels):
    table, kernel = WeightTable(), np.random.default_rng(0).normal(size=shape).astype(np.float32)
    graph = graph_of(kernel.copy(), reader, table)
    kernels = stand_ins._make_thin(graph, table)
    value = MakeNdarray(graph.node[0].attr["value"].tensor)
    if channels is None:
        assert kernels == {}
        np.testing.assert_array_equal(value, kernel)
    else:
        assert set(kernels) == {"kernel/resource", "kernel", "reader/merged_input"}
        assert value.shape == (*shape[:2], channels, shape[3]) and (value == 2).all()


def test_kernel_of_one_number_keeps_it():
    table = WeightTable()
    graph = graph_of(np.zeros((3, 3, 64, 64), np.float32), "Conv2D", table)
    assert stand_ins._make_thin(graph, table) == {}
    assert not MakeNdarray(graph.node[0].attr["value"].tensor).any()


def optimised(name: str, factor: np.ndarray) -> tuple[GraphDef, WeightTable, dict, np.ndarray]:
    """Return what Grappler may make of a kernel (3, 3, 64, 32): a constant of a name, twice a factor."""
    table, kernel = WeightTable(), np.random.default_rng(0).normal(size=(3, 3, 64, 32)).astype(np.float32)
    graph = graph_of(kernel.copy(), "Conv2D", table)
    kernels = stand_ins._make_thin(graph, table)
    node = GraphDef().node.add(name=name, op="Const")
    values = np.broadcast_to(np.float32(2) * factor, (3, 3, 2, 32)).astype(np.float32)
    node.attr["value"].tensor.CopyFrom(type(node.attr["value"].tensor)(dtype=1, tensor_content=values.tobytes()))
    for side in values.shape:
        node.attr["value"].tensor.tensor_shape.dim.add(size=side)
    graph = GraphDef()
    graph.node.append(node)
    return graph, table, kernels, kernel


def test_kernel_is_multiplied_as_grappler_multiplied_the_thin_one():
    factor = np.random.default_rng(1).normal(size=32).astype(np.float32)
    graph, table, kernels, kernel = optimised("reader/merged_input", factor)
    stand_ins._make_whole(graph, kernels, table, MakeNdarray)
    key = key_of(graph.node[0].attr["value"].tensor.tensor_content)
    np.testing.assert_array_equal(table[key], kernel * factor)


@pytest.mark.parametrize(
    ("name", "factor", "message"),
    [
        ("kernel", np.float32(3), "kernel was multiplied"),
        ("reader/merged_input", np.arange(64, dtype=np.float32).reshape(2, 32), "no kernel times a factor"),
    ],
)
def test_what_grappler_made_of_a_kernel_otherwise_is_refused(name, factor, message):
    graph, table, kernels, _ = optimised(name, factor)
    with pytest.raises(StandInError, match=message):
        stand_ins._make_whole(graph, kernels, table, MakeNdarray)
