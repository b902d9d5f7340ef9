"""Steps of one replica and of two over the same crops, compared: run as a script, because devices come first.

    python tests/train/engine/replica_comparison.py

Prints a JSON object: name of a case -> largest difference of a weight after three steps, largest change of a weight
since the beginning, and largest relative difference of a loss.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import numpy as np
import tensorflow as tf

from tests.train.engine.small_training import SmallTraining, recipe
from train.engine.strategies import MIRRORED, ONE, open_strategy

# Without BatchNorm, or with statistics over all replicas: else each replica normalises by its own crops.
CASES = {
    "momentum, coupled decay, two parts": (recipe(accumulation=2), {"norm": False}),
    "adamw with clipped gradients": (
        recipe(optimizer="adamw", learning_rate=0.005, weight_decay_kind="decoupled", clip_norm=0.5),
        {"norm": False},
    ),
    "synchronised, averaged weights": (recipe(batch_norm="synchronised", ema=0.9), {}),
    "loss scale": (recipe(precision="mixed_float16"), {"norm": False}),
    "local norms": (recipe(), {}),
}


def compare(settings, options) -> list[float]:
    one, two = (SmallTraining(settings, open_strategy(name), **options) for name in (ONE, MIRRORED))
    assert (one.strategy.replicas, two.strategy.replicas) == (1, 2)
    before = one.weights()
    losses = np.array([one.run(3), two.run(3)])
    first, second = one.weights(), two.weights()
    return [
        max(float(np.abs(first[name] - second[name]).max()) for name in first),
        max(float(np.abs(first[name] - before[name]).max()) for name in first),
        float(np.abs(losses[0] / losses[1] - 1.0).max()),
    ]


def masks_differ() -> bool:
    """Whether two replicas drop different features."""
    training = SmallTraining(recipe(), open_strategy(MIRRORED), dropout=0.5)
    layer = training.model.get_layer("mix_dropout")
    strategy = training.strategy.distribution

    @tf.function
    def masks():
        return strategy.run(layer, args=(tf.ones((1, 8, 8, 4)),), kwargs={"training": True})

    first, second = strategy.experimental_local_results(masks())
    return bool((first.numpy() != second.numpy()).any())


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    results = {name: compare(*case) for name, case in CASES.items()}
    print(json.dumps({"cases": results, "masks differ": masks_differ()}))


if __name__ == "__main__":
    main()
