"""ranges.json round-trips, and is used only for the graph, images and preprocessing that it was made from."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from calibration.ranges.record import (
    PREPROCESSING,
    RANGES_FILE,
    Ranges,
    TensorRange,
    current_ranges,
    range_warnings,
    ranges_code,
    ranges_mismatch,
    ranges_of_other_code,
    read_ranges,
    why_not_current,
)
from calibration.ranges.thresholds import CALIBRATION_METHODS
from edge.artifacts import sha256_file
from edge.errors import ContractError, InputError
from edge.records import read_record, write_record

GRAPH, MANIFEST = "a" * 64, "b" * 64
THRESHOLDS = {"min-max": 4.0, "percentile": 2.5, "entropy": 2.0, "mse": 3.0}
RANGES = Ranges(
    graph_sha256=GRAPH,
    manifest_sha256=MANIFEST,
    image_count=3,
    images_from="camvid train",
    preprocessing=PREPROCESSING,
    code_sha256=ranges_code(),
    tensors={
        "stem/Relu": TensorRange(0.0, 4.0, THRESHOLDS, (4.0, 0.0, 1.25), (0.5, 0.0, -1e-7)),
        "residual/Add": TensorRange(-4.0, 1.0, THRESHOLDS),
        "deep/Relu": TensorRange(
            0.0, 4.0, THRESHOLDS, (4.0, 1.0), (0.5, 0.1), 1.5, 0.25, {"mse": (1e-4, 2e-5)}, (2.5, 0.5)
        ),
        "dead/Relu": TensorRange(0.0, 0.0, dict.fromkeys(THRESHOLDS, 0.0)),
    },
)


def test_ranges_round_trip(tmp_path):
    write_record(tmp_path / RANGES_FILE, RANGES)
    assert read_record(Ranges, tmp_path / RANGES_FILE) == RANGES


@pytest.mark.parametrize(("method", "threshold"), sorted(THRESHOLDS.items()))
def test_threshold_is_that_of_the_method(method, threshold):
    assert RANGES.threshold("stem/Relu", method) == threshold


def test_every_method_is_accepted():
    assert set(THRESHOLDS) == set(CALIBRATION_METHODS)


def test_tensor_that_is_always_zero_gets_a_usable_threshold():
    assert RANGES.threshold("dead/Relu", "min-max") == 1.0


def test_threshold_below_what_a_float32_scale_can_hold_is_replaced():
    tiny = TensorRange(0.0, 1e-42, dict.fromkeys(THRESHOLDS, 1e-42))
    ranges = dataclasses.replace(RANGES, tensors={"x": tiny})
    assert np.float32(ranges.threshold("x", "entropy") / 255) >= np.finfo(np.float32).tiny


def test_unknown_tensor_is_named():
    with pytest.raises(InputError, match="no range was collected for tensor other/Relu"):
        RANGES.threshold("other/Relu", "min-max")


def test_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"'best'.*min-max, percentile, entropy, mse"):
        RANGES.threshold("stem/Relu", "best")


def test_method_that_a_file_lacks_is_one_clear_error():
    only = dataclasses.replace(RANGES, tensors={"x": TensorRange(0.0, 1.0, {"min-max": 1.0})})
    with pytest.raises(ContractError, match="entropy"):
        only.threshold("x", "entropy")


def test_sign_follows_the_minimum():
    assert not RANGES.tensors["stem/Relu"].is_signed
    assert RANGES.tensors["residual/Add"].is_signed


def test_unchanged_inputs_hit(tmp_path):
    write_record(tmp_path / RANGES_FILE, RANGES)
    assert current_ranges(tmp_path, GRAPH, MANIFEST) == (RANGES, sha256_file(tmp_path / RANGES_FILE))


def test_other_graph_or_other_images_miss(tmp_path):
    write_record(tmp_path / RANGES_FILE, RANGES)
    assert current_ranges(tmp_path, "c" * 64, MANIFEST) is None
    assert current_ranges(tmp_path, GRAPH, "c" * 64) is None


@pytest.mark.parametrize("changed", ["preprocessing", "code_sha256"])
def test_other_preprocessing_or_other_code_misses(tmp_path, changed):
    write_record(tmp_path / RANGES_FILE, dataclasses.replace(RANGES, **{changed: "d" * 64}))
    assert current_ranges(tmp_path, GRAPH, MANIFEST) is None
    assert current_ranges(tmp_path, GRAPH, None) is None


def test_ranges_move_to_another_folder(tmp_path):
    workstation, device = tmp_path / "workstation", tmp_path / "device"
    write_record(workstation / RANGES_FILE, RANGES)
    text = (workstation / RANGES_FILE).read_text()
    assert str(tmp_path) not in text
    device.mkdir()
    (device / RANGES_FILE).write_text(text)
    assert current_ranges(device, GRAPH, MANIFEST) == current_ranges(workstation, GRAPH, MANIFEST)
    assert current_ranges(device, GRAPH, None) is not None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"graph_sha256": "c" * 64}, "another graph: got cccccccccccc, expected aaaaaaaaaaaa"),
        ({"manifest_sha256": "c" * 64}, "other images: got cccccccccccc, expected bbbbbbbbbbbb"),
        ({"preprocessing": "nearest; BGR"}, f"other preprocessing: got nearest; BGR, expected {PREPROCESSING}"),
        ({"code_sha256": "c" * 64}, "other code: got cccccccccccc, expected " + ranges_code()[:12]),
    ],
)
def test_reason_why_ranges_do_not_fit_is_one_line(tmp_path, changed, reason):
    other = dataclasses.replace(RANGES, **changed)
    write_record(tmp_path / RANGES_FILE, other)
    line = why_not_current(tmp_path, GRAPH, MANIFEST)
    assert f"{RANGES_FILE} is of {reason}. Next: collect" in line
    assert "\n" not in line
    assert line == ranges_mismatch(other, GRAPH, MANIFEST)


def test_ranges_that_fit_have_no_reason(tmp_path):
    write_record(tmp_path / RANGES_FILE, RANGES)
    assert why_not_current(tmp_path, GRAPH, MANIFEST) is None
    assert why_not_current(tmp_path, GRAPH, None) is None


def test_reason_names_a_file_that_is_missing_or_of_an_older_version(tmp_path):
    assert "not found" in why_not_current(tmp_path, GRAPH, MANIFEST)
    write_record(tmp_path / RANGES_FILE, RANGES)
    text = (tmp_path / RANGES_FILE).read_text()
    (tmp_path / RANGES_FILE).write_text(text.replace('"schema": 3', '"schema": 1', 1))
    assert "has schema 1" in why_not_current(tmp_path, GRAPH, MANIFEST)


def test_ranges_of_the_schema_before_are_read_as_those_of_other_code(tmp_path):
    write_record(tmp_path / RANGES_FILE, RANGES)
    content = json.loads((tmp_path / RANGES_FILE).read_text())
    content = {**content, "schema": 2, "methods_sha256": "e" * 64}
    del content["code_sha256"]
    (tmp_path / RANGES_FILE).write_text(json.dumps(content))
    assert read_ranges(tmp_path) == dataclasses.replace(RANGES, code_sha256="e" * 64)
    assert current_ranges(tmp_path, GRAPH, MANIFEST) is None
    assert "ranges.json is of other code: got eeeeeeeeeeee" in why_not_current(tmp_path, GRAPH, MANIFEST)


def test_ranges_of_other_code_are_taken_where_they_cannot_be_collected_anew(tmp_path):
    other = dataclasses.replace(RANGES, code_sha256="e" * 64)
    write_record(tmp_path / RANGES_FILE, other)
    assert current_ranges(tmp_path, GRAPH, None, any_code=True) == (other, sha256_file(tmp_path / RANGES_FILE))
    assert current_ranges(tmp_path, "c" * 64, None, any_code=True) is None
    assert ranges_of_other_code(other) == (
        f"ranges.json is of other code: got eeeeeeeeeeee, expected {ranges_code()[:12]}"
    )
    assert ranges_of_other_code(RANGES) is None


def test_constant_tensor_is_warned_of_and_has_a_usable_range():
    constant = TensorRange(0.5, 0.5, dict.fromkeys(THRESHOLDS, 0.5), (0.5, 0.5), (0.5, 0.5))
    ranges = dataclasses.replace(RANGES, tensors={"gate": constant, "dead/Relu": RANGES.tensors["dead/Relu"]})
    warnings = range_warnings(ranges)
    assert [warning.split(",")[0] for warning in warnings] == [
        "tensor gate is 0.5 everywhere in all 3 images",
        "tensor dead/Relu is 0 everywhere in all 3 images",
    ]
    assert all(ranges.threshold(name, method) > 0 for name in ranges.tensors for method in CALIBRATION_METHODS)


def test_dead_channels_are_counted_in_a_warning():
    dead = TensorRange(0.0, 4.0, THRESHOLDS, (4.0, 0.0, 1.0, 0.0), (1.0, 0.0, 0.5, 0.0))
    alive = TensorRange(-1.0, 4.0, THRESHOLDS, (4.0, 1.0), (1.0, 0.0))
    (warning,) = range_warnings(dataclasses.replace(RANGES, image_count=1, tensors={"dead": dead, "alive": alive}))
    assert warning.startswith("2 of 4 channels of tensor dead are zero in the one image")


def test_ranges_without_anything_odd_have_no_warnings():
    assert range_warnings(dataclasses.replace(RANGES, tensors={"x": TensorRange(-1.0, 4.0, THRESHOLDS)})) == ()


def test_missing_truncated_or_older_file_misses(tmp_path):
    assert current_ranges(tmp_path, GRAPH, MANIFEST) is None
    write_record(tmp_path / RANGES_FILE, RANGES)
    text = (tmp_path / RANGES_FILE).read_text()
    (tmp_path / RANGES_FILE).write_text(text[: len(text) // 2])
    assert current_ranges(tmp_path, GRAPH, MANIFEST) is None
    (tmp_path / RANGES_FILE).write_text(json.dumps({**json.loads(text), "schema": 0}))
    assert current_ranges(tmp_path, GRAPH, MANIFEST) is None
