"""Graphs from files and bytes, and the error where the onnx package is missing."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("onnx")

from calibration.onnx_graph.file import import_onnx, load_graph, parse_graph
from edge.errors import GraphError, MissingDependencyError
from tests.calibration import graph_drawing as drawing

NETWORK = drawing.make_network()


def test_graph_is_read_from_a_file_and_from_bytes(tmp_path):
    (tmp_path / "model.onnx").write_bytes(NETWORK.SerializeToString())
    assert load_graph(tmp_path / "model.onnx") == NETWORK
    assert parse_graph(NETWORK.SerializeToString(), "a test") == NETWORK


def test_truncated_graph_is_one_clear_error(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(NETWORK.SerializeToString()[:-200])
    with pytest.raises(GraphError, match=r"model\.onnx \(\d+ bytes\) is truncated or not ONNX") as caught:
        load_graph(path)
    assert "\n" not in str(caught.value) and "Next: copy or export it again" in str(caught.value)
    path.write_bytes(b"")
    with pytest.raises(GraphError, match="truncated or not ONNX"):
        load_graph(path)
    with pytest.raises(GraphError, match="graph not found"):
        load_graph(tmp_path / "other.onnx")
    with pytest.raises(GraphError, match=r"^the graph cannot be read: it is truncated or not ONNX\. Next: "):
        parse_graph(NETWORK.SerializeToString()[:-200], "a test")


def test_missing_package_is_named_with_what_it_is_needed_for(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    needed = {
        "work on an ONNX graph": import_onnx,
        "a test": lambda: import_onnx("a test"),
        "reading": lambda: load_graph(tmp_path / "model.onnx", "reading"),
        "an engine": lambda: parse_graph(b"", "an engine"),
    }
    for purpose, call in needed.items():
        with pytest.raises(MissingDependencyError, match=f"^{purpose} needs the package onnx, .*pip install onnx"):
            call()
