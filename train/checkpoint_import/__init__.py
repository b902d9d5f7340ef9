"""Published weights: whose checkpoints can be read, and for which architectures.

Keras is not needed to read this table; train/checkpoint_import/mappings.py says how each is read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckpointFamily:
    """Whose checkpoints.

    Attributes:
        title: repository or package.
        models: architectures that its checkpoints fit.
        whole: they hold the whole network with its classifier; else a backbone trained on ImageNet.
    """

    title: str
    models: tuple[str, ...]
    whole: bool


_WITH_RESNET = ("deeplabv3plus", "fastfcn", "panoptic_deeplab")

CHECKPOINT_FAMILIES: dict[str, CheckpointFamily] = {
    "fastfcn": CheckpointFamily("wuhuikai/FastFCN", ("fastfcn",), True),
    "fast-scnn-pytorch": CheckpointFamily("Tramac/Fast-SCNN-pytorch", ("fast_scnn",), True),
    "deeplabv3plus-pytorch": CheckpointFamily("VainF/DeepLabV3Plus-Pytorch", ("deeplabv3plus",), True),
    "pytorch-semseg": CheckpointFamily("meetps/pytorch-semseg", ("bayesian_segnet",), True),
    "panoptic-deeplab": CheckpointFamily("bowenc0221/panoptic-deeplab", ("panoptic_deeplab",), True),
    "pytorch-unet": CheckpointFamily("milesial/Pytorch-UNet", ("unet",), True),
    "torchvision": CheckpointFamily(
        "ResNet-50, ResNet-101 and VGG16 as torchvision names them", (*_WITH_RESNET, "bayesian_segnet"), False
    ),
    "keras-applications": CheckpointFamily(
        "ResNet50, ResNet101, VGG16 and MobileNetV3Large of Keras Applications",
        (*_WITH_RESNET, "bayesian_segnet"),
        False,
    ),
}
"""Name behind `--source` -> source."""


def families_of(model: str) -> list[str]:
    """Return the names of the sources whose checkpoints fit an architecture."""
    return [name for name, source in CHECKPOINT_FAMILIES.items() if model in source.models]
