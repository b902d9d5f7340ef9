"""What a user asks of a build."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from calibration.qdq.quantization_config import INT8, QuantizationConfig
from calibration.trt.calibrator import TENSORRT_ENTROPY
from edge.card import default_scale_source
from export.backends.options import EngineOptions

DEFAULT_DROP_POINTS = 0.5
DEFAULT_LABEL_CHANGE_PERCENT = 5.0
DEFAULT_SEARCH_MINUTES = 30.0

Say = Callable[[str], None]
"""What takes a line for each step of a build: progress and warnings, not results."""


@dataclass(frozen=True)
class Int8Request:
    """How INT8 is to come about, and what it may cost.

    The command's options make it, as part of a BuildRequest; calibration and the search for a quantised graph use it.

    Attributes:
        calibration_images: how many images calibrate; None for 64, or 8 with random weights, whose ranges mean nothing.
        manifest_path: a manifest that names the calibration images; None to select them.
        force_validation_images: calibrate on validation images all the same, if the manifest names such.
        calibrator: one of calibration.ranges.thresholds.CALIBRATION_METHODS, or "tensorrt-entropy",
            which is TensorRT's own.
        weight_method: how the range of a weight is found, "max" or "mse".
        classifier: "int8" or "float".
        resize: "int8" or "float".
        max_drop_points: points of mIoU that may be lost on labelled images; None for the default.
        max_label_change_percent: pixels whose label may change on images without labels; None for the default.
        search_minutes: time for everything beyond the plain recipe.
        measure_layers: measure the sensitivity of every layer even if the budget holds at once.
        scale_source: where TensorRT takes its scales from, one of edge.card.SCALE_SOURCES; None for Q/DQ pairs on the
            GPU and a calibration cache on a DLA.
    """

    calibration_images: int | None = None
    manifest_path: Path | None = None
    force_validation_images: bool = False
    calibrator: str = "percentile"
    weight_method: str = "max"
    classifier: str = INT8
    resize: str = INT8
    max_drop_points: float | None = None
    max_label_change_percent: float | None = None
    search_minutes: float = DEFAULT_SEARCH_MINUTES
    measure_layers: bool = False
    scale_source: str | None = None

    def recipe(self) -> QuantizationConfig:
        """Return the quantisation that a search starts from."""
        return QuantizationConfig(
            method=self.calibrator, weight_method=self.weight_method, classifier=self.classifier, resize=self.resize
        )


@dataclass(frozen=True)
class BuildRequest:
    """What the user asked for.

    The command's options make it; `plan_build` decides what it leaves open, and keeps it in the BuildPlan.

    Attributes:
        model: architecture; "" where a graph is given.
        height: input rows.
        width: input columns.
        precision: "float32", "float16" or "int8".
        backend: "auto", "tensorrt" or "onnxruntime".
        dataset: key in edge.datasets.LAYOUTS; None to follow the weights.
        data_dir: the dataset's folder; None for the default one.
        weights_path: a run's weights; None for the newest, else random ones.
        accuracy_images: held-out frames that the engine is measured on.
        int8: how INT8 is to come about.
        options: options of the architecture that the user set, as values or text.
        output: engine folder; None for the artefact's.
        onnx_path: a graph that this project did not make; None for a model.
        contract_path: the file that says what that graph takes and gives.
        is_size_given: whether height and width are the user's; else a given graph's own size wins.
        images_path: a folder of the user's own pictures, without labels, to calibrate and to measure on; None for
            those of the dataset.
        dla_core: the DLA core of a Jetson that computes, 0 or 1; None for the GPU.
        engine: batches, limits of the build, compatibility; its DLA core is the one above.
    """

    model: str
    height: int
    width: int
    precision: str
    backend: str
    dataset: str | None
    data_dir: Path | None
    weights_path: Path | None
    accuracy_images: int
    int8: Int8Request = field(default_factory=Int8Request)
    options: dict[str, Any] = field(default_factory=dict)
    output: Path | None = None
    onnx_path: Path | None = None
    contract_path: Path | None = None
    is_size_given: bool = True
    images_path: Path | None = None
    dla_core: int | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)

    def engine_options(self) -> EngineOptions:
        """Return what the engine is to be, with its DLA core."""
        return dataclasses.replace(self.engine, dla_core=self.dla_core)

    def scale_source(self, backend: str) -> str | None:
        """Return the source of an int8 engine's scales, one of SCALE_SOURCES; None where TensorRT has none of ours."""
        is_ours = self.precision == INT8 and self.int8.calibrator != TENSORRT_ENTROPY
        if backend != "tensorrt" or not is_ours:
            return None
        return self.int8.scale_source or default_scale_source(self.dla_core)
