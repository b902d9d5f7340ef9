"""Comparison of a Keras model with its ONNX graph on real images, in numbers.

Every export runs `compare` and keeps its figures in parity.json; `python export/parity.py ARTIFACT`
compares again, on as many images as wanted.
"""

from __future__ import annotations

from dataclasses import field
from typing import Callable, Collection, Iterable, Mapping

import numpy as np

from edge.errors import ParityError
from edge.metrics import label_agreement
from edge.postprocess import upsample_argmax
from edge.records import record

PARITY_FILE = "parity.json"

LOGIT_TOLERANCE = 1e-4
"""Largest difference, as a share of the logit range: float32 convolutions summed in another order."""

LABEL_TOLERANCE = 0.9999
"""Least share of pixels with the same label; only near ties can differ."""

DECISION_TOLERANCE = 0.999
"""Least share of decisions alike: two numbers that differ by less than rounding does are rare, not absent."""


@record(schema=2, what="parity report")
class ParityReport:
    """Record of the comparison of a Keras model with its graph on ONNX Runtime.

    Attributes:
        graph_sha256: SHA-256 of the ONNX graph.
        image_count: number of images that were compared.
        images_from: dataset and split of these images, or "synthetic scenes".
        logit_error: largest difference of two logits over the range of that image's logits.
        label_agreement: share of pixels with the same label at the network's size, 0 to 1.
        logit_range: smallest range of the logits of a call, which the error is compared with.
        output_errors: name of another output -> its largest difference over its largest magnitude.
        decision_agreement: smallest share of decisions that both forms take alike, 0 to 1, over the tensors that hold
            them; the other figures are of equal decisions. None where the network takes no decisions.
    """

    graph_sha256: str
    image_count: int
    images_from: str
    logit_error: float
    label_agreement: float
    logit_range: float
    output_errors: dict[str, float] = field(default_factory=dict)
    decision_agreement: float | None = None

    def check(self) -> None:
        """Refuse a graph that differs from the Keras model.

        Raises:
            ParityError: a figure exceeds its tolerance.
        """
        # Written so that a NaN fails.
        if not (self.logit_error <= LOGIT_TOLERANCE and self.label_agreement >= LABEL_TOLERANCE):
            raise ParityError(
                f"the ONNX graph is not the Keras model: logit error {self.logit_error:.2e} of the range "
                f"(at most {LOGIT_TOLERANCE:.0e}), labels equal on {100 * self.label_agreement:.4f} % of pixels "
                f"(at least {100 * LABEL_TOLERANCE} %)"
            )
        if self.decision_agreement is not None and not self.decision_agreement >= DECISION_TOLERANCE:
            raise ParityError(
                f"the ONNX graph is not the Keras model: decisions equal on {100 * self.decision_agreement:.3f} % "
                f"(at least {100 * DECISION_TOLERANCE} %)"
            )
        for name, error in self.output_errors.items():
            if not error <= LOGIT_TOLERANCE:
                raise ParityError(
                    f"the ONNX graph is not the Keras model: error of {name} {error:.2e} of its magnitude "
                    f"(at most {LOGIT_TOLERANCE:.0e})"
                )

    def sentence(self) -> str:
        """Return the comparison as one line of text."""
        others = "".join(f", of {name} {error:.1e}" for name, error in self.output_errors.items())
        if self.decision_agreement is not None:
            others += f", decisions equal on at least {100 * self.decision_agreement:.4f} %"
        return (
            f"parity with Keras on {self.image_count} images of {self.images_from}: logit error "
            f"{self.logit_error:.1e} of the range{others}, labels equal on {100 * self.label_agreement:.4f} %"
        )


Network = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""(batch, height, width, 3) uint8 RGB -> name -> (batch, channels, h, w) float32; LOGITS_OUTPUT are the logits."""

LOGITS_OUTPUT = "logits"


LedNetwork = Callable[[np.ndarray, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
"""The same, led by decisions that were taken elsewhere, by name."""


def compare(
    keras_network: LedNetwork,
    onnx_network: Network,
    tensors: Iterable[np.ndarray],
    images_from: str,
    graph_sha256: str,
    decisions: Collection[str] = (),
) -> ParityReport:
    """Run both forms of a network on the same images.

    Where a network compares two numbers that differ by rounding alone, its two forms may decide
    differently, and what follows is no longer the same. So the Keras model follows the graph's
    decisions; its own are counted beside them.

    Args:
        keras_network: Keras model.
        onnx_network: exported graph on ONNX Runtime.
        tensors: prepared frames, (batch, height, width, 3) uint8 RGB.
        images_from: dataset and split of the frames, for the report.
        graph_sha256: SHA-256 of the graph, for the report.
        decisions: names of the outputs of 0 and 1 that are decisions.

    Raises:
        ParityError: outputs have other names or shapes, numbers are not finite, or there are no images.
    """
    errors: dict[str, list[float]] = {}
    agreements, ranges, decided_alike = [], [], []
    for tensor in tensors:
        actual = dict(onnx_network(tensor))
        decided = {name: actual.pop(name) for name in decisions}
        expected = dict(keras_network(tensor, decided))
        decided_alike += [float(np.mean(expected.pop(name) == places)) for name, places in decided.items()]
        if sorted(expected) != sorted(actual):
            raise ParityError(f"the Keras model gives {sorted(expected)}, its ONNX graph {sorted(actual)}")
        for name in expected:
            difference = _difference(name, expected[name], actual[name])
            spread = float(np.ptp(expected[name]))
            if name == LOGITS_OUTPUT:
                ranges.append(spread)
            # Only of logits does the common offset mean nothing.
            scale = spread if name == LOGITS_OUTPUT else float(np.abs(expected[name]).max())
            errors.setdefault(name, []).append(difference / scale if scale else difference)
        height, width = tensor.shape[1:3]
        agreements += [
            label_agreement(upsample_argmax(first, height, width), upsample_argmax(second, height, width))
            for first, second in zip(expected[LOGITS_OUTPUT], actual[LOGITS_OUTPUT])
        ]
    if not errors:
        raise ParityError("no images to compare the ONNX graph on")
    worst = {name: float(np.max(values)) for name, values in errors.items()}
    logit_error = worst.pop(LOGITS_OUTPUT)
    return ParityReport(
        graph_sha256=graph_sha256,
        image_count=len(agreements),
        images_from=images_from,
        logit_error=logit_error,
        label_agreement=float(np.mean(agreements)),
        logit_range=min(ranges),
        output_errors=worst,
        decision_agreement=min(decided_alike) if decided_alike else None,
    )


def _difference(name: str, expected: np.ndarray, actual: np.ndarray) -> float:
    """Return the largest difference of two outputs; refuse outputs that are no numbers of one shape."""
    if expected.shape != actual.shape:
        raise ParityError(f"the Keras model gives {name} {expected.shape}, its ONNX graph {actual.shape}")
    for whose, numbers in (("the Keras model", expected), ("its ONNX graph", actual)):
        if not np.isfinite(numbers).all():
            raise ParityError(f"{whose} gives {name} that are NaN or infinite. Next: check the weights")
    return float(np.abs(expected - actual).max())
