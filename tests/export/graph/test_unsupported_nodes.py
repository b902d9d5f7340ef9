"""A graph with operators that ONNX does not know becomes an engine, or one line that says why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import helper

from edge.card import read_card
from export.build_engine import main
from tests.export import small_device as device
from tests.export.foreign_graphs import CONTRACT, HEIGHT, WIDTH, street_network

ENGINE = Path("artifacts") / f"guest-camvid-{HEIGHT}x{WIDTH}" / "engines" / "onnxruntime-int8"
COMMAND = [
    "--onnx",
    "net.onnx",
    "--contract",
    "net.json",
    "--int8",
    "--calibration-images",
    "3",
    "--accuracy-images",
    "3",
    "--max-label-change",
    "20",
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    return device.prepare(tmp_path, monkeypatch)


def write_guest(operator, domain, behind, end="resize"):
    """Write street_network() with a node of another operator set behind one of its tensors, and its contract."""
    model = street_network(end)
    for node in model.graph.node:
        node.input[:] = ["other" if source == behind else source for source in node.input]
    place = next(index for index, node in enumerate(model.graph.node) if node.output[0] == behind) + 1
    model.graph.node.insert(place, helper.make_node(operator, [behind], ["other"], name="net/other", domain=domain))
    model.opset_import.append(helper.make_opsetid(domain, 1))
    onnx.checker.check_model(model)
    Path("net.onnx").write_bytes(model.SerializeToString())
    Path("net.json").write_text(json.dumps({**CONTRACT, **({} if end == "resize" else {"coordinates": "half_pixel"})}))


@pytest.mark.parametrize(
    ("operator", "behind", "end"),
    [
        ("FastGelu", "stem_relu", "resize"),
        ("SampleOp", "joined", "resize"),  # it copies, which only ONNX Runtime knows
        ("SampleOp", "dropped", "logits"),  # nothing behind it has a size
        ("FastGelu", "logits4", "resize"),
    ],
)
@pytest.mark.any_python
def test_graph_with_an_operator_of_onnxruntime_becomes_an_int8_engine(operator, behind, end, capsys):
    write_guest(operator, "com.microsoft", behind, end)
    assert main(COMMAND) == 0
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    card = read_card(ENGINE)
    assert len(card.layers) == 5 and 0.5 < card.int8_mac_share <= 1
    kept = onnx.load(str(next(ENGINE.glob("engine-*.onnx"))))
    assert operator in {node.op_type for node in kept.graph.node if node.domain == "com.microsoft"}


def test_operator_that_no_backend_knows_is_one_line(capsys):
    write_guest("Wobble", "my.domain", "stem_relu")
    assert main(COMMAND) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("error: ") and "my.domain:Wobble" in error and "Next: " in error
    assert "Traceback" not in error
    assert not ENGINE.exists()
