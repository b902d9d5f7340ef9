"""Origin of a network's weights; a card names it, because only trained weights have an accuracy."""

from __future__ import annotations

from edge.records import record

TRAINED, IMPORTED, GIVEN, RANDOM = "trained", "imported", "given", "random"


@record(schema=1, what="weights provenance")
class WeightsProvenance:
    """Origin of the weights in a graph.

    Attributes:
        kind: Kind of the origin: "trained" (a run of this project), "imported" (a published checkpoint), "given"
            (inside an ONNX graph that this project did not make) or "random" (never trained).
        source: Run folder, checkpoint file, or text of the given contract; "seed N" for random weights.
        sha256: SHA-256 of the weights file or the given graph; of model, seed and options for random weights.
        miou: Validation mIoU of the run, 0 to 1; None where it was not measured.
        trained_size: Height and width at which the run was evaluated, in pixels; None for random weights.
    """

    kind: str
    source: str
    sha256: str
    miou: float | None = None
    trained_size: tuple[int, ...] | None = None

    def sentence(self) -> str:
        """Return the origin as one sentence for output and cards."""
        if self.kind == RANDOM:
            return "random weights: only the speed of this engine means anything"
        accuracy = f", validation mIoU {100 * self.miou:.2f} %" if self.miou is not None else ""
        if self.kind == GIVEN:
            return f"weights given with the graph: {self.source}"
        return f"{self.kind} weights of {self.source}{accuracy}"
