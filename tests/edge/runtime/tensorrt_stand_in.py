"""Stand-ins for the modules tensorrt and pycuda that really compute, in host memory.

The TensorRT one has the names of one real version and no others (tests/data/tensorrt_api), and its
engines run their ONNX graph by onnxruntime at the addresses that they were given. Both keep a
ledger of what is alive, complain when something is used or freed outside its CUDA context, and
fail on demand. A calibrator is called as the real one is: what it raises is swallowed.
"""

from __future__ import annotations

import ctypes
import json
import sys
import threading
import types
import weakref
from pathlib import Path

import numpy as np
from parsed_network import parsed_network

TABLE = json.loads((Path(__file__).parents[2] / "data" / "tensorrt_api" / "names.json").read_text())
VERSIONS = tuple(TABLE["versions"])
MAGIC = b"stand-in engine of "

CACHE_VERSIONS = {
    **{"8.5.3.1": "8503", "8.6.0": "8600", "8.6.1": "8601"},
    **{"10.3.0": "100300", "10.13.3.9": "101303", "10.16.1.11": "101601"},
}
"""How the versions with calibrators write themselves in a calibration cache."""


def names_of(owner: str, version: str) -> set:
    """Return the public attributes of a TensorRT class in one version."""
    return {
        name
        for versions, names in TABLE["classes"][owner].items()
        if not versions or version in versions.split()
        for name in names.split()
    }


class CudaError(Exception):
    pass


class Gpu:
    """What is alive, which calls were made, and which are to fail."""

    def __init__(self) -> None:
        self.live: dict = {}
        self._homes: dict = {}
        self.calls: list = []
        self.faults: dict = {}
        self.misuses: list = []
        self.stacks: dict = {}
        self.dla_cores = 0
        self.batches: list = []
        self.cache = None
        self._number = 0

    def current(self):
        stack = self.stacks.setdefault(threading.get_ident(), [])
        return stack[-1] if stack else None

    def reach(self, call: str, needs_context: bool = True):
        """Note a call; fail if the test wants that. Returns the result to give instead, or None."""
        self.calls.append(call)
        if needs_context and self.current() is None:
            raise CudaError(f"{call}: invalid device context")
        fault = self.faults.get(call)
        if isinstance(fault, type):
            raise fault(f"{call}: out\nof luck")
        return fault

    def born(self, kind: str, thing: object = None) -> int:
        self._number += 1
        number, context = self._number, None if kind == "context" else self.current()
        self.live[number], self._homes[number] = kind, context
        if thing is not None:
            weakref.finalize(thing, self.dead, number).atexit = False
        return number

    def dead(self, number: int) -> None:
        kind, home = self.live.pop(number, None), self._homes.pop(number, None)
        if kind and home is not None and self.current() is not home:
            self.misuses.append(f"{kind} freed outside its context")

    def living_in(self, context: object) -> list:
        return sorted(self.live[number] for number, home in self._homes.items() if home is context)


class _Checked:
    """Takes only attributes that the real class has: a misspelt one would be set and mean nothing."""

    _settable: set = set()

    def __setattr__(self, name, value):
        if name not in self._settable:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        self.__dict__[name] = value


def _swallow(function, *arguments):
    try:
        return function(*arguments)
    except BaseException:
        return None


class _Enum:
    def __init__(self, name: str, value: int) -> None:
        self.name, self.value = name, value

    def __int__(self) -> int:
        return self.value


def _enum(owner: str, version: str) -> type:
    members = sorted(names_of(owner, version) - {"name", "value"})
    return type(owner, (), {name: _Enum(name, number) for number, name in enumerate(members)})


def make_tensorrt(gpu: Gpu, version: str) -> types.ModuleType:
    """Return a module tensorrt of this version."""
    trt = types.ModuleType("tensorrt")
    trt.__version__ = version
    for owner in (
        *("BuilderFlag", "DataType", "DeviceType", "LayerType", "MemoryPoolType"),
        *("NetworkDefinitionCreationFlag", "TensorIOMode"),
    ):
        setattr(trt, owner, _enum(owner, version))
    is_typed = "STRONGLY_TYPED" in names_of("NetworkDefinitionCreationFlag", version)

    class ILogger:
        ERROR, INTERNAL_ERROR, WARNING = "ERROR", "INTERNAL_ERROR", "WARNING"

        def log(self, severity, msg):
            raise NotImplementedError

    class IHostMemory(bytes):
        pass

    class INetworkDefinition:
        graph = b""

        def __init__(self, is_typed):
            self._is_typed = is_typed
            self._inputs, self._layers = [], []

        @property
        def num_layers(self):
            return len(self._layers)

        @property
        def num_inputs(self):
            return len(self._inputs)

        def get_layer(self, index):
            return self._layers[index]

        def get_input(self, index):
            return self._inputs[index]

    class ILayer(_Checked):
        _settable = names_of("ILayer", version)

        def __init__(self, name, kind, inputs, outputs):
            self.__dict__.update(name=name, type=kind, _inputs=inputs, _outputs=outputs)

        @property
        def num_inputs(self):
            return len(self._inputs)

        @property
        def num_outputs(self):
            return len(self._outputs)

        def get_input(self, index):
            return self._inputs[index]

        def get_output(self, index):
            return self._outputs[index]

    class ITensor(_Checked):
        _settable = names_of("ITensor", version)

        def __init__(self, name, dtype):
            self.__dict__.update(name=name, dtype=dtype)

    class IInt8EntropyCalibrator2:
        def __init__(self):
            self._is_initialised = True

    class ParserError:
        def __init__(self, text):
            self._text = text

        def desc(self):
            return self._text

        def node(self):
            return 7

    class OnnxParser:
        def __init__(self, network, logger):
            self._network, self._errors = network, []

        def parse(self, model):
            import onnx

            fault = gpu.reach("OnnxParser.parse", False)
            try:
                graph = onnx.load_model_from_string(model)
                onnx.checker.check_model(graph)
                stored = {tensor.name for tensor in graph.graph.initializer}
                if not self._network._is_typed and any(
                    node.op_type == "DequantizeLinear" and node.input[0] in stored for node in graph.graph.node
                ):
                    raise ValueError("invalid weights type of Int8")
            except Exception as error:
                self._errors.append(ParserError(f"cannot\nread: {error}"))
                return False
            if fault is False:
                self._errors += [ParserError(f"Assertion {number}\nfailed") for number in range(5)]
                return False
            self._network.graph = model
            self._network._inputs, self._network._layers = parsed_network(trt, version, graph)
            return True

        @property
        def num_errors(self):
            return len(self._errors)

        def get_error(self, index):
            return self._errors[index]

    class ITimingCache:
        def __init__(self, content):
            self.content = content

        def serialize(self):
            return IHostMemory(f"times of {version}".encode())

    class IBuilderConfig(_Checked):
        _settable = names_of("IBuilderConfig", version)

        def __init__(self):
            self.__dict__.update(used_flags=[], limits={}, cache=None)

        def set_flag(self, flag):
            gpu.reach("IBuilderConfig.set_flag", False)
            self.used_flags.append(flag.name)

        def can_run_on_DLA(self, layer):  # noqa: N802 as TensorRT writes it
            return layer.type not in (trt.LayerType.SHUFFLE, trt.LayerType.RESIZE)

        def set_memory_pool_limit(self, pool, size):
            gpu.reach("IBuilderConfig.set_memory_pool_limit", False)
            self.limits[pool.name] = size

        def create_timing_cache(self, content):
            gpu.reach("IBuilderConfig.create_timing_cache", False)
            return ITimingCache(content)

        def set_timing_cache(self, cache, ignore_mismatch):
            self.__dict__["cache"] = cache
            return not cache.content or cache.content == f"times of {version}".encode()

        def get_timing_cache(self):
            return self.cache

    class Builder:
        def __init__(self, logger):
            gpu.reach("tensorrt.Builder", False)
            self._logger = logger
            gpu.born("builder", self)

        @property
        def num_DLA_cores(self):  # noqa: N802 as TensorRT writes it
            return gpu.dla_cores

        def create_network(self, flags):
            gpu.reach("Builder.create_network", False)
            wanted = trt.NetworkDefinitionCreationFlag
            if is_typed and flags == 1 << wanted.STRONGLY_TYPED.value:
                return INetworkDefinition(True)
            if not hasattr(wanted, "EXPLICIT_BATCH") or flags != 1 << wanted.EXPLICIT_BATCH.value:
                raise ValueError(f"flags {flags}")
            return INetworkDefinition(False)

        def create_builder_config(self):
            gpu.reach("Builder.create_builder_config", False)
            gpu.config = IBuilderConfig()
            return gpu.config

        def _calibrate(self, network, config):
            """Fill gpu.cache from the calibrator; what goes wrong in it is swallowed, as pybind11's wrapper does."""
            calibrator = config.int8_calibrator
            if not getattr(calibrator, "_is_initialised", False):
                raise TypeError("the base class was not initialised")
            first_line = f"TRT-{CACHE_VERSIONS[version]}-EntropyCalibration2"
            cache = _swallow(calibrator.read_calibration_cache)
            if cache is not None and bytes(cache).decode().splitlines()[0] == first_line:
                gpu.cache = bytes(cache).decode()
                return True
            import onnx

            (value,) = onnx.load_model_from_string(network.graph).graph.input
            shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
            dtype = {onnx.TensorProto.FLOAT: np.float32, onnx.TensorProto.UINT8: np.uint8}[
                value.type.tensor_type.elem_type
            ]
            while True:
                batch = _swallow(calibrator.get_batch, [value.name])
                if not batch:
                    break
                gpu.batches.append(_at(batch[0], shape, dtype).copy())
            if not gpu.batches:
                self._logger.log(trt.ILogger.ERROR, f"Tensor {value.name} is bound to nullptr")
                return False
            names = [layer.get_output(0).name for layer in network._layers]
            gpu.cache = "\n".join([first_line, *(f"{name}: 3c010a14" for name in names)]) + "\n"
            _swallow(calibrator.write_calibration_cache, memoryview(gpu.cache.encode()))
            return True

        def build_serialized_network(self, network, config):
            failed = gpu.reach("Builder.build_serialized_network", False) is not None
            if network._is_typed and set(config.used_flags) & {"INT8", "FP16"}:
                raise ValueError("a strongly typed network takes no precision flags")
            if not failed and "int8_calibrator" in vars(config):
                if "INT8" not in config.used_flags:
                    raise ValueError("a calibrator without INT8")
                failed = not self._calibrate(network, config)
                if failed:
                    return None
            if not failed:
                gpu.built_graph, gpu.network = network.graph, network
                return IHostMemory(MAGIC + version.encode() + b"\n" + network.graph)
            self._logger.log(trt.ILogger.WARNING, "only a warning")
            self._logger.log(trt.ILogger.ERROR, "no\nkernel fits")
            return None

    class IExecutionContext:
        def __init__(self, engine):
            self._engine, self._addresses = engine, {}
            gpu.born("execution context", self)

        def set_tensor_address(self, name, address):
            if gpu.reach("IExecutionContext.set_tensor_address") is False:
                return False
            self._addresses[name] = address
            return True

        def execute_async_v3(self, stream_handle):
            if gpu.reach("IExecutionContext.execute_async_v3") is False:
                gpu.logger.log(trt.ILogger.ERROR, "illegal memory access")
                return False
            session = self._engine.session
            lacking = sorted(set(self._engine._tensors) - set(self._addresses))
            if lacking:
                gpu.logger.log(trt.ILogger.ERROR, f"address of {', '.join(lacking)} is not set")
                return False
            feeds = {
                value.name: _at(self._addresses[value.name], value.shape, _NUMPY[value.type]).copy()
                for value in session.get_inputs()
            }
            for value, result in zip(session.get_outputs(), session.run(None, feeds)):
                _at(self._addresses[value.name], value.shape, _NUMPY[value.type])[...] = result
            return True

    class ICudaEngine:
        def __init__(self, graph):
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.log_severity_level, options.intra_op_num_threads = 3, 1
            self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
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
            return list(self._tensors[name].shape)

        def get_tensor_dtype(self, name):
            gpu.reach("ICudaEngine.get_tensor_dtype")
            return {"tensor(uint8)": trt.DataType.UINT8, "tensor(float)": trt.DataType.FLOAT}[self._tensors[name].type]

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

    if "IInt8EntropyCalibrator2" in TABLE["classes"] and names_of("IInt8EntropyCalibrator2", version):
        trt.IInt8EntropyCalibrator2 = IInt8EntropyCalibrator2
    kept = {"ILogger": {"log"}, "INetworkDefinition": {"graph"}, "IBuilderConfig": set()}
    for made in (
        *(ILogger, INetworkDefinition, ParserError, OnnxParser, ITimingCache, IBuilderConfig, Builder),
        *(IExecutionContext, ICudaEngine, Runtime, ILayer, ITensor),
    ):
        allowed = names_of(made.__name__, version) | kept.get(made.__name__, set())
        for name in [name for name in vars(made) if not name.startswith("_") and name not in allowed]:
            delattr(made, name)
        setattr(trt, made.__name__, made)
    return trt


_NUMPY = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


def _at(address: int, shape, dtype) -> np.ndarray:
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * count).from_address(address), dtype).reshape(shape)


def make_pycuda(gpu: Gpu) -> types.ModuleType:
    """Return a module pycuda with its `driver`."""
    pycuda, driver = types.ModuleType("pycuda"), types.ModuleType("pycuda.driver")
    pycuda.driver = driver

    class Context:
        def __init__(self):
            self._number = gpu.born("context")
            gpu.stacks.setdefault(threading.get_ident(), []).append(self)

        def push(self):
            gpu.reach("Context.push", False)
            gpu.stacks.setdefault(threading.get_ident(), []).append(self)

        @staticmethod
        def pop():
            gpu.reach("Context.pop")
            gpu.stacks[threading.get_ident()].pop()

        def detach(self):
            gpu.calls.append("Context.detach")
            if gpu.current() is not self:
                gpu.misuses.append("context detached while it is not current")
            if gpu.living_in(self):
                gpu.misuses.append(f"context detached before {gpu.living_in(self)}")
            gpu.stacks[threading.get_ident()].remove(self)
            gpu.dead(self._number)
            gpu.reach("Context.detach", False)

    class Device:
        def __init__(self, number):
            gpu.reach("pycuda.driver.Device", False)

        def make_context(self):
            gpu.reach("Device.make_context", False)
            return Context()

    class Stream:
        handle = 4711

        def __init__(self):
            gpu.reach("pycuda.driver.Stream")
            gpu.born("stream", self)

        def synchronize(self):
            gpu.reach("Stream.synchronize")

    class Allocation:
        def __init__(self, kind, size):
            self._memory, self._kind = (ctypes.c_char * size)(), kind
            self._number = gpu.born(kind)

        def __int__(self):
            return ctypes.addressof(self._memory)

        def free(self):
            gpu.dead(self._number)
            gpu.reach(f"{self._kind}.free")

    class HostAllocation(Allocation):
        def __init__(self, shape, dtype):
            self._shape, self._dtype = shape, np.dtype(dtype)
            super().__init__("PagelockedHostAllocation", int(np.prod(shape)) * self._dtype.itemsize)

        @property
        def __array_interface__(self):
            return {"shape": self._shape, "typestr": self._dtype.str, "data": (int(self), False), "version": 3}

    def pagelocked_empty(shape, dtype):
        gpu.reach("pycuda.driver.pagelocked_empty")
        return np.asarray(HostAllocation(shape, dtype))

    def mem_alloc(size):
        gpu.reach("pycuda.driver.mem_alloc")
        return Allocation("DeviceAllocation", size)

    def memcpy_htod_async(target, source, stream):
        gpu.reach("pycuda.driver.memcpy_htod_async")
        ctypes.memmove(int(target), source.ctypes.data, source.nbytes)

    def memcpy_dtoh_async(target, source, stream):
        gpu.reach("pycuda.driver.memcpy_dtoh_async")
        ctypes.memmove(target.ctypes.data, int(source), target.nbytes)

    def memcpy_htod(target, source):
        gpu.reach("pycuda.driver.memcpy_htod")
        ctypes.memmove(int(target), source.ctypes.data, source.nbytes)

    driver.init = lambda: gpu.reach("pycuda.driver.init", False)
    driver.Context, driver.Device, driver.Stream = Context, Device, Stream
    driver.pagelocked_empty, driver.mem_alloc = pagelocked_empty, mem_alloc
    driver.memcpy_htod = memcpy_htod
    driver.memcpy_htod_async, driver.memcpy_dtoh_async = memcpy_htod_async, memcpy_dtoh_async
    return pycuda


def install(monkeypatch, version: str) -> Gpu:
    """Put both stand-ins where `import` finds them; return their ledger."""
    gpu = Gpu()
    pycuda = make_pycuda(gpu)
    monkeypatch.setitem(sys.modules, "tensorrt", make_tensorrt(gpu, version))
    monkeypatch.setitem(sys.modules, "pycuda", pycuda)
    monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda.driver)
    return gpu


def tiny_graph(
    height: int = 8,
    width: int = 16,
    classes: int = 3,
    quantized: bool = False,
    batch: int = 1,
    extra_outputs: tuple = (),
) -> bytes:
    """Return an ONNX graph with a contract's input and outputs: Cast, scale, Conv at stride 4, Add.

    `extra_outputs` are pairs of name and channels; each output has a Conv of its own.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(5)
    constants = {
        "kernel": generator.normal(0, 0.1, (classes, 3, 4, 4)).astype(np.float32),
        "bias": np.linspace(-0.5, 0.5, classes, dtype=np.float32),
        "inverse": np.array(1 / 255, np.float32),
        "epsilon": np.array(1e-7, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["frame"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "inverse"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
    ]
    data, kernel = "planes", "kernel"
    if quantized:
        scales = np.abs(constants["kernel"]).max(axis=(1, 2, 3)) / 127
        constants["kernel_scale"] = scales.astype(np.float32)
        constants["kernel_zero"] = np.zeros(classes, np.int8)
        constants["planes_scale"] = np.array(1 / 127, np.float32)
        constants["planes_zero"] = np.array(0, np.int8)
        steps = np.rint(constants.pop("kernel") / scales.reshape(-1, 1, 1, 1))
        constants["kernel_q"] = steps.clip(-127, 127).astype(np.int8)
        planes, kernels = ["planes_scale", "planes_zero"], ["kernel_scale", "kernel_zero"]
        nodes += [
            helper.make_node("QuantizeLinear", ["planes", *planes], ["planes_q"]),
            helper.make_node("DequantizeLinear", ["planes_q", *planes], ["planes_dq"]),
            helper.make_node("DequantizeLinear", ["kernel_q", *kernels], ["kernel_dq"], axis=0),
        ]
        data, kernel = "planes_dq", "kernel_dq"
    nodes += [
        helper.make_node("Conv", [data, kernel, "bias"], ["sums"], strides=[4, 4]),
        helper.make_node("Add", ["sums", "epsilon"], ["logits"]),
    ]
    channels = {"logits": classes, **dict(extra_outputs)}
    for name, count in extra_outputs:
        constants[f"{name}_kernel"] = generator.normal(0, 0.1, (count, 3, 4, 4)).astype(np.float32)
        nodes.append(helper.make_node("Conv", ["planes", f"{name}_kernel"], [name], strides=[4, 4]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [batch, height, width, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, count, height // 4, width // 4])
            for name, count in channels.items()
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()
