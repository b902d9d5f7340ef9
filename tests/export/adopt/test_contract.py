from __future__ import annotations

import json

import numpy as np
import pytest

import export.adopt.contract
from edge.contract import OWN_CLASSES
from edge.errors import ContractError, InputError
from edge.labels import CAMVID, CITYSCAPES
from export.adopt.contract import foreign_contract, read_foreign_contract

WHOLE = {
    "name": "guest-1.2_x",
    "dataset": "camvid",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "scale": 255,
    "channel_order": "rgb",
}


def read(**fields):
    """Read a contract with other fields; those that are ... are left out."""
    return foreign_contract({name: value for name, value in {**WHOLE, **fields}.items() if value is not ...}, "c.json")


def test_what_is_left_out_has_a_default():
    contract = read()
    assert (contract.dataset, contract.class_names) == ("camvid", CAMVID.class_names)
    assert (contract.coordinates, contract.input_name, contract.output_name) == (None, None, None)
    assert (contract.size, contract.weights, contract.trained) == (None, None, True)


def test_every_field_is_read():
    contract = read(
        schema=1,
        coordinates="align_corners",
        input_name="x",
        output_name="y",
        size="720x960",
        weights="June",
        trained=False,
    )
    assert (contract.coordinates, contract.input_name, contract.output_name) == ("align_corners", "x", "y")
    assert (contract.size, contract.weights, contract.trained) == ((720, 960), "June", False)


def test_null_is_the_same_as_left_out():
    assert read(coordinates=None, size=None, class_names=None, trained=None) == read()


def test_classes_are_those_of_a_dataset_or_of_their_own():
    assert read(dataset="cityscapes").class_names == CITYSCAPES.class_names
    own = read(dataset=..., class_names=["rail", "sleeper"])
    assert (own.dataset, own.class_names) == (OWN_CLASSES, ("rail", "sleeper"))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_frame_is_normalised_by_the_definition_in_the_order_of_the_graph(order):
    frame = np.array([[[[255, 0, 51]]]], np.uint8)  # (1, 1, 1, 3) RGB
    contract = read(channel_order=order, mean=[0.1, 0.2, 0.3], std=[0.5, 1.0, 2.0])
    red, green, blue = (1.0, 0.0, 0.2) if order == "rgb" else (0.2, 0.0, 1.0)
    expected = np.float32([(red - 0.1) / 0.5, (green - 0.2) / 1.0, (blue - 0.3) / 2.0])
    actual = contract.normalise(frame)
    assert (actual.shape, actual.dtype) == ((1, 3, 1, 1), np.float32)
    np.testing.assert_allclose(actual.ravel(), expected, rtol=1e-6)
    factor, offset = contract.factor_and_offset()
    pixels = frame[0, 0, 0, :: 1 if order == "rgb" else -1]
    np.testing.assert_allclose(pixels * factor + offset, expected, rtol=1e-6)


def test_mean_of_pixels_in_0_to_255_has_a_scale_of_1():
    contract = read(mean=[104, 117, 123.5], std=[1, 1, 1], scale=1)
    np.testing.assert_allclose(contract.normalise(np.full((1, 1, 1, 3), 127, np.uint8)).ravel(), [23, 10, 3.5])


def test_example_of_the_documentation_is_a_contract():
    text = export.adopt.contract.__doc__
    contract = foreign_contract(json.loads(text[text.index("{") : text.index("}") + 1]), "example")
    assert (contract.class_names, contract.coordinates) == (CITYSCAPES.class_names, "half_pixel")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"contract not found: .*none\.json"):
        read_foreign_contract(tmp_path / "none.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "a",}', "\xff"])
def test_file_that_is_no_json_object_is_refused(tmp_path, text):
    (tmp_path / "c.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ContractError, match=r"contract .*c\.json"):
        read_foreign_contract(tmp_path / "c.json")


def test_file_is_named_in_the_message(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({**WHOLE, "scale": 2}))
    with pytest.raises(ContractError, match=r"contract .*c\.json: scale is 2, expected 1 or 255"):
        read_foreign_contract(tmp_path / "c.json")


@pytest.mark.parametrize("field", ["name", "mean", "std", "scale", "channel_order"])
def test_missing_field_is_named(field):
    with pytest.raises(ContractError, match=rf"c\.json: lacks {field}\. Next: add what docs/any-network\.md says"):
        read(**{field: ...})


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"means": 1}, "unknown field 'means', did you mean 'mean'"),
        ({"chanel_order": "bgr"}, "unknown field 'chanel_order', did you mean 'channel_order'"),
        ({"qqq": 1}, "unknown field 'qqq', expected of name, mean, std, scale, channel_order, "),
        ({"schema": 2}, "schema is 2, expected 1"),
        ({"name": "a/b"}, "name is 'a/b', expected letters, digits"),
        ({"name": ".."}, "name is '..', expected letters"),
        ({"name": ""}, "name is '', expected letters"),
        ({"name": "a b"}, "name is 'a b', expected letters"),
        ({"name": "a+b"}, "name is 'a+b', expected letters"),
        ({"name": 3}, "name is 3, expected letters"),
        ({"name": "x" * 65}, "name has 65 characters, expected at most 64"),
        ({"name": "fast_scnn"}, "name is 'fast_scnn', which is an architecture of this project"),
        ({"dataset": ...}, "has neither dataset nor class_names, expected one of them"),
        ({"class_names": ["a"]}, "has both dataset and class_names, expected one of them"),
        ({"dataset": "kitti"}, "dataset is 'kitti', expected 'cityscapes' or 'cityscapes-infrastructure' or"),
        ({"dataset": ..., "class_names": "a"}, "class_names is 'a', expected a list of names"),
        ({"dataset": ..., "class_names": ["a", 1]}, "class_names is ['a', 1], expected a list of names"),
        ({"dataset": ..., "class_names": []}, "class_names has 0 names, expected 1 to 255"),
        ({"dataset": ..., "class_names": list(map(str, range(256)))}, "class_names has 256 names, expected 1 to 255"),
        ({"dataset": ..., "class_names": ["a", "b", "a"]}, "class_names has 'a' twice"),
        ({"mean": 0.5}, "mean is 0.5, expected a list of 3 numbers, in channel_order"),
        ({"mean": [0.5, 0.5]}, "mean is [0.5, 0.5], expected a list of 3 numbers"),
        ({"std": [1, 1, "1"]}, "std is [1, 1, '1'], expected a list of 3 numbers"),
        ({"std": [1, 1, True]}, "std is [1, 1, True], expected a list of 3 numbers"),
        ({"mean": [0, 0, float("nan")]}, "mean is [0, 0, nan], expected a list of 3 numbers"),
        ({"std": [0.2, 0, 0.2]}, "std is [0.2, 0, 0.2], expected 3 numbers over 0"),
        ({"std": [0.2, -1, 0.2]}, "expected 3 numbers over 0"),
        ({"scale": 256}, "scale is 256, expected 1 or 255"),
        ({"scale": True}, "scale is true, expected 1 or 255"),
        ({"mean": [123.7, 116.3, 103.5]}, "is of pixels in 0..255, std [0.229, 0.224, 0.225] of 0..1, expected both"),
        ({"mean": [0, 0, 0], "std": [58.4, 57.1, 57.4]}, "are of pixels in 0..255, scale 255 means 0..1"),
        ({"std": [58.4, 57.1, 57.4]}, "is of pixels in 0..1, std [58.4, 57.1, 57.4] of 0..255, expected both"),
        ({"scale": 1}, "are of pixels in 0..1, scale 1 means 0..255. Next: scale 255 if the network takes"),
        ({"channel_order": "RGB"}, "channel_order is 'RGB', expected 'rgb' or 'bgr'"),
        ({"coordinates": "asymmetric"}, "coordinates is 'asymmetric', expected 'half_pixel' or 'align_corners'"),
        ({"input_name": 1}, "input_name is 1, expected a text"),
        ({"output_name": " "}, "output_name is ' ', expected a text"),
        ({"size": "720"}, "size is '720', expected HEIGHTxWIDTH in pixels"),
        ({"size": [720, 960]}, "size is [720, 960], expected a text"),
        ({"weights": 7}, "weights is 7, expected a text"),
        ({"trained": 1}, "trained is 1, expected true or false"),
        ({"trained": "no"}, "trained is 'no', expected true or false"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else None,
)
def test_field_that_means_nothing_is_refused(fields, line):
    with pytest.raises(ContractError) as caught:
        read(**fields)
    message = str(caught.value)
    assert message.startswith("contract c.json: ") and line in message
    assert "\n" not in message and len(message) < 300


@pytest.mark.parametrize(
    ("mean", "std", "scale", "readings"),
    [
        # What the network may take, and the words that say what the contract has to be for it.
        (72.4, 45.3, 255, {(72.4, 45.3, 1): "scale 1 if", (72.4, 45.3 * 255, 1): "that and std times 255 if"}),
        (
            0.5,
            45.3,
            255,
            {(0.5, 45.3 / 255, 255): "divide std by 255, or", (127.5, 45.3 * 255, 1): "both times 255 if"},
        ),
        (72.4, 0.25, 255, {(72.4 / 255, 0.25, 255): "divide mean by 255, or", (72.4, 0.25, 1): "scale 1 if"}),
        (0.5, 0.25, 1, {(0.5, 0.25, 255): "scale 255 if", (0.5 / 255, 0.25 / 255, 255): "both divided by 255 if"}),
    ],
)
def test_figures_that_contradict_scale_have_both_readings_named_and_each_can_be_written(mean, std, scale, readings):
    with pytest.raises(ContractError) as caught:
        read(mean=[mean] * 3, std=[std] * 3, scale=scale)
    for reading, words in readings.items():
        assert words in str(caught.value).split("Next: ")[1]
        read(mean=[reading[0]] * 3, std=[reading[1]] * 3, scale=reading[2])


def test_contract_from_notepad_with_names_beyond_ascii_is_read(tmp_path):
    fields = {**WHOLE, "class_names": ["Straße", "道", "ciel"]}
    fields.pop("dataset", None)
    (tmp_path / "c.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(fields, ensure_ascii=False, indent=1).encode())
    assert read_foreign_contract(tmp_path / "c.json").class_names == ("Straße", "道", "ciel")


def test_slip_of_a_hand_names_line_column_and_what_was_expected(tmp_path):
    (tmp_path / "c.json").write_text('{\n  "name": "guest",\n  "scale": 255,\n}\n')
    with pytest.raises(ContractError) as refused:
        read_foreign_contract(tmp_path / "c.json")
    assert str(refused.value) == (
        f"contract {tmp_path}/c.json is not valid JSON: line 3, column 15 has a comma with nothing behind it, expected "
        "none before }. Next: correct it there"
    )
