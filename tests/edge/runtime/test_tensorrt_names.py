"""Every TensorRT name in the code exists in every version in which the code gets there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from calibration.trt.scales import _MOVES
from tests.edge.runtime import tensorrt_stand_in as stand_in

ROOT = Path(__file__).parents[3]
FILES = (
    "edge/runtime/tensorrt.py",
    "edge/runtime/tensorrt_profile.py",
    "export/backends/trt_builder.py",
    "export/backends/trt_config.py",
    "export/backends/trt_progress.py",
    "export/backends/trt_timing_cache.py",
    "export/backends/trt_layer_info.py",
    "export/backends/trt_dynamic_ranges.py",
    "calibration/trt/calibrator.py",
    "calibration/trt/scales.py",
)
# Which TensorRT class a variable of the code holds.
OWNERS = {
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "execution": "IExecutionContext",
    "inspector": "EngineInspector",
    "dtype": "DataType",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "layer": "ILayer",
    "tensor": "ITensor",
    "kinds": "LayerType",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "refusal": "ParserError",
    "cache": "ITimingCache",
    "profile": "IOptimizationProfile",
    "plan": "IHostMemory",
}


def major(version: str) -> int:
    return int(version.split(".")[0])


def has_weak_types(version: str) -> bool:
    return major(version) <= 10


def has_levels(version: str) -> bool:
    return version.startswith("8.6") or major(version) >= 10


# Names that are not in every version, and in which versions the code reaches them. STRONGLY_TYPED is asked for with
# hasattr; the others belong to weakly typed networks and calibrators, which a request to 11 is refused for.
CALIBRATOR_METHODS = ("get_batch", "get_batch_size", "read_calibration_cache", "write_calibration_cache")
MONITOR_METHODS = ("phase_start", "step_complete", "phase_finish")
GUARDED = {
    # export/backends/options.py refuses what asks for these before 8.6.
    **dict.fromkeys(
        (
            "BuilderFlag.VERSION_COMPATIBLE",
            "IBuilderConfig.builder_optimization_level",
            "HardwareCompatibilityLevel",
            "HardwareCompatibilityLevel.AMPERE_PLUS",
            "IBuilderConfig.hardware_compatibility_level",
        ),
        has_levels,
    ),
    # Asked for with hasattr; the setter of the configuration is reached with a monitor alone.
    **dict.fromkeys(
        (
            "IProgressMonitor",
            "IBuilderConfig.progress_monitor",
            *(f"IProgressMonitor.{name}" for name in MONITOR_METHODS),
        ),
        lambda version: major(version) >= 10,
    ),
    # Asked of an engine that the builder made version-compatible, which it refuses before 8.6.
    "Runtime.engine_host_code_allowed": lambda version: version >= "8.6" or major(version) >= 10,
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED": lambda version: major(version) >= 10,
    **dict.fromkeys(
        (
            "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
            "BuilderFlag.FP16",
            "BuilderFlag.INT8",
            "BuilderFlag.OBEY_PRECISION_CONSTRAINTS",
            "IBuilderConfig.int8_calibrator",
            "ILayer.precision",
            "ITensor.set_dynamic_range",
            "IInt8EntropyCalibrator2",
            *(f"IInt8EntropyCalibrator2.{name}" for name in CALIBRATOR_METHODS),
        ),
        has_weak_types,
    ),
}


def names_in(source: str) -> set:
    """Return `Class` and `Class.attribute` for all that the code says of TensorRT, messages included."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = dotted(node.value)
            if owner == "trt":
                found.add(node.attr)
            elif owner.startswith("trt."):
                found.add(f"{owner[4:]}.{node.attr}")
            elif owner in OWNERS:
                found.add(f"{OWNERS[owner]}.{node.attr}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            owner, _, name = node.value.partition(".")
            if owner in stand_in.TABLE["classes"] and name.isidentifier():
                found.add(node.value)
        elif isinstance(node, ast.ClassDef):
            bases = [dotted(base)[4:] for base in node.bases if dotted(base).startswith("trt.")]
            methods = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
            found.update(f"{base}.{name}" for base in bases for name in methods)
    return {name for name in found if "__" not in name}


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


USED = set().union(*(names_in((ROOT / path).read_text()) for path in FILES))


def exists(name: str, version: str) -> bool:
    owner, _, attribute = name.partition(".")
    if not stand_in.TABLE["classes"].get(owner) or not stand_in.names_of(owner, version):
        return False
    # `trt.DataType.UINT8.name`: an attribute of an enumeration's member is one of the enumeration.
    return all(part in stand_in.names_of(owner, version) for part in attribute.split(".") if part)


@pytest.mark.parametrize("version", stand_in.VERSIONS)
def test_every_name_exists_where_it_is_reached(version):
    reached = {name for name in USED if GUARDED.get(name, lambda version: True)(version)}
    assert sorted(name for name in reached if not exists(name, version)) == []


def test_guard_is_the_one_that_the_code_asks():
    for version in stand_in.VERSIONS:
        assert exists("NetworkDefinitionCreationFlag.STRONGLY_TYPED", version) == (major(version) >= 10)


def test_every_guarded_name_is_used_and_needs_its_guard():
    for name in GUARDED:
        assert name in USED
        assert not all(exists(name, version) for version in stand_in.VERSIONS)


def test_the_names_that_matter_are_seen():
    assert {
        "IExecutionContext.execute_async_v3",
        "IExecutionContext.set_tensor_address",
        "Runtime.deserialize_cuda_engine",
        "Builder.build_serialized_network",
        "IBuilderConfig.set_timing_cache",
        "ITimingCache.combine",
        "IBuilderConfig.builder_optimization_level",
        "IOptimizationProfile.set_shape",
        "IProgressMonitor.step_complete",
        "ITensor.set_dynamic_range",
        "OnnxParser.parse",
        "ParserError.desc",
        "ILogger.INTERNAL_ERROR",
        "IBuilderConfig.can_run_on_DLA",
        "IInt8EntropyCalibrator2.get_batch",
        "LayerType.CONSTANT",
    } <= USED


def test_kinds_of_layers_that_are_asked_for_exist_in_some_version():
    for kind in _MOVES:
        assert any(exists(f"LayerType.{kind}", version) for version in stand_in.VERSIONS), kind


@pytest.mark.parametrize("version", stand_in.VERSIONS)
def test_calibrators_end_with_version_10(version):
    assert exists("IInt8EntropyCalibrator2", version) == has_weak_types(version)


def test_a_name_that_left_would_be_noticed():
    left = names_in("engine.num_bindings\nexecution.execute_async_v2()\ntrt.UffParser")
    for version in ("10.3.0", "11.4.0.106"):
        assert [name for name in left if exists(name, version)] == []
