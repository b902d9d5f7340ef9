"""With --json, stdout is one JSON text and nothing else, whatever is printed on the way."""

from __future__ import annotations

import json
import sys

import pytest

from edge.console import print_json, print_status, run_command


def test_what_is_printed_on_the_way_goes_to_stderr(capsys):
    def work():
        print("a library's own line")
        print_status("work: 1/2")
        sys.stdout.write("and one without a line's end")
        print_json({"miou": float("nan"), "classes": ("road", "Straße"), "most": float("inf")})
        print("a late line")
        return 0

    assert run_command(work, json_alone=True) == 0
    seen = capsys.readouterr()
    assert json.loads(seen.out) == {"miou": None, "classes": ["road", "Straße"], "most": None}
    for line in ("a library's own line", "work: 1/2", "and one without a line's end", "a late line"):
        assert line in seen.err


def test_without_json_stdout_is_as_it_was(capsys):
    assert run_command(lambda: print("a line") or 0) == 0
    assert capsys.readouterr().out == "a line\n"


def test_stdout_is_given_back_after_an_error(capsys):
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 // 0, json_alone=True)
    print("back")
    assert capsys.readouterr().out == "back\n"


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "edge.synthetic", "set", "--train", "1", "--val", "1", "--size", "64x128", "--json"),
        ("-m", "edge.doctor", "--json"),
        ("-m", "calibration.lint", "--rules", "--json"),
    ],
    ids=["synthetic", "doctor", "lint"],
)
def test_command_prints_json_alone(run_python, tmp_path, command):
    result = run_python(*command, cwd=str(tmp_path))
    assert json.loads(result.stdout)
    assert "Traceback" not in result.stderr


def test_drawn_set_is_described_as_its_manifest_is(run_python, tmp_path):
    command = ("-m", "edge.synthetic", "set", "--train", "2", "--val", "1", "--size", "64x128", "--seed", "7", "--json")
    printed = json.loads(run_python(*command, cwd=str(tmp_path)).stdout)
    manifest = json.loads((tmp_path / "set" / "synthetic.json").read_text())
    assert printed == {"folder": "set", **manifest}
    assert (printed["seed"], printed["train_count"]) == (7, 2)


def test_selected_images_are_json_alone(make_camvid, capsys):
    from calibration.select_images import main

    assert main(["--dataset", "camvid", "--data-dir", str(make_camvid()), "--images", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 2


def test_demo_and_benchmark_print_json_alone(make_engine, tmp_path, capsys):
    from edge.bench.cli import main as bench
    from edge.stream.cli import main as demo

    engine = str(make_engine())
    quick = ("--frame-size", "64x128", "--warmup", "0", "--frames", "3", "--seconds", "0", "--power", "none")
    assert bench(["run", engine, *quick, "--json", "--output", str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out)["engine"]
    output = str(tmp_path / "x.png")
    assert demo([engine, "--source", "synthetic:64x128", "--frames", "1", "--output", output, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 1
