from __future__ import annotations

import dataclasses
import json

import pytest

from edge.contract import CONTRACT_FILE, Contract
from edge.decision import ARGMAX, BINARY, PER_CLASS, PROBABILITY, Decision
from edge.errors import ContractError
from edge.records import read_record, record_from_json, record_to_json

ROAD_MASK = Decision(BINARY, (0.3,), PROBABILITY, "ground")
TWO_KINDS = Decision(PER_CLASS, (0.5, -1.25), background="neither", void_channel=2)


@pytest.mark.parametrize("decision", [ROAD_MASK, TWO_KINDS, Decision(ARGMAX, void_channel=11)])
def test_decision_comes_back_from_json(decision):
    text = json.dumps(record_to_json(decision))
    assert record_from_json(Decision, json.loads(text), "card") == decision


def test_contract_with_a_decision_comes_back_from_its_folder(make_engine):
    artefact = make_engine(decision=ROAD_MASK, class_names=("ground", "road")).parents[1]
    assert read_record(Contract, artefact / CONTRACT_FILE).decision == ROAD_MASK


def test_contract_that_was_written_before_decisions_is_read_as_the_largest_of_all(make_engine):
    path = make_engine().parents[1] / CONTRACT_FILE
    fields = json.loads(path.read_text())
    del fields["decision"]
    path.write_text(json.dumps(fields))
    contract = read_record(Contract, path)
    assert contract.decision is None
    assert contract.decision_sentence() == ""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "largest"}, "the decision is 'largest', expected one of: argmax, binary, per-class"),
        ({"unit": "percent"}, "the unit of its threshold is 'percent', expected one of: probability, logit"),
        ({"thresholds": ()}, "the decision binary has 0 thresholds and the background ground, expected both"),
        ({"background": None}, "has 1 thresholds and the background None, expected both"),
        ({"kind": ARGMAX}, "the decision argmax has 1 thresholds and the background ground, expected neither"),
    ],
)
def test_decision_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(ContractError, match=message):
        dataclasses.replace(ROAD_MASK, **fields)


@pytest.mark.parametrize(
    ("decision", "names", "message"),
    [
        (
            ROAD_MASK,
            ("road", "ground"),
            "has the background 'ground', the classes begin with 'road', expected the same",
        ),
        (ROAD_MASK, ("ground", "road", "car"), "has 1 thresholds for 3 classes, expected 2: one for each but"),
        (TWO_KINDS, ("neither", "road"), "has 2 thresholds for 2 classes, expected 1"),
    ],
)
def test_contract_of_other_classes_than_its_decision_is_refused(contract, decision, names, message):
    with pytest.raises(ContractError, match=message):
        dataclasses.replace(contract, class_names=names, decision=decision)


@pytest.mark.parametrize(
    ("decision", "names", "sentence"),
    [
        (ROAD_MASK, ("ground", "road"), "a pixel is 'road' where its probability is over 0.3, else 'ground'"),
        (
            TWO_KINDS,
            ("neither", "road", "car"),
            "a pixel has the class whose logit is over its threshold by most ('road' 0.5, 'car' -1.25), 'neither' "
            "where none is, channel 2 is no class and never wins",
        ),
        (
            Decision(PER_CLASS, (0.5, 0.5), PROBABILITY, "neither"),
            ("neither", "road", "car"),
            "a pixel has the class whose probability is over 0.5 by most, 'neither' where none is",
        ),
        (
            Decision(ARGMAX, void_channel=0),
            ("road", "car"),
            "a pixel has the class of the largest channel, channel 0 is no class and never wins",
        ),
    ],
)
def test_decision_is_said_in_a_sentence(contract, decision, names, sentence):
    assert dataclasses.replace(contract, class_names=names, decision=decision).decision_sentence() == sentence
