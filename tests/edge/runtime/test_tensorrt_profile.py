"""Times of TensorRT's layers are kept run by run, and the inspector's words become kinds and precisions."""

from __future__ import annotations

import json
import types

import pytest

from edge.errors import BackendError
from edge.runtime.layer_time import OTHER, WARMUP_RUNS, LayerTime
from edge.runtime.tensorrt_profile import (
    LayerFacts,
    engine_layers,
    kind_of_name,
    layer_profiler,
    parse_layer_information,
    profile_execution,
)


def make_trt():
    """A module whose IProfiler is as useless as the real one until its base class was initialised by name."""

    class IProfiler:
        ready = False

        def __init__(self):
            self.ready = True

    return types.SimpleNamespace(IProfiler=IProfiler, LayerInformationFormat=types.SimpleNamespace(JSON="json"))


class Execution:
    """Reports to its profiler as IExecutionContext does; one that was set cannot be taken off."""

    def __init__(self, runs):
        self.__dict__.update(_runs=iter(runs), _profiler=None, enqueue_emits_profile=False)

    def __setattr__(self, name, value):
        assert name in ("profiler", "enqueue_emits_profile"), f"IExecutionContext has no {name}"
        if name == "profiler" and not value.ready:
            raise TypeError("IProfiler.__init__() must be called when overriding __init__")
        self.__dict__["_profiler" if name == "profiler" else name] = value

    def execute(self):
        for name, milliseconds in next(self._runs):
            if self.enqueue_emits_profile:
                self._profiler.report_layer_time(name, milliseconds)


WARM_UP = [[("conv1 + relu1", 900.0), ("resize", 900.0), ("resize", 900.0)]] * WARMUP_RUNS


def test_layers_have_one_time_for_each_run_and_those_of_one_name_stay_apart():
    execution = Execution(
        [
            *WARM_UP,
            [("conv1 + relu1", 1.0), ("resize", 2.0), ("resize", 3.0)],
            [("conv1 + relu1", 4.0), ("resize", 5.0), ("resize", 6.0)],
        ]
    )
    known = {"conv1 + relu1": LayerFacts("Conv", "int8")}
    assert profile_execution(make_trt(), execution, execution.execute, 2, known) == [
        LayerTime("conv1 + relu1", "Conv", "int8", (1.0, 4.0)),
        LayerTime("resize", "Resize", None, (2.0, 5.0)),
        LayerTime("resize", "Resize", None, (3.0, 6.0)),
    ]


def test_what_is_reported_after_the_profile_is_not_kept():
    profiler = layer_profiler(make_trt())
    profiler.report_layer_time("early", 1.0)
    profiler.run = run = []
    profiler.report_layer_time("conv", 2.0)
    profiler.run = None
    profiler.report_layer_time("late", 3.0)
    assert run == [("conv", 2.0)]
    assert profiler.failure is None


def test_no_exception_reaches_tensorrt_and_the_profile_fails_afterwards():
    run = [("conv", "no number")]
    execution = Execution([run] * (WARMUP_RUNS + 1))
    with pytest.raises(BackendError, match="report_layer_time failed: could not convert"):
        profile_execution(make_trt(), execution, execution.execute, 1)


def test_failure_of_a_run_stops_the_profiler():
    execution = Execution([])

    def execute():
        raise BackendError("IExecutionContext.execute_async_v3 failed")

    with pytest.raises(BackendError, match="execute_async_v3"):
        profile_execution(make_trt(), execution, execute, 1)
    assert execution._profiler.run is None


def test_execution_that_takes_no_profiler_is_one_error():
    with pytest.raises(BackendError, match=r"IExecutionContext\.profiler failed: "):
        profile_execution(make_trt(), object(), lambda: None, 1)


def test_nothing_reported_is_an_error():
    execution = Execution([[]] * (WARMUP_RUNS + 1))
    with pytest.raises(BackendError, match=r"reported no layer.*CUDA graph"):
        profile_execution(make_trt(), execution, execution.execute, 1)


def test_other_layers_in_another_run_are_an_error():
    execution = Execution([*WARM_UP, [("a", 1.0)], [("a", 1.0), ("b", 1.0)]])
    with pytest.raises(BackendError, match="2 layers in run 2 and 1 in the first"):
        profile_execution(make_trt(), execution, execution.execute, 2)


def tensor(form):
    return [{"Name": "x", "Dimensions": [1, 3], "Format/Datatype": form}]


@pytest.mark.parametrize(
    ("layer_type", "source", "result", "kind", "precision"),
    [
        (
            "CaskConvolution",
            "Thirty-two wide channel vectorized row major Int8 format",
            "Row major linear FP32",
            "Conv",
            "int8 to float32",
        ),
        ("CaskDeconvolutionV2", "Row major linear FP16 format", "Row major linear FP16 format", "Deconv", "float16"),
        (
            "Reformat",
            "Row major linear FP32",
            "Two wide channel vectorized row major FP16 format",
            "Reformat",
            "float32 to float16",
        ),
        ("CaskPooling", "Half", "Half", "Pool", "float16"),
        ("PointWiseV2", "BF16", "BF16", "PointWise", "bfloat16"),
        ("kgen", "UInt8", "N/A due to dynamic shapes", "Myelin", "uint8"),
        ("DLA", "Float", "Float", "DLA", "float32"),
        ("EinsumV2", "Float", "Float", "Einsum", "float32"),
    ],
)
def test_detailed_information_gives_kind_and_precision(layer_type, source, result, kind, precision):
    entry = {"Name": "odd name", "LayerType": layer_type, "Inputs": tensor(source), "Outputs": tensor(result)}
    of_engine = parse_layer_information(json.dumps({"Layers": [entry], "Bindings": ["x"]}))
    assert of_engine == {"odd name": LayerFacts(kind, precision)}
    assert parse_layer_information(json.dumps(entry)) == of_engine


def test_names_alone_give_kinds_alone():
    text = json.dumps({"Layers": ["stem/Conv + stem_relu/Relu", "gap"], "Bindings": []})
    assert parse_layer_information(text) == {
        "stem/Conv + stem_relu/Relu": LayerFacts("Conv", None),
        "gap": LayerFacts(OTHER, None),
    }


def test_control_characters_of_metadata_do_no_harm():
    assert parse_layer_information('{"Layers": [{"Name": "a/Conv", "Metadata": "[ONNX: a]\x1e[ONNX: b]"}]}') == {
        "a/Conv": LayerFacts("Conv", None)
    }


@pytest.mark.parametrize("text", ["", "{", None, "3", '{"Layers": 3}', '{"Layers": [3, null, {}]}'])
def test_information_of_another_form_tells_nothing(text):
    assert parse_layer_information(text) == {}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Reformatting CopyNode for Input Tensor 0 to stem/Conv + stem_relu/Relu", "Reformat"),
        ("stem/Conv + stem_relu/Relu input reformatter 0", "Reformat"),
        ("[HostToDeviceCopy]", "Copy"),
        ("[ShapeHostToDeviceCopy 0]", "Copy"),
        ("block_3/Concat_2 copy", "Copy"),
        ("{ForeignNode[stem/Conv...head/Conv]}", "ForeignNode"),
        ("__myl_FcAddRelu_myl0_5", "Myelin"),
        ("PWN(PWN(a/Sigmoid), a/Mul)", "PointWise"),
        ("(Unnamed Layer* 12) [Shuffle]", "Shuffle"),
        ("conv1 + relu1", "Conv"),
        ("weight + QuantizeLinear_12 + a/Conv_3", "Conv"),
        ("a/Conv || b/Conv", "Conv"),
        ("up/ConvTranspose", "Deconv"),
        ("pyramid_6_pool/Concat_2", "Concat"),
        ("pyramid_6_pool/Concat_2/by_rows/MatMul", "MatMul"),
        ("deep_conv/Relu", "PointWise"),
        ("17", OTHER),
    ],
)
def test_kind_is_read_from_a_name(name, kind):
    assert kind_of_name(name) == kind


def test_engine_is_asked_through_its_inspector():
    class Inspector:
        def get_engine_information(self, form):
            assert form == "json"
            return '{"Layers": ["a/Conv"]}'

    engine = types.SimpleNamespace(create_engine_inspector=Inspector)
    assert engine_layers(make_trt(), engine) == {"a/Conv": LayerFacts("Conv", None)}
    with pytest.raises(BackendError, match=r"EngineInspector\.get_engine_information failed"):
        engine_layers(make_trt(), types.SimpleNamespace(create_engine_inspector=lambda: None))
