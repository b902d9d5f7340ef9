"""Both forms of the arithmetic: the kernel, where it can be had, and TensorFlow's own operations."""

import contextlib

import pytest

from train.native import kernels, unavailable_reason, without_kernels


@pytest.fixture(params=["kernel", "tensorflow"])
def form(request):
    """The form of the arithmetic that a test runs with."""
    if request.param == "kernel" and kernels() is None:
        pytest.skip(f"no kernel here: {unavailable_reason() or 'there is a GPU'}")
    with without_kernels() if request.param == "tensorflow" else contextlib.nullcontext():
        yield request.param
