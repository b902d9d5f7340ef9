"""Where weights come from: a card says it, because only trained weights have an accuracy."""

from __future__ import annotations

from edge.records import record

TRAINED, IMPORTED, GIVEN, RANDOM = "trained", "imported", "given", "random"


@record(schema=1, what="weights provenance")
class WeightsProvenance:
    """Origin of the weights in a graph.

    Attributes:
        kind: "trained" (a run of this project), "imported" (a published checkpoint), "given" (inside an ONNX
            graph that this project did not make) or "random" (nobody trained them).
        source: run folder, checkpoint file, or what the contract of a given graph says; "seed N" for random weights.
        sha256: of the weights file, or the given graph; of model, seed and options for random ones.
        miou: validation mIoU of the run, 0 to 1; None where there is none.
        trained_size: (height, width) that the run was evaluated at; None for random weights.
    """

    kind: str
    source: str
    sha256: str
    miou: float | None = None
    trained_size: tuple[int, ...] | None = None

    def sentence(self) -> str:
        """Say it in words, for output and cards."""
        if self.kind == RANDOM:
            return "random weights: only the speed of this engine means anything"
        accuracy = f", validation mIoU {100 * self.miou:.2f} %" if self.miou is not None else ""
        if self.kind == GIVEN:
            return f"weights given with the graph: {self.source}"
        return f"{self.kind} weights of {self.source}{accuracy}"
