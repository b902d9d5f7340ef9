"""Checkpoints of the published networks, made from the seeded formula, as their authors' code names and shapes them."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable

import numpy as np

from tests.train.seeded_weights import seeded_tensor
from train.checkpoint_import import model_names
from train.checkpoint_import.importer import BUILD_SIZE
from train.checkpoint_import.layer_weights import LayerMapping
from train.models import model_spec
from train.options import training_options

PARITY_FOLDER = Path(__file__).resolve().parents[1] / "models" / "parity"

RESNET_CLASSIFIER = {"fc.weight": (1000, 2048), "fc.bias": (1000,)}


@dataclass(frozen=True)
class Published:
    """A published network, as its fixture ran it.

    Attributes:
        model: architecture here.
        source: key in train.checkpoint_import.CHECKPOINT_FAMILIES.
        options: those that the import has to find.
        layers: gives the mappings of all its layers.
        others: shapes of its tensors that are in no mapping.
        given: options that the tensors do not tell.
        outputs: name in the fixture -> name here, where they differ.
    """

    model: str
    source: str
    options: dict[str, Any]
    layers: Callable[[], Iterable[LayerMapping]]
    others: dict[str, tuple[int, ...]] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)


def _fastfcn(depth: int, head: str) -> Published:
    def layers():
        yield from model_names.fastfcn(depth, head, deep_stem=True)
        yield from model_names.fastfcn_auxiliary()
        if head == "encnet":
            yield from model_names.fastfcn_presence()

    options = {"depth": depth, "head": head, "coordinates": "align_corners"}
    if head == "encnet":
        options["encoding_positions"] = 0
    others = {f"pretrained.{name}": shape for name, shape in RESNET_CLASSIFIER.items()}
    return Published("fastfcn", "fastfcn", options, layers, others)


def _deeplab(depth: int, output_stride: int) -> Published:
    rates = {16: (6, 12, 18), 8: (12, 24, 36)}[output_stride]
    return Published(
        "deeplabv3plus",
        "deeplabv3plus-pytorch",
        {"depth": depth, "decoder_convs": 1, "output_stride": output_stride},
        lambda: model_names.deeplabv3plus(depth, rates),
        given={"output_stride": output_stride},
    )


_TRAMAC = Published(
    "fast_scnn",
    "fast-scnn-pytorch",
    {
        "separable_relu": True,
        "padding": "symmetric",
        "first_padding": "valid",
        "fusion_dilation": 1,
        "coordinates": "align_corners",
    },
    lambda: [*model_names.fast_scnn(), *model_names.fast_scnn_auxiliary()],
    outputs={"auxiliary": "auxiliary_high"},
)
_SEGNET = Published(
    "bayesian_segnet",
    "pytorch-semseg",
    {"classifier": "norm_relu", "normalisation": "caffe_unit"},
    model_names.segnet,
)
_PANOPTIC = Published(
    "panoptic_deeplab",
    "panoptic-deeplab",
    {"pooling_norm": False, "coordinates": "align_corners"},
    lambda: model_names.panoptic_deeplab((3, 6, 9)),
    outputs={"center": "centre"},
)
_UNET = Published("unet", "pytorch-unet", {"batch_norm": True, "normalisation": "unit"}, model_names.unet)

PUBLISHED: dict[str, Published] = {
    "deeplabv3plus_r101_os16": _deeplab(101, 16),
    "deeplabv3plus_r50_os16_200x264": _deeplab(50, 16),
    "deeplabv3plus_r50_os8": _deeplab(50, 8),
    "fast_scnn": _TRAMAC,
    "fastfcn_deeplab_r50": _fastfcn(50, "deeplab"),
    "fastfcn_encnet_r101": _fastfcn(101, "encnet"),
    "fastfcn_encnet_r50": _fastfcn(50, "encnet"),
    "fastfcn_fcn_r50": _fastfcn(50, "fcn"),
    "fastfcn_psp_r50": _fastfcn(50, "psp"),
    "panoptic_deeplab_r50_os32": _PANOPTIC,
    "panoptic_deeplab_r50_os32_136x200": _PANOPTIC,
    "segnet": _SEGNET,
    "segnet_72x104": _SEGNET,
    "unet": _UNET,
    "unet_72x104": _UNET,
}
"""Name of a fixture -> what it ran."""


def read_fixture(name: str) -> dict[str, Any]:
    return json.loads((PARITY_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=None)
def _layer_shapes(model: str, options: tuple[tuple[str, Any], ...], class_count: int) -> dict[str, list[tuple]]:
    """Return the shapes of the weights of each layer of a network, which is built once a process."""
    network = model_spec(model).build(*BUILD_SIZE, class_count, **training_options(model, dict(options)))
    return {layer.name: [tuple(weight.shape) for weight in layer.weights] for layer in network.layers}


def checkpoint_shapes(published: Published, class_count: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of the network's state_dict, in PyTorch's layout."""
    layers = _layer_shapes(published.model, tuple(sorted(published.options.items())), class_count)
    shapes: dict[str, tuple[int, ...]] = dict(published.others)
    for mapping in published.layers():
        weights = layers[mapping.layer]
        if mapping.kind == "norm":
            parts = ("weight", "bias", "running_mean", "running_var")
            shapes.update((f"{mapping.prefix}.{part}", weights[0]) for part in parts)
            shapes[f"{mapping.prefix}.num_batches_tracked"] = ()
            if mapping.bias_of is not None:
                shapes[f"{mapping.bias_of}.bias"] = weights[0]
        elif mapping.kind == "encoding":
            shapes[f"{mapping.prefix}.codewords"], shapes[f"{mapping.prefix}.scale"] = weights
        else:
            shapes[f"{mapping.prefix}.weight"] = _torch_kernel(mapping.kind, weights[0])
            if len(weights) > 1:
                shapes[f"{mapping.prefix}.bias"] = weights[1]
    return shapes


def _torch_kernel(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if kind == "dense":
        return shape[::-1]
    rows, columns, third, fourth = shape
    return (third, fourth, rows, columns) if kind == "depthwise" else (fourth, third, rows, columns)


def state_dict_digest(shapes: dict[str, tuple[int, ...]]) -> str:
    """Return the digest that fixtures carry of the names and shapes of a state_dict."""
    lines = sorted(f"{name} {list(shape)}" for name, shape in shapes.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def seeded_checkpoint(published: Published, class_count: int) -> dict[str, np.ndarray]:
    return {name: seeded_tensor(name, shape) for name, shape in checkpoint_shapes(published, class_count).items()}
