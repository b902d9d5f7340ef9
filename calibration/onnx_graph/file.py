"""Reading ONNX files: the package when it is needed, and the file with an error that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.errors import GraphError, MissingDependencyError


def import_onnx(purpose: str = "quantising a graph") -> Any:
    """Return the onnx module.

    Args:
        purpose: what it is needed for, for the error.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise MissingDependencyError("onnx", purpose, "pip install onnx") from None
    return onnx


def load_graph(path: Path) -> Any:
    """Read an ONNX file.

    Returns:
        onnx.ModelProto.

    Raises:
        GraphError: the file is missing, truncated or no ONNX.
    """
    onnx = import_onnx()
    if not path.is_file():
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
