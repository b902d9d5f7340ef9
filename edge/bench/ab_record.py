"""The record of two engines that took turns."""

from __future__ import annotations

from edge.bench.bench_record import BenchRecord
from edge.frame_statistics.comparison import Comparison
from edge.records import record

AB_FILE = "ab.json"


@record(schema=1, what="record of two engines that took turns", made_by="edge-bench ab --output")
class AbRecord:
    """Result of edge-bench ab: two engines measured in turns, so that what changes meanwhile changes for both.

    Attributes:
        first: Record of the first engine.
        second: Record of the second engine.
        round_frames: Number of frames of each engine in a round.
        rounds: Number of rounds.
        comparisons: Percentile, such as "p50" -> comparison of the second engine with the first, in ms. A percentile
            that the frames do not carry is absent.
        is_valid: Whether both runs are valid.
    """

    first: BenchRecord
    second: BenchRecord
    round_frames: int
    rounds: int
    comparisons: dict[str, Comparison]
    is_valid: bool
