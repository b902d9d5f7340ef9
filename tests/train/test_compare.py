"""The comparison of trainings: what it prints, draws and refuses, without TensorFlow."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from tests.train.journal.runs_made_up import write_run
from train.compare import main
from train.runs import INTERRUPTED, TrainingMeasurements

MEASURED = TrainingMeasurements(
    training_s=3600.0,
    validation_s=120.0,
    step_p50_s=0.5,
    step_p90_s=0.625,
    images_per_s=16.0,
    input_wait_share=0.05,
    time_to_best_s=1800.0,
    peak_host_bytes=3 * 2**30,
    peak_device_bytes=5 * 2**30,
    energy_j=7.2e6,
)


@pytest.fixture
def pair(tmp_path):
    """Two runs of one dataset, of which the second learns longer and has more layers."""
    first, second = tmp_path / "first", tmp_path / "second"
    write_run(first, measurements=MEASURED, devices=("NVIDIA RTX A6000",), replicas=2)
    recipe = {"epochs": 4, "batch_size": 8, "learning_rate": 0.1, "auxiliary_weights": {"auxiliary": 0.2}}
    write_run(second, (0.2, None, None, 0.6), recipe=recipe, options={"dropout": True}, seed=3)
    return first, second


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def cells(out: str, name: str) -> list[str]:
    (line,) = [line for line in out.splitlines() if re.match(rf"{re.escape(name)} {{2,}}", line)]
    return re.split(r" {2,}", line)[1:]


def test_runs_are_printed_side_by_side(pair, capsys):
    code, out, err = run(capsys, *pair)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"A  {pair[0]}"
    assert cells(out, "best mIoU") == ["50.00 %", "60.00 %"]
    assert cells(out, "of epoch") == ["2", "4"]
    assert cells(out, "step, 90 %") == ["0.625 s", "-"]
    assert cells(out, "images a second") == ["16", "-"]
    assert cells(out, "peak device memory") == ["5.00 GiB", "-"]
    assert cells(out, "energy") == ["2 kWh", "-"]
    assert cells(out, "devices") == ["NVIDIA RTX A6000, 2 replicas", "-"]
    assert cells(out, "seed") == ["0", "3"]
    assert cells(out, "epochs done") == ["3", "4"]


def test_time_to_best_of_a_record_without_measurements_is_that_of_its_epochs(pair, capsys):
    _, out, _ = run(capsys, *pair)
    assert cells(out, "time to best") == ["30 min 00 s", "4 min 00 s"]


def test_settings_that_differ_are_listed_and_equal_ones_are_not(pair, capsys):
    _, out, _ = run(capsys, *pair)
    assert cells(out, "batch_size") == ["4", "8"]
    assert cells(out, "auxiliary_weights.auxiliary") == ["0.4", "0.2"]
    assert cells(out, "options.dropout") == ["-", "True"]
    assert "learning_rate" not in out


def test_classes_are_listed_where_they_are_asked_for(pair, capsys):
    assert "sky" not in run(capsys, *pair)[1]
    _, out, _ = run(capsys, *pair, "--classes")
    assert cells(out, "sky") == ["50.00 %", "60.00 %"]
    assert cells(out, "pole") == ["-", "-"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset": "cityscapes"}, "datasets, and cannot be compared: camvid in A; cityscapes in B"),
        ({"height": 96}, "validation sizes, and cannot be compared: 64x96 in A; 96x96 in B"),
        ({"validation_frames": 5}, "numbers of validation frames, and cannot be compared: 20 in A; 5 in B"),
        (
            {"frames_sha256": {"val": "b" * 64}},
            "validation frames, as many as they are, and cannot be compared: aaaaaaaa",
        ),
    ],
)
def test_runs_that_cannot_be_compared_are_said_so(tmp_path, capsys, changes, said):
    write_run(tmp_path / "a", frames_sha256={"val": "a" * 64})
    write_run(tmp_path / "b", **changes)
    code, out, err = run(capsys, tmp_path / "a", tmp_path / "b")
    assert code == 0 and "best mIoU" in out
    assert f"warning: mIoU is of different {said}" in err
    assert len(err.splitlines()) == 1


def test_what_a_record_does_not_know_is_no_difference(tmp_path, capsys):
    write_run(tmp_path / "a", validation_frames=None)
    write_run(tmp_path / "b")
    assert run(capsys, tmp_path / "a", tmp_path / "b")[2] == ""


def test_run_that_did_not_end_says_so(tmp_path, capsys):
    write_run(tmp_path / "a", status=INTERRUPTED, end_reason="SIGTERM", recipe={"epochs": 9})
    _, out, _ = run(capsys, tmp_path / "a")
    assert cells(out, "status") == ["interrupted (SIGTERM)"]
    assert cells(out, "epochs done") == ["3 of 9"]


def test_run_without_an_epoch_is_shown_and_drawn(tmp_path, capsys):
    write_run(tmp_path / "a", ())
    write_run(tmp_path / "b", (None, None))
    for name in ("x.svg", "x.html"):
        assert run(capsys, tmp_path / "a", tmp_path / "b", "--output", tmp_path / name)[0] == 0
    code, out, _ = run(capsys, tmp_path / "a", "--json", "--output", tmp_path / "x.svg")
    assert (code, json.loads(out)["runs"][0]["best_miou"]) == (0, None)


def test_many_runs_come_in_blocks_that_fit_the_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    folders = [tmp_path / f"run-{index}" for index in range(12)]
    for folder in folders:
        write_run(folder)
    _, out, _ = run(capsys, *folders)
    table = out.splitlines()[12:]
    assert max(map(len, table)) <= 80
    marks = [word for line in table if re.match(r" +A? ", line) or line.startswith("   ") for word in line.split()]
    assert marks == list("ABCDEFGHIJKL")


def test_json_is_json_with_numbers(pair, capsys):
    code, out, err = run(capsys, *pair, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert [each["best_miou"] for each in found["runs"]] == [0.5, 0.6]
    assert found["runs"][0]["step_p90_s"] == 0.625
    assert found["runs"][0]["class_iou"] == {"sky": 0.5, "road": 0.5, "pole": None}
    assert found["setting_differences"]["batch_size"] == ["4", "8"]
    assert found["obstacles"] == []


def test_curves_are_drawn_as_a_picture(pair, tmp_path, capsys):
    code, _, err = run(capsys, *pair, "--output", tmp_path / "curves.svg")
    assert (code, err) == (0, f"drawn: {tmp_path / 'curves.svg'}\n")
    root = ElementTree.parse(tmp_path / "curves.svg").getroot()
    lines = [each.get("points").split() for each in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(points) for points in lines] == [3, 2, 3, 2, 3, 4]  # mIoU by epoch, by time, loss


def test_page_has_warnings_tables_and_curves(pair, tmp_path, capsys):
    other = tmp_path / "other"
    write_run(other, dataset="cityscapes")
    run(capsys, *pair, other, "--output", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "mIoU is of different datasets" in page
    for text in ("batch_size", "60.00 %", "NVIDIA RTX A6000", str(pair[1]), "mIoU over time"):
        assert text in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing"], r"run not found: \S*missing$"),
        (["."], r"\. holds no run: it has no run\.json\. Next: name runs in it, such as \S+$"),
        (["a-run", "--output", "x.png"], r"--output is 'x\.png', expected a name that ends with \.svg or \.html$"),
        (["a-run", "--output", "a-run/run.json/x.svg"], r"run\.json is a file, expected a folder"),
        (["damaged"], r"training run damaged/run\.json is damaged"),
    ],
)
def test_what_cannot_be_compared_is_one_line(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a-run")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert re.search(said, line), line


def test_comparison_needs_no_tensorflow(pair, run_python, tmp_path):
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('tensorflow', 'keras')))\n"
        "from train.compare import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    result = run_python("-W", "error", "-c", script, *map(str, pair), "--output", str(tmp_path / "x.html"))
    assert result.returncode == 0, result.stderr
