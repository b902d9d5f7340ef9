"""ranges.json round-trips, and is used only for the graph, images and preprocessing that it was made from."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from calibration.ranges import PREPROCESSING, RANGES_FILE, Ranges, TensorRange, current_ranges
from edge.artifacts import sha256_file
from edge.errors import ContractError, InputError
from edge.records import read_record, write_record

GRAPH, MANIFEST = "a" * 64, "b" * 64
THRESHOLDS = {"min-max": 4.0, "percentile": 2.5, "entropy": 2.0}
RANGES = Ranges(
    graph_sha256=GRAPH,
    manifest_sha256=MANIFEST,
    image_count=3,
    images_from="camvid train",
    preprocessing=PREPROCESSING,
    tensors={
        "stem/Relu": TensorRange(0.0, 4.0, THRESHOLDS),
        "residual/Add": TensorRange(-4.0, 1.0, THRESHOLDS),
        "dead/Relu": TensorRange(0.0, 0.0, dict.fromkeys(THRESHOLDS, 0.0)),
    },
)


def test_ranges_round_trip(tmp_path):
    write_record(tmp_path / RANGES_FILE, RANGES)
    assert read_record(Ranges, tmp_path / RANGES_FILE) == RANGES


@pytest.mark.parametrize(("method", "threshold"), sorted(THRESHOLDS.items()))
def test_threshold_is_that_of_the_method(method, threshold):
    assert RANGES.threshold("stem/Relu", method) == threshold


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
    with pytest.raises(InputError, match=r"'best'.*min-max, percentile, entropy"):
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


def test_other_preprocessing_misses(tmp_path):
    write_record(tmp_path / RANGES_FILE, dataclasses.replace(RANGES, preprocessing="nearest"))
    assert current_ranges(tmp_path, GRAPH, MANIFEST) is None


def test_missing_truncated_or_older_file_misses(tmp_path):
    assert current_ranges(tmp_path, GRAPH, MANIFEST) is None
    write_record(tmp_path / RANGES_FILE, RANGES)
    text = (tmp_path / RANGES_FILE).read_text()
    (tmp_path / RANGES_FILE).write_text(text[: len(text) // 2])
    assert current_ranges(tmp_path, GRAPH, MANIFEST) is None
    (tmp_path / RANGES_FILE).write_text(json.dumps({**json.loads(text), "schema": 0}))
    assert current_ranges(tmp_path, GRAPH, MANIFEST) is None
