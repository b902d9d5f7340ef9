"""Import of the onnx package when it is needed, and reading of ONNX files with errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.errors import GraphError, MissingDependencyError


def import_onnx(purpose: str = "work on an ONNX graph") -> Any:
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


def load_graph(path: Path, purpose: str = "work on an ONNX graph") -> Any:
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
        refuse_newer(path, model)
        onnx.checker.check_model(model)
    except GraphError:
        raise
    except Exception as error:  # protobuf and onnx raise errors of several unrelated types here
        raise unreadable(path, error) from None
    return model


_INVALID = ("No Op registered", "No opset import", "Unrecognized attribute", "model with IR version")
"""Beginnings of what the checker says of a whole file whose content it does not know."""


def unreadable(path: Path, error: Exception) -> GraphError:
    """Return the error that says why onnx does not read a file: truncated, no ONNX, or of operators that it lacks.

    Args:
        path: path of the file.
        error: exception that onnx raised.
    """
    reason = " ".join(str(error).split())[:160].rstrip(".")
    if reason.startswith(_INVALID):
        version = import_onnx().__version__
        return GraphError(f"{path} is no graph that onnx {version} knows: {reason}. Next: export it with opset 17")
    if "should be stored in" in reason or "external data" in reason.lower():
        return GraphError(
            f"{path} has weights in a file beside it, which cannot be read: {reason}. Next: copy that file too"
        )
    size = path.stat().st_size
    return GraphError(f"{path} ({size} bytes) is truncated or not ONNX: {reason}. Next: copy or export it again")


def refuse_newer(path: Path, model: Any) -> None:
    """Refuse a graph of a file format or an opset that this onnx does not know; its checker takes any opset.

    Raises:
        GraphError: the graph is newer than the onnx package.
    """
    onnx = import_onnx()
    newest = onnx.defs.onnx_opset_version()
    opset = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0)
    what = ""
    if model.ir_version > onnx.IR_VERSION:
        what = f"has version {model.ir_version} of the file format, onnx {onnx.__version__} reads {onnx.IR_VERSION}"
    elif opset > newest:
        what = f"has opset {opset}, onnx {onnx.__version__} knows {newest}"
    if what:
        raise GraphError(f"{path} {what} and older. Next: pip install --upgrade onnx, or export it with opset 17")


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
