from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from edge.artifacts import write_json
from edge.bench.bench_record import BenchRecord
from edge.errors import ContractError, InputError
from edge.records import read_record, record, record_from_json, record_to_json, write_record


@record(schema=3, what="wheel")
class _Wheel:
    diameter_mm: float
    spokes: int


@record(schema=2, what="bicycle")
class _Bicycle:
    name: str
    wheels: tuple[_Wheel, ...]
    gears: tuple[int, ...]
    ready: bool
    tags: dict[str, float | None]
    anything: dict[str, Any]
    front: _Wheel | None = None
    weight_kg: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name == "unicycle":
            raise ContractError("a unicycle is no bicycle")


BICYCLE = _Bicycle(
    name="Ålborg",
    wheels=(_Wheel(622.0, 32), _Wheel(559.0, 36)),
    gears=(1, 2, 3),
    ready=True,
    tags={"price": 1.5, "unknown": None},
    anything={"list": [1, "a", None], "inner": {"x": 1.0}},
    front=_Wheel(622.0, 28),
    weight_kg=None,
)


def changed(**changes):
    value = record_to_json(BICYCLE)
    value.update(changes)
    return value


def test_record_comes_back_equal_from_its_file(tmp_path):
    write_record(tmp_path / "b.json", BICYCLE)
    assert read_record(_Bicycle, tmp_path / "b.json") == BICYCLE


def test_json_form_carries_the_schema_of_every_record_in_it():
    value = json.loads(json.dumps(record_to_json(BICYCLE)))
    assert value["schema"] == 2
    assert [wheel["schema"] for wheel in value["wheels"]] == [3, 3]
    assert value["front"]["schema"] == 3


def test_tuples_come_back_as_tuples():
    made = record_from_json(_Bicycle, json.loads(json.dumps(record_to_json(BICYCLE))), "b.json")
    assert isinstance(made.wheels, tuple)
    assert isinstance(made.wheels[0], _Wheel)
    assert isinstance(made.gears, tuple)


def test_whole_number_is_taken_for_a_float():
    made = record_from_json(_Bicycle, changed(weight_kg=12), "b.json")
    assert made.weight_kg == 12.0
    assert isinstance(made.weight_kg, float)


def test_field_with_a_default_may_be_absent():
    value = record_to_json(BICYCLE)
    del value["front"], value["notes"]
    assert record_from_json(_Bicycle, value, "b.json") == dataclasses.replace(BICYCLE, front=None)


def test_records_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BICYCLE.name = "other"


@pytest.mark.parametrize("schema", [1, 3, None, "2"])
def test_unknown_schema_is_refused_with_both_numbers(schema):
    with pytest.raises(ContractError, match=r"bicycle b\.json has schema .*, this version of segedge reads 2\. Next: "):
        record_from_json(_Bicycle, changed(schema=schema), "b.json")


def test_missing_schema_is_refused():
    value = record_to_json(BICYCLE)
    del value["schema"]
    with pytest.raises(ContractError, match="schema None"):
        record_from_json(_Bicycle, value, "b.json")


def test_unknown_schema_of_a_part_is_refused():
    with pytest.raises(ContractError, match=r"wheel b\.json: front has schema 9"):
        record_from_json(_Bicycle, changed(front={"schema": 9, "diameter_mm": 1.0, "spokes": 1}), "b.json")


def test_missing_fields_are_named():
    value = record_to_json(BICYCLE)
    del value["gears"], value["ready"]
    with pytest.raises(ContractError, match="lacks gears, ready"):
        record_from_json(_Bicycle, value, "b.json")


def test_unknown_fields_are_named():
    with pytest.raises(ContractError, match="unknown fields bell, horn"):
        record_from_json(_Bicycle, changed(horn=1, bell=2), "b.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 3),
        ("name", None),
        ("ready", 1),
        ("ready", "yes"),
        ("gears", "123"),
        ("gears", [1, "2"]),
        ("gears", [1.5]),
        ("gears", [True]),
        ("gears", {"0": 1}),
        ("weight_kg", "12"),
        ("weight_kg", True),
        ("tags", [1.0]),
        ("tags", {"price": "cheap"}),
        ("wheels", [1]),
        ("wheels", None),
        ("front", []),
        ("notes", [None]),
    ],
)
def test_value_of_another_type_is_refused_and_its_field_named(field, value):
    with pytest.raises(ContractError, match=rf"b\.json: {field}"):
        record_from_json(_Bicycle, changed(**{field: value}), "b.json")


def test_checks_of_the_record_itself_hold_for_files():
    with pytest.raises(ContractError, match="unicycle"):
        record_from_json(_Bicycle, changed(name="unicycle"), "b.json")


def test_value_that_is_no_object_is_refused():
    with pytest.raises(ContractError, match="is a list, expected an object"):
        record_from_json(_Bicycle, [1], "b.json")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="bicycle not found"):
        read_record(_Bicycle, tmp_path / "none.json")


def test_type_that_records_cannot_hold_is_a_defect():
    @record(schema=1, what="box")
    class _Box:
        content: set

    with pytest.raises(TypeError, match="cannot hold"):
        record_from_json(_Box, {"schema": 1, "content": [1]}, "box.json")


def test_file_of_another_kind_is_not_called_an_old_one(tmp_path):
    write_json(tmp_path / "card.json", {"schema": BenchRecord.record_schema, "backend": "onnxruntime", "notes": []})
    with pytest.raises(ContractError, match=r"card\.json is no benchmark record: it has schema, backend") as caught:
        read_record(BenchRecord, tmp_path / "card.json")
    assert "make it again" not in str(caught.value)
