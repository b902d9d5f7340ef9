"""Every architecture becomes a graph under the contract that TensorRT 8.5 runs, at every size and batch."""

from __future__ import annotations

import gc

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")

import onnx

from edge.contract import GRAPH_FILE, read_contract
from edge.errors import GraphError
from edge.frames import SyntheticFrames
from edge.records import read_record
from edge.runtime.onnxruntime import OnnxRuntimeRunner, open_session
from export.from_keras.exporter import ExportRequest, export_model
from export.graph.batching import with_batch
from export.graph.parity import PARITY_FILE, ParityReport
from export.graph.trt_rules import check_graph
from train.models import MODELS
from train.options import MODEL_NAMES

pytestmark = pytest.mark.long

STRIDES = {
    "unet": 1,
    "bayesian_segnet": 1,
    "deeplabv3plus": 4,
    "fast_scnn": 8,
    "fastfcn": 8,
    "panoptic_deeplab": 4,
}
EXTRA_OUTPUTS = {"panoptic_deeplab": {"centre": 1, "offset": 2}}
SMALLER = {"deeplabv3plus": {"depth": 50}, "unet": {"base_width": 32}}
"""Options with which a conversion takes less time; the defaults are exported by the slow test."""

VARIANTS = [
    (
        "fast_scnn",
        {
            "separable_relu": True,
            "padding": "symmetric",
            "first_padding": "valid",
            "fusion_dilation": 1,
            "coordinates": "align_corners",
        },
    ),
    ("unet", {"batch_norm": True, "base_width": 16}),
    pytest.param("panoptic_deeplab", {"backbone": "mobilenet_v3_large"}, marks=pytest.mark.slow),
    pytest.param("deeplabv3plus", {"depth": 50, "output_stride": 8}, marks=pytest.mark.slow),
    pytest.param("bayesian_segnet", {"monte_carlo": 2, "uncertainty": "variance"}, marks=pytest.mark.slow),
    pytest.param("fastfcn", {"head": "psp", "coordinates": "align_corners"}, marks=pytest.mark.slow),
    pytest.param("fastfcn", {"head": "deeplab"}, marks=pytest.mark.slow),
    pytest.param("fastfcn", {"head": "fcn", "stem": "plain"}, marks=pytest.mark.slow),
]
"""Other forms, with what the default has not."""


def export(folder, model, height, width, batch=1, options=None, images=1):
    """Export random weights, and check what holds for every export; the parity check is the export's own."""
    request = ExportRequest(model, "cityscapes", height, width, None, options or {}, batch)
    export_model(request, folder, SyntheticFrames(max(images, batch), height, width, 3))
    gc.collect()
    contract = read_contract(folder)
    stride = STRIDES[model]
    assert contract.input_shape == (batch, height, width, 3)
    assert contract.output_shape == (batch, 19, height // stride, width // stride)
    assert MODELS[model].stride == contract.stride == stride
    assert contract.coordinates == (options or {}).get("coordinates", "half_pixel")
    graph = onnx.load(str(folder / GRAPH_FILE))
    assert check_graph(graph) == []
    assert [value.name for value in graph.graph.input] == ["frame"]
    report = read_record(ParityReport, folder / PARITY_FILE)
    report.check()
    assert set(report.output_errors) == {output.name for output in contract.extra_outputs}
    return contract


def require_batches(folder, contract):
    """Check that the graph for single frames becomes one for batches that gives each frame what it gives alone.

    Sums of a matrix product run in another order for more rows, and kernels are chosen by shape: float32 has 24 binary
    digits, of which a deep network loses some five.
    """
    graph = (folder / GRAPH_FILE).read_bytes()
    frames = np.random.default_rng(1).integers(0, 256, (2, *contract.input_shape[1:])).astype(np.uint8)
    alone = open_session(graph, threads=2)
    expected = [alone.run(None, {"frame": frames[index : index + 1]}) for index in range(2)]
    for batch in (2, None):
        results = open_session(with_batch(graph, batch), threads=2).run(None, {"frame": frames})
        for result, first, second in zip(results, *expected):
            both = np.concatenate([first, second])
            np.testing.assert_allclose(result, both, rtol=0, atol=2**-19 * np.abs(both).max())
            assert not np.allclose(first, second, rtol=0, atol=2**-15 * np.abs(both).max())


# A conversion takes 10 to 30 s; the fast ones and the one with three outputs are always made.
@pytest.mark.parametrize(
    "model",
    [
        "fast_scnn",
        "unet",
        *(pytest.param(name, marks=pytest.mark.slow) for name in MODEL_NAMES if name not in ("fast_scnn", "unet")),
    ],
)
def test_model_exports_in_batches(model, tmp_path):
    # The smallest drawn scenes; each side is a multiple of 8, and no multiple of 32 where the model allows.
    height, width = (96, 160) if model == "fast_scnn" else (72, 136)
    contract = export(tmp_path, model, height, width, batch=2, options=SMALLER.get(model))
    with OnnxRuntimeRunner(tmp_path / GRAPH_FILE, contract) as runner:
        frames = np.random.default_rng(0).integers(0, 256, contract.input_shape).astype(np.uint8)
        outputs = runner.infer_all(frames)
    channels = {"logits": 19, **EXTRA_OUTPUTS.get(model, {})}
    assert {name: value.shape[:2] for name, value in outputs.items()} == {name: (2, n) for name, n in channels.items()}
    assert not np.allclose(outputs["logits"][0], outputs["logits"][1])


@pytest.mark.parametrize(("model", "options"), VARIANTS)
def test_variant_exports(model, options, tmp_path):
    # A pixel between two equal logits may differ. FastFCN's heads have such: its map has to be large enough for one.
    height, width = {"fast_scnn": (96, 160), "fastfcn": (128, 256)}.get(model, (64, 128))
    contract = export(tmp_path, model, height, width, options=options)
    assert contract.options == options
    if "monte_carlo" in options:
        with pytest.raises(GraphError, match="draws noise for one frame"):
            with_batch((tmp_path / GRAPH_FILE).read_bytes(), 2)
    else:
        require_batches(tmp_path, contract)


@pytest.mark.slow
def test_samples_of_the_exported_monte_carlo_graph_differ_and_their_mean_settles(tmp_path):
    contract = export(tmp_path, "bayesian_segnet", 64, 128, options={"monte_carlo": 8})
    (uncertainty,) = contract.extra_outputs
    frame = SyntheticFrames(1, 64, 128, 5).read(0)[None]
    with OnnxRuntimeRunner(tmp_path / GRAPH_FILE, contract) as runner:
        runs = [{name: value.copy() for name, value in runner.infer_all(frame).items()} for _ in range(3)]
    probabilities = [np.exp(run["logits"]) for run in runs]
    for run, mean in zip(runs, probabilities):
        np.testing.assert_allclose(mean.sum(axis=0), 1.0, atol=1e-4)
        entropy = run[uncertainty.name][0]
        np.testing.assert_allclose(entropy, -(mean * run["logits"]).sum(axis=0), atol=1e-4)
        assert entropy.min() >= 0 and entropy.max() <= uncertainty.maximum + 1e-5
    assert not np.array_equal(runs[0]["logits"], runs[1]["logits"])


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width", "batch"), [(512, 1024, 1), (512, 1024, 2), (1024, 2048, 1), (360, 480, 1)])
@pytest.mark.parametrize("model", MODEL_NAMES)
def test_model_exports_at_full_size(model, height, width, batch, tmp_path):
    if height % MODELS[model].size_multiple or width % MODELS[model].size_multiple:
        pytest.skip(f"{model} takes multiples of {MODELS[model].size_multiple}")
    contract = export(tmp_path, model, height, width, batch)
    if (height, batch) == (512, 1):
        require_batches(tmp_path, contract)
