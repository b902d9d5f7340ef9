"""A collection that was interrupted goes on where it stopped, and ends as if nothing had happened."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import calibration.ranges.collector as collect_module
from calibration.ranges.checkpoint import STATE_FILE, CollectionInputs, discard_state, read_state, write_state
from calibration.ranges.collector import collect_ranges
from calibration.ranges.histogram import TensorCounter
from edge.errors import ImageError, InputError
from tests.calibration import graph_drawing as drawing
from tests.calibration.ranges.test_collector import SIZE, ArrayFrames, write_artifact

IMAGES = 6
FRAMES = [feeds["frame"][0] for feeds in drawing.frames(IMAGES, SIZE)]


class InterruptedFrames(ArrayFrames):
    """Frames of which one cannot be read, once; `read_indices` are those that were."""

    def __init__(self, arrays, at=None, error=KeyboardInterrupt):
        super().__init__(arrays)
        self._at, self._error, self.read_indices = at, error, []

    def read(self, index):
        if index == self._at:
            raise self._error
        self.read_indices.append(index)
        return super().read(index)


@pytest.fixture
def artifact(tmp_path):
    return write_artifact(tmp_path, drawing.make_network(SIZE))


def collect(artifact, frames, manifest="f" * 64, **options):
    return collect_ranges(artifact, frames, manifest, **{"show_progress": False, **options})


def interrupt(artifact, at, **options):
    with pytest.raises(KeyboardInterrupt):
        collect(artifact, InterruptedFrames(FRAMES, at), **options)


@pytest.mark.parametrize("at", [1, 3, 5])
def test_interrupted_and_resumed_collection_equals_an_uninterrupted_one(artifact, at):
    expected = collect(artifact, ArrayFrames(FRAMES))
    interrupt(artifact, at)
    assert (artifact / STATE_FILE).is_file()
    resumed = InterruptedFrames(FRAMES)
    assert collect(artifact, resumed) == expected
    assert resumed.read_indices == list(range(at, IMAGES))


def test_collection_may_be_interrupted_again_and_again(artifact):
    expected = collect(artifact, ArrayFrames(FRAMES))
    for at in (1, 2, 4):
        interrupt(artifact, at)
    resumed = InterruptedFrames(FRAMES)
    assert collect(artifact, resumed) == expected
    assert resumed.read_indices == [4, 5]


@pytest.fixture
def heeds_ctrl_c():
    """Let SIGINT interrupt this process: one that was started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_image_whose_counting_is_interrupted_is_counted_whole(artifact, monkeypatch):
    expected = collect(artifact, ArrayFrames(FRAMES))
    update, calls = TensorCounter.update, []

    def interrupting(self, values, tensor, image=None):
        calls.append(image)
        if image == "2" and calls.count("2") == 4:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            time.sleep(0.1)  # the main thread has stopped waiting when the image has been counted
        update(self, values, tensor, image)

    with monkeypatch.context() as patch:
        patch.setattr(TensorCounter, "update", interrupting)
        with pytest.raises(KeyboardInterrupt):
            collect(artifact, ArrayFrames(FRAMES))
    resumed = InterruptedFrames(FRAMES)
    assert collect(artifact, resumed) == expected
    assert resumed.read_indices == [3, 4, 5]


def test_interruption_before_the_first_image_leaves_nothing(artifact):
    interrupt(artifact, 0)
    assert not (artifact / STATE_FILE).exists()


def test_error_keeps_what_was_counted(artifact):
    with pytest.raises(ImageError):
        collect(artifact, InterruptedFrames(FRAMES, 2, ImageError("2.png cannot be decoded")))
    resumed = InterruptedFrames(FRAMES)
    collect(artifact, resumed)
    assert resumed.read_indices == [2, 3, 4, 5]


def test_image_that_was_counted_in_part_is_not_kept(artifact, monkeypatch):
    expected = collect(artifact, ArrayFrames(FRAMES))
    interrupt(artifact, 2)
    update = TensorCounter.update

    def failing(self, values, tensor, image=None):
        if (tensor, image) == ("logits", "3"):
            raise InputError("activation logits holds NaN")
        update(self, values, tensor, image)

    with monkeypatch.context() as patch:
        patch.setattr(TensorCounter, "update", failing)
        with pytest.raises(InputError, match="logits"):
            collect(artifact, ArrayFrames(FRAMES))
    resumed = InterruptedFrames(FRAMES)
    assert collect(artifact, resumed) == expected
    assert resumed.read_indices == [2, 3, 4, 5]


def test_long_collection_is_kept_on_its_way(artifact, monkeypatch):
    # A process that is killed has no chance to write anything.
    monkeypatch.setattr(collect_module, "SAVE_EVERY_S", 0.0)
    there = []

    class Watched(ArrayFrames):
        def read(self, index):
            there.append((artifact / STATE_FILE).is_file())
            return super().read(index)

    collect(artifact, Watched(FRAMES))
    assert there == [False, True, True, True, True, True]


def test_short_collection_leaves_no_state(artifact):
    collect(artifact, ArrayFrames(FRAMES))
    assert not (artifact / STATE_FILE).exists()


def test_interruption_says_what_it_kept(artifact, capsys):
    with pytest.raises(KeyboardInterrupt):
        collect(artifact, InterruptedFrames(FRAMES, 2), show_progress=True)
    assert capsys.readouterr().err.endswith("collect ranges: 2 images are kept, the next call goes on there\n")


def test_resumed_run_says_at_which_image_it_goes_on(artifact, capsys):
    interrupt(artifact, 2)
    collect(artifact, ArrayFrames(FRAMES), show_progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"collect ranges: goes on at image 3 of 6, from {STATE_FILE}\n")
    assert "4/4 image" in captured.err


def test_interruption_after_the_last_image_needs_no_image_again(artifact, monkeypatch):
    expected = collect(artifact, ArrayFrames(FRAMES))

    def interrupted(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(collect_module, "tensor_range", interrupted)
        with pytest.raises(KeyboardInterrupt):
            collect(artifact, ArrayFrames(FRAMES))
    resumed = InterruptedFrames(FRAMES)
    assert collect(artifact, resumed) == expected
    assert resumed.read_indices == []


def test_state_of_other_images_or_of_fewer_is_ignored(artifact):
    interrupt(artifact, 3)
    others = InterruptedFrames(FRAMES)
    collect(artifact, others, manifest="e" * 64)
    assert others.read_indices == list(range(IMAGES))
    fewer = InterruptedFrames(FRAMES[:4])
    collect(artifact, fewer)
    assert fewer.read_indices == [0, 1, 2, 3]


def test_state_of_another_graph_is_ignored(artifact):
    interrupt(artifact, 3)
    write_artifact(artifact, drawing.make_network(SIZE, zero_channel=True))
    other = InterruptedFrames(FRAMES)
    collect(artifact, other)
    assert other.read_indices == list(range(IMAGES))


def test_state_of_other_code_or_preprocessing_is_ignored_and_a_line_says_so(artifact, monkeypatch, capsys):
    interrupt(artifact, 3)
    for name, other in [("PREPROCESSING", "nearest"), ("ranges_code", lambda: "d" * 64)]:
        with monkeypatch.context() as patch:
            patch.setattr(collect_module, name, other)
            frames = InterruptedFrames(FRAMES)
            collect(artifact, frames)
            assert frames.read_indices == list(range(IMAGES))
    interrupt(artifact, 3)
    monkeypatch.setattr(collect_module, "ranges_code", lambda: "d" * 64)
    capsys.readouterr()
    collect_module.collect_ranges(artifact, ArrayFrames(FRAMES), "d" * 64)
    assert f"collect ranges: starts anew, {STATE_FILE} is damaged or of other inputs or code" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"no archive"])
def test_damaged_state_is_ignored(artifact, damage):
    expected = collect(artifact, ArrayFrames(FRAMES))
    interrupt(artifact, 3)
    path = artifact / STATE_FILE
    path.write_bytes(damage(path.read_bytes()))
    frames = InterruptedFrames(FRAMES)
    assert collect(artifact, frames) == expected
    assert frames.read_indices == list(range(IMAGES))


def test_nothing_is_kept_where_that_is_not_wanted(artifact):
    interrupt(artifact, 3, resume=False)
    assert not (artifact / STATE_FILE).exists()
    interrupt(artifact, 3)
    frames = InterruptedFrames(FRAMES)
    collect(artifact, frames, resume=False)
    assert frames.read_indices == list(range(IMAGES))


def test_discarding_is_for_whoever_wrote_the_ranges(artifact):
    interrupt(artifact, 3)
    discard_state(artifact)
    assert not (artifact / STATE_FILE).exists()
    discard_state(artifact)  # there is nothing to delete, which is well
    frames = InterruptedFrames(FRAMES)
    collect(artifact, frames)
    assert frames.read_indices == list(range(IMAGES))


def test_state_holds_every_bit_of_the_counters(tmp_path):
    generator = np.random.default_rng(3)
    inputs = CollectionInputs("a", "b", 9, "c", "d", ("features", "zeros", "dense"))
    counters = [TensorCounter(by_channel=True) for _ in inputs.tensors]
    for _ in range(3):
        counters[0].update(generator.normal(0, 1e-3, (1, 7, 5, 5)).astype(np.float32), "features")
        counters[1].update(np.zeros((1, 2, 3, 3), np.float32), "zeros")
        counters[2].update(generator.normal(0, 9, (1, 4)).astype(np.float32), "dense")
    write_state(tmp_path, inputs, counters, 3)
    read = [TensorCounter(by_channel=True) for _ in inputs.tensors]
    assert read_state(tmp_path, inputs, read) == 3
    for first, second in zip(counters, read):
        for name, value in vars(first.histogram).items():
            np.testing.assert_array_equal(value, getattr(second.histogram, name), name)
            assert type(value) is type(getattr(second.histogram, name))
        assert (first.channels is None) == (second.channels is None)
        for name, value in vars(first.channels).items() if first.channels else ():
            np.testing.assert_array_equal(value, getattr(second.channels, name), name)
    assert read_state(tmp_path, dataclasses.replace(inputs, image_count=10), counters) == 0
