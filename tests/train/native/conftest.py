"""Tests of kernels need kernels."""

import pytest

from train.native import kernels, unavailable_reason


@pytest.fixture(autouse=True)
def _needs_kernels():
    if kernels() is None:
        pytest.skip(f"no kernels here: {unavailable_reason() or 'there is a GPU'}")
