"""From a published checkpoint to a Keras model with its weights: every tensor used exactly once, or an error."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

import keras
import numpy as np

from edge.errors import InputError, WeightsError
from train.checkpoint_import import CHECKPOINT_FAMILIES
from train.checkpoint_import.layer_weights import Reading, Tensors
from train.checkpoint_import.mappings import SUGGESTED, is_mobilenet, make_mapping
from train.checkpoints import KERAS, read_checkpoint
from train.models import model_spec
from train.options import resolve_options, training_options

BUILD_SIZE = (64, 128)
"""Frame size that models are built at to hold weights, which do not depend on it."""

BACKBONE_CLASSES = 19
"""Classes of the classifier that a network with an imported backbone gets; it is random, and made anew in training."""

MOST_NAMED = 4


@dataclass(frozen=True)
class PublishedWeights:
    """A network with the weights of a checkpoint.

    Attributes:
        model: the Keras model, built at BUILD_SIZE.
        options: of the architecture, every one.
        class_count: of the classifier; None where only the backbone is the checkpoint's.
        tensors_used: tensors of the checkpoint that are in it.
        left_out: tensors of no use, in words.
        fresh: layers that keep random weights.
    """

    model: keras.Model
    options: dict[str, Any]
    class_count: int | None
    tensors_used: int
    left_out: tuple[str, ...]
    fresh: tuple[str, ...]


def load_published(path: Path, model: str, source: str, given: Mapping[str, Any]) -> PublishedWeights:
    """Read a checkpoint file.

    Args:
        path: PyTorch, safetensors or Keras HDF5.
        model: architecture that it is for.
        source: key in train.checkpoint_import.CHECKPOINT_FAMILIES.
        given: options that the user set.

    Raises:
        InputError: the source has no checkpoints for this architecture; the file is not there; an unknown option.
        WeightsError: the file is damaged, or not a checkpoint of that source for that architecture.
        MissingDependencyError: what reads the format is not installed.
    """
    check_source(source, model)
    checkpoint = read_checkpoint(path)
    tensors: Tensors = checkpoint.tensors
    if source == "keras-applications":
        if checkpoint.format != KERAS:
            raise WeightsError(f"{path} is a {checkpoint.format} file, Keras Applications' weights are HDF5")
        if model == "panoptic_deeplab" and is_mobilenet(tensors):
            tensors = _mobilenet_file(path)
    try:
        loaded = load_tensors(tensors, model, source, given)
    except WeightsError as error:
        raise WeightsError(f"{path} does not fit {model} of {CHECKPOINT_FAMILIES[source].title}: {error}") from None
    if not checkpoint.left_out:
        return loaded
    others = f"entries beside the weights: {_listed(list(checkpoint.left_out))}"
    return dataclasses.replace(loaded, left_out=(*loaded.left_out, others))


def check_source(source: str, model: str) -> None:
    """Refuse a source that has nothing for an architecture.

    Raises:
        InputError: the message lists those that have.
    """
    if source not in CHECKPOINT_FAMILIES:
        raise InputError(f"source is '{source}', expected one of: {', '.join(CHECKPOINT_FAMILIES)}")
    if model not in CHECKPOINT_FAMILIES[source].models:
        fitting = ", ".join(name for name, entry in CHECKPOINT_FAMILIES.items() if model in entry.models) or "none"
        raise InputError(f"{source} has no weights for {model}, sources that have: {fitting}")


def load_tensors(tensors: Tensors, model: str, source: str, given: Mapping[str, Any]) -> PublishedWeights:
    """Build a network and give it the tensors of a checkpoint.

    Args:
        tensors: by the names of the source.
        model: architecture.
        source: key in train.checkpoint_import.CHECKPOINT_FAMILIES.
        given: options that the user set.

    Raises:
        WeightsError: tensors are missing, left over, or of another shape; options that the checkpoint has not.
    """
    wanted = resolve_options(model, {**SUGGESTED.get(source, {}), **given})
    mapping = make_mapping(source, model, tensors, wanted)
    for name in given:
        if name in mapping.options and mapping.options[name] != wanted[name]:
            raise WeightsError(f"it has {name}={mapping.options[name]}, expected {name}={wanted[name]}")
    options = training_options(model, {**wanted, **mapping.options})
    reading = Reading(tensors, mapping.naming, mapping.epsilon)
    weights = reading.weights(mapping.entries)
    for group in mapping.optional:
        if any(name.startswith(f"{entry.prefix}.") for entry in group for name in tensors):
            weights.update(reading.weights(group))
    left_out = _left_out([name for name in tensors if name not in reading.used], mapping.left_out)
    network = model_spec(model).build(*BUILD_SIZE, mapping.class_count or BACKBONE_CLASSES, **options)
    fresh = _assign(network, weights, reading.names)
    return PublishedWeights(network, options, mapping.class_count, len(reading.used), left_out, fresh)


def keras_tensors(network: keras.Model) -> dict[str, np.ndarray]:
    """Return the weights of a network of Keras Applications as "layer/variable" -> array."""
    return {
        f"{layer.name}/{variable.name}": np.asarray(variable) for layer in network.layers for variable in layer.weights
    }


def _mobilenet_file(path: Path) -> dict[str, np.ndarray]:
    """Read a MobileNetV3 through Keras: names in these files differ between versions, their order does not."""
    for include_top in (False, True):
        try:
            return keras_tensors(
                keras.applications.MobileNetV3Large(
                    weights=str(path), include_top=include_top, include_preprocessing=False, input_shape=(224, 224, 3)
                )
            )
        except (ValueError, KeyError, OSError) as error:
            reason = " ".join(str(error).split())[:160]
    raise WeightsError(f"{path} is no MobileNetV3Large of Keras Applications: {reason}")


def _left_out(names: list[str], patterns: Mapping[str, str]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    unknown = []
    for name in names:
        reason = next((why for pattern, why in patterns.items() if re.search(pattern, name)), None)
        if reason is None:
            unknown.append(name)
        else:
            counts[reason] = counts.get(reason, 0) + 1
    if unknown:
        raise WeightsError(f"nothing here takes {_listed(unknown)}")
    return tuple(f"{reason} ({count})" for reason, count in counts.items())


def _assign(
    network: keras.Model, weights: Mapping[str, list[np.ndarray]], names: Mapping[str, list[str]]
) -> tuple[str, ...]:
    """Set the weights of each layer, and return the layers that got none.

    Args:
        network: to set them in.
        weights: layer -> its weights.
        names: layer -> the tensor that each of them is from.
    """
    layers = {layer.name: layer for layer in network.layers if layer.weights}
    unknown = [name for name in weights if name not in layers]
    if unknown:
        raise WeightsError(f"{network.name} has no layer {_listed(unknown)}")
    for name, arrays in weights.items():
        have, want = [array.shape for array in arrays], [tuple(weight.shape) for weight in layers[name].weights]
        for tensor, shape, wanted in zip(names[name], have, want):
            if shape != wanted:
                raise WeightsError(f"the tensor {tensor} gives {shape}, layer {name} of {network.name} has {wanted}")
        if len(have) > len(want):
            raise WeightsError(f"nothing here takes {_listed(names[name][len(want) :])}")
        if len(have) < len(want):
            raise WeightsError(f"the checkpoint has {names[name][-1]}, and lacks the bias beside it")
        layers[name].set_weights(arrays)
    return tuple(name for name in layers if name not in weights)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"
