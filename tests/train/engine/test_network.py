"""The network of a training: its seed, its precision, its BatchNorm."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.train.engine.small_training import CLASSES, SIDE, SMALL, recipe
from train.engine.network import batch_norms, build_network, judged_part
from train.models.base import LOGITS


def build(seed: int = 0, options: dict | None = None, **changes: object) -> keras.Model:
    return build_network(SMALL, recipe(**changes), SIDE, SIDE, CLASSES, options or {}, seed)


def test_initial_weights_and_dropouts_follow_from_the_seed():
    first, again, other = (build(seed, {"dropout": 0.5}) for seed in (1, 1, 2))
    for one, same, different in zip(first.variables, again.variables, other.variables):
        np.testing.assert_array_equal(one.numpy(), same.numpy())
        if "kernel" in one.path or "seed" in one.path:
            assert (one.numpy() != different.numpy()).any(), one.path


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_network_computes_in_the_precision_of_the_recipe_and_gives_float32(precision):
    network = build(precision=precision)
    assert network.get_layer("stem").compute_dtype == precision.split("_")[1]
    assert {output.dtype for output in network.output.values()} == {"float32"}
    assert {variable.dtype for variable in network.trainable_variables} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_policy_is_put_back_when_a_network_cannot_be_built():
    with pytest.raises(TypeError):
        build(options={"unknown": 1}, precision="mixed_float16")
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("kind, synchronised", [("local", False), ("synchronised", True)])
def test_batch_norms_are_of_the_kind_of_the_recipe(kind, synchronised):
    norms = batch_norms(build(batch_norm=kind))
    assert norms and all(norm.synchronized == synchronised for norm in norms)


def test_judged_part_leaves_out_layers_that_no_loss_reaches():
    network = build()
    part = judged_part(network, [LOGITS])
    assert list(part.output) == [LOGITS]
    assert "auxiliary" not in {layer.name for layer in part.layers}
    assert part.get_layer("stem") is network.get_layer("stem")
