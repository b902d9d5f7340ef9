"""The times of measured frames as columns."""

from edge.bench.frame_samples import FrameLog, FrameTimes, frame_samples


def test_columns_count_from_the_start_of_the_window():
    log = FrameLog()
    log.add(FrameTimes(100, 110, 150, 40, {"inference": 30, "postprocess": 10}))
    log.add(FrameTimes(200, 205, 260, 55, {"inference": 40, "postprocess": 15}))
    samples = frame_samples(log, 100)
    assert samples.due_ns.tolist() == [0, 100]
    assert samples.start_ns.tolist() == [10, 105]
    assert samples.end_ns.tolist() == [50, 160]
    assert samples.latency_ns.tolist() == [40, 55]
    assert samples.age_ns.tolist() == [50, 60]
    assert samples.stages_ns["postprocess"].tolist() == [10, 15]


def test_a_log_without_frames_has_empty_columns():
    samples = frame_samples(FrameLog(), 5)
    assert len(samples) == 0
    assert samples.stages_ns == {}


def test_a_reader_gets_what_came_since_its_last_look():
    log = FrameLog()
    for index in range(3):
        log.add(FrameTimes(index, index, index, 0, {}))
    assert [frame.end_ns for frame in log.since(1)] == [1, 2]
