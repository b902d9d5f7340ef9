"""The options of `export/build_engine.py`, the rules about which go together, and the request that they make."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Iterable

from calibration.budget.limits import (
    DEFAULT_CLASS_CHANGE,
    DEFAULT_CLASS_DROP,
    DEFAULT_REGION_LOSS,
    NAMED_REGION_LOSS,
)
from calibration.images.selection import DEFAULT_IMAGE_COUNT, RANDOM_WEIGHTS_IMAGE_COUNT
from calibration.qdq.quantization_config import FLOAT, INT8, WEIGHT_METHODS
from calibration.ranges.thresholds import CALIBRATION_METHODS
from calibration.trt.calibrator import TENSORRT_ENTROPY
from edge.card import SCALE_SOURCES
from edge.console import RealNumber, positive_int, size_argument
from edge.datasets import add_dataset_option
from edge.picture_check import SKIP_BAD_HELP
from export.backends.choice import AUTO, backend_choices
from export.backends.options import OPTIMIZATION_LEVELS, EngineOptions, batch_argument
from export.build_inputs import add_weights_arguments
from export.pipeline.request import (
    DEFAULT_DROP_POINTS,
    DEFAULT_LABEL_CHANGE_PERCENT,
    DEFAULT_SEARCH_MINUTES,
    BuildRequest,
    Int8Request,
)
from export.weights_choice import DEFAULT_SIZE, DEFAULT_SIZE_TEXT
from train.options import add_option_argument, parse_assignments

percent_argument = RealNumber(0.0, 100.0, "%")
points_argument = RealNumber(0.0, 100.0, "points")
minutes_argument = RealNumber(0.0, 100_000.0, "min")


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every option of a build to a parser."""
    network = parser.add_argument_group("network", "a model of this project, or any segmentation graph")
    network.add_argument("--model", help="architecture, such as fast_scnn or fastfcn")
    add_weights_arguments(network)
    add_option_argument(network)
    network.add_argument("--onnx", type=Path, metavar="FILE", help="a graph that takes NCHW float and gives logits")
    network.add_argument("--contract", type=Path, metavar="FILE", help="what it takes and gives (docs/any-network.md)")
    network.add_argument(
        "--size",
        type=size_argument,
        metavar="HxW",
        help=f"input pixels (default: the weights' or the graph's own, else {DEFAULT_SIZE_TEXT})",
    )
    images = parser.add_argument_group("images")
    add_dataset_option(images, "whose classes and images (default: the weights')")
    images.add_argument("--data-dir", type=Path, help="the dataset's folder (default: $SEGEDGE_DATA/NAME, data/NAME)")
    images.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="pictures of your own, without labels: some calibrate, others judge (default: those of the dataset)",
    )
    images.add_argument("--skip-bad", action="store_true", help=SKIP_BAD_HELP)
    precision = parser.add_argument_group("precision", "float32 without either; --int8 --fp16 is --int8")
    precision.add_argument("--fp16", action="store_true", help="float16")
    precision.add_argument("--int8", action="store_true", help="int8, the rest in float16 where the backend has it")
    parser.add_argument("--backend", choices=backend_choices(), default=AUTO, help="what builds and runs the engine")
    parser.add_argument(
        "--dla",
        type=int,
        choices=(0, 1),
        metavar="0|1",
        help="DLA core of a Jetson, the GPU for what it cannot compute (TensorRT up to 10; default: the GPU)",
    )
    _add_engine_arguments(parser.add_argument_group("engine", "how it is built, and what it takes"))
    _add_calibration_arguments(parser.add_argument_group("calibration", "how ranges of INT8 are found"))
    _add_accuracy_arguments(
        parser.add_argument_group("accuracy", "what INT8 may cost; beyond it: exit code 3, no engine")
    )
    parser.add_argument("--output", type=Path, help="engine folder (default: in the artefact folder)")


def _add_engine_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--batch",
        type=batch_argument,
        default=(1, None),
        metavar="N|MIN:BEST:MAX",
        help="frames of every call, or from 1 to MAX of them, fastest at BEST (TensorRT alone) (default: 1)",
    )
    group.add_argument(
        "--workspace",
        type=positive_int,
        metavar="MIB",
        help="most scratch memory of a layer, in MiB (default: all of the GPU's)",
    )
    group.add_argument(
        "--optimization-level",
        type=int,
        choices=OPTIMIZATION_LEVELS,
        metavar="0..5",
        help="how long to look for fast kernels: 0 the shortest, 5 the longest (TensorRT 8.6 on; default: its own, 3)",
    )
    group.add_argument(
        "--tf32",
        action="store_true",
        help="let layers in float32 multiply with 10 bits of mantissa: faster from Ampere on (default: all 23)",
    )
    group.add_argument(
        "--version-compatible",
        action="store_true",
        help="an engine that later TensorRT versions of the same major one load too (8.6 on, not with --dla)",
    )
    group.add_argument(
        "--hardware-compatible",
        action="store_true",
        help="an engine that other GPUs from Ampere on load too, and that may be slower (8.6 on, not with --dla)",
    )
    group.add_argument(
        "--labels-in-graph",
        action="store_true",
        help="upsampling and argmax inside the graph, as many networks are passed on: an engine of its own, to be "
        "timed beside the one whose logits are labelled here (ONNX Runtime alone)",
    )
    group.add_argument(
        "--verbose-layers",
        action="store_true",
        help="keep what TensorRT's engine inspector says of every layer as layers.json beside the engine",
    )


def _add_calibration_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--calibration-images",
        type=positive_int,
        metavar="N",
        help=f"training images that ranges are collected on (default: {DEFAULT_IMAGE_COUNT}, or "
        f"{RANDOM_WEIGHTS_IMAGE_COUNT} for random weights)",
    )
    group.add_argument(
        "--calibration-manifest",
        type=Path,
        metavar="FILE",
        help="a manifest of calibration/select_images.py that names them (default: they are selected)",
    )
    group.add_argument(
        "--force-validation-images",
        action="store_true",
        help="take validation images that the manifest names; the card will say so",
    )
    group.add_argument(
        "--calibrator",
        choices=(*sorted(CALIBRATION_METHODS), TENSORRT_ENTROPY),
        help="how a range follows from what was seen; tensorrt-entropy is TensorRT's own (up to 10), without Q/DQ "
        "(default: percentile)",
    )
    group.add_argument(
        "--scales",
        choices=SCALE_SOURCES,
        help="how TensorRT is given the scales: Q/DQ pairs in the graph, or up to 10 a calibration cache or dynamic "
        "ranges, with which it chooses per layer between int8 and float16 (default: qdq; cache with --dla)",
    )
    group.add_argument(
        "--weight-ranges", choices=WEIGHT_METHODS, help="of each output channel; mse may clip (default: max)"
    )
    group.add_argument("--classifier", choices=(INT8, FLOAT), help="the layers that give the outputs (default: int8)")
    group.add_argument("--resize", choices=(INT8, FLOAT), help="interpolations (default: int8)")


def _add_accuracy_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-miou-drop",
        type=points_argument,
        metavar="POINTS",
        help=f"points of mIoU that INT8 may lose on labelled images (default: {DEFAULT_DROP_POINTS:g})",
    )
    group.add_argument(
        "--max-label-change",
        type=percent_argument,
        metavar="PERCENT",
        help="pixels whose label INT8 may change on images without labels, in percent "
        f"(default: {DEFAULT_LABEL_CHANGE_PERCENT:g})",
    )
    group.add_argument(
        "--max-class-drop",
        type=points_argument,
        metavar="POINTS",
        help="points of IoU that INT8 may lose in any class on labelled images (default: "
        f"{DEFAULT_CLASS_DROP:g}); without labels: percent by which a class may be unlike the float network's "
        f"(default: {DEFAULT_CLASS_CHANGE:g})",
    )
    group.add_argument(
        "--class-budget",
        type=class_limit,
        action="append",
        metavar="CLASS=POINTS",
        help="a limit of its own for a class that matters, such as person=0.3; its regions are counted by the interval "
        f"too, at most {NAMED_REGION_LOSS:g} %% lost; may be given several times",
    )
    group.add_argument(
        "--max-region-loss",
        type=percent_argument,
        metavar="PERCENT",
        help="connected regions of any class that INT8 may lose, in percent of the float network's (default: "
        f"{DEFAULT_REGION_LOSS:g})",
    )
    group.add_argument(
        "--accuracy-images",
        "--check-images",
        type=positive_int,
        default=50,
        metavar="N",
        help="validation images that accuracy is measured on",
    )
    group.add_argument(
        "--search-minutes",
        type=minutes_argument,
        metavar="MINUTES",
        help="time to find a way into the budget when plain INT8 is over it; a later call goes on "
        f"(default: {DEFAULT_SEARCH_MINUTES:g})",
    )
    group.add_argument(
        "--sensitivity", action="store_true", help="measure every layer alone in INT8, even if the budget holds at once"
    )


def class_limit(text: str) -> tuple[str, float]:
    """Read "CLASS=POINTS" for argparse."""
    name, separator, limit = text.rpartition("=")
    if not separator or not name.strip():
        raise argparse.ArgumentTypeError(f"got '{text}', expected CLASS=POINTS, such as person=0.3")
    return name.strip(), points_argument(limit)


_INT8_OPTIONS = {
    "calibration_images": "calibration_images",
    "calibration_manifest": "manifest_path",
    "force_validation_images": "force_validation_images",
    "calibrator": "calibrator",
    "scales": "scale_source",
    "weight_ranges": "weight_method",
    "classifier": "classifier",
    "resize": "resize",
    "max_miou_drop": "max_drop_points",
    "max_label_change": "max_label_change_percent",
    "max_class_drop": "max_class_drop",
    "class_budget": "class_limits",
    "max_region_loss": "max_region_loss_percent",
    "search_minutes": "search_minutes",
    "sensitivity": "measure_layers",
}
"""Option -> field of Int8Request; one that was not given is None or False, and the field has its default."""

_NOT_FOR_TENSORRT_ENTROPY = ("scales", "weight_ranges", "classifier", "resize", "search_minutes", "sensitivity")


def _given(arguments: argparse.Namespace, options: Iterable[str]) -> list[str]:
    # Not by `in`, which takes a limit of 0 for False.
    values = {name: getattr(arguments, name) for name in options}
    return [name for name, value in values.items() if value is not None and value is not False]


def _spelled(names: Iterable[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def contradiction(arguments: argparse.Namespace) -> str | None:
    """Return a sentence on an option that lacks another, excludes another or has no effect; None if all is well."""
    if (arguments.model is None) == (arguments.onnx is None):
        return "expected --model NAME, or --onnx FILE --contract FILE"
    if (arguments.onnx is None) != (arguments.contract is None):
        return "--onnx and --contract go together"
    if arguments.onnx is not None and (arguments.weights is not None or arguments.random_weights or arguments.option):
        return "--weights, --random-weights and --option belong to --model; a graph of --onnx has its weights in it"
    named = [name for name, _ in arguments.class_budget or ()]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        return f"--class-budget gives {twice} more than one limit, expected one"
    given = _given(arguments, _INT8_OPTIONS)
    if given and not arguments.int8:
        return f"{_spelled(given)}: for INT8 alone, expected --int8 beside it"
    if arguments.calibrator == TENSORRT_ENTROPY:
        idle = _given(arguments, _NOT_FOR_TENSORRT_ENTROPY)
        if idle:
            return f"{_spelled(idle)}: TensorRT decides that itself with --calibrator {TENSORRT_ENTROPY}"
    if arguments.scales == "qdq" and arguments.dla is not None:
        return "--scales qdq: a DLA takes no Q/DQ pairs, expected cache or dynamic-ranges"
    excluded = dataclasses.replace(_engine_options(arguments), dla_core=arguments.dla).contradiction()
    if excluded is not None:
        return excluded
    if arguments.images is not None and arguments.calibration_manifest is not None:
        return "--images and --calibration-manifest both name the calibration images, expected one of them"
    if arguments.force_validation_images and arguments.calibration_manifest is None:
        return "--force-validation-images is for images of a --calibration-manifest"
    return None


def build_request(arguments: argparse.Namespace) -> BuildRequest:
    """Return the request that the options make.

    Raises:
        InputError: an assignment of --option cannot be read.
    """
    height, width = arguments.size or DEFAULT_SIZE
    return BuildRequest(
        model=arguments.model or "",
        height=height,
        width=width,
        precision="int8" if arguments.int8 else "float16" if arguments.fp16 else "float32",
        backend=arguments.backend,
        dataset=arguments.dataset,
        data_dir=arguments.data_dir,
        weights_path=arguments.weights,
        accuracy_images=arguments.accuracy_images,
        int8=_int8_request(arguments),
        options=parse_assignments(arguments.option),
        output=arguments.output,
        onnx_path=arguments.onnx,
        contract_path=arguments.contract,
        is_size_given=arguments.size is not None,
        images_path=arguments.images,
        dla_core=arguments.dla,
        engine=_engine_options(arguments),
        random_weights=arguments.random_weights,
        skip_bad=arguments.skip_bad,
    )


def _int8_request(arguments: argparse.Namespace) -> Int8Request:
    given = {_INT8_OPTIONS[name]: getattr(arguments, name) for name in _given(arguments, _INT8_OPTIONS)}
    if "class_limits" in given:
        given["class_limits"] = dict(given["class_limits"])
    return Int8Request(**given)


def _engine_options(arguments: argparse.Namespace) -> EngineOptions:
    batch, profile = arguments.batch
    return EngineOptions(
        batch=batch,
        batch_profile=profile,
        workspace_mib=arguments.workspace,
        optimization_level=arguments.optimization_level,
        is_version_compatible=arguments.version_compatible,
        is_hardware_compatible=arguments.hardware_compatible,
        has_layer_details=arguments.verbose_layers,
        allows_tf32=arguments.tf32,
        gives_labels=arguments.labels_in_graph,
    )
