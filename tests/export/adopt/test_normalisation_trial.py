"""Other normalisations of an adopted graph: which are tried, and that the graph then computes what its owner's does."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

from edge.contract import GRAPH_FILE
from edge.runtime.onnxruntime import open_session
from export.adopt.adoption import adopt
from export.adopt.contract import foreign_contract
from export.adopt.normalisation_trial import other_contracts, spelled, with_other_normalisation
from tests.export.foreign_graphs import CONTRACT, HEIGHT, WIDTH, street_network


def contract(**fields):
    return foreign_contract({**CONTRACT, **fields}, "c.json")


def adopted(folder, **fields):
    """Return the adopted graph of a contract with other fields."""
    Path(folder).mkdir(exist_ok=True)
    (folder / "net.onnx").write_bytes(street_network(end="logits").SerializeToString())
    (folder / "net.json").write_text(json.dumps({**CONTRACT, "coordinates": "half_pixel", **fields}))
    adoption = adopt(folder / "net.onnx", folder / "net.json", folder / "artifacts")
    return onnx.load(str(adoption.folder / GRAPH_FILE))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_changed_graph_computes_what_the_owners_does_under_every_other_contract(tmp_path, order):
    model = adopted(tmp_path, channel_order=order, mean=[0.1, 0.2, 0.3], std=[0.2, 0.3, 0.4])
    given = contract(channel_order=order, mean=[0.1, 0.2, 0.3], std=[0.2, 0.3, 0.4])
    frame = np.random.default_rng(1).integers(0, 256, (1, HEIGHT, WIDTH, 3)).astype(np.uint8)
    owners = open_session(str(tmp_path / "net.onnx"))
    for other in other_contracts(given):
        changed = with_other_normalisation(model, given, other)
        onnx.checker.check_model(changed)
        logits = open_session(changed.SerializeToString()).run(["logits"], {"frame": frame})[0]
        wanted = owners.run(None, {"x": other.normalise(frame)})[0]
        # Sums in another order: 1e-5 of the range, as between an adopted graph and the given one.
        assert np.abs(logits - wanted).max() < 1e-4 * np.ptp(wanted), spelled(other)


def test_graph_that_was_adopted_stays_as_it_is(tmp_path):
    model = adopted(tmp_path)
    before = model.SerializeToString(deterministic=True)
    with_other_normalisation(model, contract(), other_contracts(contract())[0])
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"channel_order": "bgr"},
        {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "scale": 1},
        {"mean": [0, 0, 0], "std": [1, 1, 1], "scale": 1},
        {"mean": [72.4, 82.9, 73.2], "std": [45.3, 46.2, 44.9], "scale": 1, "channel_order": "bgr"},
    ],
)
def test_every_tried_contract_may_stand_in_a_file_and_is_another_input(given):
    owners = contract(**given)
    frame = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3) * 10
    inputs = [owners.normalise(frame)]
    others = other_contracts(owners)
    assert 9 <= len(others) <= 15
    for other in others:
        fields = json.loads("{" + spelled(other) + "}")
        again = contract(**fields)
        np.testing.assert_allclose(again.normalise(frame), other.normalise(frame), rtol=1e-4, atol=1e-4)
        assert dataclasses.replace(again, **{name: getattr(owners, name) for name in fields}) == owners
        inputs.append(other.normalise(frame))
    keys = {tuple(np.round(tensor.ravel(), 6)) for tensor in inputs}
    assert len(keys) == len(inputs)


def test_habits_and_both_readings_of_contradictory_figures_are_tried():
    tried = [
        (other.channel_order, tuple(np.round(np.ravel(other.factor_and_offset()), 6)))
        for other in other_contracts(contract(mean=[72.4, 82.9, 73.2], std=[45.3, 46.2, 44.9], scale=1))
    ]

    def is_tried(order, mean, std, scale):
        wanted = contract(mean=mean, std=std, scale=scale, channel_order=order)
        return (order, tuple(np.round(np.ravel(wanted.factor_and_offset()), 6))) in tried

    assert is_tried("bgr", [73.2, 82.9, 72.4], [44.9, 46.2, 45.3], 1)  # the owner's, each with its colour
    assert is_tried("rgb", [72.4, 82.9, 73.2], [45.3 * 255, 46.2 * 255, 44.9 * 255], 1)
    assert is_tried("rgb", CONTRACT["mean"], CONTRACT["std"], 255)
    assert is_tried("bgr", [0.5] * 3, [0.5] * 3, 255)
    assert is_tried("bgr", [0] * 3, [1] * 3, 255)
    assert is_tried("bgr", [103.53, 116.28, 123.675], [1] * 3, 1)


def test_mean_and_spread_of_the_images_are_tried_in_both_orders_and_with_a_division_more():
    others = other_contracts(contract(), ((90.0, 100.0, 110.0), (50.0, 60.0, 70.0)))
    tried = {(other.channel_order, other.mean, other.std, other.scale) for other in others}
    assert ("rgb", (90.0, 100.0, 110.0), (50.0, 60.0, 70.0), 1) in tried
    assert ("bgr", (110.0, 100.0, 90.0), (70.0 * 255, 60.0 * 255, 50.0 * 255), 1) in tried
    assert len(other_contracts(contract(), ((9.0,) * 3, (0.0,) * 3))) == len(other_contracts(contract()))
