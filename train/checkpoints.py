"""Reading published weight files of PyTorch, safetensors and Keras into arrays by name.

    format          told by                                       read with
    PyTorch         a zip archive with data.pkl, or a pickle      torch, weights_only=True
    safetensors     the length of a JSON header, then "{"         train/checkpoint_readers.py
    Keras HDF5      HDF5's signature                              the same, and h5py

The format is told by what is in a file, never by its ending: `.pth.tar` is no tar archive, and a
download that failed is a web page with any name.

A pickle may name any function of any package to be called while it is read. PyTorch's
`weights_only` reader knows tensors and plain values alone and refuses the rest before anything
runs; there is no way around it here.

Sources: torch.load in PyTorch's documentation (section on weights_only).
"""

from __future__ import annotations

import os
import pickle
import re
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from edge.artifacts import sha256_file
from edge.errors import InputError, MissingDependencyError, WeightsError
from train.checkpoint_readers import SAFETENSORS_HEADER_LIMIT, damaged, listed, read_keras, read_safetensors

PYTORCH, SAFETENSORS, KERAS = "PyTorch", "safetensors", "Keras HDF5"

WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model", "net")
"""Keys under which training scripts put the weights beside their epoch and optimiser."""

PARALLEL_PREFIX = "module."
"""Prefix that torch.nn.DataParallel puts before every name."""

TORCH_FLOOR = (2, 6)
"""Before 2.6 a file could run code although weights_only was set (CVE-2025-32434)."""

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ZIP_SIGNATURE = b"PK\x03\x04"


@dataclass(frozen=True)
class Checkpoint:
    """Contents of a published weight file.

    Attributes:
        tensors: arrays by name, in the file's order and layout. PyTorch's names are those of the
            state_dict; Keras' are "layer/variable". float16 and bfloat16 are widened to float32,
            other types stay; every number is finite.
        format: PYTORCH, SAFETENSORS or KERAS.
        sha256: SHA-256 of the file.
        left_out: names of the entries that are no weights, such as an epoch or the optimiser's state.
    """

    tensors: dict[str, np.ndarray]
    format: str
    sha256: str
    left_out: tuple[str, ...] = ()


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read a weight file.

    Args:
        path: file of PyTorch (.pth, .pt, .tar), of safetensors, or of Keras in HDF5 (.h5, .weights.h5).

    Raises:
        InputError: the file is not there, or may not be read.
        WeightsError: the file has no known format, is damaged, has no weights or numbers that are not finite, or
            holds objects that would have to be executed.
        MissingDependencyError: the package that reads this format is not installed.
    """
    path = Path(path)
    file_format = _tell_format(path)
    read = {PYTORCH: _read_pytorch, SAFETENSORS: read_safetensors, KERAS: read_keras}[file_format]
    try:
        tensors, left_out = read(path)
    except MemoryError:
        raise WeightsError(f"{path} asks for more memory than there is: it is damaged, or too large here") from None
    if not tensors:
        raise WeightsError(f"{path} holds no weights: {listed(left_out) or 'it is an empty collection'}")
    for name, tensor in tensors.items():
        if tensor.dtype.kind in "fc" and not np.all(np.isfinite(tensor)):
            count = int(np.count_nonzero(~np.isfinite(tensor)))
            raise WeightsError(
                f"{path}: {name} holds NaN or infinity at {count} of {tensor.size} places, expected finite numbers. "
                "Next: take another checkpoint; this one is damaged, or its training had diverged"
            )
    return Checkpoint(tensors, file_format, sha256_file(path), tuple(left_out))


# Formats


def _tell_format(path: Path) -> str:
    try:
        if path.is_dir():
            raise WeightsError(f"{path} is a folder, expected a weight file")
        if path.exists() and not path.is_file():
            raise WeightsError(f"{path} is no regular file, expected a weight file")
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(512)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"weights not found: {path}") from None
    except OSError as error:
        raise InputError(f"weights {path} cannot be read: {error.strerror or error}") from None
    if not head:
        raise WeightsError(f"{path} is empty. Next: download it again")
    if head.startswith(_HDF5_SIGNATURE):
        return KERAS
    if head.startswith(_ZIP_SIGNATURE) or re.match(rb"\x80[\x02-\x05]", head):
        return PYTORCH
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= SAFETENSORS_HEADER_LIMIT:
        return SAFETENSORS
    raise WeightsError(f"{path} ({size} bytes) {_what_it_is_instead(head)}")


def _what_it_is_instead(head: bytes) -> str:
    if head.lstrip().startswith(b"<"):
        return "is a web page, not weights. Next: open the link in a browser, where it may ask for a confirmation"
    if head.startswith(b"version https://git-lfs"):
        return "is Git LFS' pointer to weights. Next: git lfs pull"
    if head[257:262] == b"ustar" or head.startswith((b"\x1f\x8b", b"BZh", b"7z\xbc\xaf", b"\xfd7zXZ")):
        return "is a packed archive. Next: unpack it, and give the weight file inside"
    return f"is neither {PYTORCH}, {SAFETENSORS} nor {KERAS}: it begins with {head[:8]!r}"


# PyTorch


def _read_pytorch(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    with open(path, "rb") as file:
        if file.read(4) == _ZIP_SIGNATURE:
            _check_archive(path)
    torch = _import_torch()
    try:
        # Warnings are about old protocols, which the reader either knows or refuses.
        with warnings.catch_warnings(), torch.serialization.safe_globals(_numpy_scalars()):
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL ([\w.]*\w)", str(error))
        objects = culprit[1] if culprit else "unknown to PyTorch's reader of weights"
        raise WeightsError(
            f"{path} holds objects beside tensors ({objects}), which only running its code could read; "
            "nothing in it was executed. Next: where you trust it, load it elsewhere and save its state_dict with "
            "safetensors.torch.save_file"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can stumble anywhere: IndexError, UnicodeDecodeError, ...
        raise damaged(path, f"PyTorch cannot read it ({type(error).__name__})") from None
    entries, left_out = _unwrap(loaded, torch.Tensor, path)
    tensors = {name: _to_numpy(torch, tensor, f"{path}: {name}") for name, tensor in entries.items()}
    return tensors, left_out


def _import_torch() -> Any:
    purpose = "reading PyTorch weights (.pth, .pt)"
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError("torch", purpose, "pip install torch") from None
    version = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
    if version < TORCH_FLOOR:
        raise MissingDependencyError("torch>=2.6", purpose, "pip install --upgrade torch")
    return torch


def _numpy_scalars() -> list[Any]:
    """Return the functions and types that rebuild a NumPy number, which many checkpoints have for their best score."""
    try:
        from numpy._core import multiarray
    except ImportError:  # NumPy 1
        from numpy.core import multiarray
    makers = [(multiarray.scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*makers, np.dtype, *(type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd")]


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            wrong = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError):
        raise damaged(path, f"its {path.stat().st_size} bytes are no whole zip archive") from None
    if "model.weights.h5" in names:
        raise WeightsError(f"{path} is a whole Keras model. Next: load it with Keras, and model.save_weights(...)")
    inside = {name.split("/", 1)[-1] for name in names}
    if "data.pkl" not in inside:
        raise WeightsError(f"{path} is a zip archive without PyTorch weights. Next: unpack it, if they are inside")
    if "constants.pkl" in inside:
        raise WeightsError(
            f"{path} is a TorchScript program; nothing in it was executed. Next: where you trust it, "
            "torch.jit.load it elsewhere and save its state_dict()"
        )
    if wrong is not None:  # PyTorch itself would read wrong numbers without a word
        raise damaged(path, f"the checksum of {wrong} in it is wrong")


def _unwrap(loaded: Any, tensor_type: type, path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the tensors of a pickled object by name, and the names of everything else in it."""
    left_out: list[str] = []
    while isinstance(loaded, Mapping):
        wrapper = next((key for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), None)
        if wrapper is None:
            break
        left_out += [str(key) for key in loaded if key != wrapper]
        loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{path} holds a {type(loaded).__name__}, expected tensors by name (a state_dict)")
    entries = {key: value for key, value in loaded.items() if isinstance(key, str) and isinstance(value, tensor_type)}
    left_out += [str(key) for key in loaded if key not in entries]
    while entries and all(name.startswith(PARALLEL_PREFIX) for name in entries):
        entries = {name[len(PARALLEL_PREFIX) :]: tensor for name, tensor in entries.items()}
    return entries, left_out


def _to_numpy(torch: Any, tensor: Any, where: str) -> np.ndarray:
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise WeightsError(f"{where} is a sparse or quantised tensor, expected a dense one of plain numbers")
    tensor = tensor.detach()
    if tensor.dtype.is_floating_point and tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.to(torch.float32)
    return tensor.numpy()
