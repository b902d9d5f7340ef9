"""Where the names of a chart's points have room."""

from __future__ import annotations

from edge.page.axes import Box, overlaps


def free_place(x: float, y: float, text_width: float, taken: list[Box], frame: Box) -> tuple[float, float] | None:
    """Return where to write a name beside a point, as (x, y) of the text's baseline; None if there is no free place.

    Args:
        x: Place of the point in pixels from the left.
        y: Place of the point in pixels from the top.
        text_width: Width of the name in pixels.
        taken: Boxes that points and names lie in already; that of the name is added.
        frame: Edges of the area in which values lie.
    """
    middle = -text_width / 2
    # First where the line of the best, which comes from the right and leaves downwards, does not run.
    for dx, dy in ((middle, -8), (-8 - text_width, 4), (8, 16), (8, -8), (8, 4), (middle, 18)):
        box = (x + dx, y + dy - 10, x + dx + text_width, y + dy + 2)
        # Above and to the right of the frame are margins that a mark may stand in.
        inside = box[0] >= frame[0] and box[1] >= frame[1] - 20 and box[2] <= frame[2] + 20 and box[3] <= frame[3]
        if inside and not any(overlaps(box, other) for other in taken):
            taken.append(box)
            return box[0], box[3] - 2
    return None
