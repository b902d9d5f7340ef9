"""Other normalisations of an adopted graph: what its contract might have meant, and the graph that takes frames so.

A wrong normalisation or order of channels cannot be seen in a graph: it runs, and labels badly. What networks were
trained with is one of a few habits, so each of them can be tried.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from calibration.onnx_graph.editable import drop_unread_constants
from export.adopt.cleaning import FRAME, FRONT_NAMES, PLANES
from export.adopt.contract import ForeignContract

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and spread of ImageNet's pixels in 0..1, in RGB order.

Source: torchvision, "Models and pre-trained weights".
"""

HABITS = (
    (IMAGENET_MEAN, IMAGENET_STD, 255),
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 255),
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 255),
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1),
    ((123.675, 116.28, 103.53), (1.0, 1.0, 1.0), 1),
)
"""Normalisations that networks are trained with: mean and std in RGB order, and scale.

ImageNet's; pixels in 0..1; in -1..1; in 0..255; and 0..255 without ImageNet's mean, as Caffe's networks take them.
"""

_TRIAL = "trial"


def other_contracts(
    given: ForeignContract, statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None
) -> list[ForeignContract]:
    """Return contracts that the owner of a graph might have meant, each with another input than the given one.

    They have the given mean and std with the other order of channels, with one division by 255 more (networks that
    subtract the mean and divide by std in 0..255, and by 255 after that) and with one less, the habits of others, and
    the mean and std of the images, again with a division more: many networks are trained with those of their dataset.

    Args:
        given: contract of the graph.
        statistics: mean and std of the pixels of some images, in 0..255 and RGB order; None to do without.

    Returns:
        Contracts that differ in mean, std, scale and channel_order, as a file may spell them.
    """
    own = (given.mean, given.std, given.scale)
    twice = (_times(given.mean, given.scale), _times(given.std, given.scale * 255), 1)
    kinds = [(*own, True), (*twice, True)]
    if given.scale == 255:
        kinds.append((_times(given.mean, 1 / 255), _times(given.std, 1 / 255), 255, True))
    kinds += [(*habit, False) for habit in HABITS]
    if statistics is not None and min(statistics[1]) > 0:
        mean, std = statistics
        kinds += [(mean, std, 1, False), (mean, _times(std, 255), 1, False)]
    seen, others = {_input_of(given)}, []
    for order in (given.channel_order, "bgr" if given.channel_order == "rgb" else "rgb"):
        for mean, std, scale, is_in_given_order in kinds:
            reverses = order != (given.channel_order if is_in_given_order else "rgb")
            mean, std = (values[::-1] if reverses else values for values in (mean, std))
            other = dataclasses.replace(given, mean=mean, std=std, scale=scale, channel_order=order)
            if _input_of(other) not in seen:
                seen.add(_input_of(other))
                others.append(other)
    return others


def with_other_normalisation(model: Any, given: ForeignContract, other: ForeignContract) -> Any:
    """Return an adopted graph that normalises its frame by another contract.

    Args:
        model: onnx.ModelProto of the adopted graph; left as it is.
        given: contract that it was adopted with.
        other: contract of the same graph with another mean, std, scale or channel_order.
    """
    changed = type(model)()
    changed.CopyFrom(model)
    graph, make = changed.graph, helper.make_node
    # Behind the front the adopted graph takes RGB, whatever its owner's graph takes: adoption reordered its weights.
    factor, offset = other.factor_and_offset()
    if given.channel_order == "bgr":
        factor, offset = factor[::-1], offset[::-1]
    order = [0, 1, 2] if other.channel_order == given.channel_order else [2, 1, 0]
    values = {
        "order": np.array(order, np.int64),
        "factor": factor.astype(np.float32),
        "offset": offset.astype(np.float32),
    }
    names = {part: f"{_TRIAL}/{part}" for part in values}
    steps = [f"{_TRIAL}/{step}" for step in ("Gather", "Cast", "Mul", "Add")]
    front = [
        make("Gather", [FRAME, names["order"]], [steps[0]], axis=3),
        make("Cast", [steps[0]], [steps[1]], to=TensorProto.FLOAT),
        make("Mul", [steps[1], names["factor"]], [steps[2]]),
        make("Add", [steps[2], names["offset"]], [steps[3]]),
        make("Transpose", [steps[3]], [PLANES], perm=[0, 3, 1, 2]),
    ]
    rest = [node for node in graph.node if not set(node.output) & set(FRONT_NAMES[1:5])]
    del graph.node[:]
    graph.node.extend([*front, *rest])
    graph.initializer.extend(numpy_helper.from_array(value, names[part]) for part, value in values.items())
    drop_unread_constants(graph)
    return changed


def spelled(contract: ForeignContract) -> str:
    """Return mean, std, scale and channel_order as they stand in the file of a contract."""
    mean, std = ([float(f"{value:.6g}") for value in values] for values in (contract.mean, contract.std))
    return f'"mean": {mean}, "std": {std}, "scale": {contract.scale}, "channel_order": "{contract.channel_order}"'


def _times(values: tuple[float, ...], factor: float) -> tuple[float, ...]:
    return tuple(value * factor for value in values)


def _input_of(contract: ForeignContract) -> tuple[float | str, ...]:
    """Return what a contract makes of black and of white, by which equal inputs have equal keys."""
    factor, offset = contract.factor_and_offset()
    return (contract.channel_order, *(float(f"{value:.4g}") for value in (*offset, *(255 * factor + offset))))
