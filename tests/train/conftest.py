"""Settings that must be there before Keras is first imported, and what becomes of networks."""

import gc
import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="module", autouse=True)
def _networks_go():
    """Let the networks of a file go when it is done: a hundred megabytes each, and they are held in circles."""
    yield
    gc.collect()
