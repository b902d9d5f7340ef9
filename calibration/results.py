"""int8-report.json: what INT8 cost, layer by layer and class by class, and how that was found."""

from __future__ import annotations

from edge.records import record

REPORT_FILE = "int8-report.json"
PAGE_FILE = "int8-report.html"


@record(schema=1, what="layer report")
class LayerReport:
    """One layer: those with multiply-adds, and others whose inputs are quantised.

    Attributes:
        name: of the node.
        operator: of ONNX, such as Conv.
        multiply_adds: for one frame; 0 of a layer without a weight, such as Add.
        precision: "int8" or "float".
        reason: why it is in float; "" for int8.
        output_error: with this layer alone in INT8, RMS error of the logits over their RMS; None if not measured.
        label_change: with this layer alone in INT8, share of pixels whose label changes, 0 to 1; None if not measured.
        int8_ms: time of the layer in the engine; None where it is not known.
        float_ms: time of the layer in the float engine on the same machine.
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
    """One quantised graph that was evaluated.

    Attributes:
        what: what was tried, in words.
        recipe_sha256: digest of its quantisation config; the field keeps its earlier name on disk.
        int8_mac_share: share of multiply-adds in INT8, 0 to 1.
        label_agreement: share of pixels with the label of the float graph, 0 to 1.
        drop_points: mIoU lost, in points; None without labels.
        within_budget: whether it holds the budget.
    """

    what: str
    recipe_sha256: str
    int8_mac_share: float
    label_agreement: float
    drop_points: float | None
    within_budget: bool


@record(schema=1, what="accuracy figures")
class AccuracyFigures:
    """One network on the accuracy images.

    Attributes:
        miou: 0 to 1, counted over the set; None without labels.
        class_iou: class name -> IoU, 0 to 1; None where the class is neither there nor predicted; empty without labels.
        label_agreement: share of pixels with the label of the float graph, 0 to 1.
    """

    miou: float | None
    class_iou: dict[str, float | None]
    label_agreement: float


@record(schema=1, what="image report")
class ImageReport:
    """One accuracy image.

    Attributes:
        name: of the image.
        index: in the accuracy set.
        label_agreement: share of pixels with the label of the float graph, 0 to 1.
    """

    name: str
    index: int
    label_agreement: float


@record(schema=1, what="INT8 report")
class Int8Report:
    """What quantisation cost, and how the engine came to be.

    Attributes:
        network: model, dataset and size, in words.
        backend: whose form was evaluated, "tensorrt" or "onnxruntime".
        weights: their provenance, in words.
        graph_sha256: of the float graph.
        ranges_sha256: of ranges.json.
        images_from: where the accuracy images come from.
        image_count: how many there are.
        max_drop_points: budget in points of mIoU; None where it was not enforced.
        min_agreement: budget in label agreement, 0 to 1, where there are no labels; None where it was not enforced.
        is_met: whether the budget holds; None where none was enforced.
        drop_points: mIoU lost by exact simulation, in points; None without labels.
        drop_low: lower end of its 95 % bootstrap interval over images, in points.
        drop_high: upper end.
        float_figures: of the float graph.
        simulated: of the quantised graph, simulated exactly.
        engine: of the engine itself; None where it was not built.
        int8_mac_share: share of multiply-adds in INT8, 0 to 1.
        recipe: quantisation config as text; the field keeps its earlier name on disk.
        steps: what was tried, in order.
        layers: every layer that has multiply-adds or could be quantised, in graph order.
        worst_images: those with the least label agreement, worst first.
        warnings: sentences about ranges, images and the graph.
        notes: sentences about the result.
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
