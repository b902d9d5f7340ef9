"""MobileNetV3-Large as a feature extractor, from Keras Applications.

Paper: Howard et al., "Searching for MobileNetV3", arXiv 1905.02244, table 1. The layers are Keras
Applications' own, so that its published ImageNet weights fit by name.
"""

from __future__ import annotations

import keras

STAGE_ENDS = (
    "expanded_conv_2_add",
    "expanded_conv_5_add",
    "expanded_conv_11_add",
    "expanded_conv_14_add",
)
"""Last layer at strides 4, 8, 16 and 32."""

STAGE_CHANNELS = (24, 40, 112, 160)


def mobilenet_v3_large(frame: keras.KerasTensor) -> tuple[keras.KerasTensor, ...]:
    """Add the layers of MobileNetV3-Large, without its last convolutions and classifier.

    Args:
        frame: (N, height, width, 3), in -1..1 where published weights are to be used.

    Returns:
        Feature maps at strides 4, 8, 16 and 32, with 24, 40, 112 and 160 channels, sides rounded up.
    """
    backbone = keras.applications.MobileNetV3Large(
        input_tensor=frame, include_top=False, weights=None, include_preprocessing=False
    )
    _name_activations(backbone)
    return tuple(backbone.get_layer(name).output for name in STAGE_ENDS)


def _name_activations(backbone: keras.Model) -> None:
    """Name the nameless layers after the one in front: Keras numbers them on and on within a process."""
    previous = ""
    for layer in backbone.layers:
        if isinstance(layer, (keras.layers.ReLU, keras.layers.Activation)) and not layer.name.startswith("expanded"):
            layer.name = f"{previous}_activation"
        previous = layer.name
