"""The state of a training: it round-trips bit for bit, and a file that is not whole is known."""

from __future__ import annotations

import errno
import json
import os
import resource
import zipfile

import numpy as np
import pytest

from edge.errors import InputError, StorageError, WeightsError
from train.run_folder.state_file import array_differences, read_state, write_state

ARRAYS = {
    "stem/kernel": np.linspace(-1.0, 1.0, 6, dtype=np.float32).reshape(1, 2, 3),
    "stem/transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "half": np.array([1.0, np.nan, np.inf], np.float16),
    "adamw/iterations": np.int64(2**40 + 1),
    "dropout/seed_generator_state": np.array([7, 2**32 - 1], np.uint32),
    "is_finite": np.array(True),
    "none": np.zeros((0, 3), np.float32),
    "größe": np.float64(0.1),
}
FACTS = {"epoch": 3, "loss": 0.1 + 0.2, "best": None, "history": [{"miou": 0.5}], "name": "größe"}


@pytest.fixture
def path(tmp_path):
    write_state(tmp_path / "state.npz", ARRAYS, FACTS)
    return tmp_path / "state.npz"


def test_every_bit_comes_back_in_the_same_order(path):
    state = read_state(path)
    assert list(state.arrays) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        found, expected = state.arrays[name], np.asarray(expected)
        assert (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())
    assert state.facts == FACTS


def test_equal_states_are_equal_files(path, tmp_path):
    write_state(tmp_path / "again.npz", dict(ARRAYS), dict(FACTS))
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()
    write_state(tmp_path / "again.npz", {**ARRAYS, "is_finite": np.array(False)}, FACTS)
    assert (tmp_path / "again.npz").read_bytes() != path.read_bytes()


def test_numpy_alone_opens_it_without_pickles(path):
    with np.load(path, allow_pickle=False) as archive:
        assert archive["stem/kernel"].tobytes() == ARRAYS["stem/kernel"].tobytes()


@pytest.mark.parametrize("value", [np.array([{}], object), np.array(["text"])])
def test_what_only_a_pickle_could_hold_is_refused_and_the_state_before_stays(path, value):
    before = path.read_bytes()
    with pytest.raises(TypeError, match="cannot hold wrong of type"):
        write_state(path, {"wrong": value}, {})
    with pytest.raises((TypeError, ValueError)):
        write_state(path, {}, {"loss": float("nan")})
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


# Files that are not whole


def test_file_that_was_cut_off_anywhere_is_refused_in_one_line(path):
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="is damaged: ") as caught:
            read_state(path)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(f". Next: train anew with --init-weights {path.parent}")


def test_no_flipped_bit_changes_what_is_read(path):
    whole, state = path.read_bytes(), read_state(path)
    refused = 0
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            found = read_state(path)
        except (WeightsError, InputError) as error:
            assert "\n" not in str(error)
            refused += 1
            continue
        assert found.facts == state.facts
        assert [array.tobytes() for array in found.arrays.values()] == [
            array.tobytes() for array in state.arrays.values()
        ]
    assert refused > len(whole) // 6  # the rest are dates and rights of the members


def test_file_that_is_no_state_is_refused(path, tmp_path):
    np.savez(path, weights=np.zeros(3))
    with pytest.raises(WeightsError, match=r"is no state of a training: it has no facts\.json"):
        read_state(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("facts.json", json.dumps({"schema": 2, "arrays": [], "facts": {}}))
    with pytest.raises(WeightsError, match="has schema 2, this version of segedge reads 1"):
        read_state(path)
    for text in ("[]", '{"schema": 1}', '{"schema": 1, "arrays": ["gone"], "facts": {}}', "{"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("facts.json", text)
        with pytest.raises(WeightsError, match=r"is damaged|has schema None"):
            read_state(path)
    with pytest.raises(InputError, match="not found"):
        read_state(tmp_path / "none.npz")
    with pytest.raises(InputError, match="cannot be read"):
        read_state(tmp_path)


# A disk that is full


def test_disk_that_fills_up_in_the_middle_leaves_the_state_before(path):
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.raises(StorageError) as caught:
            write_state(path, {**ARRAYS, "large": np.ones(100_000, np.float32)}, FACTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value).startswith(f"cannot write {path}: ") and "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_disk_that_is_found_full_when_it_is_synchronised_leaves_the_state_before(path, monkeypatch):
    before = path.read_bytes()

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_state(path, {}, {})
    assert path.read_bytes() == before


def test_state_is_on_the_disk_before_it_takes_the_place_of_the_one_before(path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("replace"), replace(*paths)))
    write_state(path, {}, {})
    assert order == ["fsync", "replace", "fsync"]


# Comparison


def test_arrays_of_the_same_network_have_no_differences(path):
    assert array_differences(read_state(path).arrays, ARRAYS) == ""


def test_first_differences_are_named_and_the_rest_is_a_number():
    wanted = {"a": np.zeros((3, 3), np.float32), "b": np.zeros(2, np.float32)}
    found = {"a": np.zeros((3, 4), np.float32), "c": np.zeros(1), "b": np.zeros(2, np.float16)}
    assert array_differences(found, wanted) == (
        "c is unknown, a is (3, 4) float32, expected (3, 3) float32, b is (2,) float16, expected (2,) float32"
    )
    many = {f"layer_{number}": np.zeros(1) for number in range(9)}
    assert array_differences({}, many).endswith("layer_3 is missing and 5 more")
