"""The table of names of 8.5.3.1, and every name that the code reaches there, on the real binding.

The table says which names there are. The binding also says which can be set, and how many arguments a method takes.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from export.backends.options import EngineOptions, tensorrt_version
from export.backends.trt_config import forbid_tf32, has_strong_types, network_flags, set_options, set_precision
from export.backends.trt_progress import BuildProgress
from tests.edge.runtime.tensorrt_api import TABLE, names_of
from tests.edge.runtime.test_tensorrt_names import FILES, GUARDED, OWNERS, USED, dotted, names_in

VERSION = "8.5.3.1"
ROOT = Path(__file__).parents[2]
TREES = [ast.parse((ROOT / path).read_text()) for path in FILES]
REACHED = sorted(name for name in USED if GUARDED.get(name, lambda version: True)(VERSION))


def found(trt, name):
    """Return what the binding has under a name; an enumeration's member has what the enumeration has."""
    value = trt
    for part in name.split("."):
        value = getattr(value, part)
    return value


def public(owner):
    return {name for name in dir(owner) if not name.startswith("__")}


def signatures(trt, name):
    """Return the fewest and most arguments of each form of a method or constructor, as pybind11 writes them down."""
    function = found(trt, name)
    if isinstance(function, type):
        function, name = function.__init__, "__init__"
    forms = re.findall(rf"{name.rsplit('.', 1)[-1]}\(self: ([^\n]*)\) -> ", function.__doc__ or "")
    counts = []
    for form in forms:
        arguments = re.sub(r"\[[^\[\]]*\]", "", re.sub(r"\[[^\[\]]*\]", "", form)).split(", ")[1:]
        counts.append((sum(" = " not in argument for argument in arguments), len(arguments)))
    return counts


def calls():
    """Return (name, count of arguments, whether there are more) of each call of a TensorRT object in the code."""
    seen = []
    for tree in TREES:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            arguments, name = node.args, None
            if isinstance(node.func, ast.Name) and node.func.id in ("call", "ask") and len(arguments) > 1:
                name, arguments = ast.literal_eval(arguments[0]), arguments[2:]
                name = name.split(".", 1)[1] if name.startswith("tensorrt.") else name
            elif isinstance(node.func, ast.Attribute) and dotted(node.func.value) in OWNERS:
                name = f"{OWNERS[dotted(node.func.value)]}.{node.func.attr}"
            if name in REACHED:
                given = [argument for argument in arguments if not isinstance(argument, ast.Starred)]
                seen.append((name, len(given), len(given) != len(arguments)))
    return seen


def settings():
    """Return the attributes of TensorRT objects that the code sets."""
    targets = [
        target for tree in TREES for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets
    ]
    attributes = [target for target in targets if isinstance(target, ast.Attribute) and dotted(target.value) in OWNERS]
    return {f"{OWNERS[dotted(target.value)]}.{target.attr}" for target in attributes}


def test_table_is_what_the_binding_has(trt):
    classes = {name: public(value) for name, value in vars(trt).items() if isinstance(value, type) and name[:2] != "__"}
    table = {owner: names_of(owner, VERSION) for owner in TABLE["classes"]}
    assert set(classes) <= set(table)
    # A class without public attributes stands in the table without versions.
    assert {owner for owner, names in classes.items() if names} == {owner for owner, names in table.items() if names}
    assert {owner: names ^ table[owner] for owner, names in classes.items() if names != table[owner]} == {}


@pytest.mark.parametrize("name", REACHED)
def test_name_exists(trt, name):
    assert found(trt, name) is not None


def test_name_that_is_guarded_is_missing(trt):
    missing = [name for name, is_there in GUARDED.items() if not is_there(VERSION)]
    assert missing
    for name in missing:
        with pytest.raises(AttributeError):
            found(trt, name)


def test_each_call_has_as_many_arguments_as_the_binding_takes(trt):
    seen = calls()
    assert {"IBuilderConfig.set_memory_pool_limit", "Builder", "OnnxParser", "INetworkDefinition.get_layer"} <= {
        name for name, _, _ in seen
    }
    for name, count, has_more in seen:
        forms = signatures(trt, name)
        assert forms, f"the binding does not say what {name} takes"
        fits = [count <= most if has_more else least <= count <= most for least, most in forms]
        assert any(fits), f"{name} is given {count} arguments, expected {forms}"


def test_each_attribute_that_is_set_can_be_set(trt):
    names = settings()
    assert {"IBuilderConfig.int8_calibrator", "IExecutionContext.profiler", "Runtime.DLA_core"} <= names
    for name in sorted(names & set(REACHED)):
        attribute = found(trt, name)
        assert isinstance(attribute, property), name
        assert attribute.fset is not None, name


def test_attribute_that_is_read_only_would_be_noticed(trt):
    assert trt.ICudaEngine.num_io_tensors.fset is None
    assert signatures(trt, "IBuilderConfig.set_memory_pool_limit") == [(2, 2)]
    assert signatures(trt, "OnnxParser.parse") == [(1, 2)]
    assert "ICudaEngine.get_tensor_kind" in names_in("engine.get_tensor_kind()")
    with pytest.raises(AttributeError):
        found(trt, "ICudaEngine.get_tensor_kind")


def test_code_knows_what_this_version_has(trt):
    assert tensorrt_version(trt)[:2] == (8, 5)
    assert not has_strong_types(trt)
    assert network_flags(trt, is_strongly_typed=False) == 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    assert BuildProgress(trt).monitor() is None


def test_options_are_values_that_the_binding_takes(trt):
    class Config:
        """Takes what IBuilderConfig takes, with the binding's own types."""

        def __init__(self):
            self.__dict__["said"] = []

        def __setattr__(self, name, value):
            kind = re.search(r"-> ([\w.]+)", getattr(trt.IBuilderConfig, name).fget.__doc__)[1].rsplit(".", 1)[-1]
            assert isinstance(value, getattr(trt, kind))
            self.said.append((name, value))

        def set_flag(self, flag):
            assert isinstance(flag, trt.BuilderFlag)
            self.said.append(flag)

        def clear_flag(self, flag):
            assert isinstance(flag, trt.BuilderFlag)
            self.said.append(("clear", flag))

        def set_memory_pool_limit(self, pool, pool_size):
            assert isinstance(pool, trt.MemoryPoolType)
            self.said.append((pool, pool_size))

    config = Config()
    set_options(trt, config, EngineOptions(workspace_mib=64, has_layer_details=True))
    set_precision(trt, config, "int8")
    forbid_tf32(trt, config)
    assert config.said == [
        (trt.MemoryPoolType.WORKSPACE, 64 << 20),
        ("profiling_verbosity", trt.ProfilingVerbosity.DETAILED),
        trt.BuilderFlag.INT8,
        trt.BuilderFlag.FP16,
        ("clear", trt.BuilderFlag.TF32),
    ]
