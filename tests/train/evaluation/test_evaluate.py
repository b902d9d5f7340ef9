"""The command that scores networks and label maps, on tiny frames."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

import train.evaluate as evaluate
from edge.accuracy import measure_accuracy
from edge.artifacts import sha256_file
from edge.contract import CONTRACT_FILE, GRAPH_FILE
from edge.datasets import open_dataset
from edge.evaluation.prediction_files import PredictionWriter
from edge.evaluation.record import EVALUATION_FILE, Evaluation
from edge.imaging import read_ids, write_image
from edge.labels import CAMVID, CITYSCAPES, CITYSCAPES_RAW_IDS
from edge.records import read_record
from edge.runtime import open_engine
from edge.segmenter import Segmenter

pytest.importorskip("onnxruntime")


@pytest.fixture
def camvid(make_camvid):
    return make_camvid()


@pytest.fixture
def run(camvid, tmp_path, capsys):
    """Return a function that runs the command on CamVid, and gives its exit code, stdout and stderr."""

    def run(*arguments, data=True) -> tuple[int, str, str]:
        given = ["--data-dir", str(camvid)] if data else []
        code = evaluate.main([*map(str, arguments), *given, "--output", str(tmp_path / "out")])
        return (code, *capsys.readouterr())

    return run


def test_engine_has_the_scores_that_the_one_accuracy_has(run, make_engine, camvid, tmp_path):
    folder = make_engine()
    code, out, _ = run(folder)
    record = read_record(Evaluation, tmp_path / "out" / EVALUATION_FILE)
    runner, _ = open_engine(folder)
    with runner:
        accuracy = measure_accuracy(Segmenter(runner, "rgb").label_frame, open_dataset("camvid", camvid, "val"))
    assert code == 0 and record.miou == pytest.approx(accuracy.miou, abs=1e-15)
    assert {one.name: one.iou for one in record.classes} == accuracy.class_iou
    assert record.subject.kind == "engine" and record.subject.size == (16, 32) and record.miiou is None
    assert f"mIoU {100 * record.miou:.1f} %" in out and "infrastructure" in out
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "<h1>Evaluation on camvid val</h1>" in page and page.count("<figure>") == 12
    assert (tmp_path / "out" / "confusion.svg").is_file() and len(list((tmp_path / "out" / "frames").iterdir())) == 3


def test_graph_with_its_contract_scores_as_its_engine(run, make_engine, tmp_path):
    folder = make_engine()
    artefact = folder.parents[1]
    of_engine = json.loads(run(folder, "--json")[1])
    of_graph = json.loads(run(artefact / GRAPH_FILE, "--json")[1])
    assert of_graph["subject"]["kind"] == "onnx graph" and of_graph["classes"] == of_engine["classes"]
    assert (tmp_path / "out" / "run-2" / EVALUATION_FILE).is_file()  # the first results are still there


def test_artefact_stands_for_its_engine(run, make_engine):
    folder = make_engine()
    assert json.loads(run(folder.parents[1], "--json")[1])["subject"]["backend"] == "onnxruntime"


def test_predictions_that_were_written_score_as_the_network_did(run, make_engine, tmp_path):
    before = json.loads(run(make_engine(), "--predictions", tmp_path / "maps", "--json")[1])
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == ["v0_000.png", "v0_002.png", "v1_001.png"]
    after = json.loads(run("--predictions-from", tmp_path / "maps", "--dataset", "camvid", "--json")[1])
    assert after["classes"] == before["classes"] and after["confusion"] == before["confusion"]
    assert after["subject"]["kind"] == "files"


def test_void_as_false_positive_lowers_the_score(run, make_engine):
    folder = make_engine()
    ignored, charged = (json.loads(run(folder, "--void", void, "--json")[1]) for void in ("ignored", "false-positive"))
    assert charged["miou"] < ignored["miou"] and charged["void"] == "false-positive"


def test_several_looks_at_windows_of_an_engine(run, make_engine):
    folder = make_engine()
    code, out, _ = run(folder, "--sliding-window", "16x32", "--scales", "0.75,1", "--flip", "--json")
    record = json.loads(out)
    assert code == 0 and record["frame_count"] == 3
    assert record["subject"]["looks"] == "scales 0.75, 1; mirrored too; windows of 16x32 that overlap by 33 %"


def test_engine_takes_no_other_scale_and_no_other_size(run, make_engine):
    folder = make_engine()
    code, _, err = run(folder, "--scales", "0.5,1")
    assert code == 2 and "takes 16x32 alone, other scales need other sizes. Next: --sliding-window 16x32" in err
    code, _, err = run(folder, "--size", "32x64")
    assert code == 2 and "--size is 32x64" in err and "takes 16x32 alone" in err


def test_classes_of_another_dataset_are_refused(run, make_engine):
    code, _, err = run(make_engine(), "--dataset", "cityscapes")
    assert code == 2 and "has 11 classes, cityscapes has 19: class 0 is sky there and road here" in err


def test_plain_folder_without_labels_gives_predictions_and_no_score(run, make_engine, camvid, tmp_path):
    arguments = (make_engine(), "--images", camvid / "val", "--predictions", tmp_path / "maps")
    code, out, err = run(*arguments, data=False)
    assert code == 0 and not out and "no score is possible, since there are no label maps" in err
    assert len(list((tmp_path / "maps").iterdir())) == 3 and (tmp_path / "out" / "evaluation.html").is_file()
    assert not (tmp_path / "out" / EVALUATION_FILE).exists()
    answer = json.loads(run(*arguments, "--json", data=False)[1])
    assert answer["score"] is None and len(answer["frames"]) == 3


def test_plain_folder_with_labels_scores_as_the_split(run, make_engine, camvid):
    folder = make_engine()
    of_split = json.loads(run(folder, "--json")[1])
    of_folder = json.loads(
        run(folder, "--images", camvid / "val", "--labels", camvid / "valannot", "--json", data=False)[1]
    )
    assert of_folder["classes"] == of_split["classes"] and of_folder["split"] == "folder val"


def test_labels_that_are_all_ignored_give_no_score(run, make_engine, camvid):
    for path in (camvid / "valannot").iterdir():
        write_image(path, np.full((20, 44), 11, np.uint8))
    code, _, err = run(make_engine())
    assert code == 0 and "no score is possible, since the label maps ignore every pixel" in err


def test_bad_frames_stop_the_command_or_are_counted(run, make_engine, camvid):
    (camvid / "val" / "v0_000.png").write_bytes(b"no picture")
    folder = make_engine()
    code, _, err = run(folder)
    assert code == 2 and "1 of 3 pictures" in err and "--skip-bad" in err
    record = json.loads(run(folder, "--skip-bad", "--json")[1])
    assert record["skipped"] == ["v0_000"] and record["frame_count"] == 2


def test_limit_takes_frames_of_the_split(run, make_engine):
    assert json.loads(run(make_engine(), "--limit", "2", "--worst", "0", "--json")[1])["frame_count"] == 2


def test_missing_and_double_predictions_are_named(run, camvid, tmp_path):
    maps = tmp_path / "maps"
    for index in (0, 1):
        write_image(maps / f"v{index % 2}_{index:03d}.png", np.zeros((20, 44), np.uint8))
    arguments = ("--predictions-from", maps, "--dataset", "camvid")
    code, _, err = run(*arguments)
    assert code == 2 and "1 of 3 frames have no prediction" in err and "expected v0_002*.png" in err
    for name in ("v0_002_a.png", "sub/v0_002.png"):
        write_image(maps / name, np.zeros((20, 44), np.uint8))
    code, _, err = run(*arguments)
    assert code == 2 and "are predictions of one frame" in err


def test_a_prediction_of_another_size_is_named(run, tmp_path):
    for name in ("v0_000", "v1_001", "v0_002"):
        write_image(tmp_path / "maps" / f"{name}.png", np.zeros((20, 40), np.uint8))
    code, _, err = run("--predictions-from", tmp_path / "maps", "--dataset", "camvid")
    assert code == 2 and "v0_000.png is 20x40, its label map" in err and "is 20x44" in err


def test_unknown_ids_are_counted_and_told(run, camvid, tmp_path):
    for name in ("v0_000", "v1_001", "v0_002"):
        write_image(tmp_path / "maps" / f"{name}.png", np.full((20, 44), 99, np.uint8))
    code, out, err = run("--predictions-from", tmp_path / "maps", "--dataset", "camvid", "--json")
    assert code == 0 and "pixels are predicted as ids that camvid lacks, and count as wrong" in err
    assert json.loads(out)["miou"] == 0.0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "got neither of PATH and --predictions-from"),
        (("x", "--predictions-from", "y"), "got both of PATH and --predictions-from"),
        (("x", "--labels", "y"), "--labels names the label maps of --images"),
        (("x", "--images", "y", "--split", "val"), "--images and --split both say"),
        (("--predictions-from", "y", "--dataset", "camvid", "--predictions", "z"), "--predictions needs a network"),
        (("nowhere",), "nothing to evaluate at nowhere"),
        (("nowhere.onnx",), "graph not found: nowhere.onnx"),
    ],
)
def test_contradictions_are_one_line(arguments, message, capsys):
    assert evaluate.main(list(arguments)) == 2
    assert message in capsys.readouterr().err


def test_graph_without_a_contract_names_the_way_to_one(run, make_engine):
    graph = make_engine().parents[1] / GRAPH_FILE
    (graph.parent / CONTRACT_FILE).unlink()
    code, _, err = run(graph, data=False)
    assert code == 2 and f"Next: python export/build_engine.py --onnx {graph} --contract FILE" in err


def test_an_upload_for_cityscapes_has_its_ids_and_names(tmp_path):
    writer = PredictionWriter(tmp_path, CITYSCAPES)
    path = writer.write("aachen_000000_000019", np.array([[0, 13, 18, 255]], np.uint8))
    assert path.name == "aachen_000000_000019_predicted_labelIds.png"
    assert read_ids(path).tolist() == [[CITYSCAPES_RAW_IDS[name] for name in ("road", "car", "bicycle", "unlabeled")]]
    other = PredictionWriter(tmp_path, CAMVID).write("a_0", np.array([[0, 10]], np.uint8))
    assert other.name == "a_0.png" and cv2.imread(str(other), cv2.IMREAD_UNCHANGED).tolist() == [[0, 10]]


def test_keras_weights_of_a_run_at_any_size_and_scale(run, camvid, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    from tests.train import street_set
    from tests.train.journal.runs_made_up import write_run
    from train.models import MODELS
    from train.runs import BEST_WEIGHTS

    class AnyOptions:
        """The tiny network in the place of one that has options."""

        def __getattr__(self, name):
            return getattr(street_set.TINY, name)

        def build(self, *size_and_classes, **options):
            return street_set.TINY.build(*size_and_classes)

    monkeypatch.setitem(MODELS, "fast_scnn", AnyOptions())
    folder = tmp_path / "run"
    folder.mkdir()
    street_set.TINY.build(16, 32, 11).save_weights(folder / BEST_WEIGHTS)
    digest = sha256_file(folder / BEST_WEIGHTS)
    write_run(folder, model="fast_scnn", height=16, width=32, data_dir=str(camvid), weights_sha256=digest)
    record = json.loads(run(folder, "--json", data=False)[1])
    assert record["subject"]["kind"] == "keras weights" and record["subject"]["size"] == [16, 32]
    larger = json.loads(run(folder / BEST_WEIGHTS, "--size", "24x48", "--scales", "1,1.5", "--flip", "--json")[1])
    assert larger["subject"]["size"] == [24, 48] and larger["subject"]["looks"] == "scales 1, 1.5; mirrored too"
    windows = json.loads(run(folder, "--sliding-window", "16x24", "--json")[1])
    assert windows["frame_count"] == 3
    code, _, err = run(folder, "--sliding-window", "17x24")
    assert code == 2 and "takes multiples of 8. Next: --sliding-window 16x24" in err
