"""Collection of ranges: images stream through the float graph, and only histograms are kept.

An interrupted collection writes a checkpoint (calibration.ranges.checkpoint). The next collection with the
same graph, images, preprocessing and code resumes behind the last whole image, and its result is the
same bit for bit. The caller that writes the ranges to disk then calls `discard_state`.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Container, Iterable

import numpy as np

from calibration.onnx_graph.channel_flow import ChannelFlow
from calibration.onnx_graph.file import import_onnx, load_graph
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import has_bodies
from calibration.ranges.checkpoint import STATE_FILE, CollectionInputs, read_state, write_state
from calibration.ranges.histogram import TensorCounter
from calibration.ranges.record import PREPROCESSING, Ranges, TensorRange, ranges_code
from calibration.ranges.thresholds import CALIBRATION_METHODS, mean_square, method_errors
from edge.console import Progress, print_status
from edge.contract import GRAPH_FILE, read_contract
from edge.errors import BackendError, GraphError, InputError
from edge.frames import FrameSet
from edge.machine import this_machine
from edge.preprocess import FramePreparer
from edge.runtime.onnxruntime import open_session

CHANNEL_READERS = ("Conv", "ConvTranspose", "Gemm")
"""Operators with a weight per input channel: of what they read, the means of channels are counted."""

SAVE_EVERY_S = 30.0
"""Seconds between two checkpoints: a crash loses at most this much counting."""

_MOST_THREADS = 8  # memory is the bottleneck by then

_PREPROCESSING_OPS = (
    "Cast",
    "Mul",
    "Add",
    "Sub",
    "Div",
    "Transpose",
    "Identity",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Gather",
    "Slice",
    "Split",
    "Concat",
)
"""Operators that scale a frame, order its channels or change its layout, in front of the network proper."""

_RANDOM_OPS = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")


def activation_tensors(model: Any) -> list[str]:
    """Return the float activations of an ONNX graph whose range may be asked for.

    Left out are the raw output of a node that only a Relu reads, which no backend stores; what
    prepares the frame (scaling, channel order, layout), up to the tensor that the network reads; and
    what does not depend on the frame, such as shapes. Every input of a convolution is named.

    Args:
        model: onnx.ModelProto; left as it is.

    Returns:
        Names, in the graph's order.
    """
    graph = OnnxGraph(model, lenient=True)
    same_for_all = _frame_independent(graph)
    before_network = set(graph.inputs) - same_for_all
    candidates = [name for name in graph.inputs if name in before_network]
    preparing = set()
    for node in graph.nodes:
        data = {name for name in node.input if name and name not in same_for_all}
        if data and data <= before_network and node.op_type in _PREPROCESSING_OPS:
            before_network.update(node.output)
            preparing.add(id(node))
        candidates.extend(name for name in node.output if name and name not in same_for_all)
    tensors = []
    for name in candidates:
        # What is not known here, ONNX Runtime will say.
        if not graph.type_of(name).startswith(("FLOAT", "UNDEFINED")):
            continue
        if name in before_network and all(id(reader) in preparing for reader, _ in graph.readers.get(name, ())):
            continue
        if graph.only_reader(name, "Relu") is None:
            tensors.append(name)
    return tensors


def _frame_independent(graph: OnnxGraph) -> set[str]:
    """Return the tensors of a graph that are the same for every frame: constants, and what follows from them."""
    names = {*graph.constants, *(tensor.values.name for tensor in graph.proto.sparse_initializer)}
    for node in graph.nodes:
        inputs = [name for name in node.input if name]
        has_body = has_bodies(node)  # which may read anything
        # Sizes are static, so what is computed from them is constant too.
        follows = bool(inputs) and names.issuperset(inputs) and node.op_type not in _RANDOM_OPS and not has_body
        if follows or node.op_type in ("Constant", "Shape", "Size"):
            names.update(node.output)
    return names


def channel_tensors(model: Any) -> dict[str, bool]:
    """Return the tensors of an ONNX graph that are counted by channel too.

    These are the tensors that a weighted node reads, whose means correct biases, and those whose channels
    calibration.qdq.channel_equalization could scale, whose largest magnitudes say by how much.

    Args:
        model: onnx.ModelProto; left as it is.

    Returns:
        Name of each tensor -> True if the means of its channels are counted, and not their largest magnitudes alone.
    """
    graph = OnnxGraph(model, lenient=True)
    flow = ChannelFlow(graph)
    scaled = {name: False for name in graph.producers if flow.planes_of(name) is not None}
    return {**scaled, **{node.input[0]: True for node in graph.nodes if node.op_type in CHANNEL_READERS}}


def collect_ranges(
    artifact: Path,
    frames: FrameSet,
    manifest_sha256: str,
    show_progress: bool = True,
    resume: bool = True,
    only: Container[str] | None = None,
) -> Ranges:
    """Run the float graph of an artefact over images and count every activation.

    Memory holds one image's activations and one histogram a tensor, however many images there are.

    Args:
        artifact: artefact folder with model.onnx and contract.json.
        frames: the calibration images.
        manifest_sha256: SHA-256 of the manifest of the images.
        show_progress: True to print progress with the time left on stderr.
        resume: True to resume from a checkpoint in the folder, and to write checkpoints there.
        only: names of the activations to count; None for all.

    Raises:
        GraphError: the graph is damaged.
        InputError: there are no images, or activations are NaN or infinite.
        BackendError: ONNX Runtime fails at the graph.
        StorageError: the checkpoint cannot be written.
    """
    if not len(frames):
        raise InputError(f"no images to calibrate on in {frames.description}")
    contract = read_contract(artifact)
    session, tensors, by_channel = _open_exposed(artifact / GRAPH_FILE, only)
    inputs = CollectionInputs(
        contract.graph_sha256, manifest_sha256, len(frames), PREPROCESSING, ranges_code(), tuple(tensors)
    )
    collection = _Collection(artifact if resume else None, inputs, by_channel, show_progress)
    images = len(frames)
    first = collection.images_done
    if first and show_progress:
        print_status(f"collect ranges: goes on at image {first + 1} of {images}, from {STATE_FILE}")
    elif resume and show_progress and (artifact / STATE_FILE).exists():
        print_status(f"collect ranges: starts anew, {STATE_FILE} is damaged or of other inputs or code")
    prepare = FramePreparer(contract.height, contract.width, "rgb")
    with collection, Progress("collect ranges", images - first, "image") as progress:
        for index in range(first, images):
            feeds = {contract.input_name: prepare(frames.read(index))}
            collection.count(_activations(session, tensors, feeds, frames.names[index]), frames.names[index])
            if show_progress:
                progress.step()
        ranges = collection.tensor_ranges()
    return Ranges(
        graph_sha256=contract.graph_sha256,
        manifest_sha256=manifest_sha256,
        image_count=images,
        images_from=frames.description,
        preprocessing=PREPROCESSING,
        code_sha256=inputs.code_sha256,
        tensors=ranges,
    )


class _Collection:
    """Counters of all tensors; a context manager that writes a checkpoint when its block ends with an error.

    Args:
        folder: folder of the checkpoint; None to write none.
        inputs: inputs of the collection.
        by_channel: names of the tensors that are also counted by channel -> True if with means.
        prints: True to print how many images a checkpoint holds.

    Attributes:
        images_done: number of images that all counters have seen.
    """

    def __init__(
        self, folder: Path | None, inputs: CollectionInputs, by_channel: dict[str, bool], prints: bool
    ) -> None:
        self._folder, self._inputs, self._prints = folder, inputs, prints
        self._counters = [TensorCounter(name in by_channel, by_channel.get(name, False)) for name in inputs.tensors]
        self.images_done = read_state(folder, inputs, self._counters) if folder is not None else 0
        self._kept = self.images_done
        self._kept_ns = time.perf_counter_ns()
        self._is_whole = True
        # An image is counted in a thread of its own, which Ctrl-C does not reach: it is counted whole or not at all.
        self._image_thread = ThreadPoolExecutor(1)
        # cv2.calcHist and NumPy let go of the interpreter, so tensors are counted side by side.
        self._tensor_threads = ThreadPoolExecutor(min(this_machine().cpu_count, _MOST_THREADS))

    def __enter__(self) -> _Collection:
        return self

    def __exit__(self, kind: type | None, error: object, trace: object) -> None:
        self._image_thread.shutdown(wait=True)
        self._tensor_threads.shutdown(wait=True)
        if kind is not None:
            self._keep()
            if self._kept and self._prints:
                print_status(f"collect ranges: {self._kept} images are kept, the next call goes on there")

    def count(self, values: list[np.ndarray], image: str) -> None:
        """Count one image's activations, in the order of the tensors."""
        self._image_thread.submit(self._count_image, values, image).result()
        if time.perf_counter_ns() - self._kept_ns > SAVE_EVERY_S * 1e9:
            self._keep()

    def _count_image(self, values: list[np.ndarray], image: str) -> None:
        self._is_whole = False
        # The largest first, so that no thread is left with one at the end.
        jobs = {
            index: self._tensor_threads.submit(self._count_tensor, index, values[index], image)
            for index in sorted(range(len(values)), key=lambda index: -values[index].size)
        }
        for index in range(len(values)):  # of several errors, that of the first tensor is the cause of the others
            jobs[index].result()
        self.images_done += 1
        self._is_whole = True

    def _count_tensor(self, index: int, value: np.ndarray, image: str) -> None:
        self._counters[index].update(np.asarray(value, np.float32), self._inputs.tensors[index], image)

    def _keep(self) -> None:
        self._kept_ns = time.perf_counter_ns()
        if self._folder is not None and self._is_whole and self.images_done > self._kept:
            write_state(self._folder, self._inputs, self._counters, self.images_done)
            self._kept = self.images_done

    def tensor_ranges(self) -> dict[str, TensorRange]:
        """Return the range of each tensor, by name, from the counts."""
        return dict(zip(self._inputs.tensors, self._tensor_threads.map(tensor_range, self._counters)))


def tensor_range(counter: TensorCounter) -> TensorRange:
    """Return the range of one tensor, with a threshold by every calibration method and the error that it costs."""
    histogram, channels = counter.histogram, counter.channels
    has_means = channels is not None and channels.with_means
    thresholds = {name: float(method(histogram)) for name, method in CALIBRATION_METHODS.items()}
    return TensorRange(
        histogram.minimum,
        histogram.maximum,
        thresholds,
        _six_digits(channels.maxima) if channels is not None else None,
        _six_digits(channels.means()) if has_means else None,
        *_six_digits([mean_square(histogram), histogram.zero_share]),
        {name: _six_digits(errors) for name, errors in method_errors(histogram, thresholds).items()},
        _six_digits(channels.mean_squares()) if has_means else None,
    )


def _six_digits(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)


def _activations(session: Any, tensors: list[str], feeds: dict[str, np.ndarray], image: str) -> list[np.ndarray]:
    try:
        return session.run(tensors, feeds)
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        raise BackendError(f"ONNX Runtime failed on the float graph at image {image}: {error}") from None


def _open_exposed(path: Path, only: Container[str] | None) -> tuple[Any, list[str], dict[str, bool]]:
    """Open a session whose outputs are the activations to count.

    Returns:
        The session, the names of these activations, and those that are also counted by channel (channel_tensors).
    """
    model = load_graph(path)
    candidates, by_channel = activation_tensors(model), channel_tensors(model)
    candidates = [name for name in candidates if only is None or name in only]
    present = {value.name for value in model.graph.output}
    model.graph.output.extend(import_onnx().ValueInfoProto(name=name) for name in candidates if name not in present)
    session = open_session(model.SerializeToString(), lean=True)
    types = {value.name: value.type for value in session.get_outputs()}
    tensors = [name for name in candidates if types.get(name) in ("tensor(float)", "tensor(float16)")]
    if not tensors:
        raise GraphError(f"{path} has no activations to calibrate")
    return session, tensors, by_channel
