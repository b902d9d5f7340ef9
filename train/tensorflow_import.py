"""Import of TensorFlow when it is first needed, without the lines that it prints at its start."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
from typing import Iterator

from edge.errors import MissingDependencyError

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""Environment variable that turns oneDNN's kernels on, "1", or off; TensorFlow reads it when it is imported."""


def has_tensorflow() -> bool:
    """Return whether TensorFlow is installed, so that a model of Keras can be exported here."""
    return importlib.util.find_spec("tensorflow") is not None


def import_tensorflow(
    purpose: str, install: str, packages: tuple[str, ...] = ("tensorflow", "keras"), training: bool = False
) -> None:
    """Import TensorFlow and what else is needed, so that later imports find them loaded.

    Args:
        purpose: work that needs the packages, for the message.
        install: the command that installs them.
        packages: packages to import, in this order.
        training: whether networks will be trained. Convolutions on the processor are then oneDNN's, which TensorFlow
            itself uses only where there is AVX-512: on others too they take a fifth less time in a training step.

    Raises:
        MissingDependencyError: one of the packages is not installed.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if training:
        os.environ.setdefault(ONEDNN, "1")
    for package in packages:
        try:
            with _stderr_held_back():
                importlib.import_module(package)
        except ModuleNotFoundError as error:
            if error.name != package:
                raise
            raise MissingDependencyError(package, purpose, install) from None


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Hold back what a block writes to file descriptor 2 (stderr), and print it only if the block fails.

    TensorFlow logs a few lines from C++ before its own settings of what to log are read.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
