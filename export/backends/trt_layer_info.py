"""The text of TensorRT's engine inspector about every layer of a finished engine.

The inspector asks an engine that is loaded, so the engine is loaded once, in a CUDA context of its own, as that of
edge/runtime/tensorrt.py. With ProfilingVerbosity.DETAILED it names kernels, formats and types.

Source: TensorRT developer guide, "Engine Inspector".
"""

from __future__ import annotations

import json
from typing import Any

from edge.errors import BackendError
from edge.runtime.calls import call
from edge.runtime.cuda.context import CudaContext
from edge.runtime.resource_stack import release_traceback_locals
from edge.runtime.tensorrt import message_logger

LAYERS_FILE = "layers.json"


def layer_information(trt: Any, engine_data: bytes, dla_core: int | None, allows_host_code: bool) -> str:
    """Return the JSON text of the inspector about an engine.

    Args:
        trt: the tensorrt module.
        engine_data: a serialised engine of this TensorRT.
        dla_core: number of the DLA core of a Jetson that the engine was built for; None for the GPU.
        allows_host_code: True if the engine may hold code for the host, as a version-compatible one does.

    Raises:
        BackendError: the engine cannot be loaded, or the inspector gives no JSON.
    """
    context = CudaContext()
    try:
        # All objects of TensorRT are gone when this returns or fails, before the context is.
        with release_traceback_locals():
            text = _inspect(trt, engine_data, dla_core, allows_host_code)
    finally:
        call("Context.detach", context.detach)
    try:
        json.loads(text)
    except (TypeError, ValueError):
        raise BackendError("EngineInspector.get_engine_information failed: it gave no JSON") from None
    return text


def _inspect(trt: Any, engine_data: bytes, dla_core: int | None, allows_host_code: bool) -> str:
    logger = message_logger(trt)
    runtime = call("tensorrt.Runtime", trt.Runtime, logger, refused=(None,), logger=logger)
    if dla_core is not None:
        runtime.DLA_core = dla_core
    if allows_host_code:
        runtime.engine_host_code_allowed = True
    load = runtime.deserialize_cuda_engine
    engine = call("Runtime.deserialize_cuda_engine", load, engine_data, refused=(None,), logger=logger)
    create = engine.create_engine_inspector
    inspector = call("ICudaEngine.create_engine_inspector", create, refused=(None,), logger=logger)
    ask = inspector.get_engine_information
    return call("EngineInspector.get_engine_information", ask, trt.LayerInformationFormat.JSON, refused=(None,))
