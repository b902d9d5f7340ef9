"""Comparison of the CUDA kernels on this GPU with edge.preprocess, edge.postprocess and OpenCV on the host."""

from __future__ import annotations

import statistics
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from benchmarks.gpu_check.record import KernelCase, KernelCheck
from edge.machine import this_machine
from edge.opencv import cv2
from edge.postprocess import COORDINATE_RULES, reference_labels, upsample_argmax
from edge.preprocess import FramePreparer, prepare_rgb
from edge.runtime.calls import call
from edge.runtime.cuda import launches, load_image
from edge.runtime.cuda.context import CudaContext
from edge.runtime.cuda.launches import Launch
from edge.runtime.resource_stack import ResourceStack

STRIDE = 8
ALPHA = 0.55
TIMED_RUNS = 20

# Frame size, network size: the same, smaller, larger, odd.
PREPARE_SIZES = (((64, 96), (64, 96)), ((270, 480), (128, 256)), ((72, 96), (129, 257)))
# Classes, logit size, label size: whole strides, a fraction, odd sizes, fewer labels than logits, one node.
LABEL_SHAPES = (
    (19, (64, 128), (512, 1024)),
    (11, (17, 33), (129, 257)),
    (7, (9, 14), (100, 131)),
    (5, (31, 45), (12, 20)),
    (256, (6, 7), (48, 61)),
    (4, (1, 1), (13, 9)),
)


class KernelBench:
    """The CUDA kernels, loaded in a context of their own; the end of a `with` block frees everything.

    Args:
        image: Code of the kernels, as edge.runtime.cuda.load_image returns it.
    """

    def __init__(self, image: bytes) -> None:
        self._image, self._resources = image, ResourceStack()

    def __enter__(self) -> KernelBench:
        self._context = CudaContext()
        self._driver = self._context.driver
        self._resources.push("context", self._context, ("Context.detach", lambda context: context.detach))
        try:
            module = call("pycuda.driver.module_from_buffer", self._driver.module_from_buffer, self._image)
            self._resources.push("kernels", module)
        except BaseException:
            self._resources.release()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._resources.release()

    def run(
        self,
        make: Any,
        inputs: Mapping[str, np.ndarray],
        outputs: Mapping[str, tuple[tuple[int, ...], Any]],
        times_ms: list[float] | None = None,
    ) -> dict[str, np.ndarray]:
        """Upload arrays, start kernels, and return the arrays that they wrote.

        Args:
            make: Function that takes name -> address on the GPU and returns the launches, in order.
            inputs: Name -> array to upload.
            outputs: Name -> shape and dtype of an array that kernels write; each byte is 0xA5 before.
            times_ms: List to which the time of each repetition is added, in ms; None to run once without timing.

        Returns:
            Name -> array of each output.
        """
        driver, memories = self._driver, {}
        hosts = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        for name, (shape, dtype) in outputs.items():
            hosts[name] = np.frombuffer(b"\xa5" * (int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype).reshape(
                shape
            )
        try:
            for name, array in hosts.items():
                memories[name] = call("pycuda.driver.mem_alloc", driver.mem_alloc, array.nbytes)
                call("pycuda.driver.memcpy_htod", driver.memcpy_htod, memories[name], array)
            started = make({name: int(memory) for name, memory in memories.items()})
            self._start(started)
            if times_ms is not None:
                times_ms += [self._timed(started) for _ in range(TIMED_RUNS)]
            results = {name: np.empty(shape, dtype) for name, (shape, dtype) in outputs.items()}
            for name, array in results.items():
                call("pycuda.driver.memcpy_dtoh", driver.memcpy_dtoh, array, memories[name])
            return results
        finally:
            for memory in memories.values():
                memory.free()

    def _start(self, started: Sequence[Launch]) -> None:
        for launch in started:
            function = call("Module.get_function", self._resources["kernels"].get_function, launch.kernel)
            call(launch.kernel, function, *launch.arguments, block=launch.block, grid=launch.grid)

    def _timed(self, started: Sequence[Launch]) -> float:
        begin, end = self._driver.Event(), self._driver.Event()
        begin.record()
        self._start(started)
        end.record()
        call("Event.synchronize", end.synchronize)
        return begin.time_till(end)


def check_kernels(height: int, width: int, classes: int = 19) -> KernelCheck:
    """Compare every kernel with its reference, and time it.

    Args:
        height: Rows of the frame, the network's input and the labels while kernels are timed.
        width: Columns of the frame, the network's input and the labels while kernels are timed.
        classes: Number of classes of the logits while kernels are timed.

    Raises:
        BackendError: there is no compiler for this GPU, or a call failed.
    """
    with KernelBench(load_image(this_machine().compute_capability or "")) as bench:
        cases = (
            *_prepare_cases(bench),
            *_nv12_cases(bench),
            *_widen_cases(bench),
            *_label_cases(bench),
            *_paint_cases(bench),
        )
        milliseconds = _times(bench, height, width, classes)
    return KernelCheck(tuple(cases), height, width, classes, milliseconds)


def _case(kernel: str, case: str, got: np.ndarray, expected: np.ndarray, allowed: int = 0) -> KernelCase:
    distance = np.abs(got.astype(np.float64) - expected)
    return KernelCase(kernel, case, got.size, int(np.count_nonzero(distance)), float(distance.max()), allowed)


def opencv_resizes_in_fixed_point() -> bool:
    """Return whether this OpenCV resizes uint8 pictures by its own code; a vendor's library may round otherwise.

    One column with known weights tells: 2048 * (1/6, 5/6) rounds to (341, 1707), and the products lose their last bits.
    """
    column = cv2.resize(np.array([[0], [251]], np.uint8), (1, 6))
    weight = np.rint(2048 * np.clip((np.arange(6) + 0.5) / 3 - 0.5, 0, 1)).astype(int)
    return column.ravel().tolist() == (((weight * (251 * 128) >> 16) + 2) >> 2).tolist()


def noise_frame(height: int, width: int, seed: int = 3) -> np.ndarray:
    """Return a frame of noise, (height, width, 3) uint8, in which neighbouring pixels differ."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def nv12_frame(height: int, width: int, seed: int = 4) -> np.ndarray:
    """Return an NV12 frame of noise, (height * 3 / 2, width) uint8, with values over the whole range 0 to 255."""
    return np.random.default_rng(seed).integers(0, 256, (height * 3 // 2, width), np.uint8)


def street_logits(classes: int, height: int, width: int, seed: int = 5) -> np.ndarray:
    """Return smooth logits, (classes, height, width) float32; most cells have one winner, as with a trained network."""
    noise = np.random.default_rng(seed).normal(0, 4, (classes, height, width)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(plane, (0, 0), 3) for plane in noise])


def _prepare(bench: KernelBench, frame: np.ndarray, size: tuple[int, int], order: str, times=None) -> np.ndarray:
    rows, columns = launches.resize_tables(frame.shape[:2], *size)

    def make(at: Mapping[str, int]) -> list[Launch]:
        pitch = 3 * frame.shape[1]
        return [launches.prepare_interleaved(at["frame"], pitch, at["rows"], at["columns"], at["out"], *size, order)]

    inputs = {"frame": frame, "rows": rows, "columns": columns}
    return bench.run(make, inputs, {"out": ((*size, 3), np.uint8)}, times)["out"]


def _prepare_cases(bench: KernelBench) -> Iterator[KernelCase]:
    allowed = 0 if opencv_resizes_in_fixed_point() else 1
    for source, size in PREPARE_SIZES:
        for order in ("bgr", "rgb"):
            frame = noise_frame(*source)
            got, expected = _prepare(bench, frame, size, order), FramePreparer(*size, order)(frame)[0]
            yield _case("segedge_prepare_interleaved", f"{order} {_sizes(source, size)}", got, expected, allowed)


def _prepare_nv12(bench: KernelBench, frame: np.ndarray, size: tuple[int, int], times=None) -> np.ndarray:
    height, width = frame.shape[0] * 2 // 3, frame.shape[1]
    rows, columns = launches.resize_tables((height, width), *size)

    def make(at: Mapping[str, int]) -> list[Launch]:
        chroma = at["frame"] + height * width
        tables = (at["rows"], at["columns"], at["out"])
        return [launches.prepare_nv12(at["frame"], width, chroma, width, (height, width), *tables, *size)]

    inputs = {"frame": frame, "rows": rows, "columns": columns}
    return bench.run(make, inputs, {"out": ((*size, 3), np.uint8)}, times)["out"]


def _nv12_cases(bench: KernelBench) -> Iterator[KernelCase]:
    allowed = 0 if opencv_resizes_in_fixed_point() else 1
    for source, size in PREPARE_SIZES:
        frame = nv12_frame(*source)
        expected = prepare_rgb(cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12), *size)[0]
        got = _prepare_nv12(bench, frame, size)
        yield _case("segedge_prepare_nv12", _sizes(source, size), got, expected, allowed)


def _widen(bench: KernelBench, plane: np.ndarray, times=None) -> np.ndarray:
    def make(at: Mapping[str, int]) -> list[Launch]:
        return [launches.widen(at["plane"], at["out"], *plane.shape)]

    return bench.run(make, {"plane": plane}, {"out": (plane.shape, np.float32)}, times)["out"]


def _widen_cases(bench: KernelBench) -> Iterator[KernelCase]:
    for height, width in ((64, 96), (37, 51)):
        plane = noise_frame(height, width).reshape(height, 3 * width)
        yield _case("segedge_widen", f"{height}x{width}", _widen(bench, plane), plane)


def _labels(
    bench: KernelBench, logits: np.ndarray, size: tuple[int, int], coordinates: str, times=None
) -> tuple[np.ndarray, int]:
    """Return the labels `size` uint8 that the kernels make, and a flag that is not 0 where a logit was not finite."""
    nodes = logits.shape[1:]
    inputs = {
        "logits": logits,
        "rows": launches.cell_table(nodes[0], size[0], coordinates),
        "columns": launches.cell_table(nodes[1], size[1], coordinates),
        "not finite": np.zeros(1, np.int32),
    }

    def make(at: Mapping[str, int]) -> list[Launch]:
        return [
            launches.label_nodes(at["logits"], logits.shape, at["winners"], at["not finite"]),
            launches.label_pixels(
                at["logits"], logits.shape, at["winners"], at["rows"], at["columns"], at["labels"], size[1], *size
            ),
            # Brings the flag to where it is downloaded: as bytes, of which the first is the flag.
            launches.widen(at["not finite"], at["flag"], 1, 4),
        ]

    outputs = {"winners": (nodes, np.uint8), "labels": (size, np.uint8), "flag": ((4,), np.float32)}
    results = bench.run(make, inputs, outputs, times)
    return results["labels"], int(results["flag"].sum())


def _label_cases(bench: KernelBench) -> Iterator[KernelCase]:
    for coordinates in COORDINATE_RULES:
        for classes, nodes, size in LABEL_SHAPES:
            noise = np.random.default_rng(classes).normal(0, 4, (classes, *nodes)).astype(np.float32)
            # As an INT8 engine gives them: many equal values, so many ties.
            kinds = {"noise": noise, "street": street_logits(classes, *nodes), "ties": np.round(noise / 2)}
            for kind, logits in kinds.items():
                labels, flag = _labels(bench, logits, size, coordinates)
                # The definition makes all upsampled logits; what is held to it elsewhere stands in for large ones.
                define = reference_labels if classes * size[0] * size[1] < 2_000_000 else upsample_argmax
                case = f"{kind}, {classes} classes, {_sizes(nodes, size)}, {coordinates}"
                yield _case("segedge_label_pixels", case, labels, define(logits, *size, coordinates))
                if kind == "noise":
                    yield _case("segedge_label_nodes", f"finite {case}", np.array([flag]), np.array([0]))
    spoilt = np.zeros((3, 4, 5), np.float32)
    spoilt[1, 2, 3] = np.nan
    flag = _labels(bench, spoilt, (8, 10), COORDINATE_RULES[0])[1]
    yield _case("segedge_label_nodes", "a logit that is NaN", np.array([flag]), np.array([1]))


def _paint(bench: KernelBench, frame: np.ndarray, labels: np.ndarray, palette: np.ndarray, times=None) -> np.ndarray:
    height, width = labels.shape

    def make(at: Mapping[str, int]) -> list[Launch]:
        pitch = 3 * width
        picture = (at["picture"], pitch, height, width)
        return [launches.paint(at["frame"], pitch, at["labels"], width, at["palette"], ALPHA, *picture)]

    inputs = {"frame": frame, "labels": labels, "palette": launches.palette_table(palette, "bgr")}
    return bench.run(make, inputs, {"picture": (frame.shape, np.uint8)}, times)["picture"]


def _paint_cases(bench: KernelBench) -> Iterator[KernelCase]:
    generator = np.random.default_rng(6)
    palette = generator.integers(0, 256, (19, 3), np.uint8)
    for height, width in ((64, 96), (37, 51)):
        frame, labels = noise_frame(height, width), generator.integers(0, 19, (height, width), np.uint8)
        expected = cv2.addWeighted(frame, 1.0 - ALPHA, palette[labels][:, :, ::-1].copy(), ALPHA, 0.0)
        # A processor without fused multiply-add rounds once more in OpenCV.
        yield _case("segedge_paint", f"{height}x{width}", _paint(bench, frame, labels, palette), expected, 1)


def _times(bench: KernelBench, height: int, width: int, classes: int) -> dict[str, float]:
    """Return the median time of each kernel in ms, and of both label kernels together under one name."""
    size, nodes = (height, width), (-(-height // STRIDE), -(-width // STRIDE))
    frame, labels = noise_frame(*size), np.zeros(size, np.uint8)
    palette = np.zeros((classes, 3), np.uint8)
    samples: dict[str, list[float]] = {}
    _prepare(bench, frame, size, "bgr", samples.setdefault("prepare, same size", []))
    _prepare(bench, noise_frame(*nodes), size, "bgr", samples.setdefault("prepare, resized", []))
    even = (height // 2 * 2, width // 2 * 2)
    _prepare_nv12(bench, nv12_frame(*even), size, samples.setdefault("prepare, NV12", []))
    _widen(bench, frame.reshape(height, 3 * width), samples.setdefault("widen", []))
    street = street_logits(classes, *nodes)
    noise = np.random.default_rng(7).normal(0, 4, street.shape).astype(np.float32)
    _labels(bench, street, size, "half_pixel", samples.setdefault("labels, street", []))
    _labels(bench, noise, size, "half_pixel", samples.setdefault("labels, noise", []))
    _paint(bench, frame, labels, palette, samples.setdefault("paint", []))
    return {name: statistics.median(values) for name, values in samples.items()}


def _sizes(source: tuple[int, int], size: tuple[int, int]) -> str:
    return f"{source[0]}x{source[1]} to {size[0]}x{size[1]}"
