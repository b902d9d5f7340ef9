"""Which layers learn at the rate of the backbone: exactly those that an import of ImageNet weights fills."""

from __future__ import annotations

import pytest

from train.models import model_spec
from train.optimization.backbone_layers import backbone_layers
from train.options import training_options

HEADS = {
    "bayesian_segnet": ("logits",),
    "deeplabv3plus": ("aspp", "decoder", "logits"),
    "fastfcn": ("jpu", "head", "auxiliary", "logits", "presence"),
    "panoptic_deeplab": ("semantic", "instance", "centre", "offset", "logits"),
}
"""Architecture with a backbone -> beginnings of the names of all its other layers."""


@pytest.mark.long
@pytest.mark.parametrize(
    "model, given",
    [
        ("bayesian_segnet", {}),
        ("deeplabv3plus", {"depth": 50}),
        ("fastfcn", {"stem": "deep"}),
        ("fastfcn", {"stem": "plain", "head": "fcn"}),
        ("panoptic_deeplab", {}),
        ("panoptic_deeplab", {"backbone": "mobilenet_v3_large"}),
    ],
)
def test_backbone_is_what_is_no_head(quick_weights, model, given):
    network = model_spec(model).build(64, 64, 5, **training_options(model, given))
    weighted = {layer.name for layer in network.layers if layer.weights}
    found = backbone_layers(model, given, weighted)
    others = {name for name in weighted if name.startswith(HEADS[model]) or name.endswith(("_decoder", "_decoder_bn"))}
    assert found == weighted - others
    assert len(found) > 20


@pytest.mark.parametrize("model", ["fast_scnn", "unet", "tiny"])
def test_network_without_a_published_backbone_has_none(model):
    assert backbone_layers(model, {}, ["conv1", "stem"]) == frozenset()
