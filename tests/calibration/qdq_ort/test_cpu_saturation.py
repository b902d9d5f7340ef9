"""Which processors add 8-bit products in sums that saturate."""

from __future__ import annotations

import pathlib
import platform

import pytest

pytest.importorskip("onnx")

from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.qdq_ort.cpu_saturation import relied_cpu_features, unsigned_levels
from edge.card import VNNI
from tests.calibration import graph_drawing as drawing


@pytest.mark.parametrize(
    ("cpuinfo", "levels"),
    [
        ("model name : a\nflags\t\t: fpu avx2 avx512_vnni\n", 255),
        ("flags\t\t: fpu avx_vnni\n", 255),
        ("flags\t\t: fpu avx2\n", 127),
        ("processor : 0\nFeatures : fp asimd\n", 255),  # Arm
    ],
)
def test_levels_follow_the_cpu(monkeypatch, cpuinfo, levels):
    monkeypatch.setattr(pathlib.Path, "read_text", lambda self, **options: cpuinfo)
    assert unsigned_levels() == levels


@pytest.mark.parametrize(("architecture", "levels"), [("x86_64", 127), ("arm64", 255)])
def test_unknown_cpu_gets_the_safe_levels_of_its_architecture(monkeypatch, architecture, levels):
    def fail(self, **options):
        raise FileNotFoundError

    monkeypatch.setattr(pathlib.Path, "read_text", fail)
    monkeypatch.setattr(platform, "machine", lambda: architecture)
    assert unsigned_levels() == levels


@pytest.mark.parametrize(("levels", "features"), [(255, (VNNI,)), (127, ())])
def test_weights_of_all_steps_rely_on_vnni(levels, features):
    network = drawing.make_network()
    ranges = drawing.ranges_of(network, drawing.frames(1))
    quantized = quantize(network, ranges, QuantizationConfig("min-max"), "onnxruntime", levels)
    assert relied_cpu_features(quantized.data) == features


def test_float_graph_relies_on_nothing():
    assert relied_cpu_features(drawing.make_network().SerializeToString()) == ()
