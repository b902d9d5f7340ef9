from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.datasets import class_table, is_description, read_description, recorded_name
from edge.errors import ContractError, DatasetError, InputError
from edge.labels import GROUPS, IGNORE_ID
from tests.edge.datasets.description.described import CLASSES, write_description


def refusal(tmp_path, **fields) -> str:
    """Return the message about a description, without its beginning."""
    path = write_description(tmp_path, **fields)
    with pytest.raises(DatasetError) as caught:
        read_description(path)
    beginning = f"dataset description {path}: "
    message = str(caught.value)
    assert message.startswith(beginning) and "\n" not in message
    return message[len(beginning) :]


def test_classes_of_ones_own_become_a_table(tmp_path):
    classes = [
        {"name": "ballast", "ids": [3, 4], "category": "rail", "groups": ["infrastructure", "wet"]},
        {"name": "person", "ids": [9], "painted": [255, 0, 0], "instances": True, "groups": ["people", "alarm"]},
        {"name": "Gleis", "ids": [7], "colors": ...},
    ]
    classes = [{key: value for key, value in one.items() if value is not ...} for one in classes]
    table = class_table(write_description(tmp_path, classes=classes, ignore={"ids": [0]}))
    assert (table.name, table.class_names) == ("yard", ("ballast", "person", "Gleis"))
    assert table.raw_to_train == {3: 0, 4: 0, 9: 1, 7: 2, 0: IGNORE_ID, 255: IGNORE_ID}
    assert table.categories == ("rail", "other", "other")
    assert table.painted_rgb[1] == (255, 0, 0) and len(set(table.painted_rgb)) == 3
    assert table.groups == {
        **dict.fromkeys(GROUPS, ()),
        "infrastructure": (0,),
        "wet": (0,),
        "people": (1,),
        "alarm": (1,),
    }
    assert table.instance_classes == (1,)


def test_id_of_a_class_is_its_place_where_nothing_else_is_said(tmp_path):
    table = class_table(write_description(tmp_path, classes=["rail", "trackbed", {"name": "other"}]))
    assert table.raw_to_train == {0: 0, 1: 1, 2: 2, 255: IGNORE_ID}


def test_classes_of_colours_have_no_ids(tmp_path):
    classes = [{"name": "rail", "colors": [[255, 0, 0]]}, {"name": "other", "colors": [[0, 255, 0], [0, 0, 255]]}]
    table = class_table(write_description(tmp_path, classes=classes, ignore={"colors": [[0, 0, 0]]}))
    assert table.raw_to_train == {}
    assert table.file_colors == {(255, 0, 0): 0, (0, 255, 0): 1, (0, 0, 255): 1, (0, 0, 0): IGNORE_ID}


def test_classes_of_a_known_dataset_are_taken_by_its_name(tmp_path):
    table = class_table(write_description(tmp_path, classes="camvid"))
    assert (table.name, table.class_count) == ("yard", 11)
    assert table.groups["alarm"] == (8, 9, 10)


def test_255_may_be_a_class(tmp_path):
    table = class_table(write_description(tmp_path, classes=[{"name": "a", "ids": [0]}, {"name": "b", "ids": [255]}]))
    assert table.raw_to_train == {0: 0, 255: 1}


def test_digest_is_of_what_is_said_and_not_of_how_it_is_indented(tmp_path):
    path = Path(write_description(tmp_path))
    first = read_description(path).digest
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4, sort_keys=True))
    assert read_description(path).digest == first
    write_description(tmp_path, classes=CLASSES[::-1])
    assert read_description(path).digest != first


def test_name_of_a_dataset_is_known_by_its_form(tmp_path):
    assert is_description("yard.json") and not is_description("camvid") and not is_description("kitti")
    assert (recorded_name("camvid"), recorded_name(write_description(tmp_path))) == ("camvid", "yard")


def test_comment_and_schema_may_stand_in_it(tmp_path):
    assert read_description(write_description(tmp_path, comment="2026", **{"$schema": "x"})).name == "yard"


def test_missing_and_damaged_files_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"^dataset description not found: .*yard\.json$"):
        read_description(tmp_path / "yard.json")
    (tmp_path / "yard.json").write_text('{\n  "name": "yard", // ours\n}')
    with pytest.raises(ContractError, match=r"yard\.json is not valid JSON: line 2.* a comment, which JSON has not"):
        read_description(tmp_path / "yard.json")
    (tmp_path / "yard.json").write_text("[]")
    with pytest.raises(ContractError, match=r"yard\.json holds a list, expected a JSON object"):
        read_description(tmp_path / "yard.json")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ...}, "it lacks name"),
        ({"clases": []}, "it has the unknown field 'clases', did you mean 'classes'"),
        (
            {"name": "our yard"},
            "name is 'our yard', expected at most 64 letters, digits, '-' and '_': folders are named",
        ),
        ({"name": "camvid"}, "name is 'camvid', which the project uses for something else, expected another name"),
        ({"classes": "railsem"}, "classes is 'railsem', a dataset that is not known, "),
        ({"classes": 3}, "classes is 3, expected a list of classes, or the name of a dataset: cityscapes, "),
        ({"classes": ["rail"]}, "classes has 1 classes, expected 2 to 254"),
        ({"classes": [f"c{i}" for i in range(255)]}, "classes has 255 classes, expected 2 to 254"),
        ({"classes": ["rail", {"ids": [1]}]}, "classes[1] lacks name"),
        ({"classes": ["rail", "a\nb"]}, 'classes[1].name is "a\\nb", expected a text on one line'),
        ({"classes": ["rail", {"name": "x", "id": 1}]}, "classes[1] has the unknown field 'id', did you mean 'ids'"),
        (
            {"classes": ["rail", "Rail "]},
            "classes[1].name is 'Rail', as classes[0] is called, expected each class once",
        ),
        (
            {"classes": ["a", {"name": "b", "ids": [256]}]},
            "classes[1].ids has 256, expected whole numbers from 0 to 255",
        ),
        ({"classes": ["a", {"name": "b", "ids": [True]}]}, "classes[1].ids has true, expected whole numbers from 0 to"),
        (
            {"classes": ["a", {"name": "b", "ids": 1}]},
            "classes[1].ids is 1, expected a list of whole numbers, such as [1]",
        ),
        (
            {"classes": [{"name": "a", "ids": [1]}, {"name": "b", "ids": [2, 1]}]},
            "classes[1].ids has 1, an id that classes[0] ('a') has too, expected it of one class",
        ),
        ({"classes": ["a", {"name": "b", "ids": [1, 1]}]}, "classes[1].ids has 1 twice, expected it once"),
        (
            {"classes": [{"name": "a", "colors": [[1, 2, 3]]}, {"name": "b", "colors": [[1, 2, 3]]}]},
            "classes[1].colors has [1, 2, 3], a colour that classes[0] ('a') has too, expected it of one class",
        ),
        (
            {"classes": ["a", {"name": "b", "colors": [[1, 2]]}]},
            "classes[1].colors has [1, 2], expected a colour: red, green and blue from 0 to 255, such as [128",
        ),
        ({"classes": ["a", {"name": "b", "painted": "red"}]}, "classes[1].painted has 'red', expected a colour: "),
        ({"classes": ["a", {"name": "b", "instances": 1}]}, "classes[1].instances is 1, expected true or false"),
        (
            {"classes": ["a", {"name": "b", "groups": "alarm"}]},
            "classes[1].groups is 'alarm', expected a list of texts",
        ),
        (
            {"classes": [{"name": "a", "ids": [1]}, "b"]},
            "classes[1] ('b') has no ids, and others have, expected them of all or none",
        ),
        ({"ignore": {"ids": [300]}}, "ignore.ids has 300, expected whole numbers from 0 to 255"),
        ({"ignore": {"ids": [1]}}, "ignore.ids has 1, which is the class 'rail', expected it in one place"),
        (
            {"classes": [{"name": c, "colors": [[i, 0, 0]]} for i, c in enumerate("ab")], "ignore": {"ids": [9]}},
            "ignore.ids is [9], and classes say their colours alone, expected colors",
        ),
        ({"ignore": [0]}, "ignore is [0], expected an object with ids, colors"),
        ({"splits": {}}, "splits has no split, expected at least one of train, val, test"),
        ({"splits": {"training": {}}}, "splits has the unknown field 'training', did you mean 'train'"),
        ({"splits": {"train": []}}, "splits.train is an empty list, expected where its frames lie"),
        ({"splits": {"train": "frames"}}, "splits.train is 'frames', expected an object with list, dataset, "),
        (
            {"splits": {"train": {"labels": "x"}}},
            "splits.train says not where its frames lie, expected images and labels",
        ),
        ({"splits": {"val": [{"list": "x", "images": "y"}]}}, "splits.val[0] has the unknown field 'images', "),
        (
            {"splits": {"val": {"images": "x", "label_end": "_L"}}},
            "splits.val has label_end and no labels, expected the",
        ),
        (
            {"splits": {"val": {"images": "x", "labels": "y", "label_end": 3}}},
            "splits.val.label_end is 3, expected a tex",
        ),
        ({"splits": {"val": {"list": ""}}}, "splits.val.list is '', expected a text on one line"),
        (
            {"splits": {"val": {"dataset": "cityscape"}}},
            "splits.val.dataset is 'cityscape', which is not known, did you mean 'cityscapes'",
        ),
        (
            {"splits": {"val": {"dataset": "camvid", "split": "dev"}}},
            "splits.val.split is 'dev', expected one of train",
        ),
        ({"splits": {"val": {"dataset": "camvid", "map": ["car"]}}}, 'splits.val.map is ["car"], expected class names'),
        (
            {"splits": {"val": {"dataset": "camvid", "map": {"tre": "other"}}}},
            "splits.val.map names 'tre', which camvid does not have, did you mean 'tree'",
        ),
        (
            {"splits": {"val": {"dataset": "camvid", "map": {"tree": "others"}}}},
            "splits.val.map turns 'tree' into 'others', which is no class of the description, did you mean 'other'",
        ),
        (
            {"splits": {"val": {"dataset": "camvid"}}},
            "splits.val takes no class of camvid, expected at least one of an equal name, or a map",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(tmp_path, fields, message):
    assert refusal(tmp_path, **fields).startswith(message)
