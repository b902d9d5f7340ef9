"""The host-memory CUDA driver for tests, which must leave nothing behind and misuse nothing."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

import pytest

from tests.host_cuda.host_driver import HostDriver


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(str(item.fspath)).parent == Path(__file__).parent:
            item.add_marker("host_cuda")


@pytest.fixture(scope="session")
def _host_driver():
    if "HOST_CUDA_LIBRARY" not in os.environ:
        pytest.skip("no host CUDA driver in this process: start tests/host_cuda/run.sh")
    host = HostDriver()
    assert ctypes.CDLL("libcuda.so.1").host_cuda_planned() == 0, "another libcuda.so.1 was loaded"
    return host


@pytest.fixture
def driver(_host_driver):
    """The driver's control object. A test fails if it leaves misuses that it does not `forgive`, or objects."""
    host = _host_driver
    host.reset()
    yield host
    gc.collect()
    live, misuses, raised = host.live(), host.misuses(), list(host.raised)
    host.reset()
    assert raised == []
    assert misuses == []
    assert live == {}


@pytest.fixture
def cuda(driver):
    """pycuda.driver, initialised."""
    import pycuda.driver

    pycuda.driver.init()
    return pycuda.driver


@pytest.fixture
def context(cuda):
    """A context that is current for the length of the test."""
    made = cuda.Device(0).make_context()
    yield made
    gc.collect()
    made.detach()
