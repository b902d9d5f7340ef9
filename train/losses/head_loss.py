"""HeadLoss: what the loss of one output of a network is to the training step."""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf


class HeadLoss(Protocol):
    """The loss of one output, as a sum and what the sum is divided by.

    Over the pieces of a batch, whatever their number, both add up:

        loss = sum of `total` / max(sum of `normaliser`, 1e-6)
    """

    def normaliser(self, labels: tf.Tensor) -> tf.Tensor:
        """Return what the sum of the losses is divided by; it follows from the labels alone.

        Args:
            labels: train ids (crops, height, width) uint8.

        Returns:
            Scalar float32 of at least 0; 0 where nothing counts.
        """
        ...

    def total(self, labels: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Return the sum of the losses, through which the gradient flows.

        Args:
            labels: train ids (crops, height, width) uint8.
            output: output of the network for these crops, float32.

        Returns:
            Scalar float32; 0, with a gradient of 0, where nothing counts.
        """
        ...
