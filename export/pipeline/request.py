"""The request of a build: everything that the user asks for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calibration.qdq.quantization_config import INT8, QuantizationConfig
from calibration.trt.calibrator import TENSORRT_ENTROPY
from edge.card import default_scale_source
from edge.errors import InputError
from export.backends.options import EngineOptions

DEFAULT_DROP_POINTS = 0.5
DEFAULT_LABEL_CHANGE_PERCENT = 5.0
DEFAULT_SEARCH_MINUTES = 30.0


@dataclass(frozen=True)
class Int8Request:
    """Settings of INT8, and the accuracy that it may cost.

    The command's options make it, as part of a BuildRequest; calibration and the search for a quantised graph use it.

    Attributes:
        calibration_images: number of calibration images; None for 64, or 8 with random weights, whose ranges mean
            nothing.
        manifest_path: path of a manifest that names the calibration images; None to select them.
        force_validation_images: True to calibrate even on validation images, if the manifest names such.
        calibrator: calibration method, one of calibration.ranges.thresholds.CALIBRATION_METHODS, or "tensorrt-entropy",
            which is TensorRT's own.
        weight_method: method for the ranges of weights, "max" or "mse".
        classifier: precision of the layers that give the network's outputs, "int8" or "float".
        resize: precision of interpolations, "int8" or "float".
        max_drop_points: largest loss of mIoU on labelled images, in points; None for the default.
        max_label_change_percent: largest share of pixels whose label changes on images without labels, in percent; None
            for the default.
        max_class_drop: largest loss of any class: points of IoU on labelled images, else percent by which the class is
            unlike the float network's; None for the default.
        class_limits: name of a class -> its own limit in place of `max_class_drop`.
        max_region_loss_percent: largest share of the regions of any class that may be lost, in percent; None for the
            default.
        search_minutes: time limit in minutes for everything beyond the plain quantisation config.
        measure_layers: True to measure the sensitivity of every layer even if the first config holds the budget.
        scale_source: source of TensorRT's scales, one of edge.card.SCALE_SOURCES; None for Q/DQ pairs on the GPU and a
            calibration cache on a DLA.
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
    max_class_drop: float | None = None
    class_limits: dict[str, float] = field(default_factory=dict)
    max_region_loss_percent: float | None = None
    search_minutes: float = DEFAULT_SEARCH_MINUTES
    measure_layers: bool = False
    scale_source: str | None = None

    @property
    def limits_accuracy(self) -> bool:
        """Return whether the user gave any limit of the accuracy that INT8 may cost."""
        given = (
            self.max_drop_points,
            self.max_label_change_percent,
            self.max_class_drop,
            self.max_region_loss_percent,
        )
        return bool(self.class_limits) or any(limit is not None for limit in given)

    def require_classes(self, class_names: tuple[str, ...]) -> None:
        """Refuse a limit of a class that the network does not have.

        Raises:
            InputError: a class has a limit of its own, and is no class of the network.
        """
        unknown = [name for name in self.class_limits if name not in class_names]
        if unknown:
            raise InputError(
                f"--class-budget names '{unknown[0]}', which is no class of the network, expected one of: "
                f"{', '.join(class_names)}"
            )

    def first_config(self) -> QuantizationConfig:
        """Return the quantisation config that a search starts from."""
        return QuantizationConfig(
            method=self.calibrator, weight_method=self.weight_method, classifier=self.classifier, resize=self.resize
        )


@dataclass(frozen=True)
class BuildRequest:
    """Everything that the user asked for.

    The command's options make it; `plan_build` decides the choices that it leaves open, and keeps it in the BuildPlan.

    Attributes:
        model: name of the architecture; "" where a graph is given.
        height: rows of the network's input.
        width: columns of the network's input.
        precision: precision of the engine: "float32", "float16" or "int8".
        backend: name of the backend: "auto", "tensorrt" or "onnxruntime".
        dataset: key in edge.datasets.LAYOUTS; None for the dataset of the weights.
        data_dir: folder of the dataset; None for the default one.
        weights_path: path of a weights file or a run folder; None for the best run, else the artefact's own.
        accuracy_images: number of held-out frames that the engine is measured on.
        int8: settings of INT8, and the accuracy that it may cost.
        options: options of the architecture that the user set, as values or text.
        output: folder of the engine; None for the artefact's.
        onnx_path: path of a graph that this project did not make; None for a model.
        contract_path: path of the contract that the owner of that graph wrote.
        is_size_given: True if the user gave height and width; else the size of the weights or of a given graph is used.
        images_path: folder of the user's own pictures, without labels, to calibrate and to measure on; None for the
            images of the dataset.
        dla_core: number of the DLA core of a Jetson that computes, 0 or 1; None for the GPU.
        engine: batches, limits and compatibility of the engine; its DLA core is `dla_core` above.
        random_weights: True if the user asked for random weights.
        skip_bad: True to leave out images that cannot be read, instead of refusing them.
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
    random_weights: bool = False
    skip_bad: bool = False

    def engine_options(self) -> EngineOptions:
        """Return the options of the engine, with its DLA core."""
        return dataclasses.replace(self.engine, dla_core=self.dla_core)

    def scale_source(self, backend: str) -> str | None:
        """Return the source of an int8 engine's scales, one of SCALE_SOURCES; None where TensorRT gets none of ours."""
        is_ours = self.precision == INT8 and self.int8.calibrator != TENSORRT_ENTROPY
        if backend != "tensorrt" or not is_ours:
            return None
        return self.int8.scale_source or default_scale_source(self.dla_core)
