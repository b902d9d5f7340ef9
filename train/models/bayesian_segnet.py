"""Bayesian SegNet: an encoder and its mirror image, joined by pooling indices, that knows what it does not know.

Paper: Kendall, Badrinarayanan, Cipolla, "Bayesian SegNet: Model uncertainty in deep convolutional
encoder-decoder architectures for scene understanding", arXiv 1511.02680; SegNet itself is arXiv
1511.00561. Facts were compared with github.com/meetps/pytorch-semseg.
"""

from __future__ import annotations

import math
from typing import Any, Mapping

import keras
from keras import layers, ops

from edge.contract import UNCERTAINTY, OutputTensor
from train.conv_blocks import conv_norm_relu
from train.models.base import FRAME, LOGITS, ModelSpec, normalize
from train.models.unpooling import PHASES, MaxPoolingWithIndices, MaxUnpooling

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of VGG16's convolutions, stage by stage (Simonyan, Zisserman, arXiv 1409.1556, table 1, D)."""

DROPOUT = 0.5
DROPOUT_STAGES = (3, 4, 5)
"""Stages with dropout behind their pooling, and behind their decoder: the central six of the paper's section 4."""

SMALLEST_PROBABILITY = 1e-6
"""Smallest mean probability of a class: a smaller one is raised to it, so that its logarithm is finite in float16."""

UNCERTAINTY_OUTPUT = "uncertainty"


@keras.saving.register_keras_serializable("segedge")
class DropoutByNoise(layers.Layer):
    """Dropout whose random numbers are an input, so that two runtimes can be given the same ones.

    Args:
        rate: share of the values that is set to zero, 0 to 1.
    """

    receptive_field = "position"

    def __init__(self, rate: float, **kwargs) -> None:
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, features, noise):
        """Map (N, h, w, C) and noise (T, C, h, w) in 0..1, N being T or 1, to (T, h, w, C)."""
        kept = ops.cast(ops.greater_equal(noise, self.rate), features.dtype) * (1.0 / (1.0 - self.rate))
        return ops.transpose(ops.transpose(features, (0, 3, 1, 2)) * kept, (0, 2, 3, 1))

    def compute_output_shape(self, features_shape, noise_shape):
        """Return the shape of one result for each sample of the noise."""
        return (noise_shape[0], *features_shape[1:])

    def get_config(self) -> dict:
        """Return what `from_config` needs."""
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable("segedge")
class SampleStatistics(layers.Layer):
    """The mean prediction of T samples, and how uncertain it is (paper, sections 3 and 5.3).

    With p_t the softmax of sample t and p its mean over the samples, the mean logits are ln p, so that
    their softmax is p again. The uncertainty is

        entropy    the predictive entropy, -sum over classes of p ln p, in nats, 0 to ln(classes)
        variance   the mean over the classes of the variance of p_t over the samples, 0 to (K - 1) / K^2

    Args:
        measure: "entropy" or "variance".
    """

    receptive_field = "position"

    def __init__(self, measure: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.measure = measure

    def call(self, logits):
        """Map (T, h, w, classes) to mean logits (1, h, w, classes) and uncertainty (1, h, w, 1), float32."""
        samples = ops.softmax(ops.transpose(logits, (0, 3, 1, 2)), axis=1)
        mean = ops.mean(samples, axis=0, keepdims=True)  # (1, classes, h, w)
        mean_logits = ops.log(ops.maximum(mean, SMALLEST_PROBABILITY))
        if self.measure == "entropy":
            uncertainty = -ops.sum(mean * mean_logits, axis=1, keepdims=True)
        else:
            # Two passes: the difference of two means of squares would lose what float16 has of digits.
            uncertainty = ops.mean(ops.mean(ops.square(samples - mean), axis=0, keepdims=True), axis=1, keepdims=True)
        return ops.transpose(mean_logits, (0, 2, 3, 1)), ops.transpose(uncertainty, (0, 2, 3, 1))

    def compute_output_shape(self, logits_shape):
        """Return the shapes of mean logits and uncertainty."""
        return (1, *logits_shape[1:]), (1, *logits_shape[1:3], 1)

    def get_config(self) -> dict:
        """Return what `from_config` needs."""
        return {**super().get_config(), "measure": self.measure}


class _Dropouts:
    """The six dropouts: of training, or of T samples, whose noise the model takes as further inputs."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self.noise_inputs: list[keras.KerasTensor] = []

    def add(self, features: keras.KerasTensor, name: str) -> keras.KerasTensor:
        if not self._samples:
            return layers.Dropout(DROPOUT, name=name)(features)
        _, height, width, channels = features.shape
        noise = layers.Input(batch_shape=(self._samples, channels, height, width), name=f"{name}_noise")
        self.noise_inputs.append(noise)
        return DropoutByNoise(DROPOUT, name=name)(features, noise)


def build_bayesian_segnet(
    height: int,
    width: int,
    class_count: int,
    classifier: str = "plain",
    normalisation: str = "imagenet",
    monte_carlo: int = 0,
    uncertainty: str = "entropy",
    given_pooling_indices: bool = False,
) -> keras.Model:
    """Build Bayesian SegNet: VGG16's convolutions with BatchNorm, mirrored, 29.4 M parameters.

    With `monte_carlo` T > 0 the model is the one of the paper's inference (section 3): T samples with
    dropout on, of which the logits are the mean and "uncertainty" says how sure they are. What lies
    in front of the first dropout is the same for all samples and computed once. The noise of the six
    dropouts are six further inputs, (T, channels, rows, columns) uniform in 0..1; an exported graph
    draws them by itself. Weights are those of `monte_carlo=0`.

    Deviations from the paper and its Caffe models, and why:
        - Convolutions in front of a BatchNorm have no bias, which the norm would cancel.
        - Pooling rounds odd sides down; Caffe's rounds up (at 360x480 the third stage has 45 rows).
        - The frame is normalised with ImageNet's statistics unless `normalisation` says otherwise.
        - The uncertainty is the predictive entropy by default, the paper's figures show the variance; the
          mean logits are ln p with p cut off at 1e-6.
        - `classifier="norm_relu"` puts BatchNorm and ReLU behind the last convolution, as
          meetps/pytorch-semseg does; the paper's classifier is the bare convolution.

    Args:
        height: rows of the frame, a multiple of 8, at least 32.
        width: columns of the frame, a multiple of 8, at least 32.
        class_count: number of classes.
        classifier: layers behind the last convolution: none ("plain") or BatchNorm and ReLU ("norm_relu").
        normalisation: key in train.models.base.NORMALIZATIONS.
        monte_carlo: number of samples with dropout on; 0 for the network without dropout.
        uncertainty: measure of the uncertainty output, "entropy" or "variance".
        given_pooling_indices: True to unpool by pooling indices that are further inputs, named "given_" and a
            name of `POOLING_INDICES`, instead of the model's own. Of two values that are equal but for rounding,
            two runtimes choose different ones, and the rest of their numbers can be compared only where both
            follow the same choices.

    Returns:
        A model from frames (N, height, width, 3), RGB in 0..255, to {"logits": (N, height, width,
        class_count)} float32; with `monte_carlo` N is 1, and there is "uncertainty" (1, height, width, 1).
        The pooling indices of the five poolings, masks of (N, channels, rows, columns), have the names
        `POOLING_INDICES`.

    Raises:
        SizeError: a side is no multiple of 8, or less than 32.

    Example:
        >>> model = build_bayesian_segnet(360, 480, class_count=11)
    """
    BAYESIAN_SEGNET.check_size(height, width)
    frame = layers.Input((height, width, 3), batch_size=1 if monte_carlo else None, name=FRAME)
    features = normalize(frame, normalisation)
    dropouts = _Dropouts(monte_carlo)
    encoded, outputs, index_inputs = [], {}, []
    for stage, widths in enumerate(STAGES, start=1):
        for index, channels in enumerate(widths, start=1):
            features = conv_norm_relu(features, channels, 3, f"conv{stage}_{index}")
        size = features.shape[1:3]
        features, *masks = MaxPoolingWithIndices(name=f"pool{stage}")(features)
        outputs.update(zip(_pooling_index_names(stage), masks))
        if given_pooling_indices:
            masks = [
                layers.Input(mask.shape[1:], name=f"given_{name}")
                for name, mask in zip(_pooling_index_names(stage), masks)
            ]
            index_inputs += masks
        encoded.append((size, masks))
        if stage in DROPOUT_STAGES:
            features = dropouts.add(features, f"pool{stage}_drop")
    for stage, widths in reversed(list(enumerate(STAGES, start=1))):
        size, masks = encoded.pop()
        features = MaxUnpooling(*size, name=f"unpool{stage}")(features, *masks)
        # The mirror image: the last convolution of a stage leads to the channels of the stage before.
        outward = (*widths[:0:-1], STAGES[stage - 2][-1]) if stage > 1 else widths[:0:-1]
        for index, channels in zip(range(len(widths), 0, -1), outward):
            features = conv_norm_relu(features, channels, 3, f"conv{stage}_{index}_decoder")
        if stage in DROPOUT_STAGES:
            features = dropouts.add(features, f"decoder{stage}_drop")
    logits = _classify(features, class_count, classifier, sampled=bool(monte_carlo))
    if monte_carlo:
        outputs[LOGITS], outputs[UNCERTAINTY_OUTPUT] = SampleStatistics(
            uncertainty, dtype="float32", name="statistics"
        )(logits)
    else:
        outputs[LOGITS] = logits
    further_inputs = [*dropouts.noise_inputs, *index_inputs]
    return keras.Model([frame, *further_inputs] if further_inputs else frame, outputs, name="bayesian_segnet")


def _pooling_index_names(stage: int) -> list[str]:
    # "place" is the name in graphs that were exported before, and in the ranges of their tensors.
    return [f"pool{stage}_place{index}" for index in range(len(PHASES))]


POOLING_INDICES = tuple(name for stage in range(1, len(STAGES) + 1) for name in _pooling_index_names(stage))
"""Names of the outputs that hold the pooling indices: four masks for each of the five poolings."""


def _classify(features: keras.KerasTensor, class_count: int, classifier: str, sampled: bool) -> keras.KerasTensor:
    if classifier == "norm_relu":
        return conv_norm_relu(features, class_count, 3, "classifier")
    name = "classifier" if sampled else LOGITS
    return layers.Conv2D(class_count, 3, padding="same", dtype="float32", name=name)(features)


def _extra_outputs(class_count: int, options: Mapping[str, Any]) -> tuple[OutputTensor, ...]:
    if not options.get("monte_carlo"):
        return ()
    if options.get("uncertainty", "entropy") == "entropy":
        return (OutputTensor(UNCERTAINTY_OUTPUT, 1, UNCERTAINTY, "nats", math.log(class_count)),)
    # Largest where every sample is sure, of each of the K classes equally often: p (1 - p) with p = 1/K.
    bound = (class_count - 1) / class_count**2
    return (OutputTensor(UNCERTAINTY_OUTPUT, 1, UNCERTAINTY, "variance", bound),)


BAYESIAN_SEGNET = ModelSpec(
    name="bayesian_segnet",
    title="Bayesian SegNet",
    paper="arXiv 1511.02680",
    build=build_bayesian_segnet,
    stride=1,
    size_multiple=8,
    auxiliary_weights={},
    extra_outputs=_extra_outputs,
    pooling_indices=POOLING_INDICES,
    smallest_side=32,
)
