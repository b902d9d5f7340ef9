"""Calling TensorRT and pycuda: an import that names what to install, and one kind of failure that names the call."""

from __future__ import annotations

import importlib
from typing import Any, Callable

from edge.errors import BackendError, MissingDependencyError


def import_backend(package: str, module: str, install: str) -> Any:
    """Return a module of a backend.

    Args:
        package: that has to be installed.
        module: of it, such as "pycuda.driver".
        install: the command that installs the package.

    Raises:
        MissingDependencyError: it is not installed.
        BackendError: it is installed, but lacks the module, or one of its libraries cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != package:
            raise BackendError(f"{package} is installed, but lacks the module {error.name}. Next: {install}") from None
        raise MissingDependencyError(package, "running a TensorRT engine", install) from None
    except (ImportError, OSError) as error:
        raise BackendError(f"{package} is installed, but cannot be loaded: {one_line(error)}") from None


def one_line(error: BaseException) -> str:
    """Return what an exception says, in one line of at most 300 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:300]


def call(
    name: str,
    function: Callable[..., Any],
    *arguments: Any,
    refused: Any = (),
    logger: Any = None,
    **options: Any,
) -> Any:
    """Call TensorRT or pycuda, and turn every kind of failure into one.

    Args:
        name: of the call, for the message.
        function: what to call.
        *arguments: what to call it with.
        refused: results by which the call says that it failed, such as None or False.
        logger: where TensorRT said why, in errors or, without any, in warnings; both are cleared before the call.
        **options: what to call it with by name.

    Returns:
        What the call returned.

    Raises:
        BackendError: it raised, or returned one of `refused`; names the call.
    """
    if logger is not None:
        logger.errors.clear()
        logger.warnings.clear()
    try:
        result = function(*arguments, **options)
    except Exception as error:  # the two packages share no base class but Exception
        reason = one_line(error)
    else:
        if not any(result is value for value in refused):
            return result
        reason = f"it returned {result}"
    # A caller may keep the error; its traceback must not keep a GPU object beyond its CUDA context.
    del function, arguments, options
    said = "; ".join(logger.errors or logger.warnings)[:600] if logger is not None else ""
    raise BackendError(f"{name} failed: {reason}" + (f" ({said})" if said else ""))
