"""The linter's rules about the positions of Q/DQ pairs: fusions, shared scales, and pairs that gain nothing.

calibration/lint_rules/qdq_nodes.py lists the sources by the names that the rules use for them. All of these rules are
advice: a graph that breaks one runs, but slower or less accurately.
"""

from __future__ import annotations

from typing import Any, Dict

from calibration.lint_rules.graph import ACTIVATIONS, BOTH, PASSING, QUANTIZABLE, Found, QdqGraph, rule
from calibration.onnx_graph.node import WEIGHTED, interpolates, name_of
from calibration.qdq.placement import HOSTILE_RATIO

_LAST_DIGIT = 2.0**-22
"""Relative; two neighbours of float32 differ by at most 2 ** -23."""

# What belongs together


@rule("warning", "Move the pair behind the activation, or take it away.")
def layer_and_activation_are_together(graph: QdqGraph) -> Found:
    """No pair parts a layer with multiply-adds from its BatchNormalization or activation, nor these two.

    The backend fuses the three, and rounds once, at the end; a pair between them rounds what the activation
    wants to read exactly.

    Source: the guide, 7.4.4 (do not simulate batch normalization and ReLU fusions; do not quantise the outputs of
    weighted operations by default).
    """
    for quantize, dequantize in graph.pairs():
        first = graph.producer(quantize.input[0], *WEIGHTED, "BatchNormalization")
        readers = [reader for reader, index in graph.readers.get(dequantize.output[0], ()) if index == 0]
        parted = [node for node in readers if node.op_type in (*ACTIVATIONS, "BatchNormalization")]
        if first is not None and parted:
            what = f"{first.op_type} {name_of(first)} and {parted[0].op_type} {name_of(parted[0])}"
            yield name_of(quantize), f"stands between {what}, expected nothing there"


@rule("warning", "Fold the BatchNormalization into weight and bias before quantising.", BOTH)
def batch_norm_is_folded(graph: QdqGraph) -> Found:
    """No BatchNormalization is left behind a quantised convolution.

    Folded before, its factors are in the weights that the scales are measured on; folded by the backend, they
    stretch weights that are rounded already.

    Source: the guide, 7.4.4 (TensorRT fuses it where the arithmetic allows).
    """
    for node in graph.of("BatchNormalization"):
        layer = graph.producer(node.input[0], *WEIGHTED)
        if layer is not None and graph.weight_quantizers(layer):
            yield name_of(node), f"is a BatchNormalization behind the quantised {name_of(layer)}, expected none"


# Residual additions


@rule("warning", "Put a Q/DQ pair on the input of the Add that does not come from the fused convolution.")
def residual_is_quantized(graph: QdqGraph) -> Found:
    """Where a quantised convolution is fused with an Add, the other input of the Add is dequantised.

    The other input decides whether the fused kernel writes integers.

    Source: the guide, 7.4.4 (residual connections: the figures of the fused element-wise addition).
    """
    for node in graph.of("Add"):
        if any(graph.constant_root(name) for name in node.input):
            continue
        layers = [graph.fused_convolution(name) for name in node.input]
        if any(layers) and not any(graph.is_dequantized(name) for name in node.input):
            at = 1 if layers[1] is not None else 0
            other = node.input[1 - at]
            yield (
                name_of(node),
                f"is fused with {name_of(layers[at])}, but its other input {other} is float; expected Q/DQ",
            )


@rule("warning", "Take the pair away from the input that comes straight from the convolution.")
def fused_branch_is_float(graph: QdqGraph) -> Found:
    """Of the two inputs of an Add, the one that a convolution gives has no pair.

    With pairs on both, the convolution rounds and stores its result, and the Add runs as a kernel of its own.

    Source: the guide, 7.4.4 (residual connections).
    """
    for node in graph.of("Add"):
        if not all(graph.producer(name, "DequantizeLinear") for name in node.input):
            continue
        for name in node.input:
            quantize = graph.producer(graph.producers[name].input[0], "QuantizeLinear")
            alone = graph.only_reader(name) is not None and quantize is not None
            alone = alone and graph.only_reader(quantize.output[0]) is not None
            layer = graph.fused_convolution(quantize.input[0]) if alone else None
            if layer is not None:
                yield name_of(node), f"reads the convolution {name_of(layer)} through a Q/DQ pair, expected it at once"
                break


# Shared scales


def _stored_scale(graph: QdqGraph, tensor: str) -> float | None:
    """Return the scale at which a tensor is stored as integers; None if it is not, or not at one known scale."""
    dequantize = graph.producer(tensor, "DequantizeLinear")
    if dequantize is not None:
        return graph.only_scale(dequantize)
    scales = {graph.only_scale(node) for node in graph.quantizing_readers(tensor)}
    return scales.pop() if len(scales) == 1 else None


@rule("warning", "Quantise both sides at the scale of the larger range.", BOTH)
def passed_on_values_keep_their_scale(graph: QdqGraph) -> Found:
    """Where an operator only hands values on, they are quantised at one scale in front of it and behind it.

    MaxPool, Slice, Reshape, Transpose, Squeeze, Flatten, Split, Pad, Resize. A Q moves in front of such an operator
    only to meet an equal one. A Resize that interpolates is held to it if a pair stands in front of it; scales that
    differ in the last digit of a float32 alone round alike there, and ONNX Runtime's form needs them
    (interpolation_has_its_own_scale).

    Source: the guide, 7.4.3 (Q/DQ propagation, commuting layers) and 7.4.5 (rewrites need equal scales). ONNX
    Runtime runs them on integers on the same condition.
    """
    for quantize in graph.of("QuantizeLinear"):
        after, tensor = graph.only_scale(quantize), quantize.input[0]
        node = graph.producers.get(tensor)
        while after is not None and node is not None and node.op_type != "Concat" and graph.passes(node):
            before = _stored_scale(graph, node.input[0])
            tolerance = _LAST_DIGIT if interpolates(node) else 0.0
            if before is not None and abs(before - after) > tolerance * after:
                what = f"reads {node.input[0]} at scale {before:g} and gives {tensor} at {after:g}"
                yield name_of(node), f"is a {node.op_type} that {what}, expected one scale"
            if before is not None:
                break
            tensor = node.input[0]
            node = graph.producers.get(tensor)


def _concat_scales(graph: QdqGraph, node: Any) -> Dict[str, float]:
    """Return the known scales at which the inputs and the output of a Concat are stored, by tensor."""
    scales = {}
    for name in dict.fromkeys((*node.input, node.output[0])):
        scale, source = _stored_scale(graph, name), name
        producer = graph.producers.get(source)
        # What only moves on the way to the Concat is stored at the scale in front.
        while scale is None and name != node.output[0] and producer is not None and producer.op_type != "Concat":
            if not graph.passes(producer):
                break
            source = producer.input[0]
            scale, producer = _stored_scale(graph, source), graph.producers.get(source)
        if scale is not None:
            scales[name] = scale
    return scales


@rule("warning", "Quantise all of them at the scale of the largest range.")
def concat_has_one_scale(graph: QdqGraph) -> Found:
    """What a Concat joins is quantised at one scale, which is that of its output too.

    Source: the guide, 7.4.3 and 7.4.5 (two Q move in front of an operator only where their scales are equal).
    """
    for node in graph.of("Concat"):
        scales = _concat_scales(graph, node)
        if len(set(scales.values())) > 1 and not _is_hostile(scales):
            least, largest = _extremes(scales)
            yield name_of(node), f"joins {least} and {largest}, expected one scale"


@rule(
    "warning",
    "Keep what reads the smaller one in float, or equalise the branches; sharing one scale costs the bits.",
)
def concat_ranges_are_alike(graph: QdqGraph) -> Found:
    """What a Concat joins has ranges of about one size.

    Where one is many times another, a scale for both leaves the smaller one few steps. At the factor of
    calibration/qdq/placement.py, that is a loss of two bits.

    Source: the guide, 7.4.4 (a placement is a trade of accuracy for speed).
    """
    for node in graph.of("Concat"):
        scales = _concat_scales(graph, node)
        if _is_hostile(scales):
            least, largest = _extremes(scales)
            factor = max(scales.values()) / min(scales.values())
            yield (
                name_of(node),
                f"joins {least} and {largest}, a factor of {factor:.3g}; expected at most {HOSTILE_RATIO:g}",
            )


def _is_hostile(scales: dict[str, float]) -> bool:
    return bool(scales) and max(scales.values()) > HOSTILE_RATIO * min(scales.values()) > 0


def _extremes(scales: dict[str, float]) -> tuple[str, str]:
    names = min(scales, key=lambda name: scales[name]), max(scales, key=lambda name: scales[name])
    return f"{names[0]} at scale {scales[names[0]]:g}", f"{names[1]} at {scales[names[1]]:g}"


@rule("warning", "Use one pair for all readers, with the scale of the tensor's range.", BOTH)
def tensor_is_quantized_at_one_scale(graph: QdqGraph) -> Found:
    """All Q nodes that read one tensor have the same scale, or it is stored twice.

    Source: the guide, 7.4.5 (Q nodes are merged and moved where their scales are equal).
    """
    for tensor in graph.readers:
        quantizers = graph.quantizing_readers(tensor)
        scales = [graph.only_scale(node) for node in quantizers]
        other = next(
            (index for index, scale in enumerate(scales) if None not in (scale, scales[0]) and scale != scales[0]), 0
        )
        if other and not graph.constant_root(tensor):
            what = f"{tensor} at scale {scales[other]:g}, and {name_of(quantizers[0])} at {scales[0]:g}"
            yield name_of(quantizers[other]), f"quantises {what}; expected one"


# Pairs that do nothing


@rule("warning", "Take the pair away: outputs of the network are float.")
def network_output_is_float(graph: QdqGraph) -> Found:
    """No pair stands on an output of the network, nor right behind the layer that gives one.

    Such a pair rounds logits, and gains nothing: whoever reads an output wants float.

    Source: the guide, 7.4.4 (do not quantise the outputs of weighted operations by default).
    """
    for output in sorted(graph.outputs):
        tensor, is_behind = output, False
        node = graph.producers.get(tensor)
        while node is not None:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                quantize = graph.producer(node.input[0], "QuantizeLinear") if node.op_type[0] == "D" else node
                is_last = quantize is not None and _comes_from_layer(graph, quantize.input[0])
                if not is_behind or is_last:
                    where = "on the output" if not is_behind else "right behind the layer that gives the output"
                    yield name_of(node), f"stands {where} {output}, expected float"
                break
            computed = graph.computed_inputs(node)
            if node.op_type in WEIGHTED or len(computed) != 1:
                break
            tensor, is_behind = computed[0], True
            node = graph.producers.get(tensor)


def _comes_from_layer(graph: QdqGraph, tensor: str) -> bool:
    activation = graph.producer(tensor, *ACTIVATIONS)
    return graph.producer(activation.input[0] if activation is not None else tensor, *WEIGHTED) is not None


@rule("warning", "Take one of the two pairs away.", BOTH)
def pair_is_not_repeated(graph: QdqGraph) -> Found:
    """No pair stands directly behind another: at the same scale it changes nothing, at another it rounds again.

    Source: the guide, 7.4.4 (be conservative with Q/DQ; additional ones break fusions).
    """
    for node in graph.of("QuantizeLinear"):
        before = graph.producer(node.input[0], "DequantizeLinear")
        if before is not None:
            yield name_of(node), f"quantises what {name_of(before)} has just dequantised, expected one pair"


@rule("warning", "Take the pair away, or quantise what reads it on both sides.")
def pair_serves_integers(graph: QdqGraph) -> Found:
    """Something runs on integers behind each pair, at once or behind operators that do so between two pairs.

    Layers with multiply-adds; an Add that is fused with a convolution; and what has a Q behind it again, since an
    operator without weights gives integers if it reads them.

    Source: the guide, 7.4.4 (non-weighted layers with INT8 inputs also require INT8 outputs; where TensorRT cannot
    fuse an operator with the Q/DQ around it, performance suffers).
    """
    known: dict[str, bool] = {}
    for quantize in graph.of("QuantizeLinear"):
        if graph.constant_root(quantize.input[0]):
            continue
        dequantizers = [node for node, _ in graph.readers.get(quantize.output[0], ())]
        tensors = [node.output[0] for node in dequantizers if node.op_type == "DequantizeLinear"]
        if quantize.output[0] in graph.outputs or any(name in graph.outputs for name in tensors):
            continue  # network_output_is_float says it
        if len(tensors) == len(dequantizers) and not any(_reaches_integers(graph, name, known) for name in tensors):
            readers = [name_of(node) for name in tensors for node, _ in graph.readers.get(name, ())]
            what = f"only {', '.join(readers[:3])} reads, in float" if readers else "nothing reads"
            yield name_of(quantize), f"begins a pair that {what}; expected an operator on integers"


def _reaches_integers(graph: QdqGraph, start: str, known: dict[str, bool]) -> bool:
    """Return whether a node behind a dequantised tensor computes with integers."""
    waiting, seen = [start], set()
    while waiting:
        tensor = waiting.pop()
        if tensor in seen or known.get(tensor) is False:
            continue
        seen.add(tensor)
        if known.get(tensor) or any(
            _computes_integers(graph, node, index) for node, index in graph.readers.get(tensor, ())
        ):
            known[start] = True
            return True
        for node, _ in graph.readers.get(tensor, ()):
            if node.op_type in (*PASSING, *ACTIVATIONS, *QUANTIZABLE):
                waiting.extend(node.output)
    known.update(dict.fromkeys(seen, False))
    return False


def _computes_integers(graph: QdqGraph, node: Any, index: int) -> bool:
    if index < 0:
        return True  # a body of If or Loop, which is not looked into
    if node.op_type == "Add" and any(graph.fused_convolution(name) is not None for name in node.input):
        return True
    if node.op_type not in WEIGHTED or index > 1:
        return node.op_type == "QuantizeLinear"
    # Of a layer that is quantised by half, another rule speaks.
    return graph.is_quantized(node) or graph.producer(node.input[index], "DequantizeLinear") is not None


PLACEMENT_RULES = (
    layer_and_activation_are_together,
    batch_norm_is_folded,
    residual_is_quantized,
    fused_branch_is_float,
    passed_on_values_keep_their_scale,
    concat_has_one_scale,
    concat_ranges_are_alike,
    tensor_is_quantized_at_one_scale,
    network_output_is_float,
    pair_is_not_repeated,
    pair_serves_integers,
)
