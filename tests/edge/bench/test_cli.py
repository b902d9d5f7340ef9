"""edge-bench, as a user types it."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from edge.bench import measured_record, profile_cli, run_cli
from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.bench.cli import main
from edge.card import CARD_FILE, BuildCheck, CalibrationNote
from edge.contract import OWN_CLASSES
from edge.decision import BINARY, PROBABILITY, Decision
from edge.imaging import write_image
from edge.machine import usable_cores
from edge.machine_load import MachineLoad
from edge.records import read_record, write_record
from edge.runtime.onnxruntime import OnnxRuntimeRunner

QUICK = ("--frames", "3", "--seconds", "0", "--warmup", "1")


@pytest.fixture
def engine(make_engine):
    return make_engine()


@pytest.fixture
def images(tmp_path, frame_rgb):
    for index in range(3):
        write_image(tmp_path / "images" / f"frame_{index}.png", np.roll(frame_rgb, index, 0))
    return tmp_path / "images"


@pytest.fixture
def bench(capsys):
    """Runs edge-bench in this process; gives exit code, stdout and stderr."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def truncate(path: Path, share: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def everything_under(folder: Path) -> list:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_run_prints_every_stage_and_writes_record_report_and_overlays(bench, engine, images, tmp_path):
    output = tmp_path / "out"
    code, out, _ = bench("run", engine, "--images", images, *QUICK, "--output", output)
    assert code == 0
    for word in ("preprocess", "inference", "postprocess", "end to end", "p50", "p90", "p99", "max", "fps"):
        assert word in out
    assert f"record: {output / RECORD_FILE}\n" in out
    assert everything_under(output) == [
        *(f"overlays/frame_{index}.png" for index in range(3)),
        "record.json",
        "report.html",
    ]
    assert read_record(BenchRecord, output / RECORD_FILE).end_to_end.sample_count == 3


def test_artefact_folder_and_drawn_frames_do(bench, make_engine):
    artefact = make_engine(height=64, width=128).parents[1]
    code, out, _ = bench("run", artefact, *QUICK)
    assert code == 0
    assert "3 frames of 64x128 (synthetic scenes) after 1 to warm up" in out


@pytest.mark.any_python
def test_frame_size_of_drawn_frames_is_the_users(bench, engine):
    code, out, _ = bench("run", engine, *QUICK, "--frame-size", "64x192")
    assert (code, "3 frames of 64x192" in out) == (0, True)


def test_json_is_the_record_and_nothing_else(bench, engine, images, tmp_path):
    code, out, _ = bench("run", engine, "--images", images, *QUICK, "--json", "--output", tmp_path / "out")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "out" / RECORD_FILE).read_text())


def test_accuracy_is_measured_on_the_validation_split(bench, engine, make_camvid):
    code, out, _ = bench("run", engine, "--dataset", "camvid", "--data-dir", make_camvid(), "--accuracy", *QUICK)
    assert code == 0
    assert "(camvid val)" in out
    assert "on 3 frames of camvid val" in out


def test_accuracy_without_a_name_is_on_the_engines_dataset(bench, engine, make_camvid):
    code, out, _ = bench("run", engine, "--data-dir", make_camvid(), "--accuracy", *QUICK)
    assert code == 0
    assert "(camvid val)" in out
    assert "on 3 frames of camvid val" in out


def test_record_is_about_one_set_of_frames(bench, one_line, engine, make_camvid, images):
    camvid = make_camvid()
    for options, said in (
        (("--images", images, "--accuracy"), "has none: latency would be of one set and mIoU of another"),
        (("--images", images, "--data-dir", camvid), "name two sets of frames"),
        (("--images", images, "--frame-size", "64x128"), "--images has frames of their own"),
        (("--dataset", "camvid", "--data-dir", camvid, "--frame-size", "64x128"), "a dataset has frames of their own"),
    ):
        code, out, err = bench("run", engine, *options, *QUICK)
        assert (code, out) == (2, "")
        assert said in one_line(err)


@pytest.mark.any_python
def test_more_threads_than_cores_are_refused_with_the_number_of_cores(bench, one_line, engine, images, capsys):
    cores = usable_cores()
    for command in ("run", "profile"):
        for threads in (999, 0, -1, cores + 1):
            with pytest.raises(SystemExit) as ended:
                bench(command, engine, "--images", images, "--threads", threads)
            captured = capsys.readouterr()
            assert (ended.value.code, captured.out) == (2, "")
            expected = f"--threads: got '{threads}', expected 1 to {cores}: this process may use {cores} core"
            assert expected in one_line(captured.err)
    assert bench("run", engine, "--images", images, *QUICK, "--threads", 1)[0] == 0


@pytest.mark.any_python
def test_three_frames_have_no_p99_on_the_screen_in_the_record_and_on_the_page(bench, engine, images, tmp_path):
    output = tmp_path / "out"
    code, out, _ = bench("run", engine, "--images", images, *QUICK, "--output", output)
    assert code == 0
    assert "p90 needs 10 frames and p99 needs 100 frames, 3 were measured" in out
    record = json.loads((output / RECORD_FILE).read_text())
    assert record["end_to_end"]["p99_ms"] is None and record["stages"]["inference"]["p99_ms"] is None
    page = (output / "report.html").read_text()
    assert "99th percentile needs 100 frames" in page and "p99 needs 100 frames" in page
    assert "p99 needs 100 frames" in bench("show", output)[1]


def test_second_run_leaves_the_first_as_it_was_and_show_says_the_latest(bench, engine, images, tmp_path):
    output = tmp_path / "out"
    options = ("run", engine, "--images", images, *QUICK, "--output", output)
    bench(*options)
    before = {name: (output / name).read_bytes() for name in everything_under(output)}
    assert f"record: {output / 'run-2' / RECORD_FILE}\n" in bench(*options)[1]
    assert f"record: {output / 'run-3' / RECORD_FILE}\n" in bench(*options)[1]
    assert {name: (output / name).read_bytes() for name in before} == before
    code, out, _ = bench("show", output)
    assert code == 0
    assert out.startswith(f"record: {output / 'run-3' / RECORD_FILE}, the latest of 3 runs in {output}\n")
    assert f"report: {output / 'run-3' / 'report.html'}" in out
    assert "the latest of" not in bench("show", output / RECORD_FILE)[1]


def test_output_is_refused_before_anything_is_measured(bench, one_line, engine, images, tmp_path, monkeypatch):
    def measured(*_arguments):
        raise AssertionError("measured first")

    monkeypatch.setattr(OnnxRuntimeRunner, "_infer_impl", measured)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for output, said in (
        (tmp_path / "file", "is a file, expected a folder"),
        (tmp_path / "file" / "out", f"{tmp_path / 'file'} is a file, expected a folder"),
        (tmp_path / "link", "is a link to nothing"),
    ):
        for command in ("run", "profile"):
            code, out, err = bench(command, engine, "--images", images, "--output", output)
            assert (code, out) == (2, "")
            assert said in one_line(err)
    assert (tmp_path / "file").read_text() == "kept"


def test_busy_machine_is_said_in_the_record_on_the_screen_and_on_the_page(bench, engine, images, tmp_path, monkeypatch):
    busy = MachineLoad(3.2, 0.42, True)
    monkeypatch.setattr("edge.bench.measure.LoadWatch", lambda: types.SimpleNamespace(load=lambda: busy))
    output = tmp_path / "out"
    _, out, _ = bench("run", engine, "--images", images, *QUICK, "--output", output)
    said = "disturbed: other programs took 42 % of the CPU meanwhile"
    assert said in out and said in bench("show", output)[1]
    assert read_record(BenchRecord, output / RECORD_FILE).load == busy
    page = (output / "report.html").read_text()
    assert "Disturbed measurement" in page and "other programs took 42 % of the CPU meanwhile" in page


def test_show_says_what_a_record_holds(bench, engine, images, tmp_path):
    output = tmp_path / "out"
    bench("run", engine, "--images", images, *QUICK, "--output", output)
    code, out, _ = bench("show", output)
    assert code == 0
    assert "latency" in out
    assert f"overlays: {output / 'overlays'}" in out
    assert f"report: {output / 'report.html'}" in out
    assert bench("show", output / RECORD_FILE)[1] == out


def test_decision_by_a_threshold_is_said_on_the_screen_and_in_the_report(bench, make_engine, images, tmp_path):
    decision = Decision(BINARY, (0.3,), PROBABILITY, "ground")
    engine = make_engine(decision=decision, dataset=OWN_CLASSES, class_names=("ground", "road"))
    code, out, _ = bench("run", engine, "--images", images, *QUICK, "--output", tmp_path / "out")
    assert code == 0
    assert "labels: a pixel is 'road' where its probability is over 0.3, else 'ground'" in out.splitlines()
    assert "where its probability is over 0.3" in (tmp_path / "out" / "report.html").read_text()


def test_show_says_whether_the_build_held_its_budget(bench, engine, images, tmp_path):
    output = tmp_path / "out"
    bench("run", engine, "--images", images, *QUICK, "--output", output)
    assert "accuracy budget" not in bench("show", output)[1]
    record = read_record(BenchRecord, output / RECORD_FILE)
    judged = dataclasses.replace(
        record.engine,
        calibration=CalibrationNote("percentile", 64, "camvid train", "4" * 64, "", "at most 0.5 points of mIoU"),
        check=BuildCheck(16, "camvid val", 0.98, verdict="not shown", worst="car 1.20 points of IoU lost, at most 2"),
    )
    write_record(output / RECORD_FILE, dataclasses.replace(record, engine=judged))
    assert (
        "accuracy budget not shown to hold, the images are too few (at most 0.5 points of mIoU); closest to its limit: "
        "car 1.20 points of IoU lost, at most 2\n"
    ) in bench("show", output)[1]


def test_show_reads_the_record_that_was_named(bench, engine, images, tmp_path):
    output = tmp_path / "out"
    bench("run", engine, "--images", images, *QUICK, "--output", output)
    value = json.loads((output / RECORD_FILE).read_text())
    (output / "earlier.json").write_text(json.dumps({**value, "fps": 123.4}))
    assert "123.4 fps" in bench("show", output / "earlier.json")[1]
    assert "123.4 fps" not in bench("show", output)[1]


def break_card(engine):
    truncate(engine / CARD_FILE)


def break_engine(engine):
    truncate(engine / "engine.onnx")


def lose_engine(engine):
    (engine / "engine.onnx").unlink()


def lose_card(engine):
    (engine / CARD_FILE).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_card, "card.json is damaged"),
        (break_engine, "is not the engine of its card"),
        (lose_engine, "engine not found"),
        (lose_card, "no engine at"),
    ],
)
def test_damaged_engine_is_one_line_and_code_2(bench, one_line, engine, images, tmp_path, damage, message):
    damage(engine)
    code, out, err = bench("run", engine, "--images", images, *QUICK, "--output", tmp_path / "out")
    assert (code, out) == (2, "")
    line = one_line(err)
    assert message in line
    assert "Next: " in line
    assert not (tmp_path / "out").exists()


def test_engine_that_is_not_there_is_one_line(bench, one_line, tmp_path):
    code, _, err = bench("run", tmp_path / "none", *QUICK)
    assert code == 2
    assert "no engine at" in one_line(err)


def test_missing_image_or_folder_is_one_line(bench, one_line, engine, tmp_path):
    for path in (tmp_path / "none", tmp_path / "none.png"):
        code, _, err = bench("run", engine, "--images", path, *QUICK)
        assert code == 2
        assert f"image or folder not found: {path}" in one_line(err)


def test_empty_folder_is_one_line(bench, one_line, engine, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = bench("run", engine, "--images", tmp_path / "empty", *QUICK)
    assert code == 2
    assert "holds no picture" in one_line(err)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.97])
def test_unreadable_image_is_one_line_and_is_named(bench, one_line, engine, images, share):
    truncate(images / "frame_1.png", share)
    code, _, err = bench("run", engine, "--images", images, *QUICK)
    assert code == 2
    assert "frame_1.png cannot be decoded" in one_line(err)


def test_unreadable_image_is_left_out_and_counted(bench, engine, images):
    truncate(images / "frame_1.png")
    code, out, err = bench("run", engine, "--images", images, *QUICK, "--skip-bad", "--json")
    assert code == 0, err
    assert (json.loads(out)["distinct_frames"], json.loads(out)["skipped_pictures"]) == (2, ["frame_1.png"])
    code, out, _ = bench("run", engine, "--images", images, *QUICK, "--skip-bad")
    assert "left out, since they cannot be read: 1 of the pictures, such as frame_1.png" in out


def test_bad_frame_of_a_dataset_is_left_out_of_speed_and_accuracy(bench, engine, make_camvid):
    root = make_camvid()
    truncate(sorted((root / "val").iterdir())[0])
    command = ["run", engine, "--dataset", "camvid", "--data-dir", root, "--accuracy", *QUICK]
    code, _, err = bench(*command)
    assert code == 2 and "1 of 3 pictures of camvid val under" in err
    code, out, _ = bench(*command, "--skip-bad", "--json")
    record = json.loads(out)
    assert (code, record["accuracy"]["frame_count"], record["skipped_pictures"]) == (0, 2, ["v0_000"])


def test_images_of_two_sizes_are_one_line(bench, one_line, engine, images, frame_rgb):
    write_image(images / "other.png", frame_rgb[:10])
    code, _, err = bench("run", engine, "--images", images, *QUICK)
    assert code == 2
    assert "differ in size" in one_line(err)


def test_dataset_that_is_not_there_or_of_another_layout_is_one_line(bench, one_line, engine, images, tmp_path):
    for folder, message in ((tmp_path / "none", "camvid folder not found"), (images, "has no val, expected val/")):
        code, _, err = bench("run", engine, "--dataset", "camvid", "--data-dir", folder, *QUICK)
        assert code == 2
        assert message in one_line(err)


def break_size(labels):
    write_image(labels, np.zeros((10, 10), np.uint8))


def break_ids(labels):
    write_image(labels, np.full((20, 44), 40, np.uint8))


def break_file(labels):
    truncate(labels)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_size, "is 10x10, its frame is 20x44, expected the same size"),
        (break_ids, "has unknown ids [40], camvid has 0 to 11"),
        (break_file, "cannot be decoded"),
    ],
)
def test_damaged_label_map_is_one_error_and_nothing_is_written(bench, engine, make_camvid, tmp_path, damage, message):
    root = make_camvid()
    labels = sorted((root / "valannot").iterdir())[1]
    damage(labels)
    code, out, err = bench(
        "run", engine, "--dataset", "camvid", "--data-dir", root, "--accuracy", *QUICK, "--output", tmp_path / "out"
    )
    assert (code, out) == (2, "")
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert errors == [err.splitlines()[-1]]
    assert labels.name in errors[0]
    assert message in errors[0]
    assert not (tmp_path / "out").exists()


def test_accuracy_on_another_dataset_is_one_line(bench, one_line, make_engine, make_camvid):
    engine = make_engine(class_names=("road", "sky"), dataset="cityscapes")
    code, _, err = bench("run", engine, "--dataset", "camvid", "--data-dir", make_camvid(), "--accuracy", *QUICK)
    assert code == 2
    assert "camvid has 11 classes, the engine has 2 of cityscapes" in one_line(err)


def test_size_out_of_range_is_one_line(bench, one_line, engine):
    code, _, err = bench("run", engine, *QUICK, "--frame-size", "8x8")
    assert code == 2
    one_line(err)


@pytest.mark.parametrize("arguments", [("--warmup", "-1"), ("--seconds", "-1"), ("--threads", "-2")])
def test_number_out_of_range_is_one_line(bench, one_line, engine, arguments, capsys):
    with pytest.raises(SystemExit) as end:
        bench("run", engine, *QUICK, *arguments)
    assert end.value.code == 2
    assert f"{arguments[0]}: got '{arguments[1]}', expected " in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("run",),
        ("run", "x", "--frames", "0"),
        ("run", "x", "--frame-size", "12"),
        ("run", "x", "--dataset", "kitti"),
        ("run", "x", "--images", "a", "--dataset", "camvid"),
    ],
)
def test_command_line_that_makes_no_sense_is_code_2(arguments):
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert caught.value.code == 2


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), truncate])
def test_record_that_is_missing_or_truncated_is_one_line(bench, one_line, engine, images, tmp_path, damage):
    bench("run", engine, "--images", images, *QUICK, "--output", tmp_path / "out")
    damage(tmp_path / "out" / RECORD_FILE)
    code, _, err = bench("show", tmp_path / "out")
    assert code == 2
    assert "benchmark record" in one_line(err)


def test_card_is_no_benchmark_record(bench, one_line, engine):
    code, _, err = bench("show", engine / CARD_FILE)
    assert code == 2
    assert "benchmark record" in one_line(err)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_full_disk_keeps_the_old_record_and_shows_the_new_one(bench, engine, images, tmp_path, monkeypatch, step):
    output = tmp_path / "out"
    bench("run", engine, "--images", images, *QUICK, "--output", output)
    before = {name: (output / name).read_bytes() for name in everything_under(output)}

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    code, out, err = bench("run", engine, "--images", images, *QUICK, "--output", output)
    assert code == 2
    assert "end to end" in out
    assert "record: " not in out
    assert err.splitlines()[-1] == (
        f"error: cannot write {output / 'run-2' / RECORD_FILE}: No space left on device. "
        "Next: free some space and run the command again"
    )
    assert {name: (output / name).read_bytes() for name in everything_under(output)} == before


def test_output_under_a_file_is_one_error(bench, engine, images, tmp_path):
    (tmp_path / "file").write_text("kept")
    code, _, err = bench("run", engine, "--images", images, *QUICK, "--output", tmp_path / "file" / "out")
    assert code == 2
    assert "error: cannot write" in err.splitlines()[-1]
    assert (tmp_path / "file").read_text() == "kept"


def interrupt_at(monkeypatch, call):
    """Raise KeyboardInterrupt, as Ctrl-C does, in a call of the network; the first is 1."""
    calls = []

    def interrupted(self, frame):
        calls.append(frame)
        if len(calls) == call:
            raise KeyboardInterrupt
        return {name: np.zeros(shape, np.float32) for name, shape in self.contract.output_shapes.items()}

    monkeypatch.setattr(OnnxRuntimeRunner, "_infer_impl", interrupted)


def test_interrupt_keeps_a_partial_record_of_the_frames_until_then(bench, engine, images, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 1 + 2 + 1)  # to warm up, whole ones, and the one that is cut off
    output = tmp_path / "out"
    code, out, err = bench("run", engine, "--images", images, *QUICK, "--output", output)
    assert code == 130
    assert "partial: interrupted after 2 of at least 3 frames" in out
    assert err.splitlines()[-1].startswith("interrupted: ")
    record = read_record(BenchRecord, output / RECORD_FILE)
    assert (record.is_partial, record.end_to_end.sample_count, record.frames_asked) == (True, 2, 3)
    assert {len(values) for values in record.samples_ms.values()} == {2}
    page = (output / "report.html").read_text()
    assert "Partial measurement" in page and "interrupted after 2 of at least 3 frames" in page
    assert everything_under(output) == ["record.json", "report.html"]
    assert "partial: interrupted after 2" in bench("show", output)[1]


def test_interrupt_of_the_accuracy_keeps_the_speed(bench, engine, make_camvid, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 1 + 3 + 2)
    options = ("--data-dir", make_camvid(), "--accuracy", *QUICK, "--json")
    code, out, _ = bench("run", engine, *options)
    record = json.loads(out)
    assert code == 130
    assert (record["is_partial"], record["accuracy"], record["end_to_end"]["sample_count"]) == (True, None, 3)


def test_interrupt_before_the_first_frame_is_130_and_nothing_is_written(bench, engine, images, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 2)
    code, out, err = bench("run", engine, "--images", images, *QUICK, "--output", tmp_path / "out")
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted: nothing half-written was kept"
    assert not (tmp_path / "out").exists()


def test_interrupt_after_the_last_frame_does_not_lose_the_measurement(bench, engine, images, tmp_path, monkeypatch):
    real, calls = measured_record.this_machine, []

    def interrupted_once():
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return real()

    monkeypatch.setattr(measured_record, "this_machine", interrupted_once)
    output = tmp_path / "out"
    assert bench("run", engine, "--images", images, *QUICK, "--output", output)[0] == 130
    record = read_record(BenchRecord, output / RECORD_FILE)
    assert (record.is_partial, record.end_to_end.sample_count) == (True, 3)


def test_interrupt_of_the_report_names_the_record_that_is_whole(bench, engine, images, tmp_path, monkeypatch):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_cli, "write_report", interrupted)
    output = tmp_path / "out"
    code, _, err = bench("run", engine, "--images", images, *QUICK, "--output", output)
    assert (code, err.splitlines()[-1]) == (130, f"interrupted: the record is whole: {output / RECORD_FILE}")
    assert not read_record(BenchRecord, output / RECORD_FILE).is_partial


@pytest.mark.parametrize(
    ("words", "file"), [(("run", *QUICK), RECORD_FILE), (("profile", "--runs", 2), "profile.json")]
)
def test_reader_of_stdout_that_leaves_loses_no_record(bench, engine, images, tmp_path, monkeypatch, words, file):
    def left(*_arguments):
        raise BrokenPipeError

    for module in (run_cli, profile_cli):
        monkeypatch.setattr(module, "print_json", left)
    output = tmp_path / "out"
    bench(words[0], engine, "--images", images, *words[1:], "--json", "--output", output)
    assert (output / file).is_file()


@pytest.mark.any_python
def test_ctrl_c_in_a_terminal_is_130_without_a_traceback(engine, images, tmp_path):
    # The default handler is asked for, since a shell starts what runs in the background without it.
    script = (
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from edge.bench.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    options = ("--frames", "10", "--seconds", "100", "--output", str(tmp_path / "out"))
    process = subprocess.Popen(
        [sys.executable, "-c", script, "run", str(engine), "--images", str(images), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        cwd=str(Path(__file__).resolve().parents[3]),
    )
    try:
        seen = process.stderr.readline()
        assert seen.startswith("measure: ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "partial: interrupted after " in out
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("interrupted: the figures are those of the frames until then")
    assert read_record(BenchRecord, tmp_path / "out" / RECORD_FILE).is_partial


@pytest.mark.any_python
def test_errors_stay_one_line_in_a_process_of_its_own(run_python, one_line, engine, images):
    truncate(images / "frame_0.png", 0.6)
    result = run_python("-m", "edge.bench.cli", "run", engine, "--images", images, *QUICK)
    assert (result.returncode, result.stdout) == (2, "")
    assert "frame_0.png cannot be decoded" in one_line(result.stderr)
    break_engine(engine)
    result = run_python("-m", "edge.bench.cli", "run", engine, *QUICK)
    assert (result.returncode, result.stdout) == (2, "")
    assert "is not the engine of its card" in one_line(result.stderr)
