"""The half of the TensorRT stand-in that builds: network, parser, configuration, builder."""

from __future__ import annotations

import hashlib
import types

import numpy as np

from tests.edge.runtime.cuda_ledger import Gpu, at
from tests.edge.runtime.parsed_network import parsed_network
from tests.edge.runtime.tensorrt_api import MAGIC, Checked, enumeration, names_of, swallow

CACHE_VERSIONS = {
    **{"8.5.3.1": "8503", "8.6.0": "8600", "8.6.1": "8601"},
    **{"10.3.0": "100300", "10.13.3.9": "101303", "10.16.1.11": "101601"},
}
"""How the versions with calibrators write themselves in a calibration cache."""


def builder_classes(trt: types.ModuleType, gpu: Gpu, version: str) -> tuple:
    """Return the classes of building, as one version has them."""
    is_typed = "STRONGLY_TYPED" in names_of("NetworkDefinitionCreationFlag", version)

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

    class ILayer(Checked):
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

    class ITensor(Checked):
        _settable = names_of("ITensor", version)

        def __init__(self, name, dtype, shape=()):
            self.__dict__.update(name=name, dtype=dtype, shape=shape, dynamic_range=None)

        def set_dynamic_range(self, low, high):
            if gpu.reach("ITensor.set_dynamic_range", False) is False:
                return False
            self.__dict__["dynamic_range"] = (low, high)
            return True

    class IProgressMonitor:
        def __init__(self):
            self._is_initialised = True

    class IOptimizationProfile:
        def __init__(self):
            self.shapes = {}

        def set_shape(self, name, least, best, most):
            gpu.reach("IOptimizationProfile.set_shape", False)
            self.shapes[name] = (tuple(least), tuple(best), tuple(most))

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
        """A first line with the version, and a line for each graph that was timed."""

        def __init__(self, content):
            self.content = content

        def _is_ours(self):
            return not self.content or self.content.splitlines()[0] == f"times of {version}".encode()

        def combine(self, other, ignore_mismatch):
            fault = gpu.reach("ITimingCache.combine", False)
            if fault is False or not (other._is_ours() or ignore_mismatch):
                return False
            for line in other.content.splitlines():
                self._add(line)
            return True

        def _add(self, line):
            lines = self.content.splitlines() or [f"times of {version}".encode()]
            self.content = b"\n".join(lines if line in lines else [*lines, line])

        def serialize(self):
            gpu.reach("ITimingCache.serialize", False)
            return trt.IHostMemory(self.content)

    class IBuilderConfig(Checked):
        _settable = names_of("IBuilderConfig", version)

        def __init__(self):
            self.__dict__.update(used_flags=[], cleared_flags=[], limits={}, cache=None, profiles=[])

        def add_optimization_profile(self, profile):
            if gpu.reach("IBuilderConfig.add_optimization_profile", False) is False:
                return -1
            self.profiles.append(profile)
            return len(self.profiles) - 1

        def set_flag(self, flag):
            gpu.reach("IBuilderConfig.set_flag", False)
            self.used_flags.append(flag.name)

        def clear_flag(self, flag):
            gpu.reach("IBuilderConfig.clear_flag", False)
            self.cleared_flags.append(flag.name)

        def set_tactic_sources(self, sources):
            if gpu.reach("IBuilderConfig.set_tactic_sources", False) is False:
                return False
            self.__dict__["tactic_sources"] = sources
            return True

        def can_run_on_DLA(self, layer):  # noqa: N802 as TensorRT writes it
            if layer.type not in (trt.LayerType.SHUFFLE, trt.LayerType.RESIZE):
                return True
            kind = f"Layer '{layer.name}' ({layer.type.name})"
            gpu.logger.log(
                trt.ILogger.WARNING, f"{kind}: Unsupported on DLA. Switching this layer's device type to GPU."
            )
            return False

        def set_memory_pool_limit(self, pool, size):
            gpu.reach("IBuilderConfig.set_memory_pool_limit", False)
            self.limits[pool.name] = size

        def create_timing_cache(self, content):
            gpu.reach("IBuilderConfig.create_timing_cache", False)
            return ITimingCache(content)

        def set_timing_cache(self, cache, ignore_mismatch):
            gpu.reach("IBuilderConfig.set_timing_cache", False)
            self.__dict__["cache"] = cache
            return cache._is_ours()

        def get_timing_cache(self):
            gpu.reach("IBuilderConfig.get_timing_cache", False)
            return self.cache

    class Builder:
        def __init__(self, logger):
            gpu.reach("tensorrt.Builder", False)
            self._logger = gpu.logger = logger
            gpu.born("builder", self)
            if not hasattr(gpu, "meanwhile"):
                gpu.meanwhile = lambda: None  # what a test does while the build blocks

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

        def create_optimization_profile(self):
            gpu.reach("Builder.create_optimization_profile", False)
            return IOptimizationProfile()

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
            cache = swallow(calibrator.read_calibration_cache)
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
                batch = swallow(calibrator.get_batch, [value.name])
                if not batch:
                    break
                gpu.batches.append(at(batch[0], shape, dtype).copy())
            if not gpu.batches:
                self._logger.log(trt.ILogger.ERROR, f"Tensor {value.name} is bound to nullptr")
                return False
            names = [layer.get_output(0).name for layer in network._layers]
            gpu.cache = "\n".join([first_line, *(f"{name}: 3c010a14" for name in names)]) + "\n"
            swallow(calibrator.write_calibration_cache, memoryview(gpu.cache.encode()))
            return True

        def _steps(self, monitor):
            """Tell a monitor of two nested phases; False if it wants no more."""
            meanwhile = gpu.meanwhile
            if monitor is None:
                meanwhile()
                return True
            if not getattr(monitor, "_is_initialised", False):
                raise TypeError("the base class was not initialised")
            monitor.phase_start("Building", None, 2)
            for outer in range(2):
                monitor.phase_start(f"Part {outer}", "Building", 3)
                for inner in range(3):
                    meanwhile()
                    if not swallow(monitor.step_complete, f"Part {outer}", inner):
                        return False
                monitor.phase_finish(f"Part {outer}")
                if not swallow(monitor.step_complete, "Building", outer):
                    return False
            monitor.phase_finish("Building")
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
            free = [tensor.name for tensor in network._inputs if -1 in tensor.shape]
            if not failed and free and not all(name in profile.shapes for profile in config.profiles for name in free):
                raise ValueError("a free size without a profile")
            if free and not config.profiles:
                raise ValueError("a free size without a profile")
            if not failed and not self._steps(vars(config).get("progress_monitor")):
                self._logger.log(trt.ILogger.ERROR, "the build was cancelled")
                return None
            if not failed:
                gpu.built_graph, gpu.network = network.graph, network
                if config.cache is not None:
                    config.cache._add(b"graph " + hashlib.sha256(network.graph).hexdigest()[:8].encode())
                return trt.IHostMemory(MAGIC + version.encode() + b"\n" + network.graph)
            self._logger.log(trt.ILogger.WARNING, "only a warning")
            self._logger.log(trt.ILogger.ERROR, "no\nkernel fits")
            return None

    if names_of("IInt8EntropyCalibrator2", version):
        trt.IInt8EntropyCalibrator2 = IInt8EntropyCalibrator2
    if names_of("IProgressMonitor", version):
        trt.IProgressMonitor = IProgressMonitor
    for owner in ("HardwareCompatibilityLevel", "ProfilingVerbosity", "LayerInformationFormat"):
        if names_of(owner, version):
            setattr(trt, owner, enumeration(owner, version))
    of_network = (INetworkDefinition, ParserError, OnnxParser, ILayer, ITensor)
    return *of_network, ITimingCache, IBuilderConfig, Builder
