"""int8-report.json: the accuracy that INT8 cost, by layer and by class, and the search that led there."""

from __future__ import annotations

from edge.machine_load import MachineLoad
from edge.records import record

REPORT_FILE = "int8-report.json"
PAGE_FILE = "int8-report.html"


def are_told_apart(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    """Return whether two ranges, each as (lowest, highest), have no value in common."""
    return first[1] < second[0] or second[1] < first[0]


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
        int8_ms: milliseconds of the layer in the engine, the median of several rounds; None where the time is not
            known.
        float_ms: milliseconds of the layer in the float engine on the same machine, measured in turn with the other;
            None where the time is not known.
        int8_range_ms: shortest and longest round of `int8_ms`; empty where it is not known, as in older records.
        float_range_ms: shortest and longest round of `float_ms`; empty where it is not known, as in older records.
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
    int8_range_ms: tuple[float, ...] = ()
    float_range_ms: tuple[float, ...] = ()


@record(schema=1, what="class cost")
class ClassCost:
    """Cost of quantisation for one class on a set of images.

    Attributes:
        name: name of the class.
        float_share: share of pixels that the float network gives this class, 0 to 1.
        most_share: the largest such share of a single image, 0 to 1.
        true_share: share of counted pixels that the truth gives this class, 0 to 1; None without labels.
        image_count: number of images on which the class occurs, in the truth or in the float network's labels.
        float_iou: IoU of the float network's labels with the truth, 0 to 1; None without labels, and where the class is
            neither in the truth nor predicted.
        iou: IoU of the quantised network's labels with the truth, as `float_iou`.
        agreement_iou: IoU of the quantised network's labels with the float network's, 0 to 1; None where neither has
            the class.
        drop_points: points of IoU with the truth that were lost; None where one of the two IoUs is None.
        drop_high: upper end of its interval over images; None where it is not known.
        change_points: 100 less the IoU with the float network's labels in percent; None as for `agreement_iou`.
        change_high: upper end of its interval over images; None where it is not known.
        regions: number of connected regions of the float network, see calibration.budget.regions.
        regions_found: number of these that the quantised network has too.
        regions_new: number of regions that the quantised network alone has.
    """

    name: str
    float_share: float
    most_share: float
    true_share: float | None
    image_count: int
    float_iou: float | None
    iou: float | None
    agreement_iou: float | None
    drop_points: float | None
    drop_high: float | None
    change_points: float | None
    change_high: float | None
    regions: int
    regions_found: int
    regions_new: int


@record(schema=1, what="label cost")
class LabelCost:
    """Cost of quantisation in labels, on one set of images, as a whole and class by class.

    Attributes:
        image_count: number of images.
        label_agreement: share of pixels with the label of the float network, 0 to 1.
        change_high: upper end of the interval over images of the changed labels, in percent; None where it is not
            known.
        drop_points: points of mIoU that were lost; None without labels.
        drop_low: lower end of the interval of the drop, in points; None where it is not known.
        drop_high: upper end of the same interval, in points.
        confidence: share of such intervals that hold the figure of all images of the kind, 0 to 1.
        classes: cost for each class, in the order of the classes.
    """

    image_count: int
    label_agreement: float
    change_high: float | None
    drop_points: float | None
    drop_low: float | None
    drop_high: float | None
    confidence: float
    classes: tuple[ClassCost, ...]


HELD, NOT_SHOWN, EXCEEDED = "held", "not shown", "exceeded"
STATES = (HELD, NOT_SHOWN, EXCEEDED)
"""What a judgement says of a limit: the upper end of the interval is within it; the figure is, but the images are too
few to tell; the figure itself is not."""

MIOU_DROP, CLASS_DROP, LABEL_CHANGE, CLASS_CHANGE, LOST_REGIONS, LOST_CLASS = MEASURES = (
    "points of mIoU lost",
    "points of IoU lost",
    "% of labels changed",
    "% unlike the float network",
    "% of regions lost",
    "class lost",
)
"""What a limit of a budget is about."""


@record(schema=1, what="judgement")
class Judgement:
    """One limit of an accuracy budget, and what was measured.

    Attributes:
        measure: what the limit is about, one of MEASURES.
        class_name: name of the class; "" for a limit of the whole network.
        value: measured figure, in points or percent; None where the class does not occur on the images.
        high: upper end of its interval over images; None where the images are too few for one, and where none is asked
            for.
        limit: largest figure that is allowed.
        state: one of STATES.
        images_needed: number of images of this kind that would show it, at the same figure; None where it is shown, or
            where no number can be told.
    """

    measure: str
    class_name: str
    value: float | None
    high: float | None
    limit: float
    state: str
    images_needed: int | None = None


@record(schema=2, what="search step")
class SearchStep:
    """Figures of one quantised graph that was evaluated.

    Attributes:
        what: text that says what was tried.
        recipe_sha256: digest of the quantisation config; the field keeps its earlier name on disk.
        int8_mac_share: share of multiply-adds in INT8, 0 to 1.
        label_agreement: share of pixels with the label of the float graph, 0 to 1.
        drop_points: points of mIoU that were lost; None without labels.
        within_budget: True if the search may end with the graph; of one that was judged, if no figure exceeds its
            limit.
        worst: the judgement that comes closest to its limit or exceeds it most, in words; "" where nothing is limited.
        cost: cost of the graph on the images that it was evaluated on; None where it was not kept.
        verdict: verdict on that cost, one of STATES; None where no budget was enforced.
    """

    what: str
    recipe_sha256: str
    int8_mac_share: float
    label_agreement: float
    drop_points: float | None
    within_budget: bool
    worst: str = ""
    cost: LabelCost | None = None
    verdict: str | None = None


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


@record(schema=2, what="INT8 report", made_by="python export/build_engine.py --int8")
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
        budget: sentence that names all limits; "none" where nothing was limited.
        verdict: what the judgements say together, one of STATES; None where no budget was enforced.
        judgements: every limit, and what was measured on the accuracy images: of the engine where it was built, else of
            the simulation.
        drop_points: points of mIoU that exact simulation lost; None without labels.
        drop_low: lower end of the bootstrap interval of the drop over images, in points, with the confidence of `cost`.
        drop_high: upper end of the same interval, in points.
        float_figures: figures of the float graph.
        simulated: figures of the quantised graph, simulated exactly.
        engine: figures of the engine itself; None where it was not built.
        cost: cost in labels, class by class: of the engine where it was built, else of the simulation.
        unseen_classes: classes that occur in the truth and that the float network itself does not find, a sentence
            each.
        search_images: text that says which images the search looked at; "" where there was no search.
        int8_mac_share: share of multiply-adds in INT8, 0 to 1.
        recipe: text that describes the quantisation config; the field keeps its earlier name on disk.
        looks: graphs that were judged on the accuracy images, in order.
        steps: steps of the search, on images of its own, in the order in which they were tried.
        layers: reports on every layer that has multiply-adds or could be quantised, in graph order.
        worst_images: images with the least label agreement, worst first.
        warnings: sentences about ranges, images and the graph.
        notes: sentences about the result.
        float_doubts: sentences among the warnings that say why the float network is implausible; empty where it is not.
        decision: rule by which a pixel gets its label; "" where it is the largest of the network's channels.
        search_sees_judging_images: True where there was one image and no other, so that the search looked at it too.
        skipped_images: names of the calibration and accuracy images that were left out, since they cannot be read.
        load: load of the machine while layers were timed; None where none were, or where the system does not count it.
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
    budget: str
    verdict: str | None
    judgements: tuple[Judgement, ...]
    drop_points: float | None
    drop_low: float | None
    drop_high: float | None
    float_figures: AccuracyFigures
    simulated: AccuracyFigures
    engine: AccuracyFigures | None
    cost: LabelCost
    unseen_classes: tuple[str, ...]
    search_images: str
    int8_mac_share: float
    recipe: str
    looks: tuple[SearchStep, ...]
    steps: tuple[SearchStep, ...]
    layers: tuple[LayerReport, ...]
    worst_images: tuple[ImageReport, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    float_doubts: tuple[str, ...] = ()
    decision: str = ""
    search_sees_judging_images: bool = False
    skipped_images: tuple[str, ...] = ()
    load: MachineLoad | None = None
