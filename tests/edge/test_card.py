from __future__ import annotations

import dataclasses
import json
import shlex

import pytest

from edge.card import (
    CARD_FILE,
    VNNI,
    BuildCheck,
    CalibrationNote,
    EngineCard,
    LayerPrecision,
    read_card,
)
from edge.contract import CENTRE_HEATMAP, UNCERTAINTY, OutputTensor
from edge.errors import ContractError, EngineMismatchError, InputError
from edge.machine import Machine, this_machine
from edge.records import read_record, write_record


def edit(folder, **changes):
    path = folder / CARD_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_card_with_all_its_parts_comes_back_equal(card, tmp_path):
    full = dataclasses.replace(
        card,
        precision="int8",
        int8_mac_share=0.97,
        calibration=CalibrationNote(
            "entropy", 64, "camvid train", "4" * 64, "entropy ranges, clipped weights", "at most 0.5 points of mIoU"
        ),
        check=BuildCheck(
            16, "camvid val", 0.98, 0.61, 0.60, -0.2, 1.9, 0.605, 0.985, "held", "car 1.2 points, at most 2"
        ),
        machine=Machine("Linux", "aarch64", "Cortex", 8, "Jetson AGX Orin", "35.4.1", "Orin", "8.7"),
        notes=("one", "two"),
        layers=(
            LayerPrecision("stem", "Conv", 1000, "int8"),
            LayerPrecision("head", "Conv", 30, "float", "classifier: asked for"),
        ),
        dla_core=1,
        is_version_compatible=True,
        is_hardware_compatible=True,
        batch_profile=(1, 4, 8),
        workspace_mib=512,
        optimization_level=5,
        has_layer_details=True,
        allows_tf32=True,
        scale_source="dynamic-ranges",
        cpu_features=(VNNI,),
    )
    for value in (card, full):
        write_record(tmp_path / CARD_FILE, value)
        assert read_record(EngineCard, tmp_path / CARD_FILE) == value


def test_engine_of_its_card_is_accepted(make_engine):
    folder = make_engine()
    assert read_card(folder).engine_bytes == (folder / "engine.onnx").stat().st_size


@pytest.mark.parametrize("position", [0, 100, -1])
def test_engine_altered_by_one_byte_is_refused(make_engine, position):
    path = make_engine() / "engine.onnx"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(EngineMismatchError, match=r"is not the engine of its card .* Next: python export/build_engine"):
        read_card(path.parent)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: b"", lambda data: data + b"\0"])
def test_engine_of_another_length_is_refused_with_both_lengths(make_engine, change):
    path = make_engine() / "engine.onnx"
    data = path.read_bytes()
    path.write_bytes(change(data))
    with pytest.raises(EngineMismatchError, match=rf"\({len(change(data))} bytes\) .* \({len(data)} bytes"):
        read_card(path.parent)


def test_missing_engine_is_refused_with_the_command_that_builds_it(make_engine):
    folder = make_engine(precision="int8")
    (folder / "engine.onnx").unlink()
    command = "python export/build_engine.py --model tiny --dataset camvid --size 16x32 --int8 --backend onnxruntime"
    with pytest.raises(InputError) as caught:
        read_card(folder)
    assert str(caught.value).endswith(f"Next: {command}")


@pytest.mark.parametrize(("precision", "flag"), [("float32", ""), ("float16", " --fp16"), ("int8", " --int8")])
def test_rebuild_command_asks_for_the_same_precision(card, precision, flag):
    command = dataclasses.replace(card, precision=precision).rebuild_command()
    assert f"--size 16x32{flag} --backend onnxruntime" in command


def test_rebuild_command_names_the_options_sorted_and_quoted_for_a_shell(card):
    options = {"head": "psp", "depth": 101, "pooling_norm": False, "batch_norm": True, "dropout": 0.1}
    contract = dataclasses.replace(card.contract, options=options)
    command = dataclasses.replace(card, contract=contract, precision="int8").rebuild_command()
    assert command == (
        "python export/build_engine.py --model tiny --dataset camvid --size 16x32 --int8 --backend onnxruntime "
        "--option batch_norm=true --option depth=101 --option dropout=0.1 --option head=psp "
        "--option pooling_norm=false"
    )
    odd = dataclasses.replace(card.contract, options={"title": "it's; a $test"})
    assert shlex.split(dataclasses.replace(card, contract=odd).rebuild_command())[-1] == "title=it's; a $test"


def test_rebuild_command_asks_for_random_weights_since_no_build_takes_them_by_itself(card):
    weights = dataclasses.replace(card.contract.weights, kind="random")
    command = dataclasses.replace(card, contract=dataclasses.replace(card.contract, weights=weights)).rebuild_command()
    assert "--random-weights" in command and "--random-weights" not in card.rebuild_command()


@pytest.mark.parametrize("core", [0, 1])
def test_rebuild_command_asks_for_the_same_dla_core(card, core):
    command = dataclasses.replace(card, backend="tensorrt", precision="int8", dla_core=core).rebuild_command()
    assert command.endswith(f"--int8 --backend tensorrt --dla {core}")
    assert "--dla" not in card.rebuild_command()


def test_rebuild_command_of_an_adopted_graph_names_its_files(card):
    contract = dataclasses.replace(card.contract, adopted_from=("my net.onnx", "net.json"))
    command = dataclasses.replace(card, contract=contract, precision="int8").rebuild_command()
    words = shlex.split(command)
    assert words[:2] == ["python", "export/build_engine.py"]
    assert words[words.index("--onnx") + 1] == "my net.onnx"
    assert words[words.index("--contract") + 1] == "net.json"
    assert words[-3:] == ["--int8", "--backend", "onnxruntime"]
    assert "--model" not in words


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"batch_profile": (1, 4, 8)}, ["--batch", "1:4:8"]),
        ({"workspace_mib": 512}, ["--workspace", "512"]),
        ({"optimization_level": 0}, ["--optimization-level", "0"]),
        ({"is_version_compatible": True}, ["--version-compatible"]),
        ({"is_hardware_compatible": True}, ["--hardware-compatible"]),
        ({"has_layer_details": True}, ["--verbose-layers"]),
        ({"allows_tf32": True}, ["--tf32"]),
        ({"scale_source": "cache"}, ["--scales", "cache"]),
        ({"scale_source": "dynamic-ranges", "dla_core": 1}, ["--scales", "dynamic-ranges", "--dla", "1"]),
        ({"scale_source": "cache", "dla_core": 1}, ["--dla", "1"]),
        ({"scale_source": "qdq"}, []),
    ],
)
def test_rebuild_command_asks_for_the_same_engine(card, changes, flags):
    words = shlex.split(dataclasses.replace(card, **changes).rebuild_command())
    base = shlex.split(card.rebuild_command())
    assert [word for word in words if word not in base] == flags


def test_rebuild_command_asks_for_the_same_batch(card):
    several = dataclasses.replace(card, contract=dataclasses.replace(card.contract, batch=4))
    assert several.rebuild_command() == f"{card.rebuild_command()} --batch 4"


@pytest.mark.parametrize("profile", [[1, 4], [0, 1, 2], [2, 1, 4], [1, 4, 3]])
def test_card_with_a_batch_profile_that_is_none_is_refused(make_engine, profile):
    folder = make_engine()
    edit(folder, batch_profile=profile)
    with pytest.raises(ContractError, match=r"has the batch profile .*expected least, best and most frames, ascending"):
        read_card(folder)


def test_card_of_an_earlier_version_has_the_defaults(make_engine):
    folder = make_engine()
    path = folder / CARD_FILE
    earlier = {name: value for name, value in json.loads(path.read_text()).items() if name != "batch_profile"}
    path.write_text(json.dumps(earlier))
    assert read_card(folder).batch_profile is None


def test_check_of_an_earlier_version_has_no_verdict(card, make_engine):
    folder = make_engine()
    path = folder / CARD_FILE
    write_record(path, dataclasses.replace(read_card(folder), check=BuildCheck(16, "camvid val", 0.98)))
    written = json.loads(path.read_text())
    for name in ("verdict", "worst"):
        del written["check"][name]
    path.write_text(json.dumps(written))
    back = read_card(folder)
    assert (back.check.verdict, back.check.worst, back.budget_sentence()) == (None, "", "")


@pytest.mark.parametrize(
    ("verdict", "worst", "sentence"),
    [
        (
            "held",
            "car 1.20 points of IoU lost, at most 2",
            "accuracy budget held (at most 0.5 points of mIoU); closest to its limit: car 1.20 points of IoU lost, at "
            "most 2",
        ),
        (
            "not shown",
            "",
            "accuracy budget not shown to hold, the images are too few (at most 0.5 points of mIoU)",
        ),
        (None, "", ""),
    ],
)
def test_verdict_on_the_budget_is_a_sentence(card, verdict, worst, sentence):
    judged = dataclasses.replace(
        card,
        calibration=CalibrationNote("entropy", 64, "camvid train", "4" * 64, "", "at most 0.5 points of mIoU"),
        check=BuildCheck(16, "camvid val", 0.98, verdict=verdict, worst=worst),
    )
    assert judged.budget_sentence() == sentence
    assert dataclasses.replace(card, check=None).budget_sentence() == ""


def test_card_of_a_network_with_more_outputs_comes_back_equal(card, tmp_path):
    outputs = (
        OutputTensor("centre", 1, CENTRE_HEATMAP),
        OutputTensor("entropy", 1, UNCERTAINTY, "nats", 2.3978952727983707),
    )
    options = {"head": "psp", "depth": 101, "norm": True, "rate": 0.1}
    contract = dataclasses.replace(card.contract, extra_outputs=outputs, batch=3, options=options)
    full = dataclasses.replace(card, contract=contract)
    write_record(tmp_path / CARD_FILE, full)
    back = read_record(EngineCard, tmp_path / CARD_FILE)
    assert back == full
    assert back.rebuild_command() == full.rebuild_command()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_card_is_refused(make_engine, share):
    path = make_engine() / CARD_FILE
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ContractError, match=r"engine card .*card\.json is damaged"):
        read_card(path.parent)


def test_card_of_another_schema_is_refused(make_engine):
    folder = make_engine()
    edit(folder, schema=2)
    with pytest.raises(ContractError, match="has schema 2, this version of segedge reads 1"):
        read_card(folder)


@pytest.mark.parametrize(("field", "value"), [("backend", "openvino"), ("precision", "int4"), ("precision", "fp16")])
def test_card_of_an_unknown_backend_or_precision_is_refused(make_engine, field, value):
    folder = make_engine()
    edit(folder, **{field: value})
    with pytest.raises(ContractError, match=rf"has the {field} '{value}', expected one of: "):
        read_card(folder)


def test_card_of_an_unknown_source_of_scales_is_refused(make_engine):
    folder = make_engine()
    edit(folder, scale_source="guess")
    with pytest.raises(ContractError, match="has the source of scales 'guess', expected one of: qdq, cache, dynamic"):
        read_card(folder)


def test_this_machine_describes_itself():
    machine = this_machine()
    assert machine.cpu_count >= 1
    assert machine.cpu
    assert machine.architecture
    assert (machine.gpu is None) == (machine.compute_capability is None)
