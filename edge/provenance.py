"""Origin of a network's weights; a card names it, because only trained weights have an accuracy."""

from __future__ import annotations

from edge.records import record

TRAINED, IMPORTED, SHIPPED, GIVEN, RANDOM = "trained", "imported", "shipped", "given", "random"

RANDOM_SENTENCE = "random weights: only the speed of this engine means anything"
"""Sentence about weights that nobody trained, which every output and page of such an engine says."""


@record(schema=1, what="dataset description that was read")
class DescribedData:
    """A dataset description as it was when it was used; it may have moved or changed since.

    Attributes:
        path: Path of the description, absolute.
        sha256: SHA-256 of what the description says, whichever way it is written down.
    """

    path: str
    sha256: str


@record(schema=1, what="weights provenance")
class WeightsProvenance:
    """Origin of the weights in a graph.

    Attributes:
        kind: Kind of the origin: "trained" (a run of this project), "imported" (a published checkpoint), "shipped"
            (weights that come with the product), "given" (inside an ONNX graph that this project did not make) or
            "random" (never trained).
        source: Run folder, checkpoint file, shipped file, or text of the given contract; "seed N" for random weights.
        sha256: SHA-256 of the weights file or the given graph; of model, seed and options for random weights.
        miou: Validation mIoU of the weights, 0 to 1; None where it was not measured.
        trained_size: Height and width at which the run was evaluated, in pixels; None for random weights.
        random_layers: Names of the layers that a checkpoint had nothing for, which are random; empty where there are
            none, and in records of before.
        described: Dataset description that the weights were trained on; None for a dataset that the project knows by
            name, and for other weights.
        terms: Words on what the use of the weights is limited to; "" where nothing is known to limit it, and in records
            of before.
        training_s: Time in s that training and validation took; None where nobody says it, and in records of before.
        trained_on: Words on the machine that trained them; "" where nobody says it, and in records of before.
    """

    kind: str
    source: str
    sha256: str
    miou: float | None = None
    trained_size: tuple[int, ...] | None = None
    random_layers: tuple[str, ...] = ()
    described: DescribedData | None = None
    terms: str = ""
    training_s: float | None = None
    trained_on: str = ""

    @property
    def is_random(self) -> bool:
        """Return whether nobody trained the weights, so that labels mean nothing."""
        return self.kind == RANDOM

    def caption(self) -> str:
        """Return the few words that stand on every picture of labels that mean nothing; "" for other weights."""
        return "random weights" if self.is_random else ""

    def warning(self) -> str:
        """Return the sentence that stands on top of every output and page of random weights; "" for others."""
        return self.sentence() if self.is_random else ""

    def sentence(self) -> str:
        """Return the origin as one sentence for output and cards."""
        if self.is_random:
            return RANDOM_SENTENCE
        size = f" at {self.trained_size[0]}x{self.trained_size[1]}" if self.trained_size else ""
        accuracy = f", validation mIoU {100 * self.miou:.2f} %{size}" if self.miou is not None else ""
        if self.kind == GIVEN:
            return f"weights given with the graph: {self.source}"
        more = f" and {len(self.random_layers) - 3} more" if len(self.random_layers) > 3 else ""
        mixed = f", but random ones in {', '.join(self.random_layers[:3])}{more}" if self.random_layers else ""
        terms = f", {self.terms}" if self.terms else ""
        return f"{self.kind} weights of {self.source}{accuracy}{mixed}{terms}"
