"""TensorRT's calibration cache: its text, letter by letter, and that a stale one is never used."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.tensorrt_cache import main
from calibration.trt.cache import (
    CacheOrigin,
    cache_of_other_code,
    cache_text,
    current_cache,
    first_line,
    parse_cache,
    read_cache,
    text_of,
    write_cache,
)
from calibration.trt.scales import tensor_scales
from edge.errors import ContractError, GraphError, InputError
from edge.records import write_record
from tests.calibration import graph_drawing as drawing
from tests.edge.runtime import tensorrt_stand_in as stand_in

MODEL = drawing.make_network()
COUNTED = drawing.ranges_of(MODEL, drawing.frames())
# So few values that the methods clip nothing: thresholds that differ, whatever the method.
SHARES = {"min-max": 1.0, "percentile": 0.75, "entropy": 0.5, "mse": 0.625}
RANGES = dataclasses.replace(
    COUNTED,
    tensors={
        name: dataclasses.replace(
            counted,
            thresholds={key: value * SHARES.get(key, 1.0) for key, value in counted.thresholds.items()},
        )
        for name, counted in COUNTED.tensors.items()
    },
)
ORIGIN = CacheOrigin("a" * 64, "b" * 64, "resize", "percentile", "8.5.3.1", "e" * 64, "c" * 64)

# Part of a cache that TensorRT 8.5.1 wrote for a small network with a Gemm, as its author published it.
REAL = """TRT-8510-EntropyCalibration2
x: 4000890a
/conv1/Conv_output_0: 3f9db09c
/Reshape_output_0: 3f6fc9d8
(Unnamed Layer* 8) [Constant]_output: 39137939
(Unnamed Layer* 9) [Matrix Multiply]_output: 3e74c2e0
/fc1/Gemm_output_0: 3e5312f6
(Unnamed Layer* 64) [Shuffle]_output: 0
"""


def test_text_is_exactly_as_tensorrt_writes_it():
    assert text_of({"data": 1 / 127, "conv/out:0": 2.0084097, "zero": 0.0}, "8.5.3.1") == (
        "TRT-8503-EntropyCalibration2\ndata: 3c010204\nconv/out:0: 400089c9\nzero: 0\n"
    )


def test_cache_that_tensorrt_wrote_is_read_and_written_again_letter_by_letter():
    scales = parse_cache(REAL)
    assert scales["x"] == pytest.approx(2.00836, rel=1e-5)
    assert scales["(Unnamed Layer* 64) [Shuffle]_output"] == 0
    assert text_of(scales, "8.5.10") == REAL


@pytest.mark.parametrize(
    ("version", "number"),
    [
        *stand_in.CACHE_VERSIONS.items(),
        # First lines of caches in public repositories, of JetPack 5 and 6 and of TensorRT 10.13 and 10.14.
        ("8.4.1.5", "8401"),
        ("8.5.2.2", "8502"),
        ("8.6.2.3", "8602"),
        ("10.13.0.35", "101300"),
        ("10.14.1", "101401"),
    ],
)
def test_version_is_written_as_tensorrt_counts_it(version, number):
    assert first_line(version) == f"TRT-{number}-EntropyCalibration2"


def test_version_that_is_none_or_takes_no_cache_is_refused():
    with pytest.raises(InputError, match=r"TensorRT version is '8\.5', expected one such as 8\.5\.3\.1"):
        first_line("8.5")
    with pytest.raises(InputError, match="TensorRT 11 takes no calibration cache, 10 is the last that does"):
        first_line("11.0.0.114")


def test_cache_of_ranges_holds_threshold_over_127_of_every_tensor():
    text = cache_text(MODEL, RANGES, "min-max", "10.3.0")
    assert text.startswith("TRT-100300-EntropyCalibration2\n")
    assert text.endswith("\n")
    scales = parse_cache(text)
    assert list(scales) == list(tensor_scales(MODEL, RANGES, "min-max"))
    wanted = RANGES.tensors["deep_relu"].thresholds["min-max"] / 127
    assert scales["deep_relu"] == struct.unpack(">f", struct.pack(">f", wanted))[0]


def test_methods_give_different_caches_and_the_same_ranges_the_same():
    texts = [cache_text(MODEL, RANGES, method, "8.5.3.1") for method in ("min-max", "percentile", "min-max")]
    assert texts[0] == texts[2] != texts[1]


@pytest.mark.parametrize("name", ["two\nlines", " edge", ""])
def test_name_that_cannot_stand_in_a_line_is_refused(name):
    with pytest.raises(GraphError, match="cannot stand in a calibration cache"):
        text_of({name: 1.0}, "8.5.3.1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "starts with '', expected TRT-<version>-EntropyCalibration2"),
        ("x: 3c010a14\n", "starts with 'x: 3c010a14'"),
        ("TRT-8503-MinMaxCalibration\nx: 3c010a14\n", "is of MinMaxCalibration, expected EntropyCalibration2"),
        ("TRT-8503-EntropyCalibration2\nx: 3c010a14\ny 3c\n", "line 3 is 'y 3c', expected 'tensor: hex'"),
        ("TRT-8503-EntropyCalibration2\nx: 123456789\n", "line 2 is"),
        ("TRT-8503-EntropyCalibration2\nx: 3c010a14\nx: 3c010a15\n", "line 3 names x again"),
    ],
)
def test_damaged_cache_is_one_clear_line(text, message):
    with pytest.raises(ContractError, match=message.replace("(", r"\(")) as failure:
        parse_cache(text)
    assert "\n" not in str(failure.value)


def test_cache_is_read_again_by_the_same_origin(tmp_path):
    assert current_cache(tmp_path, ORIGIN) is None
    path = write_cache(tmp_path, REAL.replace("8510", "8503"), ORIGIN)
    assert path == tmp_path / ORIGIN.file_name()
    assert current_cache(tmp_path, ORIGIN) == path.read_text()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(CacheOrigin)])
def test_cache_of_another_origin_is_never_used_even_under_its_name(tmp_path, field):
    path = write_cache(tmp_path, REAL.replace("8510", "8503"), ORIGIN)
    other = dataclasses.replace(ORIGIN, **{field: "8.6.1" if field == "tensorrt_version" else "d" * 64})
    assert other.file_name() != ORIGIN.file_name()
    assert current_cache(tmp_path, other) is None
    path.rename(tmp_path / other.file_name())
    path.with_suffix(".json").rename((tmp_path / other.file_name()).with_suffix(".json"))
    assert current_cache(tmp_path, other) is None
    with pytest.raises(InputError, match=rf"is stale: made from another {field.split('_')[0]}\. Next: delete it"):
        read_cache(tmp_path / other.file_name(), other)


def test_cache_of_other_code_is_named_in_one_line(tmp_path):
    assert cache_of_other_code(tmp_path, ORIGIN) is None
    path = write_cache(tmp_path, REAL.replace("8510", "8503"), dataclasses.replace(ORIGIN, code_sha256="f" * 64))
    line = f"{path.name} is of other code: got ffffffffffff, expected eeeeeeeeeeee"
    assert cache_of_other_code(tmp_path, ORIGIN) == line
    assert cache_of_other_code(tmp_path, dataclasses.replace(ORIGIN, method="entropy")) is None
    record = path.with_suffix(".json")
    record.write_text(record.read_text().replace('"schema": 2', '"schema": 1'))
    assert "has schema 1, this version of segedge reads 2" in cache_of_other_code(tmp_path, ORIGIN)


def test_changed_truncated_or_unrecorded_cache_is_never_used(tmp_path):
    text = REAL.replace("8510", "8503")
    path = write_cache(tmp_path, text, ORIGIN)
    path.write_text(text.replace("4000890a", "4000890b"))
    with pytest.raises(ContractError, match="its record names another hash"):
        read_cache(path, ORIGIN)
    assert current_cache(tmp_path, ORIGIN) is None
    path.write_text(text)
    assert current_cache(tmp_path, ORIGIN) == text
    path.with_suffix(".json").unlink()
    assert current_cache(tmp_path, ORIGIN) is None
    write_cache(tmp_path, REAL, ORIGIN)  # the text of another version
    with pytest.raises(ContractError, match=r"is not of TensorRT 8\.5\.3\.1"):
        read_cache(path, ORIGIN)


def test_missing_cache_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="calibration cache not found"):
        read_cache(tmp_path / "none.cache", ORIGIN)


@pytest.fixture
def artefact(tmp_path):
    data = MODEL.SerializeToString()
    (tmp_path / "model.onnx").write_bytes(data)
    ranges = dataclasses.replace(RANGES, graph_sha256=hashlib.sha256(data).hexdigest())
    write_record(tmp_path / "ranges.json", ranges)
    return tmp_path


def test_command_writes_the_cache_of_an_artefact_once(artefact, capsys):
    assert main([str(artefact), "--tensorrt", "8.5.2", "--method", "min-max"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.read_text() == cache_text(MODEL, RANGES, "min-max", "8.5.2")
    written_ns = path.stat().st_mtime_ns
    assert main([str(artefact), "--tensorrt", "8.5.2", "--method", "min-max"]) == 0
    assert path.stat().st_mtime_ns == written_ns
    assert main([str(artefact), "--tensorrt", "10.3.0", "--method", "min-max"]) == 0
    assert len(list(artefact.glob("*.cache"))) == 2
    capsys.readouterr()
    assert main([str(artefact), "--tensorrt", "8.5.2", "--method", "min-max", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"cache": str(path), "method": "min-max", "tensorrt": "8.5.2"}


def test_command_refuses_ranges_of_another_graph(artefact, capsys):
    write_record(artefact / "ranges.json", RANGES)
    assert main([str(artefact), "--tensorrt", "8.5.2"]) == 2
    said = capsys.readouterr().err
    assert "is of another graph or preprocessing than" in said
    assert said.count("\n") == 1
    assert list(artefact.glob("*.cache")) == []
