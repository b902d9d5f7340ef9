"""docs/records.md and docs/schemas/ say what the record classes say, and real records fit."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from edge.card import CARD_FILE
from edge.contract import CONTRACT_FILE
from edge.record_schema import field_descriptions, json_schema, parts_of

DOCS = Path(__file__).resolve().parents[1] / "docs"


def _load_script():
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("write_records")
    finally:
        sys.path.remove(str(DOCS))


SCRIPT = _load_script()
CLASSES = {file.name: file.record for file in SCRIPT.FILES}
CLASSES.update({name: getattr(importlib.import_module(f.module), name) for f in SCRIPT.FILES for name in f.also})
CLASSES.update({part.__name__: part for cls in list(CLASSES.values()) for part in parts_of(cls)})


def test_page_and_schemas_are_current():
    stale = [
        path.name
        for path, text in SCRIPT.texts().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert not stale, "run: python docs/write_records.py"
    written = {path.name for path in SCRIPT.texts() if path.suffix == ".json"}
    assert {path.name for path in SCRIPT.SCHEMAS.iterdir()} == written


def test_every_record_of_the_project_is_on_the_page():
    found = set()
    for room in ("edge", "calibration", "export", "train", "benchmarks"):
        for path in (DOCS.parent / room).rglob("*.py"):
            found.update(re.findall(r"^@record\(.*\)\nclass (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert found == set(CLASSES)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_field_is_described(name):
    cls = CLASSES[name]
    assert {field.name for field in dataclasses.fields(cls)} == set(field_descriptions(cls))


@pytest.mark.parametrize("key", [file.key for file in SCRIPT.FILES])
def test_schema_is_one(key):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((SCRIPT.SCHEMAS / f"{key}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)


def test_real_card_and_contract_fit_their_schemas_and_a_changed_one_does_not(make_engine):
    jsonschema = pytest.importorskip("jsonschema")
    folder = make_engine()
    card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    contract = json.loads((folder.parents[1] / CONTRACT_FILE).read_text(encoding="utf-8"))
    jsonschema.validate(card, json_schema(CLASSES["EngineCard"]))
    jsonschema.validate(contract, json_schema(CLASSES["Contract"]))
    with pytest.raises(jsonschema.ValidationError, match="additional"):
        jsonschema.validate({**card, "speed": 1}, json_schema(CLASSES["EngineCard"]))
    with pytest.raises(jsonschema.ValidationError, match="not of type"):
        jsonschema.validate({**card, "engine_bytes": "many"}, json_schema(CLASSES["EngineCard"]))
