"""Import mappings: how a checkpoint of each family becomes weights of a network here.

A mapping follows from the names and shapes of the tensors, which tell the depth of a ResNet, the head and the
number of classes. The user says what the tensors do not tell, such as the output stride; else the default holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping

from edge.errors import WeightsError
from train.checkpoint_import import backbone_names, model_names
from train.checkpoint_import.layer_weights import EPSILON, LayerMapping, Tensors
from train.models.deeplabv3plus import RATES as DEEPLAB_RATES
from train.models.panoptic_deeplab import RATES as PANOPTIC_RATES
from train.options import OPTIONS

NOT_WEIGHTS = {r"(^|\.)num_batches_tracked$": "counters of training steps"}
IMAGENET_CLASSIFIER = {r"^(pretrained\.|backbone\.)?fc\.(weight|bias)$": "ResNet's ImageNet classifier"}
"""Pattern of tensor names -> why no network here takes them."""

ASSUMED_OPTIONS = {"pytorch-semseg": {"normalisation": "caffe_unit"}}
"""Family -> options that its tensors do not tell, with the values that hold unless the user says otherwise.

The loaders of meetps/pytorch-semseg differ: Cityscapes in its version "pascal" takes blue, green and red
with Caffe's means over 255 (caffe_unit), VOC takes red, green and blue with ImageNet's statistics (imagenet).
"""


@dataclass(frozen=True)
class ImportMapping:
    """Description of how one checkpoint becomes weights of a network here.

    Attributes:
        options: options of the architecture that the checkpoint decides.
        layers: layers whose tensors the checkpoint must have.
        optional: groups of layers, the heads that only training uses; the checkpoint has all tensors of a group
            or none.
        class_count: number of classes of the classifier; None for a backbone.
        left_out: pattern of tensor names -> why the network does not need them.
        naming: "torch" or "keras", see LayerWeightsReader.
        epsilon: epsilon of the BatchNorms in the checkpoint's network.
    """

    options: dict[str, Any]
    layers: list[LayerMapping]
    optional: list[list[LayerMapping]] = field(default_factory=list)
    class_count: int | None = None
    left_out: dict[str, str] = field(default_factory=lambda: dict(NOT_WEIGHTS))
    naming: str = "torch"
    epsilon: float = 1e-5


def make_mapping(family: str, model: str, tensors: Tensors, given: Mapping[str, Any]) -> ImportMapping:
    """Return the mapping of a checkpoint.

    Args:
        family: key in train.checkpoint_import.CHECKPOINT_FAMILIES.
        model: the architecture that gets the weights.
        tensors: tensors of the checkpoint, by name.
        given: every option of the architecture, as the user wants it.

    Raises:
        WeightsError: the tensors do not belong to such a network.
    """
    return _MAPPINGS[family](model, tensors, given)


def is_mobilenet(tensors: Tensors) -> bool:
    """Return whether tensors are those of a MobileNet of Keras Applications, whose blocks all versions name alike."""
    return any(name.startswith("expanded_conv") for name in tensors)


def _require(tensors: Tensors, name: str, what: str) -> None:
    if name not in tensors:
        raise WeightsError(f"the checkpoint has no tensor {name}, so it is no {what}")


def _class_count(tensors: Tensors, name: str, what: str) -> int:
    """Return the number of classes of a classifier: the size of the first axis of its kernel."""
    _require(tensors, name, what)
    shape = tensors[name].shape
    if not shape or not shape[0]:
        raise WeightsError(f"the tensor {name} has the shape {shape}, expected the kernel of a classifier")
    return shape[0]


def _depth(tensors: Tensors, prefix: str, what: str) -> int:
    depth = backbone_names.resnet_depth(tensors, prefix)
    if depth is None:
        raise WeightsError(f"the checkpoint has no {prefix}layer3 of 6 or 23 blocks, so it is no {what}")
    return depth


def _fastfcn(model: str, tensors: Tensors, given: Mapping[str, Any]) -> ImportMapping:
    what = "FastFCN with JPU, on ResNet-50 or ResNet-101"
    _require(tensors, "jpu.conv5.0.weight", what)
    depth = _depth(tensors, "pretrained.", what)
    heads = {
        "head.conv6.1.weight": "encnet",
        "head.conv5.5.weight": "psp",
        "head.block.4.weight": "deeplab",
        "head.conv5.4.weight": "fcn",
    }
    classifier = next((name for name in heads if name in tensors), None)
    if classifier is None:
        raise WeightsError(f"the checkpoint has no classifier ({', '.join(heads)}), so it is no {what}")
    head, deep = heads[classifier], "pretrained.conv1.0.weight" in tensors
    optional = [model_names.fastfcn_auxiliary()]
    if head == "encnet":
        optional.append(model_names.fastfcn_presence())
    options = {"depth": depth, "head": head, "stem": "deep" if deep else "plain", "coordinates": "align_corners"}
    if head == "encnet":
        options["encoding_positions"] = 0
    return ImportMapping(
        options=options,
        layers=list(model_names.fastfcn(depth, head, deep)),
        optional=optional,
        class_count=_class_count(tensors, classifier, what),
        left_out={**NOT_WEIGHTS, **IMAGENET_CLASSIFIER},
    )


def _fast_scnn(model: str, tensors: Tensors, given: Mapping[str, Any]) -> ImportMapping:
    class_count = _class_count(tensors, "classifier.conv.1.weight", "Fast-SCNN")
    options = {
        "separable_relu": True,
        "padding": "symmetric",
        "first_padding": "valid",
        "fusion_dilation": 1,
        "coordinates": "align_corners",
    }
    auxiliary = model_names.fast_scnn_auxiliary()
    return ImportMapping(options, list(model_names.fast_scnn()), [auxiliary], class_count=class_count)


def _deeplabv3plus(model: str, tensors: Tensors, given: Mapping[str, Any]) -> ImportMapping:
    what = "DeepLabV3+ on ResNet-50 or ResNet-101"
    class_count = _class_count(tensors, "classifier.classifier.3.weight", what)
    depth = _depth(tensors, "backbone.", what)
    layers = list(model_names.deeplabv3plus(depth, DEEPLAB_RATES[given["output_stride"]]))
    return ImportMapping({"depth": depth, "decoder_convs": 1}, layers, class_count=class_count)


def _segnet(model: str, tensors: Tensors, given: Mapping[str, Any]) -> ImportMapping:
    class_count = _class_count(tensors, "up1.conv2.cbr_unit.0.weight", "SegNet")
    # The tensors do not tell what frames the network saw; the statistics of Caffe are those of blue, green and red.
    reversed_input = given["normalisation"].startswith("caffe")
    layers = list(model_names.segnet(reversed_input))
    return ImportMapping({"classifier": "norm_relu"}, layers, class_count=class_count)


def _panoptic_deeplab(model: str, tensors: Tensors, given: Mapping[str, Any]) -> ImportMapping:
    what = "Panoptic-DeepLab on ResNet-50"
    class_count = _class_count(tensors, "decoder.semantic_head.classifier.semantic.1.weight", what)
    if _depth(tensors, "backbone.", what) != 50:
        raise WeightsError(f"the checkpoint has the backbone ResNet-101, expected {what}")
    options = {"backbone": "resnet50", "pooling_norm": False, "coordinates": "align_corners"}
    layers = list(model_names.panoptic_deeplab(PANOPTIC_RATES[given["output_stride"]]))
    return ImportMapping(
        options, layers, class_count=class_count, left_out={**NOT_WEIGHTS, r"^backbone\.fc\.": "its classifier"}
    )


def _unet(model: str, tensors: Tensors, given: Mapping[str, Any]) -> ImportMapping:
    what = "U-Net with transposed convolutions"
    class_count = _class_count(tensors, "outc.conv.weight", what)
    _require(tensors, "up1.up.weight", what)
    return ImportMapping(
        {"batch_norm": True, "normalisation": "unit"}, list(model_names.unet()), class_count=class_count
    )


def _torchvision(model: str, tensors: Tensors, given: Mapping[str, Any]) -> ImportMapping:
    if model == "bayesian_segnet":
        _require(tensors, "features.0.weight", "VGG16")
        has_norms = "features.1.running_mean" in tensors
        left_out = {**NOT_WEIGHTS, r"^classifier\.": "VGG's ImageNet classifier"}
        return ImportMapping(
            {"normalisation": "imagenet"}, list(backbone_names.torch_vgg16(has_norms)), left_out=left_out
        )
    depth, deep = _depth(tensors, "", "ResNet"), "conv1.0.weight" in tensors
    options = _resnet_options(model, depth, deep)
    layers = list(backbone_names.torch_resnet("", depth, deep))
    return ImportMapping(
        {**options, "normalisation": "imagenet"}, layers, left_out={**NOT_WEIGHTS, **IMAGENET_CLASSIFIER}
    )


def _keras_applications(model: str, tensors: Tensors, given: Mapping[str, Any]) -> ImportMapping:
    if model == "bayesian_segnet":
        _require(tensors, "block1_conv1/kernel", "VGG16")
        left_out = {r"^(fc1|fc2|predictions)/": "VGG's ImageNet classifier"}
        return ImportMapping(
            {"normalisation": "caffe"}, list(backbone_names.keras_vgg16()), left_out=left_out, naming="keras"
        )
    if is_mobilenet(tensors):
        return _keras_mobilenet(model, tensors)
    _require(tensors, "conv1_conv/kernel", "ResNet")
    blocks = sum(name.startswith("conv4_block") and name.endswith("_1_conv/kernel") for name in tensors)
    if blocks not in backbone_names.DEPTH_OF_BLOCKS:
        raise WeightsError(f"the checkpoint has {blocks} blocks in its third stage, expected ResNet50 or ResNet101")
    depth = backbone_names.DEPTH_OF_BLOCKS[blocks]
    options = {**_resnet_options(model, depth, deep=False), "stride_on": "1x1", "normalisation": "caffe"}
    left_out = {r"^(predictions|probs|fc1000)/": "ResNet's ImageNet classifier"}
    layers = list(backbone_names.keras_resnet(depth))
    return ImportMapping(options, layers, left_out=left_out, naming="keras", epsilon=1.001e-5)


def _keras_mobilenet(model: str, tensors: Tensors) -> ImportMapping:
    if model != "panoptic_deeplab":
        raise WeightsError(f"the checkpoint is a MobileNetV3, which {model} does not take")
    left_out = {r"^(conv_1|conv_1_bn|conv_2|logits|predictions)/": "what follows its last feature map"}
    skipped = ("conv_1/", "conv_1_bn/", "conv_2/", "logits/")
    names = dict.fromkeys(name.split("/")[0] for name in tensors if not name.startswith(skipped))
    mappings = []
    for layer in names:
        kind = (
            "norm" if f"{layer}/gamma" in tensors else "depthwise" if f"{layer}/depthwise_kernel" in tensors else "conv"
        )
        mappings.append(LayerMapping(layer, kind, layer))
    # The layers here are Keras Applications' own, with their epsilon.
    options = {"backbone": "mobilenet_v3_large", "normalisation": "symmetric"}
    return ImportMapping(options, mappings, left_out=left_out, naming="keras", epsilon=EPSILON)


def _resnet_options(model: str, depth: int, deep: bool) -> dict[str, Any]:
    if model == "fastfcn":
        return {"depth": depth, "stem": "deep" if deep else "plain"}
    if deep:
        raise WeightsError(f"the checkpoint has a stem of three convolutions, {model} has the plain one of 7x7")
    if model == "panoptic_deeplab":
        if depth != 50:
            raise WeightsError("the checkpoint is a ResNet-101, panoptic_deeplab has a ResNet-50")
        return {"backbone": "resnet50"}
    return {"depth": depth} if "depth" in OPTIONS[model] else {}


_MAPPINGS: dict[str, Callable[[str, Tensors, Mapping[str, Any]], ImportMapping]] = {
    "fastfcn": _fastfcn,
    "fast-scnn-pytorch": _fast_scnn,
    "deeplabv3plus-pytorch": _deeplabv3plus,
    "pytorch-semseg": _segnet,
    "panoptic-deeplab": _panoptic_deeplab,
    "pytorch-unet": _unet,
    "torchvision": _torchvision,
    "keras-applications": _keras_applications,
}
