from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.console import progress as console_progress
from edge.imaging import read_rgb, write_image
from edge.labels import distinct_palette
from edge.stream import captures, cli, sinks
from edge.stream.heatmap import COLOR_MAP
from tests.edge.picture_files import damaged_inside

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path, halves_rgb):
    """Return a folder of two pictures of different sizes."""
    write_image(tmp_path / "street" / "a.png", halves_rgb())
    write_image(tmp_path / "street" / "b.png", halves_rgb(96, 96))
    return tmp_path / "street"


@pytest.fixture
def video(tmp_path, halves_rgb):
    """Return a video of ten frames."""
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (128, 64))
    for _ in range(10):
        writer.write(halves_rgb()[..., ::-1].copy())
    writer.release()
    return path


def _run(capsys, engine, source, *options):
    code = cli.main([str(engine), "--source", str(source), *map(str, options)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_picture_is_written_with_the_labels_of_the_engine(capsys, engine, folder, tmp_path):
    output = tmp_path / "out" / "a.png"
    code, out, _ = _run(capsys, engine, folder / "a.png", "--output", output, "--alpha", 1, "--no-legend")
    assert code == 0
    painted_rgb = read_rgb(output)
    colors_rgb = distinct_palette(3)
    assert painted_rgb.shape == (64, 128, 3)
    assert (painted_rgb[30:, :56] == colors_rgb[0]).all(), "red is class 0"
    assert (painted_rgb[30:, 72:] == colors_rgb[2]).all(), "blue is class 2"
    assert f"written  {output}" in out and "frames   1 shown, 0 dropped" in out


def _heat_rgb(level):
    return cv2.applyColorMap(np.full((1, 1), round(255 * level), np.uint8), COLOR_MAP)[0, 0, ::-1].astype(int)


def test_heat_map_has_the_uncertainty_of_the_engine(capsys, make_unsure_engine, tmp_path):
    frame_rgb = np.full((64, 128, 3), 10, np.uint8)
    frame_rgb[:, 64:, 1] = 255  # full green is sure
    frame_rgb[:, :64, 1] = 51  # 2 nats * (1 - 51 / 255) is 0.8 of the scale
    write_image(tmp_path / "in.png", frame_rgb)
    options = ("--output", tmp_path / "out.png", "--show", "uncertainty", "--alpha", 1, "--no-legend")
    assert _run(capsys, make_unsure_engine(), tmp_path / "in.png", *options)[0] == 0
    painted_rgb = read_rgb(tmp_path / "out.png").astype(int)
    # One step of the colour map, for a level that was rounded the other way.
    assert np.abs(painted_rgb[40:, :48] - _heat_rgb(0.8)).max() <= 4
    assert np.abs(painted_rgb[40:, 80:] - _heat_rgb(0.0)).max() <= 4


def test_scale_without_a_bound_is_set_by_frames_and_not_by_the_warm_up(capsys, make_unsure_engine, tmp_path):
    # Black, which the warm-up passes through, would be twice as unsure as this picture.
    write_image(tmp_path / "in.png", np.full((64, 128, 3), 128, np.uint8))
    options = ("--output", tmp_path / "out.png", "--show", "uncertainty", "--alpha", 1, "--no-legend")
    assert _run(capsys, make_unsure_engine(None), tmp_path / "in.png", *options)[0] == 0
    assert np.abs(read_rgb(tmp_path / "out.png")[40:].astype(int) - _heat_rgb(1.0)).max() <= 4


def test_both_are_labels_with_stripes_where_the_engine_is_unsure(capsys, make_unsure_engine, folder, tmp_path):
    engine, pictures = make_unsure_engine(), {}
    frame_rgb = read_rgb(folder / "a.png")
    frame_rgb[:, 64:] = (30, 250, 30)
    write_image(folder / "a.png", frame_rgb)
    for show in ("labels", "both"):
        options = ("--output", tmp_path / f"{show}.png", "--show", show, "--no-legend")
        assert _run(capsys, engine, folder / "a.png", *options)[0] == 0
        pictures[show] = read_rgb(tmp_path / f"{show}.png")[40:].astype(int)
    difference = np.abs(pictures["both"] - pictures["labels"]).max(axis=2)
    assert difference[:, :48].mean() > 20, "red is 1.8 nats unsure"
    assert difference[:, 80:].max() <= 6, "green is sure"
    unsure = pictures["both"][:, :48]
    assert (unsure.min(axis=2) > 150).any() and (unsure.max(axis=2) < 80).any(), "white and black stripes on red"


@pytest.mark.parametrize("show", ["uncertainty", "both"])
def test_engine_without_uncertainty_is_one_line_with_the_way_to_one(capsys, engine, folder, tmp_path, show):
    code, out, err = _run(capsys, engine, folder, "--output", tmp_path / "out", "--show", show)
    assert (code, out) == (2, "")
    assert err == (
        f"error: strongest_channel engine has no output of uncertainty, --show {show} needs one. "
        "Next: python export/build_engine.py --model bayesian_segnet --option monte_carlo=8\n"
    )
    assert not (tmp_path / "out").exists()


def test_engine_of_batches_is_one_line(capsys, make_engine, folder, tmp_path):
    code, out, err = _run(capsys, make_engine(batch=2), folder, "--output", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.startswith("error: tiny engine takes batches of 2 frames") and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_random_weights_are_spoken_of(capsys, engine, folder, tmp_path):
    _, out, err = _run(capsys, engine, folder / "a.png", "--output", tmp_path / "a.png")
    sentence = "random weights: only the speed of this engine means anything"
    assert sentence in out and sentence in err


def test_folder_becomes_a_folder(capsys, engine, folder, tmp_path):
    code, _, err = _run(capsys, engine, folder, "--output", tmp_path / "out")
    assert code == 0
    assert [read_rgb(path).shape for path in sorted((tmp_path / "out").iterdir())] == [(64, 128, 3), (96, 96, 3)]
    assert "2/2 frame" in err


def test_video_becomes_a_video_and_the_summary_is_json(capsys, engine, video, tmp_path):
    output = tmp_path / "out.mp4"
    code, out, _ = _run(capsys, engine, video, "--output", output, "--json")
    summary = json.loads(out)
    assert code == 0
    assert (summary["frames"], summary["dropped"], summary["ended_by"]) == (10, 0, "source")
    assert summary["output"] == str(output) and summary["source"] == f"video {video}"
    assert summary["latency_p50_ms"] > 0 and summary["latency_p99_ms"] is None  # ten frames do not carry it
    assert set(summary["stage_mean_ms"]) == {"preprocess", "inference", "postprocess", "overlay"}
    capture = cv2.VideoCapture(str(output))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 10


def test_frames_end_an_endless_source(capsys, engine, tmp_path):
    code, out, _ = _run(capsys, engine, "synthetic:64x128", "--output", tmp_path / "out.avi", "--frames", 3, "--json")
    summary = json.loads(out)
    assert (code, summary["frames"], summary["ended_by"]) == (0, 3, "limit")


def test_live_source_runs_to_its_end(capsys, engine, video, tmp_path):
    options = ("--real-time", "--output", tmp_path / "out.avi", "--frames", 50, "--json")
    code, out, _ = _run(capsys, engine, video, *options)
    summary = json.loads(out)
    assert (code, summary["ended_by"]) == (0, "source")
    assert 1 <= summary["frames"] + summary["dropped"] <= 10


def test_live_source_that_is_lost_is_no_success_and_what_was_recorded_is_kept(capsys, monkeypatch, engine, tmp_path):
    class Unplugged:
        left = 6

        def read(self):
            self.left -= 1
            return (True, np.full((64, 128, 3), 90, np.uint8)) if self.left >= 0 else (False, None)

        def get(self, prop):
            return 0.0

        def release(self):
            pass

    monkeypatch.setattr(captures, "open_camera", lambda device, options: Unplugged())
    output = tmp_path / "out.avi"
    code, out, err = _run(capsys, engine, "camera:0", "--output", output, "--seconds", 60)
    assert code == cli.EXIT_SOURCE_LOST == 4
    assert "camera 0 was lost after 6 frames" in out and "error" not in err
    assert cv2.VideoCapture(str(output)).read()[0]
    code, out, err = _run(capsys, engine, "camera:0", "--output", output, "--seconds", 60, "--json")
    summary = json.loads(out)
    assert (code, summary["ended_by"]) == (4, "lost")
    assert "camera 0 was lost" in summary["note"] and "camera 0 was lost" in err


def test_damaged_picture_is_one_line_and_the_earlier_ones_are_kept(capsys, engine, folder, tmp_path):
    # What the check of all headers cannot see: the pixels themselves are damaged.
    (folder / "b.png").write_bytes(damaged_inside((folder / "b.png").read_bytes()))
    code, out, err = _run(capsys, engine, folder, "--output", tmp_path / "out")
    assert code == 2 and out == ""
    assert "error: image" in err.splitlines()[-1] and "b.png cannot be decoded" in err.splitlines()[-1]
    assert f"kept what was written until then: {tmp_path / 'out'}" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_folder_with_a_bad_picture_is_refused_before_anything_is_written(capsys, engine, folder, tmp_path):
    (folder / "b.png").write_bytes(b"damaged")
    code, out, err = _run(capsys, engine, folder, "--output", tmp_path / "out")
    assert code == 2 and out == ""
    assert "1 of 2 pictures of folder" in err and "b.png cannot be decoded" in err and "--skip-bad" in err
    assert not (tmp_path / "out").exists()


def test_bad_picture_is_left_out_and_counted(capsys, engine, folder, tmp_path):
    (folder / "b.png").write_bytes(b"damaged")
    code, out, _ = _run(capsys, engine, folder, "--output", tmp_path / "out", "--skip-bad", "--json")
    assert code == 0
    summary = json.loads(out)
    assert (summary["frames"], summary["skipped_pictures"]) == (1, ["b.png"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.mp4", "error: source 'nowhere.mp4' not found"),
        ("camera:250", "error: camera /dev/video250 not found"),
        ("rtsp://admin:secret@127.0.0.1:9/live", "error: stream rtsp://***@127.0.0.1:9/live cannot be opened"),
    ],
)
def test_source_that_cannot_be_opened_is_one_line(capfd, engine, tmp_path, source, message):
    code, out, err = _run(capfd, engine, source, "--output", tmp_path / "out" / "o.mp4", "--timeout", 0.5)
    assert code == 2 and out == ""
    assert err.splitlines()[-1].startswith(message)
    assert "secret" not in err
    assert not (tmp_path / "out").exists()


def test_missing_engine_is_one_line(capsys, folder, tmp_path):
    code, _, err = _run(capsys, tmp_path / "nothing", folder, "--output", tmp_path / "out")
    assert code == 2
    assert err.count("\n") == 1 and "no engine at" in err and "build_engine.py" in err


def test_no_window_is_said_before_any_work(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sinks, "window_problem", lambda: "there is no display (DISPLAY is not set)")
    code, _, err = _run(capsys, tmp_path / "nothing", "nowhere.mp4")
    assert code == 2
    assert "no window can be opened: there is no display (DISPLAY is not set). Next: --output" in err


def test_source_is_not_written_over(capsys, engine, folder):
    before = (folder / "a.png").read_bytes()
    code, _, err = _run(capsys, engine, folder, "--output", folder)
    assert code == 2 and "is where" in err
    assert (folder / "a.png").read_bytes() == before


@pytest.mark.parametrize("option", [("--alpha", "2"), ("--alpha", "x"), ("--seconds", "0"), ("--frames", "0")])
def test_numbers_out_of_range_are_refused(capsys, engine, option):
    with pytest.raises(SystemExit) as caught:
        _run(capsys, engine, "synthetic", *option)
    assert caught.value.code == 2


@pytest.mark.any_python
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_recording_is_finished_at_every_signal(engine, tmp_path, number, code):
    output, part = tmp_path / "out.avi", tmp_path / "out.part.avi"
    command = [sys.executable, "-m", "edge.stream.cli", str(engine), "--source", "synthetic:64x128"]
    process = subprocess.Popen(
        [*command, "--output", str(output)],
        cwd=str(ROOT),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGHUP)],
    )
    try:
        deadline_s = time.monotonic() + 60
        while not part.exists() and time.monotonic() < deadline_s and process.poll() is None:
            time.sleep(0.02)
        time.sleep(0.2)  # some frames
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert b"what was written so far is whole" in err and b"Traceback" not in err
    assert f"written  {output}".encode() in out
    assert cv2.VideoCapture(str(output)).read()[0] and not part.exists()


@pytest.mark.any_python
def test_ctrl_c_ends_with_130_and_whole_files(engine, tmp_path):
    output = tmp_path / "out"
    command = [sys.executable, "-m", "edge.stream.cli", str(engine), "--source", "synthetic:64x128"]
    process = subprocess.Popen(
        [*command, "--output", str(output)],
        cwd=str(ROOT),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell may have taught its children to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline_s = time.monotonic() + 60
        while not (output / "frame_000002.png").exists() and time.monotonic() < deadline_s and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert b"interrupted: what was written so far is whole" in err and b"Traceback" not in err
    assert b"frames " in out
    written = sorted(output.iterdir())
    assert len(written) >= 3 and all(path.suffix == ".png" and path.name[0] != "." for path in written)
    assert all(read_rgb(path).shape == (64, 128, 3) for path in written)


def test_progress_without_an_end_is_a_line_now_and_then(capsys, monkeypatch):
    now_ns = [0]
    monkeypatch.setattr(console_progress.time, "perf_counter_ns", lambda: now_ns[0])
    with cli._progress(None) as progress:
        for _ in range(100):
            now_ns[0] += 250_000_000
            progress.step("4.0 fps")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["segment: 40 frames (10 s gone) 4.0 fps", "segment: 80 frames (20 s gone) 4.0 fps"]


def test_help_names_every_source(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    for word in ("folder", "video file", "camera:0", "rtsp://", "csi:0", "synthetic"):
        assert word in shown


def test_labels_have_the_size_of_the_frame(capsys, engine, tmp_path):
    write_image(tmp_path / "odd.png", np.full((37, 53, 3), 90, np.uint8))
    assert _run(capsys, engine, tmp_path / "odd.png", "--output", tmp_path / "out.png")[0] == 0
    assert read_rgb(tmp_path / "out.png").shape == (37, 53, 3)


def test_drawn_source_has_the_size_of_a_camera(capsys, engine, tmp_path):
    for size in ("1080x1920", "192x108", "101x203"):
        output = tmp_path / size
        code, _, _ = _run(capsys, engine, f"synthetic:{size}", "--output", output, "--frames", 1)
        assert code == 0
        height, width = map(int, size.split("x"))
        assert [read_rgb(path).shape for path in sorted(output.iterdir())] == [(height, width, 3)]


def test_few_frames_have_no_p99(capsys, engine, folder, tmp_path):
    _, out, _ = _run(capsys, engine, folder, "--output", tmp_path / "out")
    assert "p99 needs 100 frames" in out


def test_more_threads_than_cores_are_refused(capsys, engine, folder, tmp_path):
    with pytest.raises(SystemExit) as ended:
        _run(capsys, engine, folder, "--output", tmp_path / "out", "--threads", 999)
    assert ended.value.code == 2
    assert "--threads: got '999', expected 1 to" in capsys.readouterr().err
