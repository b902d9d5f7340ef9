"""A graph that gives labels itself gives those of post-processing, and an engine of it is run like any other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.contract import Contract, OutputTensor
from edge.errors import ContractError, GraphError
from edge.postprocess import reference_labels
from edge.provenance import WeightsProvenance
from edge.runtime.onnxruntime import OnnxRuntimeRunner
from edge.segmenter import Segmenter
from export.graph.label_ending import LABELS, label_contract, with_labels

onnx = pytest.importorskip("onnx")

HEIGHT, WIDTH, STRIDE, CLASSES = 32, 48, 8, 5


@pytest.fixture(params=["half_pixel", "align_corners"])
def network(request):
    """A strided convolution with random weights, and its contract."""
    weight = np.random.default_rng(3).normal(size=(CLASSES, 3, STRIDE, STRIDE)).astype(np.float32)
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=kinds.FLOAT),
        helper.make_node("Transpose", ["float"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["channels", "weight"], ["logits"], strides=[STRIDE, STRIDE]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("frame", kinds.UINT8, [1, HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info("logits", kinds.FLOAT, [1, CLASSES, HEIGHT // STRIDE, WIDTH // STRIDE])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    contract = Contract(
        model="net",
        dataset="own",
        class_names=tuple("abcde"),
        height=HEIGHT,
        width=WIDTH,
        stride=STRIDE,
        coordinates=request.param,
        input_name="frame",
        output_name="logits",
        graph_sha256="0" * 64,
        weights=WeightsProvenance("random", "seed 3", "0" * 64),
        source_sha256="0" * 64,
        opset=17,
        versions={},
    )
    return model.SerializeToString(), contract


def test_labels_are_those_of_post_processing(network):
    graph, contract = network
    frame = np.random.default_rng(4).integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)
    with OnnxRuntimeRunner(graph, contract) as runner:
        expected = reference_labels(runner.infer(frame), HEIGHT, WIDTH, contract.coordinates)
    with OnnxRuntimeRunner(with_labels(graph, contract), label_contract(contract)) as runner:
        labels = runner.infer(frame)
        assert (labels.shape, labels.dtype) == ((HEIGHT, WIDTH), np.uint8)
        assert len(np.unique(expected)) > 2
        np.testing.assert_array_equal(labels, expected)
        segmenter = Segmenter(runner, "rgb")
        segmentation = segmenter(frame[0])
        np.testing.assert_array_equal(segmentation.labels, expected)
        assert set(segmentation.stage_ns) == {"preprocess", "inference", "postprocess"}
        large = segmenter(frame[0], 2 * HEIGHT, 2 * WIDTH).labels
        np.testing.assert_array_equal(large[::2, ::2], expected)


def test_name_that_the_graph_has_already_is_refused(network):
    graph, contract = network
    with pytest.raises(GraphError, match=f"the graph has the tensor '{LABELS}'"):
        with_labels(with_labels(graph, contract), contract)


def test_contract_of_labels_has_no_further_outputs(network):
    contract = label_contract(network[1])
    assert contract.output_shapes == {LABELS: (1, HEIGHT, WIDTH)}
    with pytest.raises(ContractError, match="gives labels and centres"):
        dataclasses.replace(contract, extra_outputs=(OutputTensor("centres", 1, "centre heat map"),))
