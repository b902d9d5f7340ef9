"""Classes travel with a network: names, painted colours, categories and groups, also where nobody has the dataset."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.contract import Contract
from edge.errors import ContractError
from edge.labels import CAMVID, CLASS_TABLES, palette_for
from edge.network_class import NetworkClass, class_difference, network_classes, painted_palette
from edge.records import read_record, record_to_json, write_record


@pytest.mark.parametrize("table", CLASS_TABLES.values(), ids=lambda table: table.name)
def test_classes_say_of_a_table_what_pictures_and_groups_need(table):
    classes = network_classes(table)
    assert [(each.name, each.painted_rgb, each.category) for each in classes] == list(
        zip(table.class_names, table.painted_rgb, table.categories)
    )
    for group, train_ids in table.groups.items():
        assert tuple(index for index, each in enumerate(classes) if group in each.groups) == train_ids
    np.testing.assert_array_equal(painted_palette(classes, ()), palette_for(table.class_names))


def test_other_names_of_a_class_are_those_of_the_list_in_their_order():
    pavement = next(each for each in network_classes(CAMVID) if each.name == "pavement")
    assert "sidewalk" in pavement.other_names and "pavement" not in pavement.other_names


def test_contract_of_before_is_read_and_painted_as_it_was(contract, tmp_path):
    content = record_to_json(contract)
    for name in ("classes", "described"):
        content.pop(name)
    content["weights"].pop("described")
    write_record(tmp_path / "contract.json", content)
    read = read_record(Contract, tmp_path / "contract.json")
    assert read == contract and read.classes == ()
    np.testing.assert_array_equal(read.painted_palette(), palette_for(CAMVID.class_names))


def test_contract_paints_its_own_classes_where_it_has_them(contract, tmp_path):
    classes = tuple(NetworkClass(name, (index, 2, 3), "other") for index, name in enumerate(contract.class_names))
    written = dataclasses.replace(contract, classes=classes)
    write_record(tmp_path / "contract.json", written)
    palette = read_record(Contract, tmp_path / "contract.json").painted_palette()
    assert palette.shape == (256, 3) and palette[10].tolist() == [10, 2, 3] and not palette[11:].any()


def test_classes_that_are_not_those_of_the_channels_are_refused(contract):
    classes = network_classes(CAMVID)
    with pytest.raises(
        ContractError, match=r"^contract of tiny has classes building, sky.*expected those of class_names"
    ):
        dataclasses.replace(contract, classes=(classes[1], classes[0], *classes[2:]))


def test_colour_out_of_range_is_refused():
    with pytest.raises(ContractError, match=r"class 'rail' is painted in \[256, 0, 0\], expected red, green and blue"):
        NetworkClass("rail", (256, 0, 0), "rail")


def test_difference_of_classes_names_the_first_one():
    assert class_difference(["a", "b"], "yard", ["a", "b"], "the engine", "yard") == ""
    assert class_difference(["a"], "yard", ["a", "b"], "the engine", "rail").startswith(
        "yard has 1 classes, the engine"
    )
    told = class_difference(["a", "c"], "yard", ["a", "b"], "the engine", "rail")
    assert told == "class 1 of yard is 'c', that of the engine for rail is 'b', expected the same classes"
