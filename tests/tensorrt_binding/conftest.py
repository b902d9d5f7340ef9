"""The binding of TensorRT 8.5.3.1, which lies in an environment of its own (run.sh)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

VERSION = "8.5.3.1"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(str(item.fspath)).parent == Path(__file__).parent:
            item.add_marker("tensorrt_binding")


@pytest.fixture(scope="session")
def trt():
    """The module tensorrt."""
    if importlib.util.find_spec("tensorrt") is None:
        pytest.skip("no TensorRT in this environment: start tests/tensorrt_binding/run.sh")
    import tensorrt

    assert tensorrt.__version__ == VERSION
    return tensorrt
