"""The comparison in a process of its own says what it says here, and leaves no process behind."""

from __future__ import annotations

import signal

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")

import export.from_keras.exporter as exporter
from edge.contract import GRAPH_FILE
from edge.errors import BackendError, GraphError
from edge.frames import SyntheticFrames
from edge.records import read_record
from export.from_keras.comparison import (
    OWN_PROCESS_PARAMETERS,
    OWN_PROCESS_PIXELS,
    ComparisonProcess,
    compare_graph,
    has_own_process,
)
from export.from_keras.exporter import ExportRequest, export_model
from export.from_keras.network import KerasNetwork
from export.graph.parity import PARITY_FILE, ParityReport
from train.options import resolve_options

HEIGHT, WIDTH = 64, 128
OPTIONS = {"base_width": 8}
ARGUMENTS = ("unet", resolve_options("unet", OPTIONS), 19, HEIGHT, WIDTH, 1, None)
FRAMES = SyntheticFrames(2, HEIGHT, WIDTH, 1)


@pytest.mark.slow
def test_export_with_a_process_of_its_own_keeps_what_it_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("export.from_keras.comparison.OWN_PROCESS_PIXELS", 0)
    monkeypatch.setattr("export.from_keras.comparison.OWN_PROCESS_PARAMETERS", 0)
    monkeypatch.setattr(exporter, "compare_graph", None)
    export_model(ExportRequest("unet", "cityscapes", HEIGHT, WIDTH, None, OPTIONS), tmp_path, FRAMES)
    apart = read_record(ParityReport, tmp_path / PARITY_FILE)
    here = compare_graph(KerasNetwork(*ARGUMENTS), (tmp_path / GRAPH_FILE).read_bytes(), FRAMES)
    assert apart.graph_sha256 == here.graph_sha256
    assert (apart.image_count, apart.images_from) == (2, "synthetic scenes")
    assert apart.label_agreement == here.label_agreement
    # Sums of float32 in the order of the threads.
    np.testing.assert_allclose(apart.logit_range, here.logit_range, rtol=1e-5)
    assert 0 < apart.logit_error < 1e-5


@pytest.mark.slow
def test_error_comes_back_as_it_was_raised():
    with ComparisonProcess(ARGUMENTS, FRAMES) as other, pytest.raises(GraphError, match="not ONNX") as caught:
        other.compare(b"no graph")
    assert "\n" not in str(caught.value)
    assert other._process.returncode == 0


def test_process_ends_with_the_block():
    with pytest.raises(KeyboardInterrupt), ComparisonProcess(ARGUMENTS, FRAMES) as other:
        raise KeyboardInterrupt
    assert other._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("number", "said"), [(signal.SIGKILL, "was killed. Next"), (signal.SIGTERM, "exit code -15")])
def test_process_that_ends_early_is_an_error_in_one_line(number, said):
    with ComparisonProcess(ARGUMENTS, FRAMES) as other:
        other._process.send_signal(number)
        other._process.wait()
        with pytest.raises(BackendError, match=said) as caught:
            other.compare(b"graph")
    assert "\n" not in str(caught.value)


def test_large_networks_on_large_frames_have_a_process_of_their_own():
    class Network:
        parameter_count = OWN_PROCESS_PARAMETERS

    assert has_own_process(OWN_PROCESS_PIXELS, Network())
    assert not has_own_process(OWN_PROCESS_PIXELS - 1, Network())
    Network.parameter_count -= 1
    assert not has_own_process(OWN_PROCESS_PIXELS, Network())
