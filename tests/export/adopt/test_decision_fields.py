from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.contract import OWN_CLASSES
from edge.errors import ContractError
from edge.labels import CAMVID
from export.adopt.contract import foreign_contract
from export.adopt.decision_fields import AskedDecision

MASK = {
    "name": "guest",
    "class_names": ["road"],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "scale": 255,
    "channel_order": "rgb",
}
THREE = ["road", "car", "sky"]


def read(**fields):
    return foreign_contract({**MASK, **fields}, "c.json")


def test_contract_without_a_decision_asks_for_none():
    contract = read(class_names=THREE)
    assert contract.decision == AskedDecision(channel_counts=(3,))
    assert contract.class_names == tuple(THREE)
    assert read(class_names=THREE, decision=None, threshold=None, background=None, void_channel=None) == contract


@pytest.mark.parametrize(
    ("fields", "labels", "asked"),
    [
        ({"decision": "binary"}, ("background", "road"), AskedDecision("binary", None, "background", None, (1,))),
        (
            {"decision": "binary", "threshold": 0.3, "background": "rest"},
            ("rest", "road"),
            AskedDecision("binary", (0.3,), "rest", None, (1,)),
        ),
        (
            {"decision": "binary", "class_names": ["rest", "road"], "threshold": [-2]},
            ("rest", "road"),
            AskedDecision("binary", (-2.0,), "rest", None, (1, 2)),
        ),
        (
            {"decision": "per-class", "background": "no"},
            ("no", "road"),
            AskedDecision("per-class", None, "no", None, (1,)),
        ),
        (
            {"decision": "per-class", "background": "no", "class_names": THREE, "threshold": [0.1, 0.2, 0.3]},
            ("no", *THREE),
            AskedDecision("per-class", (0.1, 0.2, 0.3), "no", None, (3,)),
        ),
        (
            {"decision": "per-class", "background": "sky", "class_names": THREE, "void_channel": "sky"},
            ("sky", "road", "car"),
            AskedDecision("per-class", None, "sky", 2, (3,)),
        ),
        ({"class_names": THREE, "void_channel": 0}, tuple(THREE), AskedDecision(None, None, None, 0, (4,))),
        ({"class_names": THREE, "void_channel": "road"}, ("car", "sky"), AskedDecision(None, None, None, 0, (3,))),
        ({"class_names": THREE, "decision": "argmax"}, tuple(THREE), AskedDecision("argmax", None, None, None, (3,))),
    ],
)
def test_labels_begin_with_the_background_and_leave_the_void_channel_out(fields, labels, asked):
    contract = read(**fields)
    assert (contract.dataset, contract.class_names, contract.decision) == (OWN_CLASSES, labels, asked)


def test_void_channel_of_a_dataset_is_beside_its_classes():
    contract = read(class_names=None, dataset="camvid", void_channel=11)
    assert contract.class_names == CAMVID.class_names
    assert contract.decision.channel_counts == (12,)


def test_examples_of_the_documentation_are_contracts():
    page = (Path(__file__).resolve().parents[3] / "docs" / "any-network.md").read_text(encoding="utf-8")
    section = page[page.index("## Decisions") : page.index("## What is done to it")]
    rows = [row.split(" | ")[1].strip("`") for row in section.splitlines() if row.startswith("| ") and '"' in row]
    assert len(rows) >= 8
    base = '"class_names": ["road", "car"], "decision": "per-class", "background": "none", '
    for row in rows:
        fields = json.loads("{" + row.replace("..., ", base) + "}")
        named = {"dataset", "class_names"}.intersection(fields)
        read(
            **{
                **({} if named else {"class_names": THREE}),
                **({"class_names": None} if "dataset" in fields else {}),
                **fields,
            }
        )
    whole = json.loads(section[section.index("    {") : section.index("    }") + 5])
    contract = foreign_contract(whole, "example")
    assert contract.class_names == ("background", "road")
    assert contract.decision == AskedDecision("binary", (0.3,), "background", None, (1,))


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"decision": "Binary"}, "decision is 'Binary', expected 'argmax' or 'binary' or 'per-class'"),
        ({"decision": ["binary"]}, "decision is ['binary'], expected 'argmax'"),
        ({"thresholds": 0.5}, "unknown field 'thresholds', did you mean 'threshold'"),
        ({"threshold": 0.5}, 'has a threshold and no decision, which has none. Next: "decision": "binary"'),
        ({"background": "b"}, 'has a background and no decision, which has none. Next: "decision": "binary"'),
        ({"decision": "argmax", "class_names": THREE, "threshold": 1}, "has a threshold and the decision argmax"),
        ({"decision": "argmax"}, "has 1 class and the decision argmax, which is label 0 everywhere"),
        ({"decision": "binary", "class_names": THREE}, "has 3 classes and the decision binary, expected 1, or 2 with"),
        ({"decision": "binary", "void_channel": 1}, "has a void_channel and the decision binary"),
        ({"decision": "binary", "class_names": None, "dataset": "camvid"}, "has a dataset and the decision binary"),
        (
            {"decision": "per-class", "class_names": None, "dataset": "camvid", "background": "b"},
            "has a dataset and the decision per-class, whose label 0 is a background that the dataset has no id for. "
            "Next: class_names in place of dataset",
        ),
        (
            {"decision": "binary", "class_names": ["rest", "road"], "background": "road"},
            "background is 'road', the first of 2 class_names is 'rest', expected the same",
        ),
        ({"decision": "binary", "background": "road"}, "background is 'road', which is a class too"),
        ({"decision": "binary", "background": 0}, "background is 0, expected a text"),
        ({"decision": "binary", "class_names": ["background"]}, "background is 'background', which is a class too"),
        ({"decision": "per-class", "class_names": THREE}, "has the decision per-class and no background"),
        (
            {"decision": "per-class", "class_names": THREE, "background": "sky"},
            "background is 'sky', which is a class too, expected a name of its own: it is where no class is over its "
            'threshold. Next: another name, or "void_channel": "sky" to leave that channel out',
        ),
        (
            {"decision": "per-class", "class_names": [f"c{index}" for index in range(255)], "background": "b"},
            "has 256 labels with the background, expected at most 255",
        ),
        ({"decision": "binary", "threshold": "0.5"}, "threshold is '0.5', expected a number, or a list of 1"),
        ({"decision": "binary", "threshold": True}, "threshold is true, expected a number"),
        ({"decision": "binary", "threshold": float("nan")}, "threshold is nan, expected a number"),
        ({"decision": "binary", "threshold": []}, "threshold is [], expected a number"),
        (
            {"decision": "binary", "threshold": [0.5, 0.5]},
            "threshold has 2 numbers, expected 1, one for each class but",
        ),
        (
            {"decision": "per-class", "class_names": THREE, "background": "b", "threshold": [0.5, 0.5]},
            "threshold has 2 numbers, expected 3",
        ),
        (
            {"class_names": THREE, "void_channel": 4},
            "void_channel is 4, expected an index from 0 to 3: 3 classes and it",
        ),
        ({"class_names": THREE, "void_channel": -1}, "void_channel is -1, expected an index from 0 to 3"),
        ({"class_names": THREE, "void_channel": True}, "void_channel is true, expected an index"),
        ({"class_names": THREE, "void_channel": 1.0}, "void_channel is 1.0, expected an index"),
        (
            {"class_names": THREE, "void_channel": "void"},
            "void_channel is 'void', expected an index from 0, or one of ",
        ),
        ({"void_channel": 1}, "has 1 class beside the void channel, which is label 0 everywhere"),
        ({"class_names": ["a", "b"], "void_channel": "a"}, "has 1 class beside the void channel"),
        ({"void_channel": "road"}, "void_channel is 'road', the only class, expected a class beside it"),
        ({"class_names": None, "dataset": "camvid", "void_channel": "sky"}, "void_channel is 'sky', expected an index"),
        ({"class_names": None, "dataset": "camvid", "void_channel": 12}, "expected an index from 0 to 11"),
    ],
)
def test_decision_that_means_nothing_is_refused(fields, line):
    with pytest.raises(ContractError) as caught:
        read(**fields)
    message = str(caught.value)
    assert message.startswith("contract c.json: ") and line in message
    assert "\n" not in message and len(message) < 300
