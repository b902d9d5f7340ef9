"""Import of the onnx package when it is needed, and reading of ONNX files with errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.errors import GraphError, MissingDependencyError


def import_onnx(purpose: str = "quantising a graph") -> Any:
    """Return the onnx module.

    Args:
        purpose: work that the package is needed for, as part of the error's sentence.

    Raises:
        MissingDependencyError: onnx is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise MissingDependencyError("onnx", purpose, "pip install onnx") from None
    return onnx


def load_graph(path: Path, purpose: str = "quantising a graph") -> Any:
    """Read an ONNX file.

    Args:
        path: path of the file.
        purpose: work that the onnx package is needed for, as part of the error's sentence.

    Returns:
        The model, onnx.ModelProto.

    Raises:
        MissingDependencyError: onnx is not installed.
        GraphError: the file is missing, truncated or no ONNX.
    """
    onnx = import_onnx(purpose)
    if not path.is_file():
        if path.is_dir():
            graphs = ", ".join(sorted(each.name for each in path.glob("*.onnx"))) or "no *.onnx"
            raise GraphError(f"{path} is a folder with {graphs}, expected an ONNX file. Next: name the file")
        raise GraphError(f"graph not found: {path}")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx raise errors of several unrelated types here
        reason = " ".join(str(error).split())[:160]
        raise GraphError(
            f"{path} ({path.stat().st_size} bytes) is truncated or not ONNX: {reason}. "
            "Next: copy it again, or export it again"
        ) from None
    return model


def parse_graph(data: bytes, purpose: str) -> Any:
    """Read an ONNX file that is in memory; only its encoding is checked.

    Args:
        data: content of the file.
        purpose: work that the onnx package is needed for, as part of the error's sentence.

    Returns:
        The model, onnx.ModelProto.

    Raises:
        MissingDependencyError: onnx is not installed.
        GraphError: the bytes are no ONNX file.
    """
    onnx = import_onnx(purpose)
    from google.protobuf.message import DecodeError

    try:
        return onnx.load_model_from_string(data)
    except DecodeError:
        raise GraphError("the graph cannot be read: it is truncated or not ONNX. Next: export it again") from None
