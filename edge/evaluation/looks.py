"""How often, and how, a network looks at a frame."""

from __future__ import annotations

from dataclasses import dataclass

from edge.evaluation.windows import Window


@dataclass(frozen=True)
class Looks:
    """How often, and how, a network looks at a frame.

    Attributes:
        scales: Scales of the frame.
        flip: Whether each is looked at mirrored too.
        window: Window that slides over the frame; None for whole frames.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: Window | None = None

    @property
    def is_one(self) -> bool:
        """Whether a frame is looked at once, as on a device."""
        return self.scales == (1.0,) and not self.flip and self.window is None

    def words(self) -> str:
        """Return how a frame is looked at, for people."""
        parts = [f"scales {', '.join(f'{scale:g}' for scale in self.scales)}"] if self.scales != (1.0,) else []
        parts += ["mirrored too"] if self.flip else []
        if self.window is not None:
            parts.append(f"windows of {self.window} that overlap by {100 * self.window.overlap:.0f} %")
        return "; ".join(parts) or "one look at the whole frame"
