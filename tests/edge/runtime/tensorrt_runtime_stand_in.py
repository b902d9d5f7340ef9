"""The half of the TensorRT stand-in that runs: an engine is its ONNX graph, run by onnxruntime where it is told to."""

from __future__ import annotations

import json
import types
import weakref

import numpy as np

from tests.edge.runtime.cuda_ledger import Gpu, at
from tests.edge.runtime.tensorrt_api import MAGIC

_NUMPY = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


def runtime_classes(trt: types.ModuleType, gpu: Gpu, version: str) -> tuple:
    """Return the classes of running, as one version has them."""

    class IProfiler:
        def __init__(self):
            self._is_initialised = True

        def report_layer_time(self, layer_name, ms):
            raise NotImplementedError

    class EngineInspector:
        def __init__(self, engine):
            self._names = engine._layers

        def get_engine_information(self, layer_format):
            gpu.reach("EngineInspector.get_engine_information")
            return json.dumps({"Layers": [{"Name": name, "LayerType": kind} for name, kind in self._names]})

    class IExecutionContext:
        profiler = None
        enqueue_emits_profile = True

        def __init__(self, engine):
            self._engine, self._addresses, self._batch = engine, {}, None
            # Up to 8, a profile belongs to one execution context at a time: the next one has none.
            free = any(not isinstance(value.shape[0], int) for value in engine._inputs.values())
            self._has_profile = not (free and version.startswith("8.") and len(engine._executions))
            engine._executions.add(self)
            gpu.born("execution context", self)

        def set_tensor_address(self, name, address):
            if gpu.reach("IExecutionContext.set_tensor_address") is False:
                return False
            self._addresses[name] = address
            return True

        def set_input_shape(self, name, shape):
            if gpu.reach("IExecutionContext.set_input_shape") is False or not self._has_profile:
                return False
            self._batch = shape[0]
            return True

        def _shape(self, name, shape):
            if isinstance(shape[0], int):
                return shape
            return None if self._batch is None else [self._batch, *shape[1:]]

        def execute_async_v3(self, stream_handle):
            if gpu.reach("IExecutionContext.execute_async_v3") is False:
                gpu.logger.log(trt.ILogger.ERROR, "illegal memory access")
                return False
            session = self._engine.session
            lacking = sorted(set(self._engine._tensors) - set(self._addresses))
            if lacking:
                gpu.logger.log(trt.ILogger.ERROR, f"address of {', '.join(lacking)} is not set")
                return False
            shapes = {name: self._shape(name, tensor.shape) for name, tensor in self._engine._tensors.items()}
            if None in shapes.values():
                gpu.logger.log(trt.ILogger.ERROR, "the shape of the input is not set")
                return False
            addresses = dict(self._addresses)

            def work():
                feeds = {
                    value.name: at(addresses[value.name], shapes[value.name], _NUMPY[value.type]).copy()
                    for value in session.get_inputs()
                }
                for value, result in zip(session.get_outputs(), session.run(None, feeds)):
                    at(addresses[value.name], shapes[value.name], _NUMPY[value.type])[...] = result

            gpu.enqueue(stream_handle, work)
            if self.profiler is not None:
                if not getattr(self.profiler, "_is_initialised", False):
                    raise TypeError("the base class was not initialised")
                for number, (name, _) in enumerate(self._engine._layers):
                    self.profiler.report_layer_time(name, 0.5 + number)
            return True

    class ICudaEngine:
        def __init__(self, graph):
            import onnx
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.log_severity_level, options.intra_op_num_threads = 3, 1
            self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            self._layers = [
                (node.name or node.output[0], node.op_type) for node in onnx.load_model_from_string(graph).graph.node
            ]
            self._executions = weakref.WeakSet()
            self._inputs = {value.name: value for value in self.session.get_inputs()}
            self._tensors = {**self._inputs, **{value.name: value for value in self.session.get_outputs()}}
            gpu.born("engine", self)

        @property
        def num_io_tensors(self):
            return len(self._tensors)

        def get_tensor_name(self, index):
            gpu.reach("ICudaEngine.get_tensor_name")
            return list(self._tensors)[index]

        def get_tensor_mode(self, name):
            gpu.reach("ICudaEngine.get_tensor_mode")
            return trt.TensorIOMode.INPUT if name in self._inputs else trt.TensorIOMode.OUTPUT

        def get_tensor_shape(self, name):
            gpu.reach("ICudaEngine.get_tensor_shape")
            return [length if isinstance(length, int) else -1 for length in self._tensors[name].shape]

        def get_tensor_dtype(self, name):
            gpu.reach("ICudaEngine.get_tensor_dtype")
            return {"tensor(uint8)": trt.DataType.UINT8, "tensor(float)": trt.DataType.FLOAT}[self._tensors[name].type]

        def create_engine_inspector(self):
            gpu.reach("ICudaEngine.create_engine_inspector")
            return EngineInspector(self)

        def create_execution_context(self):
            if gpu.reach("ICudaEngine.create_execution_context") is not None:
                return None
            return IExecutionContext(self)

    class Runtime:
        def __init__(self, logger):
            gpu.reach("tensorrt.Runtime")
            gpu.logger = self.logger = logger
            gpu.born("runtime", self)

        def deserialize_cuda_engine(self, plan):
            head, _, graph = plan.partition(b"\n")
            if gpu.reach("Runtime.deserialize_cuda_engine") is not None or head != MAGIC + version.encode():
                self.logger.log(trt.ILogger.ERROR, "magic tag does not match")
                return None
            return ICudaEngine(graph)

    return IProfiler, EngineInspector, IExecutionContext, ICudaEngine, Runtime
