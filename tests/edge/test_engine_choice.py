"""Which engine a path stands for: what was named is taken, or refused with what is there."""

from __future__ import annotations

import itertools
import shutil

import pytest

from edge.card import BACKENDS, CARD_FILE, PRECISIONS, engine_folder
from edge.contract import CONTRACT_FILE, GRAPH_FILE
from edge.engine_choice import artifact_of, choose_engine, find_engine
from edge.errors import InputError
from edge.records import write_record

WANTED = [
    ("tensorrt", "int8"),
    ("tensorrt", "float16"),
    ("tensorrt", "float32"),
    ("onnxruntime", "int8"),
    ("onnxruntime", "float16"),
    ("onnxruntime", "float32"),
]


@pytest.fixture
def artefact(tmp_path):
    """Make an artefact with an engine of each backend and precision, and one for batches."""
    for backend, precision in WANTED:
        folder = engine_folder(tmp_path, backend, precision)
        folder.mkdir(parents=True)
        (folder / CARD_FILE).write_text("{}")
    batches = tmp_path / "engines" / "tensorrt-int8-batch4"
    batches.mkdir()
    (batches / CARD_FILE).write_text("{}")
    return tmp_path


def test_engine_is_found_from_its_folder_what_belongs_to_it_and_the_artefact_folder(make_engine, capsys):
    folder = make_engine()
    artefact = folder.parents[1]
    for given in (folder, folder / CARD_FILE, folder / "engine.onnx", artefact, artefact / "engines", str(folder)):
        assert find_engine(given) == folder
    assert capsys.readouterr().err == ""  # nothing was chosen


def test_artefact_gives_tensorrt_before_onnxruntime_and_int8_first_and_says_so(artefact, capsys):
    assert set(WANTED) == set(itertools.product(BACKENDS, PRECISIONS))
    for number, (backend, precision) in enumerate(WANTED):
        best = engine_folder(artefact, backend, precision)
        assert find_engine(artefact) == best
        note = capsys.readouterr().err
        assert note.startswith(f"note: of {7 - number} engines in {artefact / 'engines'} {best.name} is taken ")
        assert note.count("\n") == 1 and "tensorrt-int8-batch4" in note
        shutil.rmtree(str(best))
    with pytest.raises(InputError, match=r"no engine for single frames; .*Next: edge-bench run .*-batch4"):
        find_engine(artefact)
    assert choose_engine(artefact / "engines" / "tensorrt-int8-batch4").others == ()


@pytest.mark.parametrize("name", [GRAPH_FILE, "parity.json", CONTRACT_FILE, "ranges.json", "model.int8.onnx"])
def test_file_of_an_artefact_is_no_engine_and_every_engine_is_offered(make_engine, contract, name):
    folder = make_engine()
    artefact = folder.parents[1]
    write_record(artefact / CONTRACT_FILE, contract)
    (artefact / name).touch()
    with pytest.raises(InputError) as raised:
        choose_engine(artefact / name, "edge-demo")
    text = str(raised.value)
    assert text.startswith(f"{artefact / name} is no engine; the engines of its artefact are {folder.name}. ")
    assert f"Next: edge-demo {folder}" in text
    assert "\n" not in text


def test_float_graph_without_an_engine_of_its_own_is_offered_a_build(make_engine, contract):
    folder = make_engine(precision="int8")
    artefact = folder.parents[1]
    write_record(artefact / CONTRACT_FILE, contract)
    (artefact / GRAPH_FILE).touch()
    with pytest.raises(InputError, match=r"Next: edge-bench run .*, or python export/build_engine\.py .* in float32"):
        choose_engine(artefact / GRAPH_FILE)


def test_other_file_beside_an_engine_is_not_taken_for_it(make_engine):
    folder = make_engine()
    (folder / "engine-0123456789ab.onnx").touch()
    with pytest.raises(InputError, match=r"is not the engine of .*card\.json\. Next: edge-bench run "):
        choose_engine(folder / "engine-0123456789ab.onnx")


def test_folder_without_a_card_is_no_engine(make_engine):
    folder = make_engine()
    (folder / CARD_FILE).unlink()
    with pytest.raises(InputError, match=r"no engine at .*expected a folder with card\.json.* Next: python export"):
        find_engine(folder)


def test_engines_near_a_wrong_path_are_offered(make_engine):
    folder = make_engine()
    artefact = folder.parents[1]
    for given in (artefact.parent, artefact.parent / "typed-wrong"):
        with pytest.raises(InputError, match=rf"no engine at {given}[:,] .*Next: edge-bench run {folder}$"):
            choose_engine(given)


# An artefact


def test_artefact_is_its_folder_or_a_file_that_the_command_works_on(make_engine):
    engine = make_engine()
    artefact = engine.parents[1]
    (artefact / "ranges.json").touch()
    for given in (artefact, artefact / GRAPH_FILE, str(artefact / CONTRACT_FILE)):
        assert artifact_of(given) == artefact
    assert artifact_of(artefact / "ranges.json", ("ranges.json",)) == artefact
    with pytest.raises(InputError, match=rf"ranges\.json is a file, expected an artefact folder .*Next: {artefact}$"):
        artifact_of(artefact / "ranges.json")
    with pytest.raises(InputError, match=rf"is the folder of one engine, expected an artefact .*Next: {artefact}$"):
        artifact_of(engine)


def test_path_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(InputError, match=r"no engine at .*nothere, which is not there: expected"):
        choose_engine(tmp_path / "nothere")
    with pytest.raises(InputError, match=r"no engine at [^,]*: expected"):
        choose_engine(tmp_path)


def test_graph_without_an_artefact_is_told_the_command_for_foreign_graphs(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(InputError, match=r"Next: python export/build_engine\.py --onnx .*net\.onnx --contract FILE"):
        choose_engine(tmp_path / "net.onnx")
