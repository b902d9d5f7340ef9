"""Which layers of a network are its backbone: those that weights of ImageNet fill."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from train.checkpoint_import import CHECKPOINT_FAMILIES, families_of
from train.checkpoint_import.backbone_names import keras_vgg16, torch_resnet
from train.checkpoint_import.layer_weights import LayerMapping
from train.options import resolve_options

_MOBILENET_BEGINNINGS = ("conv", "expanded")
"""First words of the names of MobileNetV3's layers in Keras Applications; no layer behind the backbone has them."""

_VGG16_MODELS = ("bayesian_segnet",)


def backbone_layers(model: str, given: Mapping[str, Any], layers: Iterable[str]) -> frozenset[str]:
    """Return the names of the layers that an import of ImageNet weights fills.

    Args:
        model: key in train.models.MODELS.
        given: options of the architecture that differ from its defaults.
        layers: names of the network's layers.

    Returns:
        Names of those among `layers`; none for an architecture whose backbone was never published by itself.
    """
    if all(CHECKPOINT_FAMILIES[family].has_classifier for family in families_of(model)):
        return frozenset()
    options = resolve_options(model, given)
    if options.get("backbone") == "mobilenet_v3_large":
        return frozenset(name for name in layers if name.split("_")[0] in _MOBILENET_BEGINNINGS)
    filled = _mappings(model, options)
    return frozenset(layers) & {mapping.layer for mapping in filled}


def _mappings(model: str, options: Mapping[str, Any]) -> Iterable[LayerMapping]:
    if model in _VGG16_MODELS:
        return keras_vgg16()
    return torch_resnet("", options.get("depth", 50), options.get("stem") == "deep")
