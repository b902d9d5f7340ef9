from __future__ import annotations

import dataclasses
import json

import pytest

from edge.card import build_command
from edge.contract import (
    CENTRE_HEATMAP,
    CONTRACT_FILE,
    GRAPH_FILE,
    OFFSETS,
    UNCERTAINTY,
    Contract,
    OutputTensor,
    read_contract,
)
from edge.errors import ContractError, GraphError, InputError
from edge.provenance import WeightsProvenance
from edge.records import read_record, write_record


def test_contract_comes_back_from_its_folder(make_engine):
    artefact = make_engine().parents[1]
    contract = read_contract(artefact)
    assert contract == read_record(Contract, artefact / CONTRACT_FILE)
    assert contract.weights.trained_size == (16, 32)


CENTRE = OutputTensor("centre", 1, CENTRE_HEATMAP)
OFFSET = OutputTensor("offset", 2, OFFSETS, "positions")
ENTROPY = OutputTensor("entropy", 1, UNCERTAINTY, "nats", 2.3978952727983707)


def test_contract_of_several_outputs_comes_back_from_its_folder(make_engine):
    outputs, options = (CENTRE, OFFSET, ENTROPY), {"depth": 101, "head": "psp", "norm": True, "rate": 0.1}
    contract = read_contract(make_engine(extra_outputs=outputs, batch=2, options=options).parents[1])
    assert (contract.extra_outputs, contract.batch, contract.options) == (outputs, 2, options)
    assert contract.extra_outputs[0].maximum is None


def test_shapes_follow_from_size_stride_and_classes(contract):
    assert contract.input_shape == (1, 16, 32, 3)
    assert contract.output_shape == (1, 11, 4, 8)
    assert contract.output_shapes == {"logits": (1, 11, 4, 8)}


def test_every_output_has_the_size_of_the_logits_and_the_batch(contract):
    contract = dataclasses.replace(contract, extra_outputs=(CENTRE, OFFSET), batch=3)
    assert contract.input_shape == (3, 16, 32, 3)
    assert list(contract.output_shapes.items()) == [
        ("logits", (3, 11, 4, 8)),
        ("centre", (3, 1, 4, 8)),
        ("offset", (3, 2, 4, 8)),
    ]


def test_outputs_of_one_name_are_refused(contract):
    for outputs in ((CENTRE, CENTRE), (dataclasses.replace(CENTRE, name="logits"),)):
        with pytest.raises(ContractError, match="names an output twice: logits, "):
            dataclasses.replace(contract, extra_outputs=outputs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "depth"}, "output 'centre' is 'depth', expected one of: centre heat map, offsets, uncertainty"),
        ({"channels": 0}, "output 'centre' has 0 channels, expected at least 1"),
    ],
)
def test_impossible_output_is_refused(changes, message):
    with pytest.raises(ContractError, match=message):
        dataclasses.replace(CENTRE, **changes)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_contract_is_refused(make_engine, share):
    path = make_engine().parents[1] / CONTRACT_FILE
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ContractError, match=r"contract .*contract\.json is damaged"):
        read_contract(path.parent)


def test_truncated_graph_is_refused_with_the_command_that_exports_again(make_engine):
    path = make_engine().parents[1] / GRAPH_FILE
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(GraphError, match=r"truncated or was replaced.*to_onnx\.py --model tiny .* --size 16x32"):
        read_contract(path.parent)


def test_missing_graph_or_contract_is_named(make_engine, tmp_path):
    artefact = make_engine().parents[1]
    (artefact / GRAPH_FILE).unlink()
    with pytest.raises(InputError, match=r"graph not found: .*model\.onnx\. Next: python export/to_onnx\.py"):
        read_contract(artefact)
    with pytest.raises(InputError, match="contract not found"):
        read_contract(tmp_path / "none")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coordinates": "nearest"}, "coordinate rule 'nearest', expected one of: "),
        ({"height": 18}, "18x32 at stride 4, expected a size that is a multiple of the stride"),
        ({"width": 33}, "16x33 at stride 4"),
        ({"height": 0}, "0x32 at stride 4"),
        ({"stride": 0}, "at stride 0"),
        ({"height": -4}, "-4x32"),
        ({"batch": 0}, "has a batch of 0, expected at least 1"),
        ({"class_names": ()}, "has 0 classes"),
        ({"class_names": tuple(map(str, range(256)))}, "has 256 classes, expected 2 to 255"),
        ({"class_names": ("road",)}, 'has 1 class, expected 2 to 255: .* "decision": "binary"'),
    ],
)
def test_impossible_contract_is_refused(contract, tmp_path, changes, message):
    with pytest.raises(ContractError, match=message):
        dataclasses.replace(contract, **changes)
    # The same holds for a file that somebody edited.
    broken = {name: list(value) if isinstance(value, tuple) else value for name, value in changes.items()}
    write_record(tmp_path / CONTRACT_FILE, contract)
    text = (tmp_path / CONTRACT_FILE).read_text()
    (tmp_path / CONTRACT_FILE).write_text(json.dumps({**json.loads(text), **broken}))
    with pytest.raises(ContractError, match=message):
        read_record(Contract, tmp_path / CONTRACT_FILE)


def test_weights_say_where_they_come_from():
    trained = WeightsProvenance("trained", "runs/one", "0", miou=0.71234)
    assert trained.sentence() == "trained weights of runs/one, validation mIoU 71.23 %"
    trained = dataclasses.replace(trained, trained_size=(512, 1024))
    assert trained.sentence().endswith(", validation mIoU 71.23 % at 512x1024")
    assert WeightsProvenance("imported", "a.h5", "0").sentence() == "imported weights of a.h5"
    assert "only the speed" in WeightsProvenance("random", "seed 0", "0").sentence()
    mixed = WeightsProvenance("imported", "net.pth", "0", random_layers=("logits", "a", "b", "c"))
    assert mixed.sentence() == "imported weights of net.pth, but random ones in logits, a, b and 1 more"


def test_random_weights_have_a_caption_and_a_warning_and_others_have_none():
    random, trained = WeightsProvenance("random", "seed 0", "0"), WeightsProvenance("trained", "run", "0")
    assert (random.is_random, random.caption(), random.warning()) == (True, "random weights", random.sentence())
    assert (trained.is_random, trained.caption(), trained.warning()) == (False, "", "")


def test_given_weights_are_said_to_be_given():
    given = WeightsProvenance("given", "checkpoint of June", "0")
    assert given.sentence() == "weights given with the graph: checkpoint of June"


def test_contract_of_an_adopted_graph_comes_back_from_its_folder(make_engine):
    files = ("nets/a b.onnx", "nets/a.json")
    artefact = make_engine(adopted_from=files).parents[1]
    contract = read_contract(artefact)
    assert contract.adopted_from == files
    assert read_contract(make_engine("exported").parents[1]).adopted_from is None


def test_adopted_graph_is_made_again_from_its_files(contract):
    adopted = dataclasses.replace(contract, adopted_from=("nets/a b.onnx", "a.json"), options={"depth": 50})
    command = "python export/build_engine.py --onnx 'nets/a b.onnx' --contract a.json --size 16x32"
    assert adopted.adoption_command() == adopted.export_command() == command
    assert build_command(adopted, "--int8", "--backend onnxruntime") == f"{command} --int8 --backend onnxruntime"


def test_exported_graph_has_no_files_to_adopt(contract):
    with pytest.raises(ContractError, match=r"tiny was exported, not adopted\. Next: python export/to_onnx\.py"):
        contract.adoption_command()


def test_adoption_from_other_than_a_graph_and_its_contract_is_refused(contract):
    with pytest.raises(ContractError, match="is adopted from 1 files, expected a graph and its contract"):
        dataclasses.replace(contract, adopted_from=("a.onnx",))
