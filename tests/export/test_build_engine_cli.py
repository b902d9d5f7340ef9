"""The command `python export/build_engine.py`, from nothing but a model's name."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import export.backends.trt_builder as tensorrt_builder
import export.build_engine as command
import export.pipeline.calibrate as calibrate
from edge.card import read_card
from edge.contract import read_contract
from edge.datasets import DATA_ROOT_VARIABLE
from edge.errors import InputError
from export.backends.options import EngineOptions
from export.build_engine import build_parser, main
from export.build_inputs import choose_inputs
from export.pipeline.request import BuildRequest, Int8Request

CHECKOUT = Path(__file__).resolve().parents[2]
COMMAND = ["--model", "fast_scnn", "--int8", "--size", "64x128", "--calibration-images", "2", "--accuracy-images", "2"]
COMMAND += ["--random-weights"]


@pytest.fixture
def clean_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    monkeypatch.setattr(tensorrt_builder, "tensorrt_problem", lambda: "no GPU")
    return tmp_path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Run the command once, with nothing there: no weights, no dataset, no artefact."""
    pytest.importorskip("tensorflow")
    pytest.importorskip("tf2onnx")
    folder = tmp_path_factory.mktemp("clean")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv(DATA_ROOT_VARIABLE, raising=False)
        patch.setattr(tensorrt_builder, "tensorrt_problem", lambda: "no GPU")
        code = main(COMMAND)
    return folder, code


def test_options_are_those_that_are_documented():
    arguments = build_parser().parse_args(["--model", "fastfcn"])
    assert vars(arguments) == {
        "model": "fastfcn",
        "weights": None,
        "random_weights": False,
        "option": [],
        "onnx": None,
        "contract": None,
        "size": None,
        "dataset": None,
        "data_dir": None,
        "images": None,
        "skip_bad": False,
        "fp16": False,
        "int8": False,
        "backend": "auto",
        "dla": None,
        "calibration_images": None,
        "calibration_manifest": None,
        "force_validation_images": False,
        "calibrator": None,
        "scales": None,
        "weight_ranges": None,
        "classifier": None,
        "resize": None,
        "max_miou_drop": None,
        "max_label_change": None,
        "max_class_drop": None,
        "class_budget": None,
        "max_region_loss": None,
        "accuracy_images": 50,
        "search_minutes": None,
        "sensitivity": False,
        "batch": (1, None),
        "workspace": None,
        "optimization_level": None,
        "version_compatible": False,
        "hardware_compatible": False,
        "labels_in_graph": False,
        "verbose_layers": False,
        "tf32": False,
        "output": None,
        "dry_run": False,
        "json": False,
    }


@pytest.fixture
def asked(monkeypatch):
    """Return a function that gives the request that a command makes."""

    def ask(*arguments):
        requests = []

        def note(request):
            requests.append(request)
            raise InputError("stop here")

        monkeypatch.setattr(command, "build", note)
        assert main(list(arguments)) == 2
        (request,) = requests
        return request

    return ask


def test_bare_command_asks_for_what_the_help_says(asked):
    assert asked("--model", "fastfcn", "--int8") == BuildRequest(
        model="fastfcn",
        height=512,
        width=1024,
        precision="int8",
        backend="auto",
        dataset=None,
        data_dir=None,
        weights_path=None,
        accuracy_images=50,
        is_size_given=False,
    )


def test_every_option_reaches_the_request(asked):
    request = asked(
        "--model",
        "fastfcn",
        "--int8",
        "--size",
        "64x128",
        "--weights",
        "w.h5",
        "--option",
        "head=psp",
        "--dataset",
        "camvid",
        "--data-dir",
        "d",
        "--backend",
        "tensorrt",
        "--dla",
        "1",
        "--calibration-images",
        "7",
        "--calibration-manifest",
        "m.json",
        "--force-validation-images",
        "--calibrator",
        "mse",
        "--weight-ranges",
        "mse",
        "--classifier",
        "float",
        "--resize",
        "float",
        "--max-miou-drop",
        "1.5",
        "--max-label-change",
        "2",
        "--max-class-drop",
        "3",
        "--class-budget",
        "person=0.3",
        "--class-budget",
        "traffic light=1",
        "--max-region-loss",
        "20",
        "--accuracy-images",
        "9",
        "--search-minutes",
        "0.5",
        "--sensitivity",
        "--output",
        "o",
        "--scales",
        "dynamic-ranges",
        "--batch",
        "4",
        "--workspace",
        "512",
        "--optimization-level",
        "5",
        "--verbose-layers",
        "--tf32",
    )
    int8 = Int8Request(
        calibration_images=7,
        manifest_path=Path("m.json"),
        force_validation_images=True,
        calibrator="mse",
        weight_method="mse",
        classifier="float",
        resize="float",
        max_drop_points=1.5,
        max_label_change_percent=2.0,
        max_class_drop=3.0,
        class_limits={"person": 0.3, "traffic light": 1.0},
        max_region_loss_percent=20.0,
        search_minutes=0.5,
        measure_layers=True,
        scale_source="dynamic-ranges",
    )
    assert request == BuildRequest(
        model="fastfcn",
        height=64,
        width=128,
        precision="int8",
        backend="tensorrt",
        dataset="camvid",
        data_dir=Path("d"),
        weights_path=Path("w.h5"),
        accuracy_images=9,
        int8=int8,
        options={"head": "psp"},
        output=Path("o"),
        is_size_given=True,
        dla_core=1,
        engine=EngineOptions(
            batch=4, workspace_mib=512, optimization_level=5, has_layer_details=True, allows_tf32=True
        ),
    )
    engine = asked("--model", "unet", "--batch", "1:4:8", "--version-compatible", "--hardware-compatible").engine
    assert engine == EngineOptions(batch_profile=(1, 4, 8), is_version_compatible=True, is_hardware_compatible=True)
    assert asked("--model", "unet", "--images", "mine").images_path == Path("mine")
    assert asked("--model", "unet", "--int8", "--max-miou-drop", "0").int8.max_drop_points == 0.0


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (["--max-miou-drop", "0"], "--max-miou-drop: for INT8 alone, expected --int8 beside it"),
        (["--fp16", "--sensitivity", "--resize", "float"], "--resize, --sensitivity: for INT8 alone"),
        (["--class-budget", "person=0.3"], "--class-budget: for INT8 alone, expected --int8 beside it"),
        (["--max-class-drop", "0", "--max-region-loss", "0"], "--max-class-drop, --max-region-loss: for INT8 alone"),
        (
            ["--int8", "--class-budget", "person=0.3", "--class-budget", "person=1"],
            "--class-budget gives person more than one limit, expected one",
        ),
        (
            ["--int8", "--calibrator", "tensorrt-entropy", "--classifier", "float"],
            "--classifier: TensorRT decides",
        ),
        (["--int8", "--images", "a", "--calibration-manifest", "b"], "--images and --calibration-manifest both name"),
        (["--int8", "--calibrator", "tensorrt-entropy", "--scales", "cache"], "--scales: TensorRT decides"),
        (["--scales", "cache"], "--scales: for INT8 alone"),
        (["--int8", "--dla", "0", "--scales", "qdq"], "--scales qdq: a DLA takes no Q/DQ pairs, expected cache or"),
        (
            ["--fp16", "--dla", "1", "--version-compatible"],
            "--version-compatible is for the GPU, --dla 1 asks",
        ),
        (["--fp16", "--dla", "0", "--hardware-compatible"], "--hardware-compatible is for the GPU, --dla 0 asks"),
        (["--fp16", "--dla", "0", "--batch", "1:2:4"], "--batch MIN:BEST:MAX is for the GPU, --dla 0 asks for a DLA"),
        (["--int8", "--force-validation-images"], "--force-validation-images is for images of a"),
    ],
)
def test_option_that_would_do_nothing_is_refused(clean_folder, capsys, extra, reason):
    with pytest.raises(SystemExit) as ended:
        main(["--model", "fast_scnn", *extra])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and reason in error and error.count("\n") == 1
    assert not list(clean_folder.iterdir())


def test_given_graph_reaches_the_request_and_keeps_its_own_size(asked):
    request = asked("--onnx", "net.onnx", "--contract", "net.json", "--fp16")
    assert (request.model, request.onnx_path, request.contract_path) == ("", Path("net.onnx"), Path("net.json"))
    assert (request.precision, request.is_size_given) == ("float16", False)


def test_old_name_of_the_accuracy_images_is_still_taken(asked):
    assert asked("--model", "unet", "--check-images", "3").accuracy_images == 3


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--max-miou-drop", "-0.5"),
        ("--max-miou-drop", "nan"),
        ("--max-miou-drop", "much"),
        ("--max-label-change", "-1"),
        ("--max-class-drop", "-1"),
        ("--max-region-loss", "some"),
        ("--class-budget", "person"),
        ("--class-budget", "person=-1"),
        ("--class-budget", "person=nan"),
        ("--class-budget", "=3"),
        ("--class-budget", "person="),
        ("--search-minutes", "-3"),
        ("--search-minutes", "inf"),
        ("--accuracy-images", "0"),
        ("--calibration-images", "-2"),
        ("--calibrator", "max"),
        ("--weight-ranges", "entropy"),
        ("--classifier", "half"),
        ("--resize", "fp16"),
        ("--batch", "0"),
        ("--batch", "2:4:8"),
        ("--batch", "1:8:4"),
        ("--batch", "1:4"),
        ("--batch", "many"),
        ("--batch", "9999"),
        ("--workspace", "0"),
        ("--optimization-level", "6"),
        ("--scales", "entropy"),
    ],
)
def test_value_that_means_nothing_is_one_line(clean_folder, capsys, option, value):
    with pytest.raises(SystemExit) as ended:
        main([*COMMAND, f"{option}={value}"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and option in error and error.count("\n") == 1
    assert not list(clean_folder.iterdir())


@pytest.mark.parametrize("extra", [[], ["--dry-run"]])
def test_unknown_model_is_one_line_before_any_work(clean_folder, capsys, extra):
    assert main(["--model", "xor", "--int8", *extra]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "xor" in error and "fast_scnn" in error and error.count("\n") == 1
    assert not list(clean_folder.iterdir())


@pytest.mark.parametrize("extra", [[], ["--dry-run"]])
def test_limit_of_an_unknown_class_is_one_line_before_any_work(clean_folder, capsys, extra):
    assert main([*COMMAND, "--class-budget", "persn=0.3", *extra]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "error: --class-budget names 'persn', which is no class of the network, expected one of: road, sidewalk, "
    )
    assert ", person, " in error and error.count("\n") == 1
    assert not list(clean_folder.iterdir())


def test_limits_go_with_tensorrts_own_calibrator(asked):
    limits = ["--max-class-drop", "1", "--class-budget", "person=0.3", "--max-region-loss", "5"]
    int8 = asked("--model", "unet", "--int8", "--calibrator", "tensorrt-entropy", *limits).int8
    assert (int8.max_class_drop, int8.class_limits, int8.max_region_loss_percent) == (1.0, {"person": 0.3}, 5.0)


@pytest.mark.parametrize(
    ("flags", "precision"), [([], "float32"), (["--fp16"], "float16"), (["--int8", "--fp16"], "int8")]
)
def test_flags_decide_the_precision(clean_folder, capsys, flags, precision):
    assert main(["--model", "fast_scnn", "--random-weights", *flags, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["precision"] == precision
    assert plan["output"] == f"artifacts/fast_scnn-cityscapes-512x1024/engines/onnxruntime-{precision}"


def test_dry_run_says_what_would_be_done_and_writes_nothing(clean_folder, capsys):
    assert main([*COMMAND, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "onnxruntime" in printed and "TensorRT cannot build here: no GPU" in printed
    assert "synthetic scenes" in printed and "nothing was done" in printed
    assert not list(clean_folder.iterdir())


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_tensorrt_without_a_gpu_is_one_line_before_any_work(clean_folder, capsys, dry):
    assert main([*COMMAND, "--backend", "tensorrt", *dry]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        "error: TensorRT cannot build here: no GPU. Next: --backend onnxruntime, or run this on the device\n"
    )
    assert not list(clean_folder.iterdir())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--weights", "none.weights.h5"], "weights not found"),
        (["--data-dir", "none"], "folder not found: none"),
    ],
)
def test_missing_input_is_one_line_before_any_work(clean_folder, capsys, options, problem):
    command = COMMAND[:-1] if "--weights" in options else COMMAND  # which excludes random ones
    assert main([*command, *options]) == 2
    error = capsys.readouterr().err
    assert problem in error and error.count("\n") == 1
    assert not list(clean_folder.iterdir())


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_without_weights_the_build_stops_unless_random_ones_are_asked_for(clean_folder, capsys, dry):
    assert main(["--model", "fastfcn", "--int8", *dry]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no finished run and no artefact of fastfcn is here; found ")
    assert error.endswith("or --random-weights, if speed alone is asked for\n") and error.count("\n") == 1
    assert not list(clean_folder.iterdir())


def test_literal_command_in_an_empty_checkout_says_boldly_that_weights_are_random(clean_folder, capsys, monkeypatch):
    monkeypatch.setattr("export.pipeline.plan.choose_inputs", functools.partial(choose_inputs, checkout=clean_folder))
    assert main(["--model", "fastfcn", "--int8", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "weights         random\n" in printed
    assert "\n*** random weights: only the speed of this engine means anything ***\n" in printed


def test_weights_and_random_weights_exclude_each_other(clean_folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*COMMAND, "--weights", "runs/one"])
    assert ended.value.code == 2
    assert "--random-weights" in capsys.readouterr().err


def test_interruption_returns_130(clean_folder, monkeypatch, capsys):
    def interrupt(request, say):
        raise KeyboardInterrupt

    monkeypatch.setattr("export.build_engine.plan_build", interrupt)
    assert main([*COMMAND, "--dry-run"]) == 130
    assert not list(clean_folder.iterdir())


def test_command_without_anything_there_makes_a_complete_engine(built):
    folder, code = built
    assert code == 0
    artifact = folder / "artifacts" / "fast_scnn-cityscapes-64x128"
    names = {path.name for path in artifact.iterdir()}
    assert names == {
        "model.onnx",
        "contract.json",
        "parity.json",
        "calibration.json",
        "ranges.json",
        "model.int8.onnx",
        "engines",
    }
    card = read_card(artifact / "engines" / "onnxruntime-int8")
    assert card.contract == read_contract(artifact)
    assert card.contract.weights.kind == "random"
    assert card.contract.weights.sentence() in card.notes
    assert card.int8_mac_share > 0.9
    assert not list(folder.rglob(".writing-*"))


def test_second_command_reuses_all_and_prints_the_card(built, capsys, monkeypatch):
    folder, _ = built
    monkeypatch.chdir(folder)
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    monkeypatch.setattr(tensorrt_builder, "tensorrt_problem", lambda: "no GPU")
    monkeypatch.setattr("export.from_keras.exporter._keras_network", None)
    monkeypatch.setattr(calibrate, "collect_ranges", None)
    assert main([*COMMAND, "--json"]) == 0
    output = capsys.readouterr()
    printed = json.loads(output.out)
    assert printed["card"]["precision"] == "int8"
    assert printed["card"]["calibration"]["budget"] == "none"
    assert printed["int8_report"] == json.loads(Path(printed["output"], "int8-report.json").read_text())
    assert printed["int8_report"]["verdict"] is None
    assert printed["card"]["check"]["verdict"] is None
    assert printed["backend_reason"] == "TensorRT cannot build here: no GPU"
    assert printed["parity"]["label_agreement"] >= 0.9999
    assert "random weights: only the speed" in output.err
    assert main(COMMAND) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "*** random weights: only the speed of this engine means anything ***" in lines
    assert lines[-1].startswith("next: edge-bench run artifacts/")
    assert any(line.startswith("report: artifacts/") for line in lines)
    assert any(line.startswith("calibration: percentile over 2 images of synthetic scenes, ") for line in lines)


def test_script_runs_by_its_path_from_any_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "export" / "build_engine.py"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "--calibration-images" in done.stdout
