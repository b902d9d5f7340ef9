"""Weight files as others write them: safetensors, and HDF5 as Keras 1 and 2 laid it out."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Iterable, Mapping, Sequence

import numpy as np

SAFETENSORS_TYPES = {"float32": "F32", "int64": "I64"}


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
