"""Stand-ins for the modules tensorrt and pycuda that really compute, in host memory.

The TensorRT one has the names of one real version and no others (tests/data/tensorrt_api), and its
engines run their ONNX graph by onnxruntime at the addresses that they were given. Both keep a
ledger of what is alive, complain when something is used or freed outside its CUDA context, and
fail on demand. A calibrator is called as the real one is: what it raises is swallowed.
"""

from __future__ import annotations

import sys
import types

import numpy as np

from tests.edge.runtime.cuda_ledger import CudaError, Gpu
from tests.edge.runtime.pycuda_stand_in import make_pycuda
from tests.edge.runtime.tensorrt_api import MAGIC, TABLE, VERSIONS, enumeration, names_of
from tests.edge.runtime.tensorrt_builder_stand_in import CACHE_VERSIONS, builder_classes
from tests.edge.runtime.tensorrt_runtime_stand_in import runtime_classes

__all__ = [
    "CACHE_VERSIONS",
    "MAGIC",
    "TABLE",
    "VERSIONS",
    "CudaError",
    "Gpu",
    "install",
    "make_pycuda",
    "make_tensorrt",
    "names_of",
    "tiny_graph",
]


def make_tensorrt(gpu: Gpu, version: str) -> types.ModuleType:
    """Return a module tensorrt of this version."""
    trt = types.ModuleType("tensorrt")
    trt.__version__ = version
    for owner in (
        "BuilderFlag",
        "DataType",
        "DeviceType",
        "LayerType",
        "MemoryPoolType",
        "NetworkDefinitionCreationFlag",
        "TensorIOMode",
    ):
        setattr(trt, owner, enumeration(owner, version))

    class ILogger:
        ERROR, INTERNAL_ERROR, WARNING = "ERROR", "INTERNAL_ERROR", "WARNING"

        def log(self, severity, msg):
            raise NotImplementedError

    class IHostMemory(bytes):
        pass

    trt.IHostMemory = IHostMemory
    kept = {"ILogger": {"log"}, "INetworkDefinition": {"graph"}, "IBuilderConfig": set()}
    for made in (ILogger, *builder_classes(trt, gpu, version), *runtime_classes(trt, gpu, version)):
        allowed = names_of(made.__name__, version) | kept.get(made.__name__, set())
        for name in [name for name in vars(made) if not name.startswith("_") and name not in allowed]:
            delattr(made, name)
        setattr(trt, made.__name__, made)
    return trt


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
    seed: int = 6,
) -> bytes:
    """Return an ONNX graph with a contract's input and outputs: Cast, scale, Conv at stride 4, Add.

    `extra_outputs` are pairs of name and channels; each output has a Conv of its own.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(seed)
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
