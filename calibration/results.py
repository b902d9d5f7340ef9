"""int8-report.json: the accuracy that INT8 cost, by layer and by class, and the search that led there."""

from __future__ import annotations

from edge.records import record

REPORT_FILE = "int8-report.json"
PAGE_FILE = "int8-report.html"


@record(schema=1, what="layer report")
class LayerReport:
    """Report on one layer: a node with multiply-adds, or another one whose inputs are quantised.

    Attributes:
        name: name of the ONNX node.
        operator: ONNX operator of the node, such as "Conv".
        multiply_adds: number of multiply-adds for one frame; 0 for a layer without a weight, such as Add.
        precision: precision of the layer, "int8" or "float".
        reason: reason why the layer is in float; "" for int8.
        output_error: RMS error of the logits over their RMS, with this layer alone in INT8; None if not measured.
        label_change: share of pixels whose label changes with this layer alone in INT8, 0 to 1; None if not measured.
        int8_ms: milliseconds of the layer in the engine; None where the time is not known.
        float_ms: milliseconds of the layer in the float engine on the same machine; None where the time is not known.
    """

    name: str
    operator: str
    multiply_adds: int
    precision: str
    reason: str = ""
    output_error: float | None = None
    label_change: float | None = None
    int8_ms: float | None = None
    float_ms: float | None = None


@record(schema=1, what="search step")
class SearchStep:
    """Figures of one quantised graph that was evaluated.

    Attributes:
        what: text that says what was tried.
        recipe_sha256: digest of the quantisation config; the field keeps its earlier name on disk.
        int8_mac_share: share of multiply-adds in INT8, 0 to 1.
        label_agreement: share of pixels with the label of the float graph, 0 to 1.
        drop_points: points of mIoU that were lost; None without labels.
        within_budget: True if the graph holds the budget.
    """

    what: str
    recipe_sha256: str
    int8_mac_share: float
    label_agreement: float
    drop_points: float | None
    within_budget: bool


@record(schema=1, what="accuracy figures")
class AccuracyFigures:
    """Figures of one network on the accuracy images.

    Attributes:
        miou: mIoU counted over the set, 0 to 1; None without labels.
        class_iou: name of a class -> IoU, 0 to 1, or None where the class is neither there nor predicted; empty without
            labels.
        label_agreement: share of pixels with the label of the float graph, 0 to 1.
    """

    miou: float | None
    class_iou: dict[str, float | None]
    label_agreement: float


@record(schema=1, what="image report")
class ImageReport:
    """Agreement of INT8 with the float graph on one accuracy image.

    Attributes:
        name: name of the image.
        index: position of the image in the accuracy set, the first being 0.
        label_agreement: share of pixels with the label of the float graph, 0 to 1.
    """

    name: str
    index: int
    label_agreement: float


@record(schema=1, what="INT8 report")
class Int8Report:
    """Report on the accuracy that quantisation cost, and on the search that led to the engine.

    Attributes:
        network: text with model, dataset and size.
        backend: backend whose form of the graph was evaluated, "tensorrt" or "onnxruntime".
        weights: text that says where the weights come from.
        graph_sha256: SHA-256 of the float graph.
        ranges_sha256: SHA-256 of ranges.json.
        images_from: dataset and split of the accuracy images, or "synthetic scenes".
        image_count: number of accuracy images.
        max_drop_points: budget in points of mIoU; None where it was not enforced.
        min_agreement: budget in label agreement, 0 to 1, where there are no labels; None where it was not enforced.
        is_met: True if the budget holds; None where no budget was enforced.
        drop_points: points of mIoU that exact simulation lost; None without labels.
        drop_low: lower end of the 95 % bootstrap interval of the drop over images, in points.
        drop_high: upper end of the same interval, in points.
        float_figures: figures of the float graph.
        simulated: figures of the quantised graph, simulated exactly.
        engine: figures of the engine itself; None where it was not built.
        int8_mac_share: share of multiply-adds in INT8, 0 to 1.
        recipe: text that describes the quantisation config; the field keeps its earlier name on disk.
        steps: steps of the search, in the order in which they were tried.
        layers: reports on every layer that has multiply-adds or could be quantised, in graph order.
        worst_images: images with the least label agreement, worst first.
        warnings: sentences about ranges, images and the graph.
        notes: sentences about the result.
        float_doubts: sentences among the warnings that say why the float network is implausible; empty where it is not.
    """

    network: str
    backend: str
    weights: str
    graph_sha256: str
    ranges_sha256: str
    images_from: str
    image_count: int
    max_drop_points: float | None
    min_agreement: float | None
    is_met: bool | None
    drop_points: float | None
    drop_low: float | None
    drop_high: float | None
    float_figures: AccuracyFigures
    simulated: AccuracyFigures
    engine: AccuracyFigures | None
    int8_mac_share: float
    recipe: str
    steps: tuple[SearchStep, ...]
    layers: tuple[LayerReport, ...]
    worst_images: tuple[ImageReport, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    float_doubts: tuple[str, ...] = ()
