"""The architectures, by name."""

from __future__ import annotations

from edge.errors import InputError
from train.models.base import ModelSpec
from train.models.fast_scnn import FAST_SCNN
from train.models.fastfcn import FASTFCN

MODELS: dict[str, ModelSpec] = {spec.name: spec for spec in (FAST_SCNN, FASTFCN)}


def model_spec(name: str) -> ModelSpec:
    """Return the architecture of that name.

    Raises:
        InputError: there is none; the message lists those that are.
    """
    if name not in MODELS:
        raise InputError(f"model is '{name}', expected one of: {', '.join(sorted(MODELS))}")
    return MODELS[name]
