"""The moving average of the weights, against NumPy."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from train.optimization.averaged_weights import AveragedWeights


def build() -> keras.Model:
    source = keras.Input((4, 4, 3))
    features = keras.layers.BatchNormalization(name="norm")(keras.layers.Conv2D(2, 1, name="stem")(source))
    return keras.Model(source, keras.layers.Dropout(0.5, name="drop")(features))


def test_average_follows_weights_and_statistics_with_its_decay():
    model = build()
    averaged = AveragedWeights(model, decay=0.7)
    wanted = [weight.numpy() for weight in model.weights]
    update = tf.function(averaged.update)
    for step in range(30):
        for weight in model.weights:
            weight.assign(np.random.default_rng((step, len(weight.path))).normal(size=weight.shape))
        update()
        decay = min(0.7, (1 + step) / (10 + step))
        wanted = [decay * average + (1 - decay) * weight.numpy() for average, weight in zip(wanted, model.weights)]
    values = averaged.values()
    assert set(values) == {"stem", "norm"}
    for layer in ("stem", "norm"):
        arrays = [average for average, weight in zip(wanted, model.weights) if weight.path.startswith(layer)]
        for got, average in zip(values[layer], arrays):
            np.testing.assert_allclose(got, average, rtol=1e-4, atol=1e-6)
        model.get_layer(layer).set_weights(values[layer])
