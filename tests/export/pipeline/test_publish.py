"""An engine is kept when it holds its budget, and its card says what it cost and why each layer is what it is."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import export.pipeline.verify as verify
from calibration.results import EXCEEDED, HELD, MIOU_DROP, NOT_SHOWN, PAGE_FILE, REPORT_FILE, Int8Report
from edge.artifacts import sha256_file
from edge.card import read_card
from edge.errors import AccuracyBudgetError
from edge.records import read_record, write_record
from export.build_engine import main
from tests.export import small_device as device
from tests.export.small_device import ARTIFACT, ENGINE, WrappedRunner, built, hostile

HOSTILE = hostile.hostile_network(readers=2)
ONE_READER = hostile.hostile_network(readers=1)
BENIGN = hostile.hostile_network(ratio=1.0)

REFUSED = ENGINE.with_name(f"{ENGINE.name}-refused")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    return device.prepare(tmp_path, monkeypatch)


@pytest.fixture
def network():
    """Return a function that puts a network and its dataset on the device."""

    def put(model, weights=device.TRAINED, **counts):
        device.write_artifact(model, weights)
        device.write_camvid(model, **counts)

    return put


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# Over the budget


def test_network_over_its_budget_leaves_its_report_and_no_engine(folder, network):
    network(HOSTILE)
    lines = []
    with pytest.raises(AccuracyBudgetError) as caught:
        device.build(device.replaced(search_minutes=0.0), lines.append)
    message = str(caught.value)
    assert "\n" not in message and str(REFUSED / PAGE_FILE) in message
    assert "is over its budget on 4 images of camvid val: " in message
    assert " is lost: " in message and "; and " in message and " more, and time ended the search; no engine" in message
    assert files(REFUSED) == [PAGE_FILE, REPORT_FILE] and not ENGINE.exists()
    assert not list(folder.rglob(".unmeasured-*"))
    report = read_record(Int8Report, REFUSED / REPORT_FILE)
    assert (report.verdict, report.engine, report.max_drop_points) == (EXCEEDED, None, 0.5)
    assert report.judgements[0].measure == MIOU_DROP and report.judgements[0].value == report.drop_points
    # The curve of what each share of INT8 cost.
    assert any(line.split()[:2] == ["INT8", "share"] for line in lines)
    assert any("closest to the budget: step 1" in line for line in lines)


def test_command_over_the_budget_is_one_line_and_code_3(network, capsys):
    network(HOSTILE)
    assert main([*device.COMMAND, "--search-minutes", "0"]) == 3
    output = capsys.readouterr()
    errors = [line for line in output.err.splitlines() if line.startswith("error: ")]
    assert output.out == ""
    assert len(errors) == 1 and errors[0] == output.err.splitlines()[-1]
    assert "no engine was kept" in errors[0] and "Next: --search-minutes" in errors[0]


def test_engine_that_was_there_stays_when_the_next_is_over_the_budget(network):
    network(HOSTILE)
    first, _ = built(max_drop_points=100.0)
    assert first.card.calibration.budget.startswith("at most 100 points of mIoU, 100 points of IoU of any class")
    before = sha256_file(ENGINE / first.card.engine_file)
    with pytest.raises(AccuracyBudgetError):
        built(search_minutes=0.0)
    assert read_card(ENGINE) == first.card
    assert sha256_file(ENGINE / first.card.engine_file) == before
    # Its report is its own, and the other's lies apart until an engine is kept again.
    assert read_record(Int8Report, ENGINE / REPORT_FILE) == first.report
    assert read_record(Int8Report, REFUSED / REPORT_FILE).verdict == EXCEEDED
    built(max_drop_points=100.0)
    assert not REFUSED.exists()


class Confused(WrappedRunner):
    """An engine that gives other numbers than its graph: a kernel that saturates, say."""

    def _infer_impl(self, frame):
        return {"logits": -self._inner.infer(frame)[None]}


def test_engine_that_misses_what_the_simulation_holds_is_not_kept(folder, network, monkeypatch):
    network(BENIGN)
    first, _ = built(max_drop_points=100.0)
    opened = verify.open_engine
    monkeypatch.setattr(verify, "open_engine", lambda folder: (Confused(opened(folder)[0]), None))
    with pytest.raises(AccuracyBudgetError, match="simulated exactly, but the engine itself does not"):
        built(max_drop_points=30.0)
    assert read_card(ENGINE) == first.card
    assert not list(folder.rglob(".unmeasured-*"))
    report = read_record(Int8Report, REFUSED / REPORT_FILE)
    assert report.verdict == EXCEEDED and report.engine.miou < 0.2 < report.simulated.miou
    assert "The simulation holds the budget, the engine itself does not: " in (REFUSED / PAGE_FILE).read_text()


def test_interruption_while_the_engine_is_measured_leaves_nothing(folder, network, monkeypatch):
    network(BENIGN)

    def interrupted(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, "open_engine", interrupted)
    with pytest.raises(KeyboardInterrupt):
        built(max_drop_points=100.0)
    assert not ENGINE.exists()
    assert not list(folder.rglob(".unmeasured-*"))


# Within the budget


def test_layers_go_back_to_float_and_the_card_says_which_and_why(network):
    network(HOSTILE)
    card = built(max_drop_points=12.0, max_class_drop=100.0)[0].card
    layers = {layer.name: layer for layer in card.layers}
    assert list(layers) == ["stem", "wide", "narrow", "side", "logits"]
    floats = {name for name, layer in layers.items() if layer.precision == "float"}
    assert {"narrow", "side"} <= floats < set(layers)
    assert all(bool(layer.reason) == (layer.precision == "float") for layer in layers.values())
    assert "over the budget: alone in INT8 it changes the logits by" in layers["narrow"].reason
    total = sum(layer.multiply_adds for layer in layers.values())
    in_int8 = sum(layer.multiply_adds for layer in layers.values() if layer.precision == "int8")
    assert card.int8_mac_share == pytest.approx(in_int8 / total)
    assert 0 < card.int8_mac_share < 1
    assert read_card(ENGINE) == card


def test_card_has_budget_recipe_simulated_figures_and_the_interval_of_the_drop(network):
    network(BENIGN)
    result, _ = built(max_drop_points=30.0, max_class_drop=100.0, weight_method="mse", accuracy_images=4)
    card, report = result.card, result.report
    assert card.calibration.budget == (
        "at most 30 points of mIoU, 100 points of IoU of any class, 100 % of the regions of any class"
    )
    assert card.calibration.recipe == "min-max ranges, clipped weights"
    assert (card.calibration.method, card.calibration.image_count) == ("min-max", 3)
    check = card.check
    assert check.miou_float == 1.0  # the labels are what the float graph says
    assert (check.miou_simulated, check.label_agreement_simulated) == (
        report.simulated.miou,
        report.simulated.label_agreement,
    )
    assert (check.miou_engine, check.label_agreement) == (report.engine.miou, report.engine.label_agreement)
    assert (check.drop_low, check.drop_high) == (None, None), "four images have no interval"
    assert (check.verdict, report.verdict) == (NOT_SHOWN, NOT_SHOWN)
    assert check.worst.endswith(" points of mIoU lost, at most 30")
    assert report.drop_points == pytest.approx(100 * (1 - check.miou_simulated))


def test_interval_and_verdict_are_on_the_card(network):
    network(BENIGN, val=8)
    result, _ = built(max_drop_points=60.0, max_class_drop=60.0, accuracy_images=8)
    check = result.card.check
    assert check.drop_low < 100 * (1 - check.miou_engine) < check.drop_high
    of_network = result.report.judgements[0]
    assert (check.image_count, of_network.measure, of_network.state) == (8, MIOU_DROP, HELD)
    assert of_network.high == check.drop_high
    # There are classes on fewer than five of the images.
    assert check.verdict == result.report.verdict == NOT_SHOWN
    assert result.card.budget_sentence().startswith(
        "accuracy budget not shown to hold, the images are too few (at most 60 points of mIoU, "
    )
    assert f"closest to its limit: {check.worst}" in result.card.budget_sentence()


def test_search_looks_at_calibration_images_and_others_judge(network):
    network(HOSTILE, val=8)
    report = built(max_drop_points=12.0, max_class_drop=100.0, accuracy_images=8)[0].report
    assert report.search_images.startswith("3 of camvid train, which calibrate")
    assert report.images_from == "camvid val" and not report.search_sees_judging_images
    assert {step.cost.image_count for step in report.steps} == {3}
    assert {look.cost.image_count for look in report.looks} == {8}


def test_engine_of_onnxruntime_agrees_with_what_was_simulated(network):
    network(BENIGN)
    check = built(max_drop_points=100.0)[0].card.check
    # The kernels differ from the simulation where a sum lies between two steps.
    assert check.label_agreement == pytest.approx(check.label_agreement_simulated, abs=0.01)
    assert check.label_agreement < 1


def test_report_lies_beside_the_engine_and_is_of_it(network):
    network(BENIGN)
    result, _ = built(max_drop_points=30.0, measure_layers=True)
    assert files(ENGINE) == sorted(["card.json", result.card.engine_file, PAGE_FILE, REPORT_FILE])
    report = read_record(Int8Report, ENGINE / REPORT_FILE)
    assert report == result.report
    assert report.graph_sha256 == sha256_file(ARTIFACT / "model.onnx")
    assert report.ranges_sha256 == sha256_file(ARTIFACT / "ranges.json")
    assert len(report.worst_images) == 4
    agreements = [image.label_agreement for image in report.worst_images]
    assert agreements == sorted(agreements)
    measured = {layer.name: layer.label_change for layer in report.layers}
    assert set(measured) >= {"stem", "wide", "narrow", "side", "logits"} and None not in measured.values()
    page = (ENGINE / PAGE_FILE).read_text()
    assert "fast_scnn (camvid, 32x32)" in page and report.worst_images[0].name in page


# Random weights


def test_engine_of_random_weights_has_no_budget_and_says_that_only_its_speed_means_anything(network):
    network(HOSTILE, device.RANDOM)
    result, lines = built(max_drop_points=0.0)
    card = result.card
    assert card.calibration.budget == "none"
    assert device.RANDOM.sentence() in card.notes and f"*** {device.RANDOM.sentence()} ***" in lines
    assert "only the speed of this engine means anything" in device.RANDOM.sentence()
    assert (result.report.verdict, result.report.drop_points) == (None, None)
    assert (card.check.verdict, card.check.worst, card.budget_sentence()) == (None, "", "")
    assert (card.check.miou_float, card.check.miou_simulated, card.check.drop_low) == (None, None, None)
    assert card.int8_mac_share == 1.0  # the plain recipe, although it changes most labels
    assert card.check.label_agreement_simulated < 0.6
    assert [step.what for step in result.report.looks] == ["plain INT8"] and result.report.steps == ()
    assert result.report.warnings == ()


def test_float_engine_has_no_report_and_no_layers(network):
    network(BENIGN)
    result, _ = built(precision="float32")
    assert (result.report, result.card.layers, result.card.calibration) == (None, (), None)
    assert (result.card.check.miou_simulated, result.card.check.label_agreement_simulated) == (None, None)
    folder = ARTIFACT / "engines" / "onnxruntime-float32"
    assert files(folder) == sorted(["card.json", result.card.engine_file])


def test_old_engine_makes_way_only_when_the_new_card_is_written(network, monkeypatch):
    network(BENIGN)
    first, _ = built(max_drop_points=100.0)
    import export.pipeline.publish as publish

    def full_disk(path, value):
        if path.parent == ENGINE:
            raise OSError(28, "No space left on device")
        write_record(path, value)

    monkeypatch.setattr(publish, "write_record", full_disk)
    with pytest.raises(OSError, match="No space"):
        built(max_drop_points=100.0, calibrator="mse")
    assert read_card(ENGINE) == first.card
