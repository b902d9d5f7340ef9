"""Seeded weights are the same numbers wherever they are made, or reference logits mean nothing."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.train.seeded_weights import hash_numbers, seeded_image, seeded_tensor, seeded_uniform


def plain_hash(name: str, index: int) -> int:
    """SplitMix64 once more, in Python's own integers."""
    mask = 2**64 - 1
    mixed = (index + (zlib.crc32(name.encode()) << 32) + 0x9E3779B97F4A7C15) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return mixed ^ (mixed >> 31)


def test_hash_is_splitmix64():
    # The first outputs of SplitMix64 for the seed 0: its state grows by a constant before each. The name "" has
    # the checksum 0.
    states = np.array([0, 0x9E3779B97F4A7C15, 2 * 0x9E3779B97F4A7C15 % 2**64], np.uint64)

    assert [f"{number:016x}" for number in hash_numbers("", states)] == [
        "e220a8397b1dcdaf",
        "6e789e6aa1b965f4",
        "06c45d188009454f",
    ]


def test_hash_of_a_name_equals_plain_integers():
    indices = np.array([0, 1, 2**31, 9_437_183])

    numbers = hash_numbers("layer4.0.conv2.weight", indices)

    assert [int(number) for number in numbers] == [plain_hash("layer4.0.conv2.weight", int(i)) for i in indices]


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("conv1.weight", (2, 3, 1, 1), [-0.693275511264801, -1.342665672302246, -0.10836898535490036]),
        ("layer1.0.conv1.weight", (2, 4, 3, 3), [0.07820361852645874, -0.20757551491260529]),
        ("bn1.weight", (3,), [1.0899699926376343, 0.9276688098907471, 1.0403625965118408]),
        ("layer1.0.bn3.weight", (3,), [0.22544676065444946, 0.23296751081943512, 0.2575189173221588]),
        ("bn1.running_mean", (3,), [-0.08498360961675644, -6.310940079856664e-05, 0.020366121083498]),
        ("head.encmodule.encoding.3.scale", (2,), [-0.19423599541187286, -0.18206362426280975]),
    ],
)
def test_tensors_begin_with_the_numbers_that_the_references_had(name, shape, expected):
    # Equal, not close: a formula that differs in one bit is another formula.
    assert seeded_tensor(name, shape).ravel()[: len(expected)].tolist() == expected


def test_frame_has_the_pixels_that_the_references_had():
    frame = seeded_image(70, 70)

    assert frame[[0, 1, 69], [0, 5, 69]].tolist() == [[114, 153, 128], [68, 172, 140], [97, 92, 102]]


def test_uniform_numbers_are_multiples_of_a_power_of_two_in_their_range():
    uniform = seeded_uniform("a", (1000, 10)).astype(np.float64)

    assert uniform.min() >= -1.0
    assert uniform.max() < 1.0
    assert np.all(uniform * 2**23 == np.round(uniform * 2**23))
    # 10,000 numbers: four standard errors of the mean and of the variance 1/3 are 0.023 and 0.012.
    assert abs(uniform.mean()) < 0.023
    assert abs(uniform.var() - 1 / 3) < 0.012


def test_names_and_indices_give_unrelated_numbers():
    first, second = seeded_uniform("a.weight", (4096,)), seeded_uniform("b.weight", (4096,))

    # Four standard errors of a correlation of 4096 pairs.
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.0625
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.0625


def test_kernels_have_the_mean_zero_for_each_output_and_keep_the_size_of_signals():
    kernel = seeded_tensor("conv.weight", (8, 64, 3, 3)).astype(np.float64)

    bound = math.sqrt(6 / (64 * 9))
    # The mean is rounded down to a multiple of 2**-23.
    assert np.abs(kernel.mean(axis=(1, 2, 3))).max() <= bound * 2**-23
    # Variance 2 / fan-in (He et al.) within four standard errors of 4608 numbers.
    assert kernel.var() == pytest.approx(2 / (64 * 9), rel=0.06)


@pytest.mark.parametrize("shape", [(64, 3, 3, 3), (64, 1, 3, 3)])
def test_kernels_that_read_the_frame_or_one_channel_keep_their_mean(shape):
    kernel = seeded_tensor("conv.weight", shape)

    assert np.abs(kernel.mean(axis=(1, 2, 3))).max() > 0.01


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("bn1.weight", 0.9, 1.1),
        ("bn1.running_var", 0.9, 1.1),
        ("bn1.bias", -0.1, 0.1),
        ("bn1.running_mean", -0.1, 0.1),
        ("encoding.scale", -1.0, 0.0),
        ("layer1.0.bn3.weight", 0.225, 0.275),
        ("head.encmodule.encoding.3.scale", -0.25, 0.0),
    ],
)
def test_tensors_of_one_axis_fill_the_range_of_their_kind(name, low, high):
    tensor = seeded_tensor(name, (1000,))

    assert tensor.dtype == np.float32
    # A thousand numbers leave a gap of more than 2 % at an end once in 10**8 times.
    assert low - 1e-7 <= tensor.min() < low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) < tensor.max() <= high + 1e-7


def test_counter_of_batches_is_a_zero():
    counter = seeded_tensor("bn1.num_batches_tracked", ())

    assert counter.shape == ()
    assert counter.dtype == np.int64
    assert counter == 0


def test_tensor_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="mystery"):
        seeded_tensor("layer.mystery", (3,))


def test_frame_has_edges_at_three_scales_and_never_saturates():
    frame = seeded_image(192, 256).astype(int)

    assert frame.min() >= 16
    assert frame.max() <= 237
    assert frame.max() - frame.min() > 200

    steps = np.abs(np.diff(frame, axis=1)).mean(axis=(0, 2))  # between columns x and x + 1
    coarse, middle = steps[63::64], np.delete(steps[15::16], np.s_[3::4])
    fine = np.delete(steps, np.s_[15::16])
    assert fine.min() > 10
    assert middle.mean() > 1.2 * fine.mean()
    assert coarse.mean() > 1.2 * middle.mean()


def test_smaller_frame_is_a_corner_of_a_larger_one():
    np.testing.assert_array_equal(seeded_image(20, 30), seeded_image(40, 70)[:20, :30])


def test_another_seed_gives_another_frame():
    assert np.mean(seeded_image(20, 30) == seeded_image(20, 30, seed=1)) < 0.05


REFERENCES = sorted((Path(__file__).parent / "models" / "parity").glob("*.json"))


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
def test_references_are_small_and_cover_every_channel_and_the_corners(path):
    assert path.stat().st_size < 20_000
    reference = json.loads(path.read_text())
    for name, output in reference["outputs"].items():
        shape = output["shape"]
        positions = np.array(output["positions"])
        assert len(positions) == len(output["values"]) == len(set(map(tuple, positions))), name
        assert np.all(positions < shape), name
        assert set(positions[:, 0]) == set(range(shape[0])), name
        if len(shape) == 3:
            last_row, last_column = shape[1] - 1, shape[2] - 1
            corners = {(0, 0), (0, last_column), (last_row, 0), (last_row, last_column)}
            assert corners <= set(map(tuple, positions[:, 1:])), name
        assert output["minimum"] <= min(output["values"]) < max(output["values"]) <= output["maximum"], name
        # The published network in float32 and in float64: rounding alone is a tenth of what a comparison may use.
        assert output["float64_difference"] < 1e-5, name
