"""Published weights: whose checkpoints can be read, and for which architectures.

Keras is not needed to read this table; train/checkpoint_import/mappings.py says how each is read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
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

SOURCES: dict[str, Source] = {
    "fastfcn": Source("wuhuikai/FastFCN", ("fastfcn",), True),
    "fast-scnn-pytorch": Source("Tramac/Fast-SCNN-pytorch", ("fast_scnn",), True),
    "deeplabv3plus-pytorch": Source("VainF/DeepLabV3Plus-Pytorch", ("deeplabv3plus",), True),
    "pytorch-semseg": Source("meetps/pytorch-semseg", ("bayesian_segnet",), True),
    "panoptic-deeplab": Source("bowenc0221/panoptic-deeplab", ("panoptic_deeplab",), True),
    "pytorch-unet": Source("milesial/Pytorch-UNet", ("unet",), True),
    "torchvision": Source(
        "ResNet-50, ResNet-101 and VGG16 as torchvision names them", (*_WITH_RESNET, "bayesian_segnet"), False
    ),
    "keras-applications": Source(
        "ResNet50, ResNet101, VGG16 and MobileNetV3Large of Keras Applications",
        (*_WITH_RESNET, "bayesian_segnet"),
        False,
    ),
}
"""Name behind `--source` -> source."""


def sources_of(model: str) -> list[str]:
    """Return the names of the sources whose checkpoints fit an architecture."""
    return [name for name, source in SOURCES.items() if model in source.models]
