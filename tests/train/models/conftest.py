"""What the tests of the architectures share."""

from __future__ import annotations

import contextlib

import pytest


@pytest.fixture(scope="session")
def structure_alone():
    """Return a context in which kernels start as zeros: drawing millions of numbers is most of what building takes."""
    import keras

    @contextlib.contextmanager
    def zeros():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                keras.initializers.VarianceScaling,
                "__call__",
                lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype),
            )
            yield

    return zeros


@pytest.fixture(scope="module", autouse=True)
def _quick_weights(quick_weights):
    """Build every network here without drawing its weights anew."""
