"""Settings that must be there before Keras is first imported."""

import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(autouse=True)
def timing_cache_folder(tmp_path_factory, monkeypatch):
    """Keep times of layers out of the user's cache folder; made when a build asks for it."""
    import export.backends.trt_timing_cache as timing_cache

    made = []

    def folder():
        if not made:
            made.append(tmp_path_factory.mktemp("cache"))
        return made[0]

    monkeypatch.setattr(timing_cache, "cache_folder", folder)
    return folder
