"""Whether sums of 8-bit products saturate in integer kernels: on this processor, and with the weights of a graph."""

from __future__ import annotations

import numpy as np

from calibration.onnx_graph.file import parse_graph
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import WEIGHTED
from edge.card import VNNI
from edge.machine import sums_saturate

REDUCED_WEIGHT_LEVELS = 63
"""Steps of a weight on either side of zero where two products of uint8 and int8 are added in 16 bits: 2 * 255 * 63 is
32130, which an int16 holds. Activations cannot be the ones to give way: a value above its range rounds to 255 whatever
the scale is. Source: Intel, intrinsics guide, _mm256_maddubs_epi16; ONNX Runtime, "Quantize ONNX models" (reduce_range:
"quantize weights with 7 bits")."""


def unsigned_levels() -> int:
    """Return the largest uint8 that int8 weights of 127 steps can be multiplied by: 255, or 127 on x86 without VNNI.

    Without VNNI, x86 adds two 8-bit products in 16 bits and saturates: 2 * 255 * 127 does not fit, 2 * 127 * 127 does.
    calibration.qdq.insert gives weights fewer steps then. Source: ONNX Runtime documentation, "Quantize ONNX models",
    on AVX2 and AVX512.
    """
    return 127 if sums_saturate() else 255


def relied_cpu_features(data: bytes) -> tuple[str, ...]:
    """Return the features that x86 processors need to compute a quantised graph of ONNX Runtime's form.

    Args:
        data: content of an ONNX file.

    Returns:
        VNNI alone where weights of a layer have more than 63 steps on either side of zero, else nothing.

    Raises:
        GraphError: the graph cannot be read.
        MissingDependencyError: onnx is not installed.
    """
    view = OnnxGraph(parse_graph(data, "asking what a quantised graph needs"), lenient=True)
    for node in view.of(*WEIGHTED):
        dequantize = view.producer(node.input[1], "DequantizeLinear")
        integers = view.value_of(dequantize.input[0]) if dequantize is not None else None
        is_weight = integers is not None and integers.dtype == np.int8 and integers.size > 0
        if is_weight and np.abs(integers.astype(np.int16)).max() > REDUCED_WEIGHT_LEVELS:
            return (VNNI,)
    return ()
