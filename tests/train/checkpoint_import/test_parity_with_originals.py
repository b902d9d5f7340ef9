"""With the same weights and the same image, each network gives the logits of its public PyTorch implementation.

The fixtures in tests/train/models/parity/ hold what the originals gave, run with PyTorch outside this
repository. Their weights come from a formula that is repeated here, and go through the same import as
a real checkpoint.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from tests.train.checkpoint_import.published_networks import (
    PUBLISHED,
    checkpoint_shapes,
    read_fixture,
    seeded_checkpoint,
    state_dict_digest,
)
from tests.train.seeded_weights import seeded_image
from train.checkpoint_import.importer import load_tensors
from train.models import model_spec
from train.options import resolve_options

TOLERANCE = 1e-4
"""Of the range of an output: float32 sums in another order; the originals differ from float64 by 1e-6."""

SLOW = {
    "deeplabv3plus_r101_os16",
    "fastfcn_encnet_r101",
    "fastfcn_psp_r50",
    "fastfcn_deeplab_r50",
    "fastfcn_fcn_r50",
    "deeplabv3plus_r50_os8",
    "deeplabv3plus_r50_os16_200x264",
    "panoptic_deeplab_r50_os32_136x200",
    "segnet_72x104",
    "unet_72x104",
}
"""ResNet-101 has no layer that ResNet-50 has not, and a variant or another size little that its architecture has not.
The names of all are checked in every run."""


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_names_and_shapes_of_the_checkpoint_are_those_of_the_original(name):
    fixture, published = read_fixture(name), PUBLISHED[name]
    shapes = checkpoint_shapes(published, fixture["class_count"])
    assert len(shapes) == fixture["tensor_count"]
    assert state_dict_digest(shapes) == fixture["state_dict_sha256"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in sorted(PUBLISHED)]
)
@pytest.mark.long
def test_logits_equal_those_of_the_original(name):
    fixture, published = read_fixture(name), PUBLISHED[name]
    tensors = seeded_checkpoint(published, fixture["class_count"])
    loaded = load_tensors(tensors, published.model, published.source, published.given)
    assert loaded.options == resolve_options(published.model, published.options)
    assert loaded.class_count == fixture["class_count"]

    height, width = fixture["height"], fixture["width"]
    network = model_spec(published.model).build(height, width, loaded.class_count, **loaded.options)
    network.set_weights(loaded.model.get_weights())
    frame = seeded_image(height, width, fixture["image_seed"])[None].astype(np.float32)
    outputs = network(frame, training=False)
    for output, expected in fixture["outputs"].items():
        actual = np.asarray(outputs[published.outputs.get(output, output)])[0]
        if actual.ndim == 3:
            actual = actual.transpose(2, 0, 1)
        assert list(actual.shape) == expected["shape"]
        at = tuple(np.array(expected["positions"]).T)
        spread = expected["maximum"] - expected["minimum"]
        assert np.abs(actual[at] - expected["values"]).max() <= TOLERANCE * spread, output
        assert abs(actual.min() - expected["minimum"]) <= TOLERANCE * spread
        assert abs(actual.max() - expected["maximum"]) <= TOLERANCE * spread
        assert abs(actual.mean() - expected["mean"]) <= TOLERANCE * spread
