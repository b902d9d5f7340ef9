"""The user's cache folder: where it is, and what stands in for it."""

from __future__ import annotations

import pytest

from edge import user_cache
from edge.errors import StorageError


@pytest.fixture(autouse=True)
def forgotten():
    user_cache._private_folder.cache_clear()
    yield
    user_cache._private_folder.cache_clear()


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGEDGE_CACHE", str(tmp_path / "one"))
    assert user_cache.cache_folder() == tmp_path / "one"
    monkeypatch.delenv("SEGEDGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    assert user_cache.cache_folder() == tmp_path / "two" / "segedge"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert user_cache.cache_folder() == tmp_path / "home" / ".cache" / "segedge"


def test_machine_without_any_folder_is_one_error_of_storage(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGEDGE_CACHE", str(tmp_path / "file" / "cache"))

    def refuse(**options):
        raise OSError("no space left")

    monkeypatch.setattr(user_cache.tempfile, "mkdtemp", refuse)
    with pytest.raises(StorageError, match=r"no cache folder can be written \(no space left\)"):
        user_cache.cache_folder()
