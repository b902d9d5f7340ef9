"""Calls of TensorRT and pycuda: imports that name what to install, and one kind of error that names the call."""

from __future__ import annotations

import importlib
from typing import Any, Callable

from edge.errors import BackendError, MissingDependencyError


def import_backend(package: str, module: str, install: str) -> Any:
    """Import a module of a backend.

    Args:
        package: Name of the package that has to be installed, such as "pycuda".
        module: Full name of the module in this package, such as "pycuda.driver".
        install: Command that installs the package, for messages.

    Raises:
        MissingDependencyError: The package is not installed.
        BackendError: The package is installed, but lacks the module, or one of its libraries cannot be loaded.
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
    """Return the message of an exception in one line of at most 300 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:300]


def call(
    name: str,
    function: Callable[..., Any],
    *arguments: Any,
    refused: Any = (),
    logger: Any = None,
    **options: Any,
) -> Any:
    """Call a function of TensorRT or pycuda, and turn every kind of failure into a BackendError.

    Args:
        name: Name of the call for the message, such as "Stream.synchronize".
        function: Function that is called.
        *arguments: Positional arguments of the call.
        refused: Results that mean failure, such as None or False.
        logger: TensorRT logger whose errors, or else warnings, give the reason of a failure; it is cleared before the
            call.
        **options: Keyword arguments of the call.

    Returns:
        Result of the call.

    Raises:
        BackendError: The call raised an exception, or returned one of `refused`; the message names the call.
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
