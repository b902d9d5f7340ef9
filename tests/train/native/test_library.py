"""When the kernels are used, and what takes their place."""

from __future__ import annotations

import logging
import os

import pytest
import tensorflow as tf

from edge import compiled_library
from train.native import kernels, library, unavailable_reason, without_kernels
from train.tensorflow_import import ONEDNN, import_tensorflow


@pytest.fixture
def forgotten():
    """Nothing remembered from before or for later."""
    remembered = library._load
    remembered.cache_clear()
    yield
    remembered.cache_clear()


def test_kernels_are_left_out_within_a_block_alone():
    assert kernels() is not None
    with without_kernels():
        with without_kernels():
            assert kernels() is None
        assert kernels() is None
    assert kernels() is not None


def test_kernels_are_left_out_beside_a_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [f"/device:{kind}:0"])
    assert kernels() is None
    assert unavailable_reason() == ""


def test_environment_turns_the_kernels_off_without_a_word(forgotten, monkeypatch, caplog):
    monkeypatch.setenv("SEGEDGE_NATIVE", "0")
    assert kernels() is None
    assert "SEGEDGE_NATIVE=0" in unavailable_reason()
    assert not caplog.records


def test_machine_without_a_compiler_has_none_and_hears_it_once(forgotten, monkeypatch, caplog):
    monkeypatch.setattr(compiled_library, "find_compilers", lambda: [])
    with caplog.at_level(logging.WARNING):
        assert kernels() is None
        assert kernels() is None
    assert "apt install g++" in unavailable_reason()
    assert len(caplog.records) == 1


def test_training_computes_with_onednn_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    import_tensorflow("a test", "pip", packages=())
    assert ONEDNN not in os.environ
    import_tensorflow("a test", "pip", packages=(), training=True)
    assert os.environ[ONEDNN] == "1"
    monkeypatch.setattr(os, "environ", {ONEDNN: "0"})
    import_tensorflow("a test", "pip", packages=(), training=True)
    assert os.environ[ONEDNN] == "0"
