"""Two forms of a network are compared in numbers, and what disagrees or is not a number is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.errors import ParityError
from edge.records import read_record, write_record
from export.graph.parity import LABEL_TOLERANCE, LOGIT_TOLERANCE, PARITY_FILE, ParityReport, compare
from export.parity import build_parser

GENERATOR = np.random.default_rng(6)
HEIGHT, WIDTH = 32, 64
TENSORS = [GENERATOR.integers(0, 256, (1, HEIGHT, WIDTH, 3)).astype(np.uint8) for _ in range(3)]
LOGITS = GENERATOR.normal(0, 5, (4, 4, 8)).astype(np.float32)
GOOD = ParityReport("a" * 64, 3, "camvid val", LOGIT_TOLERANCE, LABEL_TOLERANCE, 12.0)


def outputs(logits, **others):
    """What a network of batch 1 gives."""
    return {"logits": logits[None], **others}


def compared(first, second, tensors=TENSORS):
    return compare(
        lambda tensor, decided: outputs(first), lambda tensor: outputs(second), tensors, "camvid val", "a" * 64
    )


def test_equal_networks_agree_fully():
    report = compared(LOGITS, LOGITS.copy())
    assert (report.logit_error, report.label_agreement, report.image_count) == (0.0, 1.0, 3)
    assert report.logit_range == LOGITS.max() - LOGITS.min()
    report.check()


def test_error_is_the_largest_difference_over_the_range_of_the_logits():
    other = LOGITS.copy()
    other[2, 1, 3] += 0.25
    other[1, 0, 0] -= 0.5
    assert compared(LOGITS, other).logit_error == pytest.approx(0.5 / (LOGITS.max() - LOGITS.min()), rel=1e-5)


def test_worst_image_counts_and_labels_are_averaged():
    wrong = LOGITS[::-1].copy()
    seen = iter([LOGITS, wrong, LOGITS])
    report = compare(
        lambda tensor, decided: outputs(LOGITS), lambda tensor: outputs(next(seen)), TENSORS, "camvid val", "a" * 64
    )
    alone = compared(LOGITS, wrong, TENSORS[:1])
    assert report.logit_error == alone.logit_error
    assert report.label_agreement == pytest.approx((2 + alone.label_agreement) / 3)


def test_both_networks_see_the_same_images():
    seen = []
    watched = lambda tensor, decided=None: seen.append(tensor) or outputs(LOGITS)  # noqa: E731
    compare(watched, watched, TENSORS, "x", "a" * 64)
    assert all(first is second for first, second in zip(seen[::2], seen[1::2]))
    assert len(seen) == 6


def test_constant_logits_are_compared_absolutely():
    constant = np.full((4, 4, 8), 5.0, np.float32)
    compared(constant, constant.copy()).check()
    with pytest.raises(ParityError):
        compared(constant, constant + 1).check()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize(("side", "culprit"), [(0, "the Keras model"), (1, "its ONNX graph"), (2, "the Keras model")])
def test_logits_that_are_not_finite_are_refused(wrong, side, culprit):
    broken = LOGITS.copy()
    broken[0, 0, 0] = wrong
    pair = [(broken, LOGITS), (LOGITS, broken), (broken, broken)][side]
    with pytest.raises(ParityError, match=f"{culprit} gives logits that are NaN or infinite"):
        compared(*pair)


def test_other_shape_is_refused_with_both_shapes():
    with pytest.raises(ParityError, match=r"\(1, 4, 4, 8\).*\(1, 4, 8, 4\)"):
        compared(LOGITS, LOGITS.transpose(0, 2, 1).copy())


def test_every_frame_of_a_batch_counts():
    pair = np.stack([LOGITS, LOGITS[::-1]])
    report = compare(lambda t, d: {"logits": pair}, lambda t: {"logits": pair.copy()}, TENSORS[:2], "x", "a" * 64)
    assert (report.image_count, report.label_agreement) == (4, 1.0)
    swapped = compare(lambda t, d: {"logits": pair}, lambda t: {"logits": pair[::-1]}, TENSORS[:2], "x", "a" * 64)
    assert swapped.label_agreement < 0.5


def test_other_outputs_have_their_own_error_and_tolerance():
    offsets = GENERATOR.normal(0, 30, (1, 2, 4, 8)).astype(np.float32)
    other = offsets.copy()
    other[0, 1, 2, 3] += 1.0
    report = compare(
        lambda t, d: outputs(LOGITS, offset=offsets), lambda t: outputs(LOGITS, offset=other), TENSORS, "x", "a" * 64
    )
    assert report.logit_error == 0.0
    assert report.output_errors == {"offset": pytest.approx(1.0 / np.abs(offsets).max(), rel=1e-5)}
    with pytest.raises(ParityError, match="error of offset"):
        report.check()
    assert "of offset" in report.sentence()


def test_output_that_one_side_lacks_is_refused():
    with pytest.raises(ParityError, match=r"gives \['logits', 'offset'\], its ONNX graph \['logits'\]"):
        compare(lambda t, d: outputs(LOGITS, offset=LOGITS), lambda t: outputs(LOGITS), TENSORS, "x", "a" * 64)


def test_keras_follows_the_decisions_of_the_graph_and_its_own_are_counted():
    places = np.zeros((1, 2, 4, 8), np.float32)
    own = places.copy()
    own[0, 0, 0, :2] = 1.0
    led_by = []

    def keras_network(tensor, decided):
        led_by.append(decided)
        return outputs(LOGITS, places=own)

    report = compare(
        keras_network, lambda t: outputs(LOGITS, places=places), TENSORS[:1], "x", "a" * 64, decisions=["places"]
    )
    assert led_by == [{"places": places}]
    assert (report.logit_error, report.output_errors) == (0.0, {})
    assert report.decision_agreement == 1 - 2 / 64
    with pytest.raises(ParityError, match=r"decisions equal on 96\.875 %"):
        report.check()


def test_no_images_prove_nothing():
    with pytest.raises(ParityError, match="no images"):
        compared(LOGITS, LOGITS, [])


def test_report_at_the_tolerance_passes():
    GOOD.check()


@pytest.mark.parametrize(
    "changes",
    [
        {"logit_error": 1.01 * LOGIT_TOLERANCE},
        {"label_agreement": LABEL_TOLERANCE - 1e-6},
        {"logit_error": float("nan")},
        {"label_agreement": float("nan")},
    ],
)
def test_report_beyond_the_tolerance_fails_with_the_figures(changes):
    with pytest.raises(ParityError, match=r"at most 1e-04.*at least 99\.99 %"):
        dataclasses.replace(GOOD, **changes).check()


def test_report_round_trips(tmp_path):
    write_record(tmp_path / PARITY_FILE, GOOD)
    assert read_record(ParityReport, tmp_path / PARITY_FILE) == GOOD
    assert "3 images of camvid val" in GOOD.sentence()


def test_command_has_defaults():
    arguments = build_parser().parse_args(["artifacts/fast_scnn-camvid-384x512"])
    assert (arguments.images, arguments.weights, arguments.json) == (8, None, False)
