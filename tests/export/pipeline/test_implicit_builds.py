"""DLA engines and TensorRT's own calibrator, from the command to the card, on a stand-in of TensorRT."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.trt.cache import parse_cache
from edge.card import read_card
from edge.errors import AccuracyBudgetError, BackendError, InputError
from export.build_engine import main
from export.pipeline.plan import plan_build
from tests.export import small_device as device
from tests.export.small_device import ARTIFACT, built, hostile

ENGINE = ARTIFACT / "engines" / "tensorrt-int8"
BENIGN = hostile.hostile_network(ratio=1.0)
LOOSE = {"max_drop_points": 100.0}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    device.prepare(tmp_path, monkeypatch)
    device.write_artifact(BENIGN)
    device.write_camvid(BENIGN)
    return tmp_path


@pytest.fixture
def install(monkeypatch):
    """Return a function that puts a TensorRT of some version on the device, with two DLA cores."""
    yield lambda version="8.6.1": device.install_tensorrt(monkeypatch, version)
    device.forget_tensorrt()


# What ONNX Runtime has not


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ["--calibrator", "tensorrt-entropy"],
            "--calibrator tensorrt-entropy is TensorRT's own, and onnxruntime builds here. Next: --calibrator entropy",
        ),
        (["--dla", "0"], "--dla needs TensorRT on a Jetson, and onnxruntime builds here. Next: leave --dla out"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_what_only_tensorrt_has_is_refused_before_any_work(folder, capsys, options, problem, dry):
    before = sorted(folder.rglob("*"))
    assert main([*device.COMMAND, *options, *dry]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", f"error: {problem}\n")
    assert sorted(folder.rglob("*")) == before


def test_dla_in_float32_is_refused_before_any_work(folder, capsys):
    before = sorted(folder.rglob("*"))
    assert main(["--model", "fast_scnn", "--size", "32x32", "--dla", "0"]) == 2
    assert capsys.readouterr().err == (
        "error: a DLA computes in float16 and int8, the engine is to be float32. Next: --int8 or --fp16\n"
    )
    assert sorted(folder.rglob("*")) == before


def test_calibrator_of_a_tensorrt_without_calibrators_is_refused_before_any_work(install, folder):
    install("11.0.0.114")
    before = sorted(folder.rglob("*"))
    with pytest.raises(BackendError, match=r"TensorRT 11 has no calibrators\. Next: --calibrator percentile"):
        plan_build(device.replaced(backend="tensorrt", calibrator="tensorrt-entropy"))
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("core", ["2", "-1", "gpu"])
def test_core_that_no_jetson_has_is_one_line(capsys, core):
    with pytest.raises(SystemExit) as ended:
        main([*device.COMMAND, "--dla", core])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


# Engines


def test_engine_for_tensorrt_is_built_of_the_graph_with_pairs(install):
    gpu = install("10.3.0")
    result, _ = built(backend="tensorrt", **LOOSE)
    assert read_card(ENGINE) == result.card
    assert (result.card.backend, result.card.backend_version) == ("tensorrt", "10.3.0")
    assert b"QuantizeLinear" in gpu.built_graph
    assert result.card.check.label_agreement == pytest.approx(result.card.check.label_agreement_simulated, abs=0.02)
    assert gpu.misuses == [] and gpu.live == {}


@pytest.mark.parametrize("core", [0, 1])
def test_dla_engine_gets_scales_of_the_recipe_that_holds_the_budget(install, core):
    gpu = install("8.6.1")
    card = built(backend="tensorrt", dla_core=core, **LOOSE)[0].card
    assert (card.dla_core, card.precision) == (core, "int8")
    assert card.rebuild_command().endswith(f"--int8 --calibrator min-max --backend tensorrt --dla {core}")
    assert gpu.config.DLA_core == core and gpu.config.default_device_type.name == "DLA"
    assert b"QuantizeLinear" not in gpu.built_graph
    assert gpu.batches == []  # no image is shown: the ranges are there
    scales = parse_cache(gpu.cache)
    ranges = device.read_ranges()
    assert scales["wide_relu"] == pytest.approx(ranges.threshold("wide_relu", "min-max") / 127, rel=1e-6)
    assert card.calibration.method == "min-max" and card.layers
    assert any(f"DLA core {core}" in note for note in card.notes)
    assert gpu.misuses == [] and gpu.live == {}


def test_dla_engine_keeps_the_layers_of_the_recipe_in_float(install):
    gpu = install("8.6.1")
    model = hostile.hostile_network(readers=2)
    device.write_artifact(model)
    device.write_camvid(model)
    card = built(backend="tensorrt", dla_core=0, max_drop_points=10.0, max_class_drop=100.0)[0].card
    floats = {layer.name for layer in card.layers if layer.precision == "float"}
    assert floats >= {"narrow", "side"}
    halves = {
        layer.name for layer in map(gpu.network.get_layer, range(gpu.network.num_layers)) if "precision" in vars(layer)
    }
    assert halves == floats


def test_dla_engine_of_equalised_channels_is_built_of_the_equalised_graph(install):
    gpu = install("8.6.1")
    model = hostile.hostile_network(readers=1)
    device.write_artifact(model)
    device.write_camvid(model)
    card = built(backend="tensorrt", dla_core=0, max_drop_points=10.0, max_class_drop=100.0)[0].card
    assert "equalised channels" in card.calibration.recipe
    assert card.built_from_sha256 == device.sha256_file(ARTIFACT / "equalised" / "model.onnx")
    balanced = device.read_ranges(ARTIFACT / "equalised")
    threshold = balanced.threshold("wide_relu", card.calibration.method)
    assert parse_cache(gpu.cache)["wide_relu"] == pytest.approx(threshold / 127, rel=1e-6)


def test_calibrator_of_tensorrt_is_shown_the_calibration_images(install):
    gpu = install("8.6.1")
    result, _ = built(backend="tensorrt", calibrator="tensorrt-entropy", **LOOSE)
    card = result.card
    assert len(gpu.batches) == 3
    assert result.report is None
    assert card.calibration.method == card.calibration.recipe == "tensorrt-entropy"
    assert (card.calibration.image_count, card.calibration.images_from) == (3, "camvid train")
    assert card.calibration.ranges_sha256 == ""
    assert card.calibration.budget.startswith("at most 100 points of mIoU, 100 points of IoU of any class")
    assert (card.int8_mac_share, card.layers) == (None, ())
    assert card.check.image_count == 4 and card.check.miou_engine is not None
    assert not (ARTIFACT / "ranges.json").exists()
    assert len(list(ARTIFACT.glob("tensorrt-*.cache"))) == 1
    assert gpu.misuses == [] and gpu.live == {}


def test_what_tensorrt_found_is_used_again_for_the_same_images_alone(install):
    install("8.6.1")
    built(backend="tensorrt", calibrator="tensorrt-entropy", **LOOSE)
    gpu = install("8.6.1")
    card = built(backend="tensorrt", calibrator="tensorrt-entropy", **LOOSE)[0].card
    assert gpu.batches == []
    assert any("calibration of 3 images was kept, and is used again" in note for note in card.notes)
    gpu = install("8.6.1")
    built(backend="tensorrt", calibrator="tensorrt-entropy", calibration_images=4, **LOOSE)
    assert len(gpu.batches) == 4


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_drop_points": 1.0, "max_class_drop": 100.0}, r"points of mIoU lost, at most 1;"),
        ({"max_drop_points": 100.0, "max_class_drop": 1.0}, r"points of IoU lost, at most 1;"),
    ],
    ids=["network", "class"],
)
def test_engine_of_tensorrts_calibrator_over_its_budget_is_not_kept(install, folder, monkeypatch, limits, reason):
    install("8.6.1")
    first, _ = built(backend="tensorrt", calibrator="tensorrt-entropy", **LOOSE)
    import export.pipeline.verify as verify

    def missed(*arguments):
        card, labels = check(*arguments)
        labels.matrices[:] = labels.matrices[:, ::-1]
        return card, labels

    check = verify.check_engine
    monkeypatch.setattr("export.pipeline.verify.check_engine", missed)
    with pytest.raises(AccuracyBudgetError, match=f"INT8 by tensorrt-entropy gives .*{reason} no engine was kept"):
        built(backend="tensorrt", calibrator="tensorrt-entropy", **limits)
    assert read_card(ENGINE) == first.card
    assert not list(folder.rglob(".unmeasured-*"))


def test_calibrator_without_int8_is_not_asked_for_tensorrt(install):
    # --calibrator says how INT8 comes about; a float engine has none.
    card = built(precision="float32", calibrator="tensorrt-entropy")[0].card
    assert (card.backend, card.calibration) == ("onnxruntime", None)
    with pytest.raises(InputError, match="is TensorRT's own"):
        built(calibrator="tensorrt-entropy")
