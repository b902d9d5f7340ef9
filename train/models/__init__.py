"""The architectures, found by name.

An architecture is imported when it is first asked for: `python -m train.models --help` needs no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from train.options import OPTIONS, check_model_name

if TYPE_CHECKING:
    from train.models.base import ModelSpec

    MODELS: dict[str, ModelSpec]


def __getattr__(name: str) -> Any:
    if name != "MODELS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    models = {model: getattr(importlib.import_module(f"train.models.{model}"), model.upper()) for model in OPTIONS}
    globals()["MODELS"] = models
    return models


def model_spec(name: str) -> ModelSpec:
    """Return the architecture with a name, as its ModelSpec.

    Raises:
        InputError: there is no such architecture; the message lists those that there are.
    """
    check_model_name(name)
    from train.models import MODELS

    return MODELS[name]
