"""The rules of edge-bench run, what it measures on, and its row in the runs database."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge.bench import run_cli
from edge.bench.cli import build_parser, main
from edge.bench.frame_feed import DecodingFeed
from edge.bench.run_options import asked_conditions, bench_settings
from edge.bench.video_frames import VideoFrames
from edge.errors import InputError, SourceError
from edge.frames import FolderFrames
from edge.imaging import write_image
from edge.opencv import cv2
from edge.run_store.store import RunStore
from edge.runtime.onnxruntime import OnnxRuntimeRunner

QUICK = ("--frames", "3", "--seconds", "0", "--warmup", "1")


def settings_of(*options):
    return bench_settings(build_parser().parse_args(["run", "engine", *options]))


@pytest.fixture
def bench(capsys):
    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, (64, 48))
    for index in range(5):
        writer.write(np.full((48, 64, 3), 40 * index, np.uint8))
    writer.release()
    return path


def test_quick_look_is_short_and_a_named_scenario_has_the_standards_length():
    assert (settings_of().frames, settings_of().seconds) == (200, 5.0)
    standard = settings_of("--scenario", "single-stream")
    assert (standard.frames, standard.seconds) == (1024, 600.0)
    named = settings_of("--scenario", "camera", "--min-frames", "50", "--duration", "7")
    assert (named.frames, named.seconds) == (50, 7.0)
    assert (settings_of("--frames", "9", "--seconds", "0").frames, settings_of("--seconds", "0").seconds) == (9, 0.0)


def test_deadline_of_a_camera_is_the_time_to_its_next_frame_unless_it_is_named():
    camera = settings_of("--scenario", "camera", "--fps", "25").camera
    assert (camera.fps, camera.deadline_ms, camera.allowed_miss_share, camera.stops_early) == (25.0, 40.0, 0.01, True)
    options = ("--scenario", "camera", "--deadline-ms", "100", "--allowed-misses", "0.001", "--whole")
    camera = settings_of(*options).camera
    assert (camera.deadline_ms, camera.allowed_miss_share, camera.stops_early) == (100.0, 0.001, False)


def test_options_of_a_camera_are_refused_without_one():
    with pytest.raises(InputError, match="--fps and --whole are about a camera's frames, and the scenario is a quick"):
        settings_of("--fps", "30", "--whole")
    with pytest.raises(InputError, match="--deadline-ms is about a camera's frames, and the scenario is pipelined"):
        settings_of("--deadline-ms", "9", "--scenario", "pipelined")


@pytest.mark.parametrize("option", ["--fps", "--deadline-ms", "--allowed-misses", "--duration", "--gpu-clock"])
@pytest.mark.parametrize("value", ["nan", "-1", "1e99"])
def test_absurd_number_is_one_line(option, value, capsys, one_line):
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["run", "engine", option, value])
    assert ended.value.code == 2
    assert f"{option}" in one_line(capsys.readouterr().err)


def test_power_mode_and_clocks_that_were_asked_for_are_conditions_of_the_run():
    options = ("--power-mode", "MAXN", "--gpu-clock", "1300.5")
    asked = asked_conditions(build_parser().parse_args(["run", "engine", *options]))
    assert (asked.power_mode_asked, asked.gpu_clock_asked_mhz, asked.cpu_clock_asked_mhz) == ("MAXN", 1300.5, None)


def test_frames_of_a_video_come_in_order_and_again(video):
    frames = VideoFrames(video)
    assert (len(frames), len(VideoFrames(video, 2))) == (5, 2)
    means = [frames.read(index).mean() for index in (0, 3, 1, 4)]
    assert means == pytest.approx([0, 120, 40, 160], abs=4)
    assert frames.digest(0) != frames.digest(1)


def test_unreadable_video_and_unknown_input_are_one_line(bench, one_line, make_engine, tmp_path):
    engine = make_engine()
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
    code, out, err = bench("run", engine, *QUICK, "--input", tmp_path / "broken.mp4")
    assert (code, out) == (2, "") and "broken.mp4" in one_line(err) and "cannot be opened" in err
    code, out, err = bench("run", engine, *QUICK, "--input", "nothing/there")
    assert (code, out) == (2, "") and "input 'nothing/there' not found" in one_line(err)
    code, out, err = bench("run", engine, *QUICK, "--include-decode")
    assert (code, out) == (2, "") and "--include-decode needs frames in files" in one_line(err)
    with pytest.raises(SourceError):
        VideoFrames(tmp_path / "broken.mp4")


def test_decoded_frames_are_all_used_and_have_one_size(tmp_path, frame_rgb):
    for index in range(3):
        write_image(tmp_path / f"{index}.png", np.roll(frame_rgb, index, 0))
    feed = DecodingFeed(FolderFrames(tmp_path))
    frames = [feed.take() for _ in range(4)]
    assert np.array_equal(frames[1][0], np.roll(frame_rgb, 1, 0)) and np.array_equal(frames[3][0], frame_rgb)
    assert all(decode_ns > 0 for _, decode_ns in frames)
    write_image(tmp_path / "3.png", frame_rgb[:10])
    feed = DecodingFeed(FolderFrames(tmp_path))
    with pytest.raises(InputError, match="3 is 10x44, expected one size"):
        [feed.take() for _ in range(4)]


def test_run_of_a_video_prints_its_rules_and_stands_in_the_database(bench, make_engine, video, tmp_path):
    runs = tmp_path / "kept.db"
    options = ("--input", video, "--include-decode", "--runs", runs, "--output", tmp_path / "out")
    code, out, _ = bench("run", make_engine(), *QUICK, *options)
    assert code == 0
    assert (
        "rules: single-stream, at least 3 frames and 0 s" in out and "clock: latency: from the file of a frame" in out
    )
    assert "decode " in out and "verdict: INVALID" in out and "too few frames: 3" in out
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    with RunStore(runs) as store:
        (run,) = store.runs()
        assert (run.run_id, run.status, len(run.frames)) == (record["run_id"], "complete", 3)
        assert run.record.scenario.includes_decode and run.record.validity.is_valid is False


def test_interrupted_run_is_partial_in_the_database(bench, make_engine, tmp_path, monkeypatch):
    calls = []

    def interrupted(self, frame):
        calls.append(frame)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return {name: np.zeros(shape, np.float32) for name, shape in self.contract.output_shapes.items()}

    monkeypatch.setattr(OnnxRuntimeRunner, "_infer_impl", interrupted)
    runs = tmp_path / "kept.db"
    assert bench("run", make_engine(), *QUICK, "--frame-size", "64x128", "--runs", runs)[0] == 130
    with RunStore(runs) as store:
        (run,) = store.runs()
        assert (run.status, len(run.frames), run.record.validity.is_valid) == ("partial", 2, False)


def test_database_that_cannot_be_used_costs_no_measurement_unless_it_was_named(
    bench, one_line, make_engine, tmp_path, monkeypatch
):
    (tmp_path / "folder").mkdir()
    engine = make_engine()
    monkeypatch.setenv("SEGEDGE_RUNS", str(tmp_path / "folder"))
    code, out, err = bench("run", engine, *QUICK, "--frame-size", "64x128")
    assert code == 0 and "end to end" in out
    assert "warning: the run is written to no database: runs database" in err
    code, out, err = bench("run", engine, *QUICK, "--runs", tmp_path / "folder")
    assert (code, out) == (2, "") and "is a folder, expected a file" in one_line(err)


def test_engine_that_changes_during_its_run_makes_it_invalid(bench, make_engine, monkeypatch):
    engine = make_engine()
    measure = run_cli.measure_engine

    def changed(folder, runner, *rest):
        original = type(runner)._infer_impl

        def infer(self, frame):
            (folder / "engine.onnx").write_bytes(b"another")
            return original(self, frame)

        monkeypatch.setattr(type(runner), "_infer_impl", infer)
        return measure(folder, runner, *rest)

    monkeypatch.setattr(run_cli, "measure_engine", changed)
    code, out, _ = bench("run", engine, *QUICK, "--frame-size", "64x128", "--no-runs")
    assert code == 0 and "the engine's file changed during the run" in out


def test_older_records_still_read(bench, make_engine, tmp_path):
    out = tmp_path / "out"
    bench("run", make_engine(), *QUICK, "--frame-size", "64x128", "--no-runs", "--output", out)
    value = json.loads((out / "record.json").read_text())
    for name in ("run_id", "scenario", "validity", "steadiness", "conditions"):
        del value[name]
    (out / "record.json").write_text(json.dumps(value))
    assert bench("show", out)[0] == 0
