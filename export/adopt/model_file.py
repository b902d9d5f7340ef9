"""The file of a given graph: read whole, refused where it cannot be adopted, and converted to a newer opset.

Nothing here changes the user's file; what is returned is a copy in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, external_data_helper

from calibration.onnx_graph.file import refuse_newer, unreadable
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import STANDARD_DOMAINS, attribute_of, input_of, name_of
from edge.artifacts import sha256_file, sha256_json
from edge.errors import GraphError
from export.adopt.ort_saved import drop_unused_domains, refuse_blocked
from export.graph.layer_names import forget_conversion

LOWEST_OPSET = 13
"""Q/DQ per channel came with it; older graphs are converted."""

CONVERTED_OPSET = 17
"""The highest that TensorRT 8.5 parses."""

LOWEST_IR = 8
"""The ONNX file format of opset 17; from 4 on, weights are no inputs of the graph."""

QUANTIZED = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "ConvInteger",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
)


def read_foreign(path: Path) -> tuple[Any, str]:
    """Read an ONNX file with its weights, also those that lie beside it.

    Returns:
        (onnx.ModelProto without external data and functions, SHA-256 of all files together).

    Raises:
        GraphError: the file or one with its weights is missing, truncated or no ONNX; it is quantised, or computes
            in another type than float32.
    """
    if not path.is_file():
        raise GraphError(f"graph not found: {path}")
    try:
        model = onnx.load(str(path), load_external_data=False)
        refuse_newer(path, model)
        refuse_blocked(path, model)
        beside = _files_beside(path, model)
        external_data_helper.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
        if model.functions:
            from onnx import inliner

            model = inliner.inline_local_functions(model)
    except GraphError:
        raise
    except Exception as error:  # protobuf and onnx raise errors of several unrelated types here
        raise unreadable(path, error) from None
    _refuse_other_numbers(path, model)
    return model, sha256_json([sha256_file(file) for file in (path, *beside)])


def _files_beside(path: Path, model: Any) -> list[Path]:
    """Return the files with external data that a graph names, all of them whole."""
    found: dict[Path, int] = {}
    for tensor in model.graph.initializer:
        if not external_data_helper.uses_external_data(tensor):
            continue
        entry = external_data_helper.ExternalDataInfo(tensor)
        file = path.parent / entry.location
        found[file] = max(found.get(file, 0), (entry.offset or 0) + (entry.length or 0))
    for file, end in found.items():
        if not file.is_file():
            raise GraphError(
                f"{path} has its weights in {file.name}, which is not beside it. "
                f"Next: copy {file.name} to {file.parent}"
            )
        if file.stat().st_size < end:
            raise GraphError(
                f"{file} has {file.stat().st_size} bytes, {path.name} reads {end} of them: it is truncated. "
                "Next: copy or export it again"
            )
    return sorted(found)


def _refuse_other_numbers(path: Path, model: Any) -> None:
    for node in model.graph.node:
        if node.op_type in QUANTIZED or node.op_type.startswith("QLinear"):
            raise GraphError(
                f"{path} is quantised already: {name_of(node)} is a {node.op_type}, expected a float graph. "
                "Next: give the float graph that it was made from"
            )
    for tensor in model.graph.initializer:
        if tensor.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
            kind = TensorProto.DataType.Name(tensor.data_type)
            raise GraphError(
                f"{path} has weights in {kind} ({tensor.name}), expected float32. Next: export it in float32"
            )


def refuse_training(path: Path, model: Any) -> None:
    """Refuse a graph that still trains: its statistics would be those of one frame, or its dropouts random.

    Args:
        path: path of the graph, for messages.
        model: onnx.ModelProto with constants folded.

    Raises:
        GraphError: a node of the graph still trains.
    """
    graph = OnnxGraph(model)
    for node in graph.nodes:
        mode = input_of(node, 2) if node.op_type == "Dropout" else ""
        trains = mode and (mode not in graph.constants or graph.value_of(mode).any())
        if trains or (node.op_type == "BatchNormalization" and attribute_of(node, "training_mode", 0)):
            raise GraphError(
                f"{path}: {name_of(node)} ({node.op_type}) is in training mode, expected inference. "
                "Next: export the network in its evaluation mode"
            )


def modernised(path: Path, model: Any) -> Any:
    """Return a copy of a graph at an opset that has Q/DQ per channel, with weights that are no inputs.

    Raises:
        GraphError: onnx cannot convert it.
    """
    opset, modern = opset_of(model), onnx.ModelProto()
    modern.CopyFrom(model)
    if opset < LOWEST_OPSET:
        from onnx import version_converter

        try:
            modern = version_converter.convert_version(model, CONVERTED_OPSET)
        except Exception as error:  # RuntimeError, and others of the extension
            reason = " ".join(str(error).split())[:160]
            raise GraphError(
                f"{path} has opset {opset}, and onnx cannot convert it to {CONVERTED_OPSET}: {reason}. "
                f"Next: export it with an opset from {LOWEST_OPSET} to {CONVERTED_OPSET}"
            ) from None
        _keep_old_coordinates(modern, opset)
    modern.ir_version = max(modern.ir_version, LOWEST_IR)
    return modern


def _keep_old_coordinates(model: Any, opset: int) -> None:
    """Write out what a Resize meant before opset 11, which first named its coordinates; the converter leaves it open.

    Source: ONNX, operators Upsample-9 and Resize-10: an output position divided by its scale.
    """
    if opset < 11:
        for node in model.graph.node:
            if node.op_type == "Resize" and not attribute_of(node, "coordinate_transformation_mode", ""):
                old = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in old.items())


def opset_of(model: Any) -> int:
    """Return the version of the standard operators that a graph uses."""
    return max((opset.version for opset in model.opset_import if opset.domain in STANDARD_DOMAINS), default=0)


def finish(path: Path, model: Any, name: str, output_shape: tuple[int, ...]) -> None:
    """Declare the output, drop metadata that does not describe the network, and check the graph; in place.

    Raises:
        GraphError: the result is no valid graph.
    """
    graph = model.graph
    (output,) = (value.name for value in graph.output)
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(output, TensorProto.FLOAT, output_shape))
    graph.name, model.producer_name, model.producer_version = name, "segedge", ""
    del model.metadata_props[:]
    drop_unused_domains(model)
    forget_conversion(model)
    for node in graph.node:
        node.doc_string = ""
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = " ".join(str(error).split())[:200]
        raise GraphError(f"{path} cannot be adopted: {reason}") from None
