"""What is computed once when a graph is adopted, and what has to stay for every frame."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import helper

from export.adopt.cleaning import fold_constants
from tests.export.foreign_graphs import CLASSES, HEIGHT, WIDTH, street_network


@pytest.mark.parametrize("operator", ["RandomUniform", "RandomNormal"])
def test_noise_without_an_input_is_drawn_for_every_frame(operator):
    model = street_network("logits")
    shape = [1, CLASSES, HEIGHT // 4, WIDTH // 4]
    model.graph.node.append(helper.make_node(operator, [], ["noise"], name="net/noise", shape=shape))
    model.graph.node.append(helper.make_node("Add", ["logits4", "noise"], ["noisy"], name="net/noisy"))
    model.graph.output[0].name = "noisy"
    fold_constants(model)
    assert operator in [node.op_type for node in model.graph.node]
    assert "noise" not in {tensor.name for tensor in model.graph.initializer}
