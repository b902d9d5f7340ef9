from __future__ import annotations

import ctypes
import re

import numpy as np
import pytest

from edge.errors import InputError, SizeError
from edge.postprocess.bilinear import MAX_SIDE
from edge.runtime.cuda import (
    KERNELS,
    build,
    cell_table,
    label_nodes,
    label_pixels,
    paint,
    palette_table,
    prepare_interleaved,
    prepare_nv12,
    resize_tables,
    widen,
)
from edge.runtime.cuda.launches import RUN_PIXELS

LAUNCHES = [
    prepare_interleaved(1 << 40, 300, 8, 16, 24, 50, 60),
    prepare_nv12(1 << 40, 300, 8, 300, (40, 80), 16, 24, 32, 50, 60),
    widen(1 << 40, 8, 50, 180),
    label_nodes(1 << 40, (19, 50, 60), 8, 16),
    label_pixels(1 << 40, (19, 50, 60), 8, 16, 24, 32, 480, 400, 480),
    paint(1 << 40, 300, 8, 100, 16, 0.5, 24, 300, 50, 60),
]
MOST_BLOCKS = 65535
"""Blocks along y: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"."""


def test_table_of_kernels_names_what_the_source_defines():
    defined = re.findall(r"^SEGEDGE_KERNEL void (\w+)", build.SOURCE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(defined) == sorted(KERNELS) == sorted(launch.kernel for launch in LAUNCHES)


@pytest.mark.parametrize("launch", LAUNCHES, ids=lambda launch: launch.kernel)
def test_argument_types_are_those_of_the_source(host_gpu, launch):
    letters = {np.uintp: "P", np.int64: "q", np.int32: "i", np.float32: "f"}
    assert host_gpu.signature(launch.kernel) == "".join(letters[kind] for kind in KERNELS[launch.kernel])


def test_run_of_labels_is_that_of_the_source():
    assert f"kRun = {RUN_PIXELS};" in build.SOURCE.read_text(encoding="utf-8")


@pytest.mark.parametrize("launch", LAUNCHES, ids=lambda launch: launch.kernel)
class TestLaunch:
    def test_arguments_have_the_sizes_that_the_driver_reads(self, launch):
        assert [type(argument) for argument in launch.arguments] == [
            np.dtype(kind).type for kind in KERNELS[launch.kernel]
        ]

    def test_parameters_point_at_the_arguments(self, launch):
        parameters = launch.parameters()
        assert len(parameters) == len(launch.arguments)
        for place, argument in zip(parameters, launch.arguments):
            assert ctypes.string_at(place, argument.nbytes) == argument.tobytes()

    def test_blocks_fit_every_gpu(self, launch):
        assert np.prod(launch.block) <= 1024
        assert np.prod(launch.block) % 32 == 0


def test_largest_image_fits_the_grid():
    for launch in (
        label_pixels(0, (19, 8, 8), 0, 0, 0, 0, MAX_SIDE, MAX_SIDE, MAX_SIDE),
        prepare_interleaved(0, MAX_SIDE * 3, 0, 0, 0, MAX_SIDE, MAX_SIDE),
    ):
        assert max(launch.grid[1:]) <= MOST_BLOCKS


def test_no_block_lies_outside_the_image():
    for width, height, blocks in ((128, 8, (1, 1, 1)), (129, 8, (2, 1, 1)), (127, 9, (1, 2, 1)), (256, 16, (2, 2, 1))):
        assert label_pixels(0, (19, 8, 8), 0, 0, 0, 0, width, height, width).grid == blocks
    assert label_nodes(0, (19, 16, 32), 0, 0).grid == (1, 2, 1)


class TestTables:
    @pytest.mark.parametrize("sizes", [(7, 1), (1, 7), (5, 5), (480, 512), (1080, 1024), (65536, 3), (3, 65536)])
    def test_resize_weights_and_nodes_are_in_range(self, sizes):
        for table in resize_tables((sizes[0], sizes[0]), sizes[1], sizes[1]):
            assert table.shape == (4, sizes[1]) and table.dtype == np.int32 and table.flags.c_contiguous
            assert table[:2].min() >= 0 and table[:2].max() < sizes[0]
            assert table[2:].min() >= 0
            assert (table[2] + table[3] == 2048).all()

    @pytest.mark.parametrize("sizes", [(7, 20), (1, 6), (4, 4), (9, 10)])
    def test_beyond_the_outermost_columns_all_weight_is_on_one(self, sizes):
        columns = resize_tables((9, sizes[0]), 9, sizes[1])[1]
        outside = columns[0] == columns[1]
        assert outside.any()
        assert (columns[2:, outside] == [[2048], [0]]).all()

    def test_frame_of_the_network_s_size_is_taken_pixel_by_pixel(self):
        rows, columns = resize_tables((6, 9), 6, 9)
        for table, pixels in ((rows, 6), (columns, 9)):
            assert table[0].tolist() == list(range(pixels))
            assert (table[2] == 2048).all()

    @pytest.mark.parametrize("rule", ["half_pixel", "align_corners"])
    def test_largest_weights_are_exact_in_float(self, rule):
        table = cell_table(65535, 65536, rule)
        assert table.shape == (4, 65536) and table.dtype == np.int32
        total = table[2].astype(np.int64) + table[3]
        assert table[2:].min() >= 0 and total.max() < 1 << 24
        assert len(np.unique(total)) == 1

    def test_palette_has_all_labels_in_the_frame_s_order(self):
        table = palette_table(np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
        assert table.shape == (256, 3) and table.dtype == np.uint8 and table.flags.c_contiguous
        assert table[:3].tolist() == [[3, 2, 1], [6, 5, 4], [0, 0, 0]]
        assert palette_table(np.array([[1, 2, 3]], np.uint8), "rgb")[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: label_nodes(0, (257, 2, 2), 0, 0), InputError, "257 classes"),
        (lambda: label_nodes(0, (19, 0, 2), 0, 0), SizeError, "0x2"),
        (lambda: label_pixels(0, (0, 2, 2), 0, 0, 0, 0, 8, 8, 8), InputError, "0 classes"),
        (lambda: label_pixels(0, (2, 2, 2), 0, 0, 0, 0, 8, 8, MAX_SIDE + 1), SizeError, "8x65537"),
        (lambda: prepare_interleaved(0, 6, 0, 0, 0, 2, 2, "gbr"), InputError, "gbr"),
        (lambda: prepare_nv12(0, 3, 0, 3, (2, 3), 0, 0, 0, 2, 2), SizeError, "2x3"),
        (lambda: paint(0, 6, 0, 2, 0, 1.5, 0, 6, 2, 2), InputError, "1.5"),
        (lambda: resize_tables((0, 5), 4, 4), SizeError, "0 pixels"),
        (lambda: cell_table(4, 8, "corner"), InputError, "corner"),
        (lambda: palette_table(np.zeros((257, 3), np.uint8)), InputError, "257, 3"),
        (lambda: palette_table(np.zeros((3, 3), np.uint8), "xyz"), InputError, "xyz"),
    ],
)
def test_what_cannot_be_launched_is_refused(make, error, words):
    with pytest.raises(error, match=words) as caught:
        make()
    assert "expected" in str(caught.value) and "\n" not in str(caught.value)
