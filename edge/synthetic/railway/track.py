"""A track: its course beside the line's reference, and where it begins, ends and leads over."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

GAUGE_M = 1.435
"""Distance between the inner faces of the rails of standard gauge, in metres (EN 13848-1)."""
HEAD_M = 0.072
"""Width of the head of a rail, in metres (EN 13674-1, profile 60E1)."""
RAIL_HIGH_M = 0.172
"""Height of a rail, in metres (EN 13674-1, profile 60E1)."""
FOOT_M = 0.15
"""Width of the foot of a rail, in metres (EN 13674-1, profile 60E1)."""


@dataclass(frozen=True)
class Track:
    """One track of a line; sides are metres right of the line's reference.

    Attributes:
        side_m: Position of the track's middle before it leads over.
        to_side_m: Position of its middle behind, the same for a track that leads nowhere else.
        over_m: Where along the way it begins to lead over, in metres.
        over_long_m: Length on which it leads over, in metres.
        start_m: Where along the way the track begins, in metres.
        end_m: Where along the way the track ends, in metres.
        ends_blind: Whether it ends at a buffer stop.
        embedded: Whether its rails lie in a road.
        slab: Whether it lies on concrete in place of ballast.
        rusty: Whether trains seldom run here, so that the heads of the rails do not shine.
    """

    side_m: float
    to_side_m: float
    over_m: float = 0.0
    over_long_m: float = 1.0
    start_m: float = -math.inf
    end_m: float = math.inf
    ends_blind: bool = False
    embedded: bool = False
    slab: bool = False
    rusty: bool = False

    def middle_m(self, along_m: float) -> float:
        """Return the position of the track's middle at a distance along the way, in metres."""
        part = min(max((along_m - self.over_m) / self.over_long_m, 0.0), 1.0)
        return self.side_m + (self.to_side_m - self.side_m) * (part * part * (3.0 - 2.0 * part))

    def middles_m(self, along_m: np.ndarray) -> np.ndarray:
        """Return the position of the track's middle at distances along the way, (N,) float64, in metres."""
        part = ((along_m - self.over_m) / self.over_long_m).clip(0.0, 1.0)
        return self.side_m + (self.to_side_m - self.side_m) * (part * part * (3.0 - 2.0 * part))

    def lies_at(self, along_m: np.ndarray) -> np.ndarray:
        """Return whether there is track at distances along the way, (N,) bool."""
        return (along_m >= self.start_m) & (along_m <= self.end_m)
