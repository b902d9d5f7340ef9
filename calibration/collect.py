"""Collecting ranges: images stream through the float graph, and only counts are kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from calibration.histogram import RangeHistogram
from calibration.methods import METHODS
from calibration.ranges import PREPROCESSING, Ranges, TensorRange
from edge.console import Progress
from edge.contract import GRAPH_FILE, read_contract
from edge.errors import GraphError, InputError
from edge.frames import FrameSet
from edge.preprocess import FramePreparer
from edge.runtime.onnxruntime import open_session

THREADS = 2
"""cv2.calcHist and NumPy let go of the interpreter, so tensors are counted side by side."""


def activation_tensors(graph) -> list[str]:
    """Return the float activations of an ONNX graph whose range may be asked for.

    Left out are the raw output of a Conv or Add that only a Relu reads, which no backend stores,
    and everything before the first layout transpose, which is not part of the network.

    Args:
        graph: onnx.GraphProto.
    """
    readers: dict[str, list] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    pointwise_input = {"Cast", "Mul", "Add", "Sub", "Div"}
    before_network = {value.name for value in graph.input}
    tensors = []
    for node in graph.node:
        data = [name for name in node.input if name in before_network]
        if data and node.op_type in pointwise_input:
            before_network.update(node.output)
            continue
        output = node.output[0]
        followers = readers.get(output, [])
        if [follower.op_type for follower in followers] == ["Relu"]:
            continue
        tensors.append(output)
    return tensors


def collect_ranges(artifact: Path, frames: FrameSet, manifest_sha256: str, show_progress: bool = True) -> Ranges:
    """Run the float graph of an artefact over images and count every activation.

    Memory holds one image's activations and one histogram a tensor, however many images there are.

    Args:
        artifact: artefact folder with model.onnx and contract.json.
        frames: the calibration images.
        manifest_sha256: of their manifest.
        show_progress: print progress with the time left on stderr.

    Raises:
        GraphError: the graph is damaged.
        InputError: no images, or activations that are NaN or infinite.
    """
    if not len(frames):
        raise InputError(f"no images to calibrate on in {frames.description}")
    contract = read_contract(artifact)
    data, tensors = _expose_activations(artifact / GRAPH_FILE)
    session = open_session(data)
    histograms = {name: RangeHistogram() for name in tensors}
    prepare = FramePreparer(contract.height, contract.width, "rgb")
    with Progress("collect ranges", len(frames), "image") as progress, ThreadPoolExecutor(THREADS) as pool:
        for index in range(len(frames)):
            values = session.run(tensors, {contract.input_name: prepare(frames.read(index))})
            jobs = [
                pool.submit(histograms[name].update, np.asarray(value, np.float32), name)
                for name, value in zip(tensors, values)
            ]
            for job in jobs:
                job.result()
            del values, jobs
            if show_progress:
                progress.step()
    return Ranges(
        graph_sha256=contract.graph_sha256,
        manifest_sha256=manifest_sha256,
        image_count=len(frames),
        images_from=frames.description,
        preprocessing=PREPROCESSING,
        tensors={name: _tensor_range(histogram) for name, histogram in histograms.items()},
    )


def _tensor_range(histogram: RangeHistogram) -> TensorRange:
    thresholds = {name: float(method(histogram)) for name, method in METHODS.items()}
    return TensorRange(histogram.minimum, histogram.maximum, thresholds)


def _expose_activations(path: Path) -> tuple[bytes, list[str]]:
    """Return the graph with every counted activation as an output, and their names."""
    import onnx

    from calibration.quantize import load_graph

    model = load_graph(path)
    tensors = activation_tensors(model.graph)
    if not tensors:
        raise GraphError(f"{path} has no activations to calibrate")
    present = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in present)
    return model.SerializeToString(), tensors
