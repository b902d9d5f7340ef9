"""Weights files in half precision: half the size, and Keras reads them into a network of float32 as any other.

HDF5's older form spends well over a kilobyte on each of some two hundred arrays, that of HDF5 1.10 half a kilobyte. A
Fast-SCNN with its 1.22 million weights is 5.27 MB in float32, 2.84 MB in float16, and 2.57 MB in the newer form.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import WeightsError

_HDF5_FORM = ("v110", "v110")
"""Oldest and newest form of HDF5 that a file may use; h5py's wheels have read it since 2019."""


def write_half_weights(source: Path, target: Path) -> None:
    """Copy a weights file of Keras 3 with its float32 arrays in float16; everything else stays as it is.

    Args:
        source: *.weights.h5 file.
        target: file to write.

    Raises:
        WeightsError: a weight is none of a network that trained well: it is not finite, or too large for float16.
    """
    import h5py

    with h5py.File(source, "r") as whole, h5py.File(target, "w", libver=_HDF5_FORM) as half:

        def copy(name: str, part: Any) -> None:
            if isinstance(part, h5py.Dataset):
                made = half.create_dataset(name, data=_halved(part[()], f"{source}: {name}"))
            else:
                made = half.require_group(name)
            made.attrs.update(part.attrs)

        half.attrs.update(whole.attrs)
        whole.visititems(copy)


def _halved(array: np.ndarray, where: str) -> np.ndarray:
    """Return float32 values in float16, and values of any other type as they are.

    Raises:
        WeightsError: a value is not finite, or too large for float16.
    """
    if array.dtype != np.float32:
        return array
    with np.errstate(over="ignore", under="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        worst = float(np.abs(array).max())
        raise WeightsError(f"{where} has a weight of {worst:g}, expected at most {np.finfo(np.float16).max:g}")
    return half
