"""Times of the layers of a TensorRT engine, by IProfiler, and what the engine inspector says of each.

A profiler cannot be removed: TensorRT refuses None with a line in the log and no exception, and goes on calling the old
profiler. So an execution context is created for the profile and dropped afterwards.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from edge.errors import BackendError
from edge.runtime.calls import one_line
from edge.runtime.layer_time import OTHER, WARMUP_RUNS, LayerTime, layer_precision

FOREIGN_NODE = "ForeignNode"
"""Kind of many layers that run as one: on the DLA, or compiled together for the GPU."""

_PRECISIONS = (
    (r"bf16|bfloat16", "bfloat16"),
    (r"fp16|half|float16", "float16"),
    (r"fp32|float32", "float32"),
    (r"fp8|float8", "float8"),
    (r"fp4|float4", "float4"),
    (r"uint8", "uint8"),
    (r"int8", "int8"),
    (r"int4", "int4"),
    (r"int32", "int32"),
    (r"int64", "int64"),
    (r"bool", "bool"),
    (r"float", "float32"),
)
"""Patterns of a tensor's format in the spellings of versions 8.5 to 11; the first match decides."""

_KINDS = (
    (r"deconv|convtranspose|conv\w*transpose", "Deconv"),
    (r"conv", "Conv"),
    (r"gemm|matmul|matrixmultiply|fullyconnected", "MatMul"),
    (r"reformat", "Reformat"),
    (r"resize|upsample", "Resize"),
    (r"pool", "Pool"),
    (r"softmax", "SoftMax"),
    (r"concat", "Concat"),
    (r"reduce", "Reduce"),
    (r"argmax|argmin|topk", "TopK"),
    (r"gather", "Gather"),
    (r"plugin", "Plugin"),
    (r"quantize", "Quantize"),
    (
        r"pwn|pointwise|elementwise|activation|unary|scale|relu|sigmoid|tanh|clip|erf|sqrt|exp$|log$|add|mul$|sub$|div$|pow$",
        "PointWise",
    ),
    (r"slice|^split", "Slice"),
    (r"shuffle|transpose|reshape|squeeze|flatten", "Shuffle"),
    (r"^pad", "Pad"),
    (r"cast", "Cast"),
    (r"constant", "Constant"),
    (r"copy$", "Copy"),
)
"""Patterns of operators and their kinds; the first that matches a part of a fused layer names the layer."""

_COMPILED = "Myelin"

_NAME_RULES = (
    (r"Reformatting CopyNode|(input|output) reformatter \d+$", "Reformat"),
    (r"\{ForeignNode\[", FOREIGN_NODE),
    (r"^\[\w*Copy( \d+)?\]$|\bcopy$", "Copy"),
    (r"_myl", _COMPILED),
    (r"^PWN\(", "PointWise"),
)
"""Patterns of the names that TensorRT invents for layers, and their kinds."""


@dataclass(frozen=True)
class LayerFacts:
    """What the engine inspector says of one layer.

    Attributes:
        kind: Kind of the computation, such as "Conv"; OTHER where that is not known.
        precision: Data types of the first input and output as a text, in the form of LayerTime.
    """

    kind: str
    precision: str | None


def layer_profiler(trt: Any) -> Any:
    """Return a profiler that keeps the times that TensorRT reports to it.

    Args:
        trt: The tensorrt module.

    Returns:
        A tensorrt.IProfiler with `run`, a list that receives (name, milliseconds) of each layer in the order of
        execution, or None, as at first, to ignore them; and `failure`, the message of the first exception in a report.

    Source: TensorRT Python API, class IProfiler (the base class has to be initialised by name).
    """

    class LayerProfiler(trt.IProfiler):
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.run: list[tuple[str, float]] | None = None
            self.failure: str | None = None

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            # TensorRT calls from C++, which an exception must not reach.
            try:
                if self.run is not None:
                    self.run.append((str(layer_name), float(ms)))
            except Exception as error:
                self.failure = self.failure or one_line(error)

    return LayerProfiler()


def profile_execution(
    trt: Any,
    execution: Any,
    execute: Callable[[], Any],
    runs: int,
    layers: Mapping[str, LayerFacts] | None = None,
) -> list[LayerTime]:
    """Measure the layers of an engine in a given execution context.

    The clock is TensorRT's: CUDA events around each layer on the stream. Layers that run at the same time on several
    streams are each counted in full.

    Args:
        trt: The tensorrt module.
        execution: IExecutionContext that was created for this profile, with the addresses of its tensors set. It must
            not be used afterwards, since it keeps its profiler.
        execute: Function that runs one inference on `execution` and returns when it is done. It must enqueue the
            execution itself, not a CUDA graph of it: layers in a graph are not reported.
        runs: Number of measured inferences; WARMUP_RUNS go before them.
        layers: Result of `engine_layers`; None where only names are known.

    Returns:
        Times of the layers in the order of execution, with `runs` times each. Layers of one name stay apart.

    Raises:
        BackendError: A call failed, no layer was reported, or the runs reported different layers.
    """
    profiler = layer_profiler(trt)
    try:
        execution.profiler = profiler
        # The default, but it is what makes enqueuing wait and report: without it report_to_profiler would have to.
        execution.enqueue_emits_profile = True
    except Exception as error:  # tensorrt's exceptions share no base class but Exception
        raise BackendError(f"IExecutionContext.profiler failed: {one_line(error)}") from None
    all_runs: list[list[tuple[str, float]]] = [[] for _ in range(WARMUP_RUNS + runs)]
    try:
        for run in all_runs:
            profiler.run = run
            execute()
    finally:
        profiler.run = None
    if profiler.failure is not None:
        raise BackendError(f"IProfiler.report_layer_time failed: {profiler.failure}")
    return _layer_times(all_runs[WARMUP_RUNS:], layers or {})


def engine_layers(trt: Any, engine: Any) -> dict[str, LayerFacts]:
    """Ask the engine inspector for the layers of an engine.

    Args:
        trt: The tensorrt module.
        engine: ICudaEngine. One that was built with ProfilingVerbosity DETAILED tells kinds and precisions, others only
            names.

    Returns:
        Layer name -> what is known of the layer.

    Raises:
        BackendError: A call failed.
    """
    try:
        inspector = engine.create_engine_inspector()
        text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    except Exception as error:  # as above
        raise BackendError(f"EngineInspector.get_engine_information failed: {one_line(error)}") from None
    return parse_layer_information(text)


def parse_layer_information(json_text: str) -> dict[str, LayerFacts]:
    """Parse the engine inspector's text in LayerInformationFormat.JSON.

    Args:
        json_text: JSON text of an engine, or of one layer. A text that is not JSON gives no layers: versions differ in
            what they escape, and the times of a profile are useful without kinds.

    Returns:
        Layer name -> what is known of the layer.
    """
    try:
        # TensorRT does not escape the control characters that it joins the metadata of ONNX nodes with.
        value = json.loads(json_text, strict=False)
    except (TypeError, ValueError):
        return {}
    entries = value.get("Layers", [value]) if isinstance(value, dict) else value
    found: dict[str, LayerFacts] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        if isinstance(entry, str):
            found[entry] = LayerFacts(kind_of_name(entry), None)
        elif isinstance(entry, dict) and isinstance(entry.get("Name"), str):
            source, result = (_precision(entry.get(side)) for side in ("Inputs", "Outputs"))
            found[entry["Name"]] = LayerFacts(_kind_of_entry(entry), layer_precision(source, result))
    return found


def kind_of_name(name: str) -> str:
    """Return the kind of a layer by its name alone; OTHER where the name does not tell it.

    A layer of several nodes is named after all of them ("stem/Conv + stem_relu/Relu"), and a node's name ends in its
    operator.
    """
    for rule, kind in _NAME_RULES:
        if re.search(rule, name):
            return kind
    operators = [re.sub(r"[\W_\d]+$", "", part).rsplit("/", 1)[-1].lower() for part in re.split(r" \+ | \|\| ", name)]
    return _first_kind(operators)


def _kind_of_entry(entry: dict[str, Any]) -> str:
    layer_type = str(entry.get("LayerType") or "")
    if not layer_type:
        return kind_of_name(entry["Name"])
    plain = layer_type.lower()
    if plain == "dla":
        return "DLA"
    if plain in ("myelin", "kgen"):
        return _COMPILED
    kind = _first_kind([plain])
    return re.sub(r"V\d+$", "", layer_type) if kind == OTHER else kind


def _first_kind(words: list[str]) -> str:
    return next((kind for rule, kind in _KINDS if any(re.search(rule, word) for word in words)), OTHER)


def _precision(tensors: Any) -> str | None:
    """Return the precision of the first tensor of a list, None if that is not given."""
    first = tensors[0] if isinstance(tensors, list) and tensors else None
    if not isinstance(first, dict):
        return None
    given = " ".join(str(first.get(key, "")) for key in ("Format/Datatype", "Datatype", "DataType")).lower()
    return next((precision for word, precision in _PRECISIONS if re.search(word, given)), None)


def _layer_times(all_runs: list[list[tuple[str, float]]], layers: Mapping[str, LayerFacts]) -> list[LayerTime]:
    names = [name for name, _ in all_runs[0]]
    if not names:
        raise BackendError(
            "TensorRT reported no layer to its profiler. Next: see that the engine is run without a CUDA graph"
        )
    for number, run in enumerate(all_runs):
        if [name for name, _ in run] != names:
            raise BackendError(
                f"TensorRT reported {len(run)} layers in run {number + 1} and {len(names)} in the first, expected the "
                "same ones in every run"
            )
    times = []
    for index, name in enumerate(names):
        facts = layers.get(name) or LayerFacts(kind_of_name(name), None)
        times.append(LayerTime(name, facts.kind, facts.precision, tuple(run[index][1] for run in all_runs)))
    return times
