"""Checkpoints as others publish them, and files as they write them: safetensors, and HDF5 of Keras 1 and 2."""

from __future__ import annotations

import functools
import json
import struct
from pathlib import Path
from typing import Iterable, Mapping, Sequence

import numpy as np

from tests.train.checkpoint_import.published_networks import PUBLISHED, seeded_checkpoint

SAFETENSORS_TYPES = {"float32": "F32", "int64": "I64"}

VGG16_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    """Write tensors: the length of a header, the header, the numbers one behind the other."""
    header, begin = {}, 0
    for name, tensor in tensors.items():
        end = begin + tensor.nbytes
        kind = SAFETENSORS_TYPES[tensor.dtype.name]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.tobytes())
    return path


def write_keras_2(path: Path, layers: Iterable[tuple[str, Sequence[tuple[str, np.ndarray]]]]) -> Path:
    """Write the layout of Keras Applications' downloads.

    The root names the layers in order, each layer's group its weights in order, and the names are
    paths below that group. Layers without weights are there too.

    Args:
        path: the file.
        layers: (name of a layer, its (name of a weight, array)).
    """
    import h5py

    with h5py.File(path, "w") as file:
        layers = list(layers)
        file.attrs["layer_names"] = np.array([name.encode() for name, _ in layers])
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.4.0"
        for layer, weights in layers:
            group = file.require_group(layer)
            # Without weights Keras wrote an empty array of numbers.
            names = np.array([name.encode() for name, _ in weights]) if weights else np.zeros(0)
            group.attrs["weight_names"] = names
            for name, array in weights:
                group[name] = array
    return path


@functools.lru_cache(maxsize=None)
def fast_scnn_checkpoint(class_count: int) -> Mapping[str, np.ndarray]:
    """Return the seeded Fast-SCNN of a number of classes, made once; copy it before spoiling it."""
    return seeded_checkpoint(PUBLISHED["fast_scnn"], class_count)


def torchvision_vgg16(scale: float = 0.01) -> dict[str, np.ndarray]:
    """Return a VGG16 without norms as torchvision names it, with random weights."""
    generator, tensors, position, channels = np.random.default_rng(0), {}, 0, 3
    for widths in VGG16_WIDTHS:
        for width in widths:
            kernel = generator.standard_normal((width, channels, 3, 3), np.float32)
            tensors[f"features.{position}.weight"] = kernel * np.float32(scale)
            tensors[f"features.{position}.bias"] = generator.standard_normal(width, np.float32)
            position, channels = position + 2, width
        position += 1
    return tensors


def keras_vgg16(tensors: Mapping[str, np.ndarray]) -> list[tuple[str, list[tuple[str, np.ndarray]]]]:
    """Name the tensors of `torchvision_vgg16` as Keras Applications' VGG16 does, which takes blue first."""
    names = [
        f"block{stage}_conv{index}"
        for stage, widths in enumerate(VGG16_WIDTHS, 1)
        for index in range(1, len(widths) + 1)
    ]
    arrays = iter(tensors.values())
    layers = []
    for name in names:
        kernel, bias = next(arrays).transpose(2, 3, 1, 0), next(arrays)
        kernel = kernel[:, :, ::-1] if name == "block1_conv1" else kernel
        layers.append((name, [(f"{name}/kernel:0", kernel), (f"{name}/bias:0", bias)]))
    return layers
