"""From an artefact to a checked engine: what is made, what is reused, what is never used stale."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import export.backends.trt_builder as tensorrt_builder
import export.found_weights as found_weights
import export.pipeline.build as build_step
import export.pipeline.calibrate as calibrate
from calibration.images.selection import MANIFEST_FILE
from calibration.qdq.insert import QDQ_GRAPH_FILE
from calibration.ranges.record import RANGES_FILE, Ranges
from calibration.ranges.thresholds import CALIBRATION_METHODS, min_max
from calibration.results import PAGE_FILE, REPORT_FILE, Int8Report
from edge.artifacts import sha256_file
from edge.card import CARD_FILE, read_card
from edge.contract import CONTRACT_FILE, GRAPH_FILE, Contract, read_contract
from edge.datasets import DATA_ROOT_VARIABLE
from edge.errors import BackendError, ContractError, DatasetError, GraphError, InputError, StorageError
from edge.imaging import write_image
from edge.interruption import kept_results
from edge.labels import CAMVID
from edge.provenance import WeightsProvenance
from edge.records import read_record, write_record
from edge.runtime import open_engine
from export.graph.parity import PARITY_FILE, ParityReport
from export.pipeline.build import build
from export.pipeline.int8 import RECIPE_FILE
from export.pipeline.plan import plan_build
from export.pipeline.request import BuildRequest, Int8Request
from tests.calibration import graph_drawing as drawing
from tests.export.small_device import set_tensorflow
from tests.train.test_runs import write_run

SIZE = 16
GENERATOR = np.random.default_rng(8)
RANDOM = WeightsProvenance("random", "seed 0", "0" * 64)
TRAINED = WeightsProvenance("trained", "fast_scnn-camvid-1", "1" * 64, 0.5, (SIZE, SIZE))


def write_artifact(folder: Path, weights: WeightsProvenance) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    data = drawing.make_network(SIZE, classes=11).SerializeToString(deterministic=True)
    (folder / GRAPH_FILE).write_bytes(data)
    contract = Contract(
        model="fast_scnn",
        dataset="camvid",
        class_names=CAMVID.class_names,
        height=SIZE,
        width=SIZE,
        stride=2,
        coordinates="half_pixel",
        input_name="frame",
        output_name="logits",
        graph_sha256=hashlib.sha256(data).hexdigest(),
        weights=weights,
        source_sha256="0" * 64,
        opset=17,
        versions={},
    )
    write_record(folder / CONTRACT_FILE, contract)
    return folder


def write_camvid(root: Path) -> Path:
    for split, count in (("train", 5), ("val", 4)):
        for index in range(count):
            frame = GENERATOR.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
            labels = GENERATOR.integers(0, 12, (SIZE, SIZE)).astype(np.uint8)
            write_image(root / split / f"a_{index}.png", frame)
            write_image(root / f"{split}annot" / f"a_{index}.png", labels)
    return root


@pytest.fixture
def device(tmp_path, monkeypatch):
    """A device: a dataset, an artefact from elsewhere, no TensorFlow, no TensorRT."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATA_ROOT_VARIABLE, str(tmp_path / "data"))
    set_tensorflow(monkeypatch, False)
    monkeypatch.setattr(tensorrt_builder, "tensorrt_problem", lambda: "no GPU")
    # The search for it takes most of a build's time here, and has its own tests.
    monkeypatch.setitem(CALIBRATION_METHODS, "entropy", lambda histogram: 0.7 * min_max(histogram))
    write_camvid(tmp_path / "data" / "camvid")
    write_artifact(tmp_path / "artifacts" / f"fast_scnn-camvid-{SIZE}x{SIZE}", TRAINED)
    return tmp_path


REQUEST = BuildRequest(
    model="fast_scnn",
    height=SIZE,
    width=SIZE,
    precision="int8",
    backend="auto",
    dataset=None,
    data_dir=None,
    weights_path=None,
    accuracy_images=2,
    # The labels of this network mean nothing, so it may lose all of them: budgets have their own tests.
    int8=Int8Request(calibration_images=3, calibrator="min-max", max_drop_points=100.0),
)
OF_INT8 = {field.name for field in dataclasses.fields(Int8Request)}


def built(**changes):
    lines = []
    of_int8 = {name: value for name, value in changes.items() if name in OF_INT8}
    rest = {name: value for name, value in changes.items() if name not in OF_INT8}
    request = dataclasses.replace(REQUEST, int8=dataclasses.replace(REQUEST.int8, **of_int8), **rest)
    return build(request, lines.append), lines


def files_below(folder: Path) -> dict:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


# What is made


def test_int8_build_leaves_a_complete_artefact(device):
    result, _ = built()
    artifact = device / "artifacts" / f"fast_scnn-camvid-{SIZE}x{SIZE}"
    names = {path.name for path in artifact.iterdir()}
    assert names == {
        GRAPH_FILE,
        CONTRACT_FILE,
        MANIFEST_FILE,
        RANGES_FILE,
        QDQ_GRAPH_FILE,
        RECIPE_FILE,
        "engines",
        "int8-search-onnxruntime.json",
        "int8-search-tensorrt.json",
    }
    engine = device / result.plan.output
    assert engine == artifact / "engines" / "onnxruntime-int8"
    assert {path.name for path in engine.iterdir()} == {CARD_FILE, REPORT_FILE, PAGE_FILE, result.card.engine_file}
    assert not list(device.rglob(".writing-*")) and not list(device.rglob(".unmeasured-*"))


def test_card_says_what_the_engine_was_built_from(device):
    result, _ = built()
    card = read_card(device / result.plan.output)
    assert card == result.card
    artifact = device / result.plan.artifact
    assert card.contract == read_contract(artifact)
    assert (card.backend, card.precision) == ("onnxruntime", "int8")
    assert card.engine_sha256 == sha256_file(device / result.plan.output / card.engine_file)
    assert card.built_from_sha256 == card.engine_sha256  # ONNX Runtime's engine is the Q/DQ graph itself
    assert card.calibration.ranges_sha256 == sha256_file(artifact / RANGES_FILE)
    assert (card.calibration.method, card.calibration.image_count) == ("min-max", 3)
    assert card.calibration.images_from == "camvid train"
    assert card.int8_mac_share == 1.0


def test_engine_is_checked_on_held_out_frames_against_the_float_graph(device):
    check = built()[0].card.check
    assert (check.image_count, check.images_from) == (2, "camvid val")
    assert 0.5 < check.label_agreement < 1  # INT8 of this network changes some labels, and most not
    assert 0 < check.miou_float < 1 and 0 < check.miou_engine < 1


def test_float_engine_equals_the_float_graph(device):
    card = built(precision="float32")[0].card
    assert card.check.label_agreement == 1.0
    assert card.check.miou_engine == card.check.miou_float
    assert (card.calibration, card.int8_mac_share) == (None, None)
    assert not (device / "artifacts" / f"fast_scnn-camvid-{SIZE}x{SIZE}" / RANGES_FILE).exists()


def test_engine_runs(device):
    runner, card = open_engine(built()[0].plan.output)
    with runner:
        logits = runner.infer(np.zeros(card.contract.input_shape, np.uint8))
    assert logits.shape == card.contract.output_shape[1:]
    assert np.isfinite(logits).all()


def test_graph_for_tensorrt_is_kept_whatever_the_backend(device):
    result, _ = built()
    kept = device / result.plan.artifact / QDQ_GRAPH_FILE
    kinds = {tensor.data_type for tensor in drawing.onnx.load(str(kept)).graph.initializer}
    assert drawing.TensorProto.UINT8 not in kinds and drawing.TensorProto.INT8 in kinds


def test_backend_and_its_reason_are_said_first(device):
    assert built()[1][0] == "backend: onnxruntime (TensorRT cannot build here: no GPU)"


def test_random_weights_are_named_in_output_and_on_the_card(device):
    write_artifact(device / "artifacts" / f"fast_scnn-camvid-{SIZE}x{SIZE}", RANDOM)
    result, lines = built()
    assert f"*** {RANDOM.sentence()} ***" in lines
    assert RANDOM.sentence() in result.card.notes
    # An mIoU of random weights would be a number without a meaning.
    assert (result.card.check.miou_float, result.card.check.miou_engine) == (None, None)


def test_trained_weights_are_named_in_output(device):
    result, lines = built(precision="float32")
    assert any("trained weights of fast_scnn-camvid-1, validation mIoU 50.00 %" in line for line in lines)
    assert result.card.notes == result.warnings  # the labels here are drawn at random, and no network finds those


def test_without_a_dataset_scenes_are_drawn_and_the_card_says_so(device, monkeypatch):
    drawn = {"height": 64, "width": 128}
    monkeypatch.setenv(DATA_ROOT_VARIABLE, str(device / "nothing"))
    folder = device / "artifacts" / "fast_scnn-camvid-64x128"
    write_artifact(folder, RANDOM)
    contract = read_contract(folder)
    model = drawing.onnx.load(str(folder / GRAPH_FILE))
    # The same network for the size of a drawn scene.
    for value, shape in ((model.graph.input[0], (1, 64, 128, 3)), (model.graph.output[0], (1, 11, 32, 64))):
        for dim, size in zip(value.type.tensor_type.shape.dim, shape):
            dim.dim_value = size
    sizes = next(tensor for tensor in model.graph.initializer if tensor.name == "sizes")
    sizes.CopyFrom(drawing.numpy_helper.from_array(np.array([1, 8, 32, 64], np.int64), "sizes"))
    data = model.SerializeToString()
    (folder / GRAPH_FILE).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    write_record(folder / CONTRACT_FILE, dataclasses.replace(contract, graph_sha256=digest, **drawn))
    # Asked for, since another artefact here has trained weights.
    card = built(calibration_images=2, dataset="camvid", random_weights=True, **drawn)[0].card
    assert card.calibration.images_from == card.check.images_from == "synthetic scenes"
    assert any("ranges come from synthetic scenes" in note for note in card.notes)


# What is reused, and what is not


def test_second_build_uses_the_ranges_again(device, monkeypatch):
    first, _ = built()
    monkeypatch.setattr(calibrate, "collect_ranges", None)
    second, lines = built()
    assert any("ranges of 3 images of camvid train are there and current" in line for line in lines)
    assert second.card.engine_sha256 == first.card.engine_sha256


def test_other_method_uses_the_same_ranges(device, monkeypatch):
    first, _ = built()
    monkeypatch.setattr(calibrate, "collect_ranges", None)
    second, _ = built(calibrator="entropy")
    assert second.card.calibration.ranges_sha256 == first.card.calibration.ranges_sha256
    assert second.card.engine_sha256 != first.card.engine_sha256


def ranges_after(device, **changes):
    result, _ = built(**changes)
    return read_record(Ranges, device / result.plan.artifact / RANGES_FILE)


def test_changed_image_makes_new_ranges(device):
    before = ranges_after(device)
    write_image(device / "data" / "camvid" / "train" / "a_0.png", np.zeros((SIZE, SIZE, 3), np.uint8))
    after = ranges_after(device)
    assert after.manifest_sha256 != before.manifest_sha256
    assert after.tensors != before.tensors


def test_other_number_of_images_makes_new_ranges(device):
    assert (ranges_after(device).image_count, ranges_after(device, calibration_images=4).image_count) == (3, 4)


def test_other_graph_makes_new_ranges(device):
    before = ranges_after(device)
    folder = device / "artifacts" / f"fast_scnn-camvid-{SIZE}x{SIZE}"
    model = drawing.make_network(SIZE, classes=11, zero_channel=True)
    data = model.SerializeToString()
    (folder / GRAPH_FILE).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    write_record(
        folder / CONTRACT_FILE,
        dataclasses.replace(read_record(Contract, folder / CONTRACT_FILE), graph_sha256=digest),
    )
    after = ranges_after(device)
    assert (before.graph_sha256, after.graph_sha256) != (digest, before.graph_sha256)
    assert after.graph_sha256 == digest


def test_truncated_ranges_are_made_again(device):
    before = ranges_after(device)
    path = device / "artifacts" / f"fast_scnn-camvid-{SIZE}x{SIZE}" / RANGES_FILE
    path.write_bytes(path.read_bytes()[:-100])
    assert ranges_after(device) == before


def test_rebuilt_engine_replaces_the_old_one(device):
    built()
    result, _ = built(calibrator="entropy")
    engine = device / result.plan.output
    assert {path.name for path in engine.iterdir()} == {CARD_FILE, REPORT_FILE, PAGE_FILE, result.card.engine_file}
    assert read_record(Int8Report, engine / REPORT_FILE) == result.report


def test_output_may_be_elsewhere(device):
    result, _ = built(output=device / "elsewhere")
    assert read_card(device / "elsewhere") == result.card


def test_output_that_is_a_file_is_refused_before_any_work(device, monkeypatch):
    (device / "file").write_text("kept")
    monkeypatch.setattr(build_step, "make_float_graph", lambda *_arguments: pytest.fail("worked first"))
    with pytest.raises(StorageError, match="file is a file, expected a folder"):
        built(output=device / "file")


def test_artefact_from_elsewhere_is_used_as_it_is(device, monkeypatch):
    # Also where TensorFlow is: trained weights that are in no run here must not make way for random ones.
    set_tensorflow(monkeypatch, True)
    before = sha256_file(device / "artifacts" / f"fast_scnn-camvid-{SIZE}x{SIZE}" / GRAPH_FILE)
    result, _ = built(precision="float32")
    assert sha256_file(device / result.plan.artifact / GRAPH_FILE) == before
    assert result.card.contract.weights == TRAINED
    assert any("exported by other sources" in note for note in result.card.notes)


def test_artefact_under_the_name_of_another_is_refused_with_its_own_command(device):
    folder = device / "artifacts" / f"fast_scnn-camvid-{SIZE}x{SIZE}"
    contract = read_contract(folder)
    write_record(folder / CONTRACT_FILE, dataclasses.replace(contract, options={"fusion_dilation": 1}))
    with pytest.raises(ContractError, match=r"another network than asked for\. Next: .*--option fusion_dilation=1"):
        built(precision="float32")


def test_artefacts_of_other_options_are_named_where_the_one_asked_for_is_not(device):
    folder = device / "artifacts" / f"fast_scnn-camvid-{SIZE}x{SIZE}"
    contract = read_contract(folder)
    write_record(folder / CONTRACT_FILE, dataclasses.replace(contract, options={"fusion_dilation": 1}))
    folder.rename(folder.with_name(f"fast_scnn+fusion_dilation-1-camvid-{SIZE}x{SIZE}"))
    with pytest.raises(InputError, match=r"no artefact of fast_scnn.*--option fusion_dilation=1"):
        built(precision="float32")


def test_random_artefact_is_exported_again_where_that_is_possible_and_it_is_stale(device, monkeypatch):
    import export.from_keras.exporter as exporter

    asked = []
    folder = write_artifact(device / "artifacts" / f"fast_scnn-camvid-{SIZE}x{SIZE}", RANDOM)

    def export_model(request, artifact, frames, say):
        asked.append(request)
        return read_contract(folder)

    monkeypatch.setattr(exporter, "export_model", export_model)
    built(precision="float32")
    assert asked == []
    set_tensorflow(monkeypatch, True)
    monkeypatch.setattr(found_weights, "_find_shipped", lambda model, checkout: [])  # they would go before random ones
    built(precision="float32")
    assert [(request.model, request.height, request.weights_path) for request in asked] == [("fast_scnn", SIZE, None)]


def test_graph_of_other_code_is_used_without_tensorflow_and_a_line_and_the_card_say_so(device, monkeypatch):
    # The weights are here, so the graph would be exported anew if that were possible.
    import export.from_keras.exporter as exporter

    folder = device / "artifacts" / f"fast_scnn-camvid-{SIZE}x{SIZE}"
    contract = read_contract(folder)
    report = ParityReport(contract.graph_sha256, 1, "camvid val", 0.0, 1.0, 1.0)
    write_record(folder / PARITY_FILE, report)
    sources = dataclasses.replace(plan_build(REQUEST).sources, weights_path=device / "best.weights.h5")
    monkeypatch.setattr("export.pipeline.plan.choose_inputs", lambda *_, **__: sources)
    monkeypatch.setattr(exporter.ExportRequest, "provenance", lambda request: (contract.weights, {}))
    monkeypatch.setattr(exporter, "changed_options", lambda model, options: {})
    result, lines = built(precision="float32")
    here = exporter.source_digest("fast_scnn")[:12]
    other = f"model.onnx is of other code: got 000000000000, expected {here}"
    assert f"without TensorFlow the graph that came with the artefact is used: {other}" in lines
    assert any("exported by other sources" in note for note in result.card.notes)
    assert result.card.contract.graph_sha256 == contract.graph_sha256


def test_artefact_of_other_weights_is_refused_by_name_where_nothing_can_be_exported(device, monkeypatch):
    run = write_run(device / "runs" / "one", height=SIZE, width=SIZE).parent
    with pytest.raises(InputError, match=r"has trained weights of fast_scnn-.*, and not the weights runs/one/"):
        built(precision="float32")
    run.rename(device / "one")
    assert built(precision="float32")[0].card.contract.weights == TRAINED


@pytest.mark.parametrize(("name", "error"), [(GRAPH_FILE, GraphError), (CONTRACT_FILE, ContractError)])
@pytest.mark.parametrize("can_export", [False, True])
def test_damaged_artefact_of_trained_weights_is_an_error_and_is_kept(device, monkeypatch, name, error, can_export):
    set_tensorflow(monkeypatch, can_export)
    artifact = device / "artifacts" / f"fast_scnn-camvid-{SIZE}x{SIZE}"
    (artifact / name).write_bytes((artifact / name).read_bytes()[:-30])
    before = files_below(device)
    with pytest.raises(error) as caught:
        built()
    assert str(artifact.relative_to(device)) in str(caught.value)
    assert files_below(device) == before


# Nothing is done too early


def test_planning_writes_nothing(device):
    before = files_below(device)
    plan = plan_build(REQUEST)
    assert (plan.backend, plan.sources.dataset, plan.sources.data_dir) == (
        "onnxruntime",
        "camvid",
        device / "data" / "camvid",
    )
    assert files_below(device) == before


def test_tensorrt_that_is_not_here_is_an_error_before_any_work(device):
    before = files_below(device)
    with pytest.raises(BackendError, match="no GPU"):
        built(backend="tensorrt")
    assert files_below(device) == before


def test_missing_dataset_is_an_error_before_any_work(device):
    before = files_below(device)
    with pytest.raises(DatasetError, match="folder not found"):
        built(data_dir=device / "none")
    assert files_below(device) == before


def test_interruption_while_collecting_leaves_what_was_there(device, monkeypatch):
    result, _ = built()
    before = files_below(device)

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(calibrate, "collect_ranges", interrupt)
    with pytest.raises(KeyboardInterrupt):
        built(calibration_images=4)
    assert files_below(device) == before
    assert read_card(device / result.plan.output) == result.card


def test_interrupted_build_says_which_finished_steps_it_leaves(device, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("export.pipeline.build.find_int8", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        built()
    (said,) = kept_results(caught.value)
    assert said.startswith("no engine was kept; ") and "ranges.json in artifacts" in said
    written = {name for name in files_below(device) if name.startswith("artifacts")}
    assert all(Path(name).name in said for name in written if Path(name).name not in ("model.onnx", "contract.json"))
    with pytest.raises(KeyboardInterrupt) as caught:
        built()
    assert kept_results(caught.value) == (), "the second build wrote nothing"


def test_interrupted_build_says_which_engine_is_there(device, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    result, _ = built()
    with monkeypatch.context() as patched:
        patched.setattr("export.pipeline.build.build_engine", interrupt)
        with pytest.raises(KeyboardInterrupt) as caught:
            built()
    (said,) = kept_results(caught.value)
    assert said.startswith(f"no new engine was kept, the earlier one is still {result.plan.output}")
    monkeypatch.setattr("export.pipeline.build.BuildResult", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        built()
    assert kept_results(caught.value) == (f"the engine is whole: {result.plan.output}",)
