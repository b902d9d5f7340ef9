from __future__ import annotations

import queue
import threading
import time

import numpy as np
import pytest

from edge.errors import SourceError
from edge.stream.live import LiveSource

LONG_S = 20.0  # never waited for unless something is broken


class FedCapture:
    """A capture whose frames come when the test says so."""

    def __init__(self):
        self.released_by = None
        self._items = queue.Queue()
        self._asked = threading.Semaphore(0)

    def read(self):
        self._asked.release()
        item = self._items.get(timeout=LONG_S)
        if isinstance(item, Exception):
            raise item
        return item is not None, item

    def get(self, prop):
        return 0.0

    def release(self):
        self.released_by = threading.current_thread()

    def feed(self, *values):
        """Give frames of these values, and return when the reader has taken in all of them."""
        for value in values:
            self._items.put(np.full((2, 2, 3), value, np.uint8))
        for _ in values:
            assert self._asked.acquire(timeout=LONG_S)

    def wait_until_asked(self):
        assert self._asked.acquire(timeout=LONG_S)

    def end(self, item=None):
        self._items.put(item)


@pytest.fixture
def fed():
    """Return a capture and an open live source of it; the reader waits for the first frame."""
    capture = FedCapture()
    source = LiveSource("camera 0", lambda: capture, timeout_s=LONG_S)
    source.open()
    capture.wait_until_asked()
    yield capture, source
    capture.end()
    source.close()


def _value(frame):
    return int(frame.pixels_bgr[0, 0, 0])


def test_slow_reader_gets_the_latest_frame_and_the_others_are_counted(fed):
    capture, source = fed
    capture.feed(10)
    assert _value(source.read()) == 10
    capture.feed(11, 12, 13)
    frame = source.read()
    assert (_value(frame), frame.number, frame.name) == (13, 3, "frame_000003")
    assert source.dropped == 2
    capture.feed(14)
    assert _value(source.read()) == 14
    assert source.dropped == 2


def test_frames_before_the_first_read_are_not_counted_as_dropped(fed):
    capture, source = fed
    capture.feed(1, 2, 3)
    assert _value(source.read()) == 3
    assert source.dropped == 0


def test_no_frame_is_given_twice(fed):
    capture, source = fed
    capture.feed(1)
    source.read()
    answers = queue.Queue()
    reader = threading.Thread(target=lambda: answers.put(source.read()))
    reader.start()
    capture.feed(2)
    assert _value(answers.get(timeout=LONG_S)) == 2
    reader.join(LONG_S)


def test_last_frame_is_given_before_the_end(fed):
    capture, source = fed
    capture.feed(1, 2)
    capture.end()
    assert _value(source.read()) == 2
    assert source.read() is None
    assert source.read() is None


def test_stream_that_ends_without_a_frame_is_an_error(fed):
    capture, source = fed
    capture.end()
    with pytest.raises(SourceError, match="camera 0 opens, but gives no frame"):
        source.read()


def test_failure_of_the_capture_reaches_the_caller(fed):
    capture, source = fed
    capture.end(ValueError("defect"))
    with pytest.raises(ValueError, match="defect"):
        source.read()


def test_closing_joins_the_reader_which_releases_the_capture():
    capture = FedCapture()
    with LiveSource("camera 0", lambda: capture, timeout_s=LONG_S) as source:
        capture.wait_until_asked()
        capture.feed(1)
        source.read()
        thread = source._thread
        capture.end()
    assert not thread.is_alive()
    assert capture.released_by is thread


def test_closing_does_not_wait_for_a_capture_that_hangs(monkeypatch):
    monkeypatch.setattr(LiveSource, "JOIN_TIMEOUT_S", 0.01)
    capture = FedCapture()
    source = LiveSource("camera 0", lambda: capture, timeout_s=LONG_S)
    source.open()
    capture.wait_until_asked()
    source.close()  # the capture is inside read, and stays there
    assert capture.released_by is None
    capture.end()
    source._thread.join(LONG_S)
    assert capture.released_by is source._thread


def test_camera_that_stops_is_an_error_after_the_timeout():
    capture = FedCapture()
    with LiveSource("camera 0", lambda: capture, timeout_s=0.02) as source:
        capture.wait_until_asked()
        with pytest.raises(SourceError, match=r"camera 0 gave no frame for 0\.02 s"):
            source.read()
        capture.end()


def test_end_of_a_live_source_is_a_loss_and_that_of_a_played_file_is_not():
    for has_end in (False, True):
        capture = FedCapture()
        with LiveSource("camera 0", lambda: capture, timeout_s=LONG_S, has_end=has_end) as source:  # noqa: B023
            capture.wait_until_asked()
            capture.feed(1)
            capture.end()
            assert _value(source.read()) == 1
            assert source.read() is None
        assert source.is_lost is not has_end
        assert has_end == (source.end_note is None)
        assert has_end or "camera 0 was lost after 1 frame: it ended" in source.end_note


def test_live_source_that_falls_silent_is_lost():
    capture = FedCapture()
    with LiveSource("camera 0", lambda: capture, timeout_s=0.05) as source:
        capture.wait_until_asked()
        capture.feed(1)
        source.read()
        assert source.read() is None
        assert source.is_lost and "gave no frame for 0.05 s" in source.end_note
        capture.end()


def test_source_that_does_not_open_is_given_up():
    go_on = threading.Event()
    source = LiveSource("stream x", lambda: go_on.wait(LONG_S) and FedCapture(), timeout_s=0.01)
    with pytest.raises(SourceError, match=r"stream x did not open within 0\.02 s"):
        source.open()
    go_on.set()
    source._thread.join(LONG_S)
    assert not source._thread.is_alive()


def test_why_it_cannot_be_opened_reaches_the_caller():
    def refuse():
        raise SourceError("camera 0 is in use")

    source = LiveSource("camera 0", refuse)
    with pytest.raises(SourceError, match="camera 0 is in use"):
        source.open()
    assert not source._thread.is_alive()


def test_stream_whose_opening_was_broken_off_is_not_called_unplugged():
    timeout_s = 0.5

    def open_slowly():
        time.sleep(1.1 * timeout_s)
        capture = FedCapture()
        capture.end(np.full((2, 2, 3), 1, np.uint8))
        capture.end()
        return capture

    with LiveSource("stream rtmp://10.0.0.1/live", open_slowly, timeout_s=timeout_s) as source:
        assert _value(source.read()) == 1
        assert source.read() is None
    assert source.is_lost and "unplugged" not in source.end_note
    assert source.end_note.endswith("Next: a longer --timeout")
