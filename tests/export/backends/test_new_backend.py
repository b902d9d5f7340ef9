"""A new backend is one builder and one entry in the table: the command, the build and the card take it as it is."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import edge.card
from edge.card import read_card
from edge.errors import BackendError, InputError
from edge.runtime import RUNNERS
from export.backends.choice import BUILDERS, choose_backend
from export.backends.engine import BuiltEngine, EngineBuilder
from export.build_engine import main
from tests.export import small_device as device
from tests.export.small_device import ARTIFACT, built, hostile

BENIGN = hostile.hostile_network(ratio=1.0)


class ToyBuilder(EngineBuilder):
    """A backend whose engine is the graph itself, in ONNX Runtime's form."""

    title = "Toy"
    reason = "a toy is here"
    qdq_form = "onnxruntime"

    def __init__(self):
        self.broken = None

    def problem(self):
        return self.broken

    def build(self, graph, precision, options, calibration=None, float_layers=()):
        return BuiltEngine(graph, ".onnx", "1.0", 0.5, ("built by a toy",))


@pytest.fixture
def toy(tmp_path, monkeypatch):
    device.prepare(tmp_path, monkeypatch)
    device.write_artifact(BENIGN)
    device.write_camvid(BENIGN)
    builder = ToyBuilder()
    monkeypatch.setitem(BUILDERS, "toy", builder)
    # Its engines run on ONNX Runtime; the card refuses names that no runtime knows.
    monkeypatch.setitem(RUNNERS, "toy", RUNNERS["onnxruntime"])
    monkeypatch.setattr(edge.card, "BACKENDS", (*edge.card.BACKENDS, "toy"))
    return builder


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_engine_of_a_new_backend_is_built_measured_and_kept(toy, precision):
    result, lines = built(backend="toy", precision=precision, max_drop_points=100.0)
    card = result.card
    assert lines[0] == "backend: toy (asked for)"
    assert (card.backend, card.backend_version, card.build_seconds) == ("toy", "1.0", 0.5)
    assert card.notes[0] == "built by a toy"
    assert read_card(ARTIFACT / "engines" / f"toy-{precision}") == card
    assert card.check.label_agreement == 1.0 if precision == "float32" else card.check.label_agreement > 0.5
    assert "--backend toy" in card.rebuild_command()
    assert result.report is None if precision == "float32" else result.report.backend == "toy"


def test_command_knows_a_new_backend(toy, capsys):
    assert main([*device.COMMAND, "--backend", "toy", "--dry-run"]) == 0
    assert "toy-int8" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*device.COMMAND, "--backend", "other", "--dry-run"])
    assert "toy" in capsys.readouterr().err


def test_new_backend_that_cannot_build_here_says_why(toy):
    toy.broken = "no box"
    with pytest.raises(BackendError, match=r"Toy cannot build here: no box\. Next: --backend onnxruntime"):
        choose_backend("toy")
    with pytest.raises(InputError, match="auto, tensorrt, onnxruntime, toy"):
        choose_backend("other")


def test_left_open_the_first_that_can_build_is_taken_and_the_others_are_named(toy, monkeypatch):
    assert choose_backend("auto") == ("onnxruntime", "TensorRT cannot build here: no GPU")
    for name in list(BUILDERS):
        if name != "toy":
            monkeypatch.setattr(BUILDERS[name], "problem", lambda: "out of order")
    reason = "TensorRT cannot build here: out of order; ONNX Runtime cannot build here: out of order"
    assert choose_backend("auto") == ("toy", reason)
    toy.broken = "no box"
    with pytest.raises(BackendError, match="Toy cannot build here: no box"):
        choose_backend("auto")


def test_what_tensorrt_alone_has_is_refused_of_a_new_backend(toy):
    with pytest.raises(InputError, match="--dla needs TensorRT on a Jetson, and toy builds here"):
        built(backend="toy", dla_core=0)
