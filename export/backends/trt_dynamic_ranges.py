"""Scales that are set on the tensors of a network, up to TensorRT 10: implicit INT8 without a calibrator.

Source: TensorRT developer guide, "Setting Per-Tensor Dynamic Range Using the API".
"""

from __future__ import annotations

from typing import Any, Mapping

from calibration.trt.calibrator import Calibration, without_scale
from calibration.trt.scales import LEVELS, network_scales
from edge.runtime.calls import call


class DynamicRanges(Calibration):
    """A calibration that sets scales on the tensors of the network.

    Args:
        scales: name of a tensor -> its scale, as calibration.trt.scales.tensor_scales returns them.
        constants: name of an initializer -> its scale, as calibration.trt.scales.constant_scales returns them.
    """

    def __init__(self, scales: Mapping[str, float], constants: Mapping[str, float]) -> None:
        super().__init__()
        self._scales, self._constants = dict(scales), dict(constants)

    def calibrator(self, trt: Any, network: Any) -> None:
        """Set the range of every tensor that has a scale; TensorRT gets no calibrator.

        Raises:
            BackendError: TensorRT refused a range.
        """
        scales, without = network_scales(trt, network, self._scales, self._constants)
        tensors = [network.get_input(index) for index in range(network.num_inputs)]
        for index in range(network.num_layers):
            layer = network.get_layer(index)
            tensors += [layer.get_output(output) for output in range(layer.num_outputs)]
        for tensor in tensors:
            if tensor.name in scales:
                largest = LEVELS * scales[tensor.name]
                call("ITensor.set_dynamic_range", tensor.set_dynamic_range, -largest, largest, refused=(False,))
        if without:
            self.notes.append(without_scale(without))

    def read(self) -> None:
        """Return no cache: TensorRT does not ask for one without a calibrator."""

    def write(self, text: str) -> None:
        """Ignore a cache: TensorRT makes none without a calibrator."""

    def next_batch(self, names: list[str]) -> None:
        """Return no images: TensorRT does not ask for them without a calibrator."""
