"""What each kernel of kernels.cu is started with: grid, block, arguments, and the tables of both axes.

A table says for every output pixel along an axis where it comes from: int32 of shape (4, pixels), with the rows
low node, high node, weight of the low node, weight of the high node. Tables depend on sizes alone: they are made
and uploaded once.

An address is a number of bytes in the GPU's memory (of pycuda: `int(allocation)`); a pitch is the distance of two
rows in bytes.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from edge.errors import InputError, SizeError
from edge.postprocess import MAX_CLASSES
from edge.postprocess.bilinear import MAX_SIDE, axis_cells
from edge.preprocess import COLOR_ORDERS

ADDRESS, PITCH, COUNT, SHARE = np.uintp, np.int64, np.int32, np.float32

KERNELS = {
    "segedge_prepare_interleaved": (ADDRESS, PITCH, COUNT, ADDRESS, ADDRESS, ADDRESS, COUNT, COUNT),
    "segedge_prepare_nv12": (ADDRESS, PITCH, ADDRESS, PITCH, ADDRESS, ADDRESS, ADDRESS, COUNT, COUNT),
    "segedge_widen": (ADDRESS, ADDRESS, COUNT, COUNT),
    "segedge_label_nodes": (ADDRESS, COUNT, COUNT, COUNT, ADDRESS, ADDRESS),
    "segedge_label_pixels": (
        ADDRESS,
        COUNT,
        COUNT,
        COUNT,
        ADDRESS,
        ADDRESS,
        ADDRESS,
        ADDRESS,
        PITCH,
        COUNT,
        COUNT,
    ),
    "segedge_paint": (
        ADDRESS,
        PITCH,
        ADDRESS,
        PITCH,
        ADDRESS,
        SHARE,
        SHARE,
        ADDRESS,
        PITCH,
        COUNT,
        COUNT,
    ),
}
"""Every kernel of the source, and the types of its arguments in order."""

BLOCK = (32, 8)
"""Threads of a block along x and y: a warp reads one stretch of a row."""

RUN_PIXELS = 4
"""Labels side by side that a thread of segedge_label_pixels writes: kRun of the source."""

_WEIGHT_BITS = 11  # INTER_RESIZE_COEF_BITS of OpenCV


@dataclass(frozen=True)
class Launch:
    """One start of a kernel with all of its arguments.

    Attributes:
        kernel: Name of the kernel in the compiled image.
        grid: Number of blocks along x, y and z.
        block: Threads of a block along x, y and z.
        arguments: Arguments in order, as NumPy scalars; a pycuda function takes them as they are.
    """

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arguments: tuple[np.generic, ...]

    def parameters(self) -> ctypes.Array[ctypes.c_void_p]:
        """Return `kernelParams` of the driver's cuLaunchKernel: one address for each argument.

        The array keeps the arguments alive; keep it until the call has returned.
        """
        kept_alive = [np.array(argument) for argument in self.arguments]
        addresses = (ctypes.c_void_p * len(kept_alive))(*(value.ctypes.data for value in kept_alive))
        addresses.kept_alive = kept_alive  # type: ignore[attr-defined]
        return addresses


def resize_tables(source_size: tuple[int, int], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tables that resize a frame as `cv2.resize` does by default, bit by bit.

    The resize is bilinear with half-pixel coordinates and weights of 11 bits. A frame that already has the network's
    size is not changed.

    Args:
        source_size: Height and width of the frame, in pixels.
        height: Rows of the network's input.
        width: Columns of the network's input.

    Returns:
        The tables of rows and of columns, (4, height) and (4, width) int32.

    Raises:
        SizeError: A side is not within 1 to MAX_SIDE.

    Source: OpenCV, modules/imgproc/src/resize.cpp, INTER_LINEAR of 8-bit images. Where a build of OpenCV hands the

    resize to a library of the processor's vendor, values may differ from these by one level.
    """
    rows = _resize_table(source_size[0], height)
    columns = _resize_table(source_size[1], width)
    # Beyond the outermost pixels OpenCV puts all weight on one column, but shares it between two equal rows: the
    # two products of a row lose their last bits one by one.
    outside = columns[0] == columns[1]
    columns[2:, outside] = [[1 << _WEIGHT_BITS], [0]]
    return rows, columns


def _resize_table(source: int, target: int) -> np.ndarray:
    if not (1 <= source <= MAX_SIDE and 1 <= target <= MAX_SIDE):
        raise SizeError(f"cannot resize {source} pixels to {target}, expected 1 to {MAX_SIDE} of each")
    scale = 1.0 / (target / source)
    position = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    low = np.floor(position)
    fraction = position - low
    scaled = np.stack((np.float32(1) - fraction, fraction)) * np.float32(1 << _WEIGHT_BITS)
    nodes = np.clip(np.stack((low, low + 1)), 0, source - 1)
    return np.concatenate((nodes, np.rint(scaled))).astype(np.int32)


def cell_table(nodes: int, pixels: int, coordinates: str) -> np.ndarray:
    """Return the table that upsamples logits along one axis, by the definition in edge.postprocess.bilinear.

    Args:
        nodes: Number of logits along the axis.
        pixels: Number of pixels of the label map along the axis.
        coordinates: Coordinate rule of the contract, "half_pixel" or "align_corners".

    Returns:
        (4, pixels) int32; the weights are whole numbers over a common denominator.

    Raises:
        InputError: The coordinate rule is unknown.
        SizeError: A side is not within 1 to MAX_SIDE.
    """
    axis = axis_cells(nodes, pixels, coordinates)
    cell = axis.cell_of_pixel()
    return np.stack((axis.low[cell], axis.high[cell], axis.low_weight, axis.high_weight)).astype(np.int32)


def palette_table(palette_rgb: np.ndarray, color_order: str = "bgr") -> np.ndarray:
    """Return the colours of all 256 labels; labels without a colour in the palette are black.

    Args:
        palette_rgb: Colours of the first labels, (n, 3) uint8 RGB with n at most 256.
        color_order: Channel order of the frames that will be painted, "bgr" or "rgb".

    Returns:
        (256, 3) uint8 in the channel order of the frames.

    Raises:
        InputError: The palette has another shape, or the channel order is unknown.
    """
    palette_rgb = np.asarray(palette_rgb)
    if palette_rgb.ndim != 2 or palette_rgb.shape[1] != 3 or len(palette_rgb) > MAX_CLASSES:
        raise InputError(f"palette has shape {palette_rgb.shape}, expected (at most {MAX_CLASSES}, 3)")
    table = np.zeros((MAX_CLASSES, 3), np.uint8)
    table[: len(palette_rgb)] = palette_rgb[:, ::-1] if _is_bgr(color_order) else palette_rgb
    return table


def prepare_interleaved(
    frame: int, frame_pitch: int, rows: int, columns: int, out: int, height: int, width: int, color_order: str = "bgr"
) -> Launch:
    """Return the launch that resizes a frame of three bytes a pixel to the network's input.

    Args:
        frame: Address of the frame's first pixel.
        frame_pitch: Bytes from one row of the frame to the next.
        rows: Address of the table of rows, from `resize_tables`.
        columns: Address of the table of columns, from `resize_tables`.
        out: Address of the result, (height, width, 3) uint8 RGB without gaps.
        height: Rows of the network's input.
        width: Columns of the network's input.
        color_order: Channel order of the frame, "bgr" or "rgb".

    Raises:
        InputError: The channel order is unknown.
        SizeError: A side is not within 1 to MAX_SIDE.
    """
    arguments = (frame, frame_pitch, int(_is_bgr(color_order)), rows, columns, out, height, width)
    return _launch("segedge_prepare_interleaved", height, width, arguments)


def prepare_nv12(
    luma: int,
    luma_pitch: int,
    chroma: int,
    chroma_pitch: int,
    source_size: tuple[int, int],
    rows: int,
    columns: int,
    out: int,
    height: int,
    width: int,
) -> Launch:
    """Return the launch that resizes an NV12 frame to the network's input.

    The result is that of OpenCV's conversion to RGB followed by the resize of edge.preprocess.

    Args:
        luma: Address of the first byte of Y, (h, w) uint8.
        luma_pitch: Bytes from one row of Y to the next.
        chroma: Address of the first pair of U and V, (h / 2, w / 2, 2) uint8.
        chroma_pitch: Bytes from one row of U and V pairs to the next.
        source_size: Height and width of the frame in pixels, both even.
        rows: Address of the table of rows, from `resize_tables`.
        columns: Address of the table of columns, from `resize_tables`.
        out: Address of the result, (height, width, 3) uint8 RGB without gaps.
        height: Rows of the network's input.
        width: Columns of the network's input.

    Raises:
        SizeError: The frame has an odd side, or a side is not within 1 to MAX_SIDE.
    """
    if source_size[0] % 2 or source_size[1] % 2:
        raise SizeError(f"NV12 frame is {source_size[0]}x{source_size[1]}, expected even sides: two share a colour")
    arguments = (luma, luma_pitch, chroma, chroma_pitch, rows, columns, out, height, width)
    return _launch("segedge_prepare_nv12", height, width, arguments)


def widen(pixels: int, out: int, height: int, width: int) -> Launch:
    """Return the launch that converts uint8 to float32 of the same values, for an engine with float input.

    Such an engine is made by export/graph/float_input.py.

    Args:
        pixels: Address of the values, (height, width) uint8 without gaps.
        out: Address of the result, (height, width) float32.
        height: Number of rows.
        width: Number of columns; each channel of a pixel counts as one.

    Raises:
        SizeError: A side is not within 1 to MAX_SIDE.
    """
    return _launch("segedge_widen", height, width, (pixels, out, height, width))


def label_nodes(logits: int, logits_shape: tuple[int, int, int], winners: int, not_finite: int) -> Launch:
    """Return the launch that finds the best class of every logit node, the first of two steps to labels.

    Args:
        logits: Address of the logits, (classes, h, w) float32 without gaps.
        logits_shape: Number of classes, h and w.
        winners: Address of the result, (h, w) uint8.
        not_finite: Address of an int32 that is 0 before. It is 1 afterwards if a logit is NaN or infinite: the labels
            then mean nothing, as edge.postprocess says in an InputError.

    Raises:
        InputError: There are more than 256 classes.
        SizeError: A side is not within 1 to MAX_SIDE.
    """
    classes, height, width = _checked(logits_shape)
    arguments = (logits, classes, height, width, winners, not_finite)
    return _launch("segedge_label_nodes", height, width, arguments)


def label_pixels(
    logits: int,
    logits_shape: tuple[int, int, int],
    winners: int,
    rows: int,
    columns: int,
    labels: int,
    labels_pitch: int,
    height: int,
    width: int,
) -> Launch:
    """Return the launch that labels every pixel, the second step, after `label_nodes` on the same stream.

    Args:
        logits: Address of the logits, (classes, h, w) float32 without gaps.
        logits_shape: Number of classes, h and w.
        winners: Address of the best class of each node, (h, w) uint8, from `label_nodes`.
        rows: Address of the table of rows, from `cell_table`.
        columns: Address of the table of columns, from `cell_table`.
        labels: Address of the result, (height, width) uint8; fastest where address and pitch are multiples of 4.
        labels_pitch: Bytes from one row of the labels to the next.
        height: Rows of the label map.
        width: Columns of the label map.

    Raises:
        InputError: There are more than 256 classes.
        SizeError: A side is not within 1 to MAX_SIDE.
    """
    arguments = (logits, *_checked(logits_shape), winners, rows, columns, labels, labels_pitch, height, width)
    return _launch("segedge_label_pixels", height, width, arguments, RUN_PIXELS)


def paint(
    frame: int,
    frame_pitch: int,
    labels: int,
    labels_pitch: int,
    palette: int,
    alpha: float,
    picture: int,
    picture_pitch: int,
    height: int,
    width: int,
) -> Launch:
    """Return the launch that blends a frame with the colours of its labels, as edge.stream.overlay does.

    The result equals that of `cv2.addWeighted` where that has a fused multiply-add, as on Jetsons and on x86 with AVX2;
    elsewhere it differs by at most one level.

    Args:
        frame: Address of the frame, (height, width, 3) uint8.
        frame_pitch: Bytes from one row of the frame to the next.
        labels: Address of the labels, (height, width) uint8.
        labels_pitch: Bytes from one row of the labels to the next.
        palette: Address of the colours, (256, 3) uint8 from `palette_table`, in the frame's channel order.
        alpha: Share of the label's colour, 0 (frame alone) to 1 (labels alone).
        picture: Address of the result, (height, width, 3) uint8; it may be the frame itself.
        picture_pitch: Bytes from one row of the result to the next.
        height: Rows of frame, labels and result.
        width: Columns of frame, labels and result.

    Raises:
        InputError: The share `alpha` is out of range.
        SizeError: A side is not within 1 to MAX_SIDE.
    """
    if not 0.0 <= alpha <= 1.0:
        raise InputError(f"alpha is {alpha}, expected 0 (frame alone) to 1 (colours alone)")
    shares = (1.0 - alpha, alpha)
    arguments = (frame, frame_pitch, labels, labels_pitch, palette, *shares, picture, picture_pitch, height, width)
    return _launch("segedge_paint", height, width, arguments)


def _launch(kernel: str, height: int, width: int, arguments: tuple, run: int = 1) -> Launch:
    """Return a launch that covers an image with threads, each of which takes `run` pixels of a row."""
    _check_size(height, width)
    across, down = BLOCK[0] * run, BLOCK[1]
    return Launch(
        kernel=kernel,
        grid=((width + across - 1) // across, (height + down - 1) // down, 1),
        block=(*BLOCK, 1),
        arguments=tuple(kind(argument) for kind, argument in zip(KERNELS[kernel], arguments)),
    )


def _checked(logits_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    classes, height, width = logits_shape
    if not 1 <= classes <= MAX_CLASSES:
        raise InputError(f"logits have {classes} classes, expected 1 to {MAX_CLASSES}: a label is one byte")
    _check_size(height, width)
    return classes, height, width


def _check_size(height: int, width: int) -> None:
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise SizeError(f"image is {height}x{width}, expected 1 to {MAX_SIDE} along each side")


def _is_bgr(color_order: str) -> bool:
    if color_order not in COLOR_ORDERS:
        raise InputError(f"colour order is '{color_order}', expected one of: {', '.join(COLOR_ORDERS)}")
    return color_order == "bgr"
