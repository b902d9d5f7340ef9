"""Write a model as an ONNX graph under the contract: `python export/to_onnx.py --model fast_scnn`.

The graph takes uint8 NHWC frames and gives float logits NCHW at the model's stride; BatchNorm is
folded, shapes are static, the opset is one that TensorRT 8.5 parses. Every export is compared with
the Keras model on images (export/parity.py) before anything is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.artifacts import ARTIFACTS_ROOT, artifact_folder, sha256_file, sha256_json, write_bytes
from edge.console import CommandParser, run_command, size_argument
from edge.contract import CONTRACT_FILE, GRAPH_FILE, Contract, read_contract
from edge.datasets import LAYOUTS, class_table
from edge.errors import InputError, SegEdgeError, WeightsError
from edge.frames import FrameSet
from edge.preprocess import prepare_rgb
from edge.provenance import RANDOM, WeightsProvenance
from edge.records import read_record, record_to_json, write_record
from edge.runtime.onnxruntime import open_session
from export.defaults import PARITY_IMAGES, choose_sources, held_out_frames
from export.parity import PARITY_FILE, ParityReport, compare
from train.importing import import_tensorflow
from train.runs import BEST_WEIGHTS, RUNS_ROOT, read_run

OPSET = 17
"""The highest that TensorRT 8.5 parses (docs/operators.md of onnx-tensorrt 8.5)."""

IR_VERSION = 8
"""The ONNX file format of opset 17, for parsers of that time."""

RANDOM_SEED = 0

UNUSED_PASSES = (
    "remove_redundant_upsample",
    "const_dequantize_optimizer",
    "loop_optimizer",
    "q_dq_optimizer",
    "einsum_optimizer",
)
"""Passes of tf2onnx for loops, quantised models and einsum, of which these graphs have none."""


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported.

    Attributes:
        model: key in train.models.MODELS.
        dataset: whose classes the classifier has.
        height: input rows.
        width: input columns.
        weights_path: a run's weights; None for random ones.
    """

    model: str
    dataset: str
    height: int
    width: int
    weights_path: Path | None = None

    def provenance(self) -> tuple[WeightsProvenance, dict[str, Any]]:
        """Return where the weights come from, and the model's build options.

        Raises:
            WeightsError: the weights belong to another model or other classes, or are damaged.
        """
        class_count = class_table(self.dataset).class_count
        if self.weights_path is None:
            digest = sha256_json([self.model, class_count, RANDOM_SEED])
            return WeightsProvenance(RANDOM, f"seed {RANDOM_SEED}", digest), {}
        run, provenance = read_run(self.weights_path, self.model)
        if run.class_count != class_count:
            raise WeightsError(
                f"{self.weights_path} has {run.class_count} classes of {run.dataset}, "
                f"{self.dataset} has {class_count}. Next: --dataset {run.dataset}"
            )
        return provenance, run.options


def source_digest() -> str:
    """Return the SHA-256 of the files that decide what an export looks like."""
    checkout = Path(__file__).resolve().parents[1]
    files = sorted(
        [*checkout.glob("train/models/*.py"), *checkout.glob("train/backbones/*.py")]
        + [checkout / "export" / name for name in ("to_onnx.py", "rewrites.py")]
    )
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def current_export(folder: Path, request: ExportRequest, provenance: WeightsProvenance) -> Contract | None:
    """Return the contract of an artefact if it is what is asked for and nothing it was made from has changed."""
    try:
        contract = read_contract(folder)
        report = read_record(ParityReport, folder / PARITY_FILE)
    except InputError:
        return None
    wanted = (request.model, request.dataset, request.height, request.width)
    same = (
        (contract.model, contract.dataset, contract.height, contract.width) == wanted
        and contract.weights.sha256 == provenance.sha256
        and contract.source_sha256 == source_digest()
        and report.graph_sha256 == contract.graph_sha256
    )
    return contract if same else None


def export_model(request: ExportRequest, folder: Path, frames: FrameSet) -> Contract:
    """Export a model into an artefact folder, unless the export there is current.

    Args:
        request: what to export.
        folder: the artefact folder.
        frames: images for the parity check.

    Returns:
        The contract; model.onnx, contract.json and parity.json are in the folder.

    Raises:
        SizeError: the model cannot take the size.
        WeightsError: weights of another model, or damaged ones.
        ParityError: the graph is not the network; then nothing is written.
        MissingDependencyError: TensorFlow, onnx or tf2onnx is not installed.
    """
    provenance, options = request.provenance()
    existing = current_export(folder, request, provenance)
    if existing is not None:
        return existing
    model = _keras_model(request, options)
    graph = _convert(model, request)
    graph_sha256 = hashlib.sha256(graph).hexdigest()
    report = _compare(model, graph, request, frames)
    report.check()
    del model
    _give_memory_back()
    from train.models import model_spec

    contract = Contract(
        model=request.model,
        dataset=request.dataset,
        class_names=class_table(request.dataset).class_names,
        height=request.height,
        width=request.width,
        stride=model_spec(request.model).stride,
        coordinates="half_pixel",
        input_name="frame",
        output_name="logits",
        graph_sha256=graph_sha256,
        weights=provenance,
        source_sha256=source_digest(),
        opset=OPSET,
        versions=_versions(),
    )
    # The contract names the graph's hash and goes last: an interruption in between leaves a
    # graph that no contract describes, which the next export replaces.
    write_bytes(folder / GRAPH_FILE, graph)
    write_record(folder / PARITY_FILE, report)
    write_record(folder / CONTRACT_FILE, contract)
    return contract


def compare_artifact(folder: Path, weights_path: Path | None, data_dir: Path | None, image_count: int) -> ParityReport:
    """Compare the graph of an artefact folder with its Keras model, on as many images as wanted.

    Args:
        folder: the artefact folder.
        weights_path: weights that it was made from; None for those of the run its contract names.
        data_dir: the dataset's folder; None for the default one, or the run's.
        image_count: images of the validation split.

    Raises:
        WeightsError: the weights are not those in the graph.
    """
    contract = read_contract(folder)
    if weights_path is None and contract.weights.kind != RANDOM:
        weights_path = RUNS_ROOT / contract.weights.source / BEST_WEIGHTS
    size = (contract.height, contract.width)
    request = ExportRequest(contract.model, contract.dataset, *size, weights_path)
    provenance, options = request.provenance()
    if provenance.sha256 != contract.weights.sha256:
        raise WeightsError(f"{weights_path or 'random weights'} are not what {folder / GRAPH_FILE} was made from")
    sources = choose_sources(contract.model, contract.dataset, data_dir, weights_path, size)
    frames = held_out_frames(contract.dataset, sources.data_dir, *size, image_count)
    return _compare(_keras_model(request, options), (folder / GRAPH_FILE).read_bytes(), request, frames)


def _compare(model, graph: bytes, request: ExportRequest, frames: FrameSet) -> ParityReport:
    session = open_session(graph)
    return compare(
        keras_network(model),
        lambda tensor: session.run(None, {"frame": tensor})[0][0],
        (prepare_rgb(frames.read(index), request.height, request.width) for index in range(len(frames))),
        frames.description,
        hashlib.sha256(graph).hexdigest(),
    )


def _keras_model(request: ExportRequest, options: dict[str, Any]):
    import_tensorflow(
        "exporting a Keras model",
        "pip install -e '.[train,export]' on a workstation",
        ("tensorflow", "keras", "onnx", "tf2onnx"),
    )
    import keras

    from train.models import model_spec
    from train.models.base import inference_model

    keras.utils.set_random_seed(RANDOM_SEED)
    class_count = class_table(request.dataset).class_count
    model = model_spec(request.model).build(request.height, request.width, class_count, **options)
    if request.weights_path is not None:
        try:
            model.load_weights(request.weights_path)
        except (ValueError, OSError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise WeightsError(f"{request.weights_path} does not fit {request.model}: {reason}") from None
    return inference_model(model)


def keras_network(model):
    """Return a Keras inference model as (1, H, W, 3) uint8 -> (classes, h, w) float32."""

    def run(tensor):
        return model(tensor.astype("float32"), training=False).numpy()[0].transpose(2, 0, 1).copy()

    return run


def _versions() -> dict[str, str]:
    import keras
    import onnx
    import tensorflow
    import tf2onnx

    return {module.__name__: module.__version__ for module in (tensorflow, keras, onnx, tf2onnx)}


def _convert(model, request: ExportRequest) -> bytes:
    """Return the ONNX graph of a Keras inference model, simplified, named and checked."""
    import logging

    import onnx
    import tensorflow as tf
    import tf2onnx

    from export.rewrites import forget_conversion, name_after_layers, simplify

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    # Otherwise the converter copies the whole graph, weights included, before each of some forty
    # passes, to go on after one that fails: minutes and 12 GB for FastFCN. Here a failure is an error.
    os.environ["TF2ONNX_CATCH_ERRORS"] = "FALSE"
    signature = (tf.TensorSpec((1, request.height, request.width, 3), tf.uint8, name="frame"),)

    @tf.function(input_signature=signature)
    def network(frame):
        logits = model(tf.cast(frame, tf.float32), training=False)
        # The converter works in NCHW, so this transpose and its own cancel.
        return {"logits": tf.transpose(logits, (0, 3, 1, 2))}

    with _useful_passes_alone():
        proto, _ = tf2onnx.convert.from_function(network, input_signature=signature, opset=OPSET)
    proto.ir_version = IR_VERSION
    simplify(proto)
    name_after_layers(proto, [layer.name for layer in model.layers])
    forget_conversion(proto)
    proto.graph.name = request.model
    proto.producer_name, proto.producer_version = "segedge", ""
    try:
        proto = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise SegEdgeError(f"the exported graph of {request.model} is not valid ONNX: {error}") from error
    data = proto.SerializeToString(deterministic=True)
    del proto
    _give_memory_back()
    return data


def _give_memory_back() -> None:
    """Return freed memory to the system: the conversion's would otherwise add to the calibration's."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def _useful_passes_alone() -> Iterator[None]:
    """Leave out the converter's passes that find nothing in these graphs.

    Each pass, repeated until none changes anything, copies all weights into memory that is not given
    back before the end: with all twelve, FastFCN took 9 GB.
    """
    from tf2onnx import optimizer

    passes = optimizer._get_optimizers()
    left_out = {name: passes.pop(name) for name in UNUSED_PASSES if name in passes}
    try:
        yield
    finally:
        passes.update(left_out)


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="export/to_onnx.py",
        description="Export a model to ONNX and compare it with Keras on images.",
    )
    parser.add_argument("--model", required=True, help="architecture, such as fast_scnn")
    parser.add_argument("--dataset", choices=sorted(LAYOUTS), help="whose classes (default: the weights')")
    parser.add_argument("--data-dir", type=Path, help="the dataset's folder, for the images of the parity check")
    parser.add_argument("--weights", type=Path, help="a run's weights (default: the newest run, else random)")
    parser.add_argument("--size", type=size_argument, default="512x1024", metavar="HxW", help="input pixels")
    parser.add_argument("--output", type=Path, help="artefact folder (default: artifacts/MODEL-DATASET-HxW)")
    parser.add_argument("--json", action="store_true", help="print contract and parity report as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _export(arguments))


def _export(arguments: argparse.Namespace) -> int:
    height, width = arguments.size
    sources = choose_sources(arguments.model, arguments.dataset, arguments.data_dir, arguments.weights, arguments.size)
    request = ExportRequest(arguments.model, sources.dataset, height, width, sources.weights_path)
    folder = arguments.output or artifact_folder(arguments.model, sources.dataset, height, width, ARTIFACTS_ROOT)
    frames = held_out_frames(sources.dataset, sources.data_dir, height, width, PARITY_IMAGES)
    contract = export_model(request, folder, frames)
    report = read_record(ParityReport, folder / PARITY_FILE)
    if arguments.json:
        print(json.dumps({"contract": record_to_json(contract), "parity": record_to_json(report)}, indent=2))
    else:
        print(contract.weights.sentence())
        print(report.sentence())
        print(f"graph: {folder / GRAPH_FILE} (sha256 {sha256_file(folder / GRAPH_FILE)[:12]})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
