"""A device to build on: an artefact from elsewhere, a dataset perhaps, no TensorFlow and no TensorRT."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path

import numpy as np

import edge.runtime.cuda_driver as cuda_driver
import edge.runtime.tensorrt as runtime_module
import edge.synthetic
import export.backends.trt_builder as tensorrt_builder
import export.pipeline.float_graph as float_graph
import export.pipeline.plan as plan
from calibration.ranges.record import RANGES_FILE, Ranges
from calibration.search.accuracy import graph_runner
from edge.artifacts import sha256_file as sha256_file
from edge.contract import CONTRACT_FILE, GRAPH_FILE
from edge.datasets import DATA_ROOT_VARIABLE
from edge.imaging import write_image
from edge.machine import this_machine
from edge.provenance import WeightsProvenance
from edge.records import read_record, write_record
from edge.runtime.base import Runner
from edge.runtime.cuda_driver import Gpu
from edge.segmenter import Segmenter
from export.pipeline.build import build
from export.pipeline.request import BuildRequest, Int8Request
from tests.calibration import hostile_graphs as hostile
from tests.edge.runtime import tensorrt_stand_in as stand_in

draw_scene = functools.lru_cache(maxsize=None)(edge.synthetic.draw_scene)
"""Drawing takes most of the time of a build without a dataset."""

SIZE = hostile.SIZE
TENSORRT_PROBLEM = tensorrt_builder.tensorrt_problem
RANDOM = WeightsProvenance("random", "seed 0", "0" * 64)
TRAINED = WeightsProvenance("trained", "fast_scnn-camvid-1", "1" * 64, 0.5, (SIZE, SIZE))
ARTIFACT = Path("artifacts") / f"fast_scnn-camvid-{SIZE}x{SIZE}"
ENGINE = ARTIFACT / "engines" / "onnxruntime-int8"

REQUEST = BuildRequest(
    model="fast_scnn",
    height=SIZE,
    width=SIZE,
    precision="int8",
    backend="auto",
    dataset=None,
    data_dir=None,
    weights_path=None,
    accuracy_images=4,
    int8=Int8Request(calibration_images=3, calibrator="min-max"),
)
COMMAND = [
    "--model",
    "fast_scnn",
    "--int8",
    "--size",
    f"{SIZE}x{SIZE}",
    "--calibration-images",
    "3",
    "--calibrator",
    "min-max",
    "--accuracy-images",
    "4",
]
_OF_INT8 = {field.name for field in dataclasses.fields(Int8Request)}


def prepare(folder, monkeypatch):
    """Make a folder the working directory of a device; nothing is in it yet."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv(DATA_ROOT_VARIABLE, str(folder / "data"))
    set_tensorflow(monkeypatch, False)
    monkeypatch.setattr(tensorrt_builder, "tensorrt_problem", lambda: "no GPU")
    monkeypatch.setattr(edge.synthetic, "draw_scene", draw_scene)
    return folder


def set_tensorflow(monkeypatch, is_installed):
    """Let a build believe that TensorFlow is installed, or that it is not."""
    for module in (plan, float_graph):
        monkeypatch.setattr(module, "has_tensorflow", lambda: is_installed)


def install_tensorrt(monkeypatch, version):
    """Put a stand-in of TensorRT of some version on the device, with two DLA cores; return its ledger."""
    orin = Gpu("Orin", "8.7")
    for module in (cuda_driver, tensorrt_builder):
        monkeypatch.setattr(module, "first_gpu", lambda: orin)
    monkeypatch.setattr(tensorrt_builder, "tensorrt_problem", TENSORRT_PROBLEM)
    # The stand-in's kernels compute nothing: labels come from the host.
    monkeypatch.setattr(runtime_module.TensorRtRunner, "open_lane", lambda runner, request: None)
    forget_tensorrt()
    gpu = stand_in.install(monkeypatch, version)
    gpu.dla_cores = 2
    return gpu


def forget_tensorrt():
    """Forget what a process asks once."""
    runtime_module.message_logger.cache_clear()
    this_machine.cache_clear()


def write_artifact(model, weights=TRAINED, folder=ARTIFACT):
    """Write a graph of hostile_graphs and its contract, as an export elsewhere would have left them."""
    folder.mkdir(parents=True, exist_ok=True)
    data = model.SerializeToString(deterministic=True)
    (folder / GRAPH_FILE).write_bytes(data)
    contract = hostile.contract_of(model, graph_sha256=hashlib.sha256(data).hexdigest())
    write_record(folder / CONTRACT_FILE, dataclasses.replace(contract, model="fast_scnn", weights=weights))
    return folder


def write_camvid(model, root=Path("data") / "camvid", train=5, val=4):
    """Write a dataset whose label maps are what a network says, so that its float graph has an mIoU of 100 %."""
    frames = hostile.street_frames(train + val)
    with graph_runner(model.SerializeToString(), hostile.contract_of(model)) as runner:
        segmenter = Segmenter(runner, "rgb")
        for index, frame in enumerate(frames):
            name = f"train_{index}" if index < train else f"val_{index - train}"
            split = name.split("_")[0]
            write_image(root / split / f"{name}.png", frame)
            labels = segmenter(frame, *frame.shape[:2]).labels.astype(np.uint8)
            write_image(root / f"{split}annot" / f"{name}.png", labels)
    return root


def write_pictures(folder, count, seed=20):
    """Write pictures without labels."""
    for index, frame in enumerate(hostile.street_frames(count, seed)):
        write_image(folder / f"picture_{index}.png", frame)
    return folder


def replaced(**changes):
    """Return REQUEST with changes of it or of its part on INT8."""
    of_int8 = {name: value for name, value in changes.items() if name in _OF_INT8}
    rest = {name: value for name, value in changes.items() if name not in _OF_INT8}
    return dataclasses.replace(REQUEST, int8=dataclasses.replace(REQUEST.int8, **of_int8), **rest)


def built(**changes):
    """Build by REQUEST with changes; return the result and the lines that were said."""
    lines = []
    return build(replaced(**changes), lines.append), lines


def read_ranges(folder=ARTIFACT):
    """Return the ranges of an artefact."""
    return read_record(Ranges, folder / RANGES_FILE)


def write_manifest(path, split, names, root=Path("data") / "camvid"):
    """Write a calibration manifest of some images by hand."""
    hashes = [hashlib.sha256((root / split / f"{name}.png").read_bytes()).hexdigest() for name in names]
    path.write_text(
        json.dumps(
            {
                "schema": 2,
                "images_from": f"camvid {split}",
                "split": split,
                "method": "by hand",
                "names": list(names),
                "sha256": hashes,
                "classes": {},
                "groups": {},
                "lights": {},
                "split_files_sha256": None,
            }
        )
    )
    return path


class WrappedRunner(Runner):
    """A runner of which a test changes the results: `_infer_impl` is its own."""

    backend = "onnxruntime"

    def __init__(self, inner):
        super().__init__(inner.contract)
        self._inner = inner

    def describe(self):
        return {}

    def _activate_impl(self):
        self._inner.activate()

    def _deactivate_impl(self):
        self._inner.deactivate()
