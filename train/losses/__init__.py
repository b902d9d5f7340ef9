"""Losses on label maps: every output that training judges takes the same target, the labels of the crops.

A loss of a head comes in two parts, so that a batch may be cut into any pieces: over replicas, and over the parts of an
accumulation. `total` is a sum over pixels, and `normaliser`, a function of the labels alone, is what the sum is divided
by. Both add up over the pieces; the loss of the batch is the sum of the totals over the sum of the normalisers.

    head_loss.py        the protocol
    cross_entropy.py    softmax cross entropy, at the size of the labels or at the cells of an auxiliary head
    label_size.py       its arithmetic at the size of the labels, without tensors of that size
    hardest_pixels.py   which pixels count where only the hardest do
    presence.py         which classes a crop holds (EncNet)
    class_weights.py    weights of the classes, from how often they occur
    model_losses.py     all losses of a model
"""

from __future__ import annotations

from train.losses.class_weights import class_weights
from train.losses.cross_entropy import CellCrossEntropy, CrossEntropy
from train.losses.head_loss import HeadLoss
from train.losses.model_losses import training_losses
from train.losses.presence import PresenceLoss

__all__ = ["CellCrossEntropy", "CrossEntropy", "HeadLoss", "PresenceLoss", "class_weights", "training_losses"]
