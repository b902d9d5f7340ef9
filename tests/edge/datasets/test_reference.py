"""A dataset is named in folders and records, and found by its description, which may have moved or changed."""

from __future__ import annotations

import pytest

from edge.datasets.reference import DatasetReference, change_sentence, dataset_reference, recorded_dataset
from edge.errors import DatasetError, InputError
from tests.edge.datasets.description.described import CLASSES, write_description


def test_description_is_known_by_its_name_and_opened_by_its_path(tmp_path):
    path = write_description(tmp_path)
    reference = dataset_reference(path)
    assert (reference.name, reference.option, reference.is_here) == ("yard", path, True)
    assert [each.name for each in reference.classes()] == ["other", "rail", "trackbed"]
    assert recorded_dataset("yard", reference.described()) == reference


def test_registered_dataset_is_its_name():
    reference = dataset_reference("camvid")
    assert reference == DatasetReference("camvid") == recorded_dataset("camvid", None)
    assert (reference.option, reference.is_here, reference.described()) == ("camvid", True, None)


def test_description_that_is_away_is_named_with_the_way_out(tmp_path):
    reference = dataset_reference(write_description(tmp_path))
    (tmp_path / "yard.json").unlink()
    assert not reference.is_here and change_sentence(reference, reference_described(tmp_path), "the training") == ""
    with pytest.raises(DatasetError, match=r"description of yard not found: .*yard\.json.*Next: --dataset FILE"):
        reference.require_here()
    with pytest.raises(InputError, match="dataset is 'own', expected one of"):
        recorded_dataset("own", None).require_here()


def reference_described(folder):
    other = folder / "other"
    return dataset_reference(write_description(other)).described()


def test_two_descriptions_of_one_name_are_told_apart_by_what_they_say(tmp_path):
    one, same = write_description(tmp_path / "one"), write_description(tmp_path / "two")
    described = dataset_reference(one).described()
    assert change_sentence(dataset_reference(one), described, "the training") == ""
    assert change_sentence(dataset_reference(same), described, "the training") == ""
    other = write_description(tmp_path / "three", classes=[*CLASSES[:2], {"name": "ballast", "ids": [2]}])
    told = change_sentence(dataset_reference(other), described, "the training")
    assert told.startswith(f"{other} (then {one}) says something else than at the training: got ")
    assert told.endswith(f"expected {described.sha256[:12]}")
