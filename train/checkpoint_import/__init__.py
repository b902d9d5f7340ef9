"""Import of published weights: which families of checkpoints can be read, and for which architectures.

A family is a public repository or package whose checkpoints share the names of their tensors. This
table can be read without Keras; train/checkpoint_import/mappings.py says how each family is read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckpointFamily:
    """Published checkpoints that name their tensors alike.

    Attributes:
        title: name of the repository or package, for people.
        models: architectures that the checkpoints fit.
        has_classifier: True where a checkpoint holds a whole segmentation network with its classifier; False
            where it holds a backbone that was trained on ImageNet.
    """

    title: str
    models: tuple[str, ...]
    has_classifier: bool


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
"""Value of the option `--source` of train/import_weights.py -> family of checkpoints."""


def families_of(model: str) -> list[str]:
    """Return the names of the families whose checkpoints fit an architecture."""
    return [name for name, family in CHECKPOINT_FAMILIES.items() if model in family.models]
