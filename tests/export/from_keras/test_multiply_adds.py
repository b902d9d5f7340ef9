"""The two counters of multiply-adds agree: on the Keras model, and on the ONNX graph that it becomes."""

from __future__ import annotations

import pytest

pytest.importorskip("tensorflow")

from calibration.onnx_graph.mac_count import count_macs
from export.from_keras.network import KerasNetwork
from train.models import MODELS, model_spec
from train.models.graph_statistics import count_model
from train.options import resolve_options

HEIGHT, WIDTH, CLASSES = 64, 96, 5


def counts(name: str, options: dict) -> tuple[int, int]:
    """Return the multiply-adds of a network in Keras and in ONNX, which counts products alone: both are exact."""
    in_keras = count_model(model_spec(name), HEIGHT, WIDTH, CLASSES, options).multiply_adds
    graph = KerasNetwork(name, resolve_options(name, options), CLASSES, HEIGHT, WIDTH, 1, None).to_onnx()
    return in_keras, sum(count_macs(graph).values())


def test_keras_and_onnx_are_counted_alike():
    in_keras, in_onnx = counts("unet", {"base_width": 4, "batch_norm": True})
    assert in_keras == in_onnx > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in MODELS), ("bayesian_segnet", {"monte_carlo": 2})], ids=str
)
def test_every_architecture_is_counted_alike(name, options):
    in_keras, in_onnx = counts(name, options)
    assert in_keras == in_onnx > 0
