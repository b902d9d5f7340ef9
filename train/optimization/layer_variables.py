"""The variables of a network by stable names: those of their layers, however often a process built networks."""

from __future__ import annotations

from typing import Iterator, NamedTuple

import keras


class LayerVariable(NamedTuple):
    """One variable of a network, and the layer that it belongs to."""

    name: str
    layer: keras.layers.Layer
    variable: keras.Variable


def layer_variables(network: keras.Model) -> list[LayerVariable]:
    """Return every variable of a network once: weights, statistics of BatchNorm, states of random generators.

    Keras' own paths do not serve as names: a Dropout's generator is called "seed_generator_3" after the number of
    generators that the process has made.
    """
    found: dict[int, LayerVariable] = {}
    taken: set[str] = set()
    for layer in _leaves(network):
        for variable in layer.variables:
            if id(variable) in found:
                continue
            name = stem = f"{layer.name}/{variable.name}"
            number = 1
            while name in taken:
                number += 1
                name = f"{stem}_{number}"
            taken.add(name)
            found[id(variable)] = LayerVariable(name, layer, variable)
    return list(found.values())


def _leaves(network: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer
