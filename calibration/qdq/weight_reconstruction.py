"""Rounding of weights by reconstruction: each weight is rounded so that it makes up for the errors of those before it.

Rounding to the nearest makes the error of each weight small, while what counts is the error of the layer's output. With
H = E[x x^T] over the patches x that the layer sees, a row of weights w that becomes q costs (w - q) H (w - q)^T. The
weights of a row are rounded one after the other, those with the most powerful inputs first, and the error so far is
taken off the next weight by what the inputs have in common: the rest of a row answers with its optimum each time.

With H = L L^T (Cholesky) the cost is |(w - q) L|^2, whose last component depends on the last weight alone, and so on
upwards. So the weights are sorted by power with the largest at the end, and go from the end to the front:

    q_j = round((w_j + sum over i > j of (w_i - q_i) L_ij / L_jj) / step)

It is Optimal Brain Quantization in a fixed order, which GPTQ does through the inverse of H; without an inverse it is
the nearest-plane algorithm of lattices.

Sources: Frantar and Alistarh, "Optimal Brain Compression", 2022, section 5; Frantar et al., "GPTQ", 2022, sections 3.2
and 3.3; Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", 2020, section 3, for the cost;
Babai, "On Lovasz' lattice reduction and the nearest lattice point problem", 1986.
"""

from __future__ import annotations

from typing import Any, Iterable

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.node import attribute_of, group_of
from calibration.qdq.weights import LARGEST_INTEGER, quantize_weight
from edge.contract import Contract
from edge.errors import BackendError, InputError
from edge.frames import FrameSet
from edge.preprocess import FramePreparer
from edge.runtime.onnxruntime import open_session

MOMENT_FRAMES = 8
"""Most frames that second moments are collected on, spread evenly."""

POSITIONS = 4096
"""Most patches of a frame that count, drawn with a fixed seed: a few times the columns of a weight are enough."""

MOST_COLUMNS = 4608
"""Largest number of weights of a row (512 channels under 3 x 3 taps) that moments are collected of: they take 4 bytes
times its square. Larger layers are rounded to the nearest."""

_DAMPING = 0.01
"""Share of the mean power that is added to each input, so that moments of few patches can be factorised."""

_BLOCK = 64
"""Weights of a row that are rounded between two products of matrices."""

_SEED = 2026


def second_moments(model: Any, frames: FrameSet, contract: Contract, nodes: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the second moments of what layers read, H = E[x x^T] over patches x.

    Args:
        model: float graph (onnx.ModelProto); left as it is.
        frames: frames to run; at most MOMENT_FRAMES, spread evenly, are.
        contract: contract of the graph.
        nodes: names of the layers; one that has no name goes by that of its output, as in calibration.qdq.insert.

    Returns:
        Name of a layer -> its moments, float32 (groups, columns, columns), columns in the order of a weight's (in /
        group, kernel height, kernel width). Left out are nodes other than Conv (of two dimensions, with explicit
        padding), Gemm and MatMul, those without a constant weight, and those with more columns than MOST_COLUMNS.

    Raises:
        InputError: there are no frames.
        BackendError: ONNX Runtime fails at the graph.
    """
    if not len(frames):
        raise InputError(f"no frames to collect second moments on in {frames.description}, expected one at least")
    onnx = import_onnx()
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    view, wanted = EditableGraph(exposed, lenient=True), set(nodes)
    layers = [node for node in view.nodes if node.name in wanted and _columns(view, node) in range(1, MOST_COLUMNS + 1)]
    present = {value.name for value in exposed.graph.output}
    tensors = sorted({node.input[0] for node in layers})
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in present)
    session = open_session(exposed.SerializeToString(), lean=True)
    prepare = FramePreparer(contract.height, contract.width, "rgb")
    frames = frames.spread(MOMENT_FRAMES)
    random, sums, patches_of = np.random.default_rng(_SEED), {}, {}
    for number in range(len(frames) if layers else 0):
        feeds = {contract.input_name: prepare(frames.read(number))}
        try:
            values = dict(zip(tensors, session.run(tensors, feeds)))
        except Exception as error:  # onnxruntime's exceptions share no base class but Exception
            raise BackendError(f"ONNX Runtime failed on the float graph: {error}") from None
        for node in layers:
            patches = _patches(node, view.shape_of(node.input[1]), values[node.input[0]], random)
            moments = np.matmul(patches.transpose(0, 2, 1), patches)
            sums[node.name] = moments if number == 0 else np.add(sums[node.name], moments, out=sums[node.name])
            patches_of[node.name] = patches_of.get(node.name, 0) + patches.shape[1]
    return {name: total / np.float32(patches_of[name]) for name, total in sums.items()}


def _columns(view: EditableGraph, node: Any) -> int:
    """Return the number of weights of a row; 0 for a layer without moments."""
    weight = view.weight_of(node)
    if weight is None or len(weight.dims) != (4 if node.op_type == "Conv" else 2):
        return 0
    if node.op_type == "Conv":
        is_explicit = attribute_of(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID", "")
        return int(np.prod(weight.dims[1:])) if is_explicit else 0
    if node.op_type == "Gemm":
        if attribute_of(node, "transA", 0):
            return 0
        return weight.dims[1] if attribute_of(node, "transB", 0) else weight.dims[0]
    return weight.dims[0] if node.op_type == "MatMul" else 0


def _patches(node: Any, weight_shape: tuple, values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return some of the patches that a layer sees, float32 (groups, patches, columns)."""
    if node.op_type != "Conv":
        rows = values.reshape(-1, values.shape[-1])
        return rows[_drawn(len(rows), random)].astype(np.float32)[np.newaxis]
    rows, columns = weight_shape[2:]
    step_y, step_x = attribute_of(node, "strides", [1, 1])
    apart_y, apart_x = attribute_of(node, "dilations", [1, 1])
    top, left, bottom, right = attribute_of(node, "pads", [0, 0, 0, 0])
    group, (batch, channels, height, width) = group_of(node), values.shape
    places_y = (height + top + bottom - apart_y * (rows - 1) - 1) // step_y + 1
    places_x = (width + left + right - apart_x * (columns - 1) - 1) // step_x + 1
    chosen = _drawn(batch * places_y * places_x, random)
    image, place = np.divmod(chosen, places_y * places_x)
    y = (place // places_x * step_y - top)[:, np.newaxis, np.newaxis] + (np.arange(rows) * apart_y)[:, np.newaxis]
    x = (place % places_x * step_x - left)[:, np.newaxis, np.newaxis] + np.arange(columns) * apart_x
    is_inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    # (patches, kernel height, kernel width, channels), with zeros where the layer pads
    found = values[image[:, np.newaxis, np.newaxis], :, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    found = np.where(is_inside[..., np.newaxis], found, np.float32(0))
    found = found.transpose(3, 0, 1, 2).reshape(group, channels // group, len(chosen), rows * columns)
    return np.ascontiguousarray(found.swapaxes(1, 2)).reshape(group, len(chosen), -1).astype(np.float32, copy=False)


def _drawn(count: int, random: np.random.Generator) -> np.ndarray:
    return np.arange(count) if count <= POSITIONS else np.sort(random.choice(count, POSITIONS, replace=False))


def reconstruct_weight(
    weight: np.ndarray,
    axis: int,
    scales: np.ndarray,
    moments: np.ndarray,
    group: int,
    levels: int = LARGEST_INTEGER,
) -> np.ndarray:
    """Return a weight as integers whose expected error at the layer's output is small.

    An output channel for which rounding to the nearest costs less, as moments see it, is rounded to the nearest.

    Args:
        weight: float32 weight of a Conv, Gemm or MatMul.
        axis: axis of the weight that counts output channels.
        scales: size of a step of each channel, (weight.shape[axis],).
        moments: second moments of what the layer reads, (groups, columns, columns), as second_moments returns them.
        group: number of groups of the layer.
        levels: number of steps on either side of zero, as for quantize_weight.

    Returns:
        Integers, int8 of the weight's shape, -levels to levels.

    Raises:
        InputError: the sizes of weight, scales, moments and groups do not fit each other, or moments are not finite.
    """
    nearest = quantize_weight(weight, axis, scales, levels)
    outputs = weight.shape[axis]
    columns = weight.size // max(outputs, 1)
    if moments.shape != (group, columns, columns) or outputs % group or not np.all(np.isfinite(moments)):
        raise InputError(
            f"a weight of shape {tuple(weight.shape)} with {group} groups got moments of shape {moments.shape}, "
            f"expected finite ones of shape ({group}, {columns}, {columns})"
        )
    shape = (group, outputs // group, columns)
    steps = np.asarray(scales, np.float64).reshape(group, -1, 1)
    rows = np.moveaxis(weight, axis, 0).reshape(shape) / steps  # in steps of their channels, float64
    plain = np.moveaxis(nearest, axis, 0).reshape(shape).astype(np.float64)
    found = _nearest_planes(rows, moments, levels)
    is_better = _costs(rows - found, moments) < _costs(rows - plain, moments)
    chosen = np.where(is_better[..., np.newaxis], found, plain).astype(np.int8)
    moved = np.moveaxis(weight, axis, 0).shape
    return np.ascontiguousarray(np.moveaxis(chosen.reshape(moved), 0, axis))


def fits(moments: np.ndarray | None, weight: np.ndarray, axis: int, group: int) -> bool:
    """Return whether second moments are those of a layer with a weight of this shape; False for None."""
    columns = weight.size // max(weight.shape[axis], 1)
    return moments is not None and moments.shape == (group, columns, columns) and weight.shape[axis] % group == 0


def _costs(errors: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return the expected squared error at each output channel, (groups, outputs / group), in squares of its step."""
    return np.einsum("gok,gok->go", np.matmul(errors, moments.astype(np.float64)), errors)


def _nearest_planes(rows: np.ndarray, moments: np.ndarray, levels: int) -> np.ndarray:
    """Return whole numbers for rows of weights in steps, float64 (groups, outputs / group, columns)."""
    powers = np.diagonal(moments, axis1=1, axis2=2).astype(np.float64)
    order = np.argsort(powers, axis=1, kind="stable")
    groups = np.arange(len(rows))[:, np.newaxis]
    sorted_moments = moments[groups[..., np.newaxis], order[:, :, np.newaxis], order[:, np.newaxis, :]]
    sorted_moments = sorted_moments.astype(np.float64)
    # An input that is always zero has a power of its own from this, and is rounded to the nearest.
    damping = np.maximum(_DAMPING * powers.mean(axis=1), np.finfo(np.float32).tiny)
    columns = np.arange(rows.shape[2])
    sorted_moments[:, columns, columns] += damping[:, np.newaxis]
    lower = np.linalg.cholesky(sorted_moments)
    lower /= lower[:, columns, columns][:, np.newaxis, :].copy()
    weights = np.take_along_axis(rows, order[:, np.newaxis, :], axis=2)
    errors = np.zeros_like(weights)
    for end in range(rows.shape[2], 0, -_BLOCK):
        start = max(end - _BLOCK, 0)
        pulls = np.matmul(errors[:, :, end:], lower[:, end:, start:end])
        for column in range(end - 1, start - 1, -1):
            behind = np.matmul(errors[:, :, column + 1 : end], lower[:, column + 1 : end, column, np.newaxis])[..., 0]
            target = weights[:, :, column] + pulls[:, :, column - start] + behind
            whole = np.clip(np.rint(target), -levels, levels)
            errors[:, :, column] = weights[:, :, column] - whole
    found = np.empty_like(weights)
    np.put_along_axis(found, np.broadcast_to(order[:, np.newaxis, :], found.shape), np.rint(weights - errors), axis=2)
    return found
