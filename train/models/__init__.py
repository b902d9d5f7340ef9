"""The architectures, by name."""

from __future__ import annotations

from train.models.base import ModelSpec
from train.models.bayesian_segnet import BAYESIAN_SEGNET
from train.models.deeplabv3plus import DEEPLABV3PLUS
from train.models.fast_scnn import FAST_SCNN
from train.models.fastfcn import FASTFCN
from train.models.panoptic_deeplab import PANOPTIC_DEEPLAB
from train.models.unet import UNET
from train.options import check_model_name

MODELS: dict[str, ModelSpec] = {
    spec.name: spec for spec in (UNET, BAYESIAN_SEGNET, DEEPLABV3PLUS, FAST_SCNN, FASTFCN, PANOPTIC_DEEPLAB)
}


def model_spec(name: str) -> ModelSpec:
    """Return the architecture of that name.

    Raises:
        InputError: there is none; the message lists those that are.
    """
    check_model_name(name)
    return MODELS[name]
