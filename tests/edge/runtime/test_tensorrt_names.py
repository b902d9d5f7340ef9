"""Every TensorRT name in the code exists in every version in which the code gets there."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tensorrt_stand_in as stand_in

ROOT = Path(__file__).parents[3]
FILES = ("edge/runtime/tensorrt.py", "export/tensorrt_builder.py")
# Which TensorRT class a variable of the code holds.
OWNERS = {
    "self._runtime": "Runtime",
    "self._engine": "ICudaEngine",
    "engine": "ICudaEngine",
    "self._execution": "IExecutionContext",
    "dtype": "DataType",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "refusal": "ParserError",
    "cache": "ITimingCache",
    "plan": "IHostMemory",
}


def major(version: str) -> int:
    return int(version.split(".")[0])


# Names that are not in every version, and in which versions the code reaches them: the guard of all
# four is whether NetworkDefinitionCreationFlag has STRONGLY_TYPED.
GUARDED = {
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED": lambda version: major(version) >= 10,
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH": lambda version: major(version) < 10,
    "BuilderFlag.FP16": lambda version: major(version) < 10,
    "BuilderFlag.INT8": lambda version: major(version) < 10,
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
    return {name for name in found if "__" not in name}


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


USED = set().union(*(names_in((ROOT / path).read_text()) for path in FILES))


def exists(name: str, version: str) -> bool:
    owner, _, attribute = name.partition(".")
    if owner not in stand_in.TABLE["classes"]:
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
        "OnnxParser.parse",
        "ParserError.desc",
        "ILogger.INTERNAL_ERROR",
    } <= USED


def test_a_name_that_left_would_be_noticed():
    left = names_in("engine.num_bindings\nself._execution.execute_async_v2()\ntrt.IInt8Calibrator")
    for version in ("10.3.0", "11.4.0.106"):
        assert [name for name in left if exists(name, version)] == []
