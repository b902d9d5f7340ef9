"""Reading weights from safetensors and from HDF5 as Keras writes it, without the framework that wrote them.

safetensors is read without its package, whose NumPy half cannot give bfloat16 ("data type 'bfloat16'
not understood" in 0.8.0), and which would be one more compiled wheel for sixty lines. Every number of
a header is checked against the size of the file before it is used.

Sources: https://github.com/huggingface/safetensors (section "Format"); saving_lib.py and
legacy_h5_format.py of Keras 3.15 for its two layouts in HDF5.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Iterator

import numpy as np

from edge.errors import MissingDependencyError, WeightsError

SAFETENSORS_HEADER_LIMIT = 100_000_000
"""Bytes; the limit of the format's own reader."""

_SAFETENSORS_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "BOOL": "?",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
}

# Names of the variables of a Keras layer by its class, where the file has only their numbers.
_KERAS_VARIABLES = {
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    **dict.fromkeys(("conv2d", "conv2d_transpose", "depthwise_conv2d", "dense"), ("kernel", "bias")),
}
# Names that Keras 1 gave them, as in the VGG16 weights that Keras still downloads. Its running_std was the variance.
_KERAS_1_VARIABLES = {
    "W": "kernel",
    "b": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}


def damaged(path: Path, what: str) -> WeightsError:
    """Return the error for a file that is cut off, or whose parts contradict each other."""
    return WeightsError(f"{path} is damaged: {what}. Next: download it again")


def listed(names: list[str], limit: int = 6) -> str:
    """Return the part of a message that lists what a file holds instead of weights; "" if it holds nothing."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"its entries are {', '.join(names[:limit])}{more}" if names else ""


# safetensors


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read a safetensors file.

    Returns:
        Tensors by name, where float16 and bfloat16 come as float32 and other types stay; and the names of the
        entries that are no tensors.

    Raises:
        WeightsError: the file is damaged, or has numbers of a type that NumPy lacks.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        if 8 + header_size > size:
            raise damaged(path, f"its header alone should have {header_size} bytes, the file has {size}")
        try:
            header = json.loads(file.read(header_size).decode("utf-8"), object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError):
            raise damaged(path, "its header is no JSON") from None
        if not isinstance(header, dict):
            raise damaged(path, "its header is no JSON object")
        left_out = ["__metadata__"] if header.pop("__metadata__", None) is not None else []
        layout = _safetensors_layout(header, size - 8 - header_size, path)
        tensors = {}
        for name, (dtype, shape, begin, end) in layout.items():
            file.seek(8 + header_size + begin)
            values = _widened(np.frombuffer(file.read(end - begin), _SAFETENSORS_DTYPES[dtype]), dtype)
            try:
                tensors[name] = values.reshape(shape)
            except (ValueError, OverflowError):  # a side that no array can have, beside one of 0
                raise damaged(path, f"{name} cannot have the shape {shape}") from None
    return tensors, left_out


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name comes twice")
    return dict(pairs)


def _safetensors_layout(header: dict, data_size: int, path: Path) -> dict[str, tuple[str, tuple, int, int]]:
    """Return dtype, shape, first byte and end (one byte behind the last) of each tensor, all of them checked."""
    layout = {}
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise damaged(path, f"the entry of {name} is not of dtype, shape and data_offsets")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _SAFETENSORS_DTYPES:
            known = ", ".join(_SAFETENSORS_DTYPES)
            raise WeightsError(f"{path}: {name} is of the type {dtype!r}, expected one of {known}")
        if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
            raise damaged(path, f"shape or place of {name} are no whole numbers")
        begin, end = offsets
        wanted = math.prod(shape) * np.dtype(_SAFETENSORS_DTYPES[dtype]).itemsize
        if end - begin != wanted:
            raise damaged(path, f"{name} {dtype} {shape} has {end - begin} bytes, expected {wanted}")
        if end > data_size:
            raise damaged(path, f"{name} ends at byte {end} of its data, which has {data_size}")
        layout[name] = (dtype, tuple(shape), begin, end)
    reached = 0
    for _, _, begin, end in sorted(layout.values(), key=lambda place: place[2:]):
        if begin != reached:
            raise damaged(path, f"its tensors overlap, or leave a hole, at byte {min(begin, reached)} of the data")
        reached = end
    if reached != data_size:
        raise damaged(path, f"its tensors take {reached} bytes, its data has {data_size}")
    return layout


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _widened(values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "BF16":  # the upper half of a float32
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values.astype(np.float32) if dtype == "F16" else values


# Keras


def read_keras(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read an HDF5 file of Keras: weights of Keras 1 and 2, a whole model of theirs, or weights of Keras 3.

    Returns:
        Tensors by "layer/variable", where a model inside a model adds its name in front; and the
        names of what else there is. A variable is named as Keras names it ("kernel", "gamma"), or
        has its number where the file does not tell. float16 comes as float32.

    Raises:
        WeightsError: the file is damaged, or holds something else.
        MissingDependencyError: h5py is not installed.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        if error.name != "h5py":
            raise
        raise MissingDependencyError("h5py", "reading Keras weights (.h5)", "pip install h5py") from None
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            left_out = [name for name in file if name in ("optimizer_weights", "optimizer")]
            if "layer_names" in root.attrs or "layer_names0" in root.attrs:
                found = _legacy_variables(root)
            elif "layers" in root:
                found = _keras_3_variables(root, ())
            else:
                raise WeightsError(f"{path} is an HDF5 file, but none of Keras weights: {listed(list(file))}")
            tensors = {}
            for name, dataset in found:
                if dataset.dtype.kind not in "fiub" or name in tensors:
                    raise damaged(path, f"{name} is no numbers, or comes twice")
                tensors[name] = _native(dataset[()])
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        # What h5py raises for a part that is missing, cut off or of another kind than its name says.
        raise damaged(path, f"HDF5 cannot read it ({' '.join(str(error).split())[:120]})") from None
    return tensors, left_out


def _native(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    wide = np.float32 if values.dtype.kind == "f" and values.dtype.itemsize < 4 else values.dtype.newbyteorder("=")
    return values.astype(wide)


def _legacy_variables(root: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and HDF5 dataset of each weight of Keras 1 and 2, whose format Keras Applications still has."""
    for layer in _names_in(root, "layer_names"):
        group = root[layer]
        for name in _names_in(group, "weight_names"):
            inner = name.split("/")[1:] or [_keras_1_variable(layer, name)]
            yield f"{layer}/{re.sub(r':[0-9]+$', '', '/'.join(inner))}", group[name]


def _names_in(group: Any, attribute: str) -> list[str]:
    # An attribute holds 64 KiB at most; Keras splits a longer list into numbered ones.
    parts = [group.attrs[attribute]] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{attribute}{len(parts)}"])
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in part]


def _keras_1_variable(layer: str, name: str) -> str:
    match = re.fullmatch(rf"{re.escape(layer)}_(\w+?)(_\d+)?(:\d+)?", name)
    return _KERAS_1_VARIABLES.get(match[1], name) if match else name


def _keras_3_variables(group: Any, parents: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield name and HDF5 dataset of each weight in a .weights.h5 of Keras 3, which numbers layers by class."""
    for key in group:
        if key == "layers":
            yield from _keras_3_variables(group[key], parents)
        elif key not in ("vars", "optimizer"):
            inner = group[key]
            layer = str(inner["vars"].attrs.get("name", key)) if "vars" in inner else key
            variables = inner.get("vars", {})
            known = _KERAS_VARIABLES.get(re.sub(r"_\d+$", "", key), ())
            # A normalisation without one of its four has other numbers; names would be guesses.
            if len(known) == 4 and len(variables) != 4:
                known = ()
            for number in sorted(variables, key=int):
                variable = known[int(number)] if int(number) < len(known) else number
                yield "/".join((*parents, layer, variable)), variables[number]
            yield from _keras_3_variables(inner, (*parents, layer))
