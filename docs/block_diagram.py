"""Block diagrams of networks as SVG, in the look of docs/data-flow.svg.

A picture is a list of blocks and of arrows between them. A block names the layer that it ends with,
and its channels and stride, so that a test can hold blocks and arrows against a network's graph.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Any, Tuple
from xml.sax.saxutils import escape

HEIGHT, WIDTH, CLASS_COUNT = 512, 1024, 19
"""Size of the frame, and number of classes, that the figures in the pictures are for."""

PICTURE_WIDTH = 900
"""Units; about what a page on GitHub shows in its own size."""

MARGIN, TITLE_PX, LINE_PX, LINE_STEP, FOOT_CHARACTERS = 20, 13, 12, 16, 132
INK, GREY = "#1c2430", "#556"

ENDS, BACKBONE, CONTEXT, DECODER, TRAINING = "ends", "backbone", "context", "decoder", "training"
COLOURS = {ENDS: "#f6e5f1", BACKBONE: "#e3edfa", CONTEXT: "#fdf1dc", DECODER: "#e6f4e6", TRAINING: "#ffffff"}
KEY = {
    ENDS: "frame, outputs",
    BACKBONE: "encoder",
    CONTEXT: "context, dropout",
    DECODER: "decoder, head",
    TRAINING: "training only",
}
FIGURES = (
    f"256 ch 128x256 /4: 256 channels, 128 rows, 256 columns, stride 4; for a frame of {HEIGHT}x{WIDTH} and "
    f"{CLASS_COUNT} classes."
)

Point = Tuple[float, float]


@dataclass(frozen=True)
class Block:
    """A box: some layers in a row.

    Attributes:
        key: what arrows call it; of an output, its name in the model.
        x: left edge.
        y: middle.
        width: of the box.
        kind: key in COLOURS.
        title: what it does.
        layer: the last Keras layer that it stands for; None for an output that is no layer of its own.
        channels: of that layer's output; None to say nothing of it.
        stride: frame pixels per position; None where there are no positions.
        notes: further lines.
        join: a concatenation within it; "" where there is none.
        joined: channels of that layer.
        sampled: it is computed once for each Monte Carlo sample.
    """

    key: str
    x: float
    y: float
    width: float
    kind: str
    title: str
    layer: str | None
    channels: int | None = None
    stride: int | None = None
    notes: tuple[str, ...] = ()
    join: str = ""
    joined: int | None = None
    sampled: bool = False

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Return the lines below the title, each behind its CSS class."""
        lines = [("l", note) for note in self.notes]
        if self.join:
            lines.append(("l", f"resize, concat {self.joined} ch"))
        if self.channels is not None:
            place = f" {HEIGHT // self.stride}x{WIDTH // self.stride} /{self.stride}" if self.stride else ""
            lines.append(("f", f"{self.channels} ch{place}"))
        return lines

    @property
    def height(self) -> float:
        """Return the height that the lines need."""
        return 26 + LINE_STEP * len(self.lines)

    @property
    def top(self) -> float:
        """Return the upper edge."""
        return self.y - self.height / 2

    def side(self, side: str, fraction: float) -> Point:
        """Return a point on an edge, at a fraction of its length, in whole units."""
        across, down = round(self.x + self.width * fraction), round(self.top + self.height * fraction)
        return {
            "left": (self.x, down),
            "right": (self.x + self.width, down),
            "top": (across, self.top),
            "bottom": (across, self.top + self.height),
        }[side]


@dataclass(frozen=True)
class Area:
    """A tinted area around blocks, or a label alone.

    Attributes:
        x: where its label begins.
        y: baseline of the label.
        label: what the blocks in it are together.
        corners: of its outline; none for a label alone.
    """

    x: float
    y: float
    label: str
    corners: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Route:
    """An arrow as it is drawn: the keys of its blocks, its corners from end to end, and its label."""

    source: str
    target: str
    corners: tuple[Point, ...]
    label: str


@dataclass(frozen=True)
class Picture:
    """The data flow of an architecture.

    Attributes:
        model: name of the architecture.
        heading: first line.
        foot: what holds for many blocks, below them.
        blocks: all blocks.
        arrows: "a -> b -> c" by the blocks' keys. A key may be followed by `.side` or `.side@fraction`,
            where the nearest sides are not the right ones; the last one by ` [n]`, the coordinate at which
            an arrow with two corners turns, and by `: label`.
        areas: behind the blocks.
        options: of the architecture as drawn, where they are not the defaults.
    """

    model: str
    heading: str
    foot: str
    blocks: tuple[Block, ...]
    arrows: tuple[str, ...]
    areas: tuple[Area, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def routes(self) -> list[Route]:
        """Return every arrow with its corners."""
        blocks = {block.key: block for block in self.blocks}
        routes = []
        for arrow in self.arrows:
            body, _, label = arrow.partition(": ")
            turn = re.search(r" \[(\d+)\]$", body)
            ends = [end.partition(".") for end in (body[: turn.start()] if turn else body).split(" -> ")]
            for (source, _, out), (target, _, into) in zip(ends, ends[1:]):
                corners = _corners(blocks[source], out, blocks[target], into, float(turn[1]) if turn else None)
                routes.append(Route(source, target, corners, label))
        return routes


def _corners(source: Block, out: str, target: Block, into: str, turn: float | None) -> tuple[Point, ...]:
    if target.x >= source.x + source.width:
        near = ("right", "left")
    elif target.x + target.width <= source.x:
        near = ("left", "right")
    else:
        near = ("bottom", "top") if target.y > source.y else ("top", "bottom")
    (start_side, _, start_at), (end_side, _, end_at) = (
        (given or default).partition("@") for given, default in zip((out, into), near)
    )
    (x0, y0), (x1, y1) = source.side(start_side, float(start_at or 0.5)), target.side(end_side, float(end_at or 0.5))
    flat_start, flat_end = (side in ("left", "right") for side in (start_side, end_side))
    if flat_start and flat_end:
        middle = (x0 + x1) / 2 if turn is None else turn
        between = () if y0 == y1 else ((middle, y0), (middle, y1))
    elif flat_start or flat_end:
        between = ((x1, y0),) if flat_start else ((x0, y1),)
    else:
        middle = (y0 + y1) / 2 if turn is None else turn
        between = () if x0 == x1 else ((x0, middle), (x1, middle))
    return ((x0, y0), *between, (x1, y1))


# Drawing

_STYLE = (
    f".f{{font-size:{LINE_PX}px;font-family:ui-monospace,Menlo,Consolas,monospace}}"
    f".h{{font-weight:700;font-size:15px}}.t{{font-weight:600}}.l{{font-size:{LINE_PX}px;fill:{GREY}}}"
    f".a{{fill:none;stroke:{INK};marker-end:url(#tip)}}"
    f".b{{stroke:{INK};stroke-width:1.2}}.d{{stroke-dasharray:5 4}}.r{{fill:#f5f6f8;stroke:#c3c9d2}}"
)


def draw(picture: Picture) -> str:
    """Return a picture as SVG, on a white ground of its own, so that a dark page leaves it legible."""
    lines = [*textwrap.wrap(picture.foot, FOOT_CHARACTERS), FIGURES]
    bottom = max(
        *(block.top + block.height for block in picture.blocks), *(y for area in picture.areas for _, y in area.corners)
    )
    height = round(bottom) + 42 + LINE_STEP * len(lines)
    kinds = {block.key: block.kind for block in picture.blocks}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {PICTURE_WIDTH} {height}" width="{PICTURE_WIDTH}" '
        f'height="{height}" font-family="system-ui, Segoe UI, Helvetica, sans-serif" font-size="{TITLE_PX}" '
        f'fill="{INK}">',
        f"<title>Data flow of {escape(picture.heading)}</title>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z" fill="{INK}"/></marker></defs>',
        f"<style>{_STYLE}</style>",
        f'<rect width="{PICTURE_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(MARGIN, 28, "h", picture.heading),
        *(_outline(area) for area in picture.areas if area.corners),
        *(_text(area.x, area.y, "l", area.label) for area in picture.areas),
    ]
    for route in picture.routes():
        # Lines one unit wide in the middle of pixels cover these whole: a piece that arrows share is no bolder.
        points = " L".join(f"{x + 0.5:g},{y + 0.5:g}" for x, y in route.corners)
        style = "a d" if kinds[route.target] == TRAINING else "a"
        parts += [f'<path d="M{points}" class="{style}"/>', *_label(route)]
    for block in picture.blocks:
        parts.append(_box(block.x, block.top, block.width, block.height, block.kind))
        for index, (style, line) in enumerate([("t", block.title), *block.lines]):
            parts.append(_text(block.x + 10, block.top + 18 + LINE_STEP * index, style, line))
    y = round(bottom) + 30
    for index, kind in enumerate(kind for kind in KEY if kind in kinds.values()):
        parts += [
            _box(MARGIN + 150 * index, y - 11, 20, 13, kind),
            _text(MARGIN + 150 * index + 27, y, "l", KEY[kind]),
        ]
    parts += [_text(MARGIN, y + 6 + LINE_STEP * index, "l", line) for index, line in enumerate(lines, start=1)]
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, style: str, text: str, anchor: str = "") -> str:
    anchored = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:g}" y="{y:g}" class="{style}"{anchored}>{escape(text)}</text>'


def _outline(area: Area) -> str:
    points = " ".join(f"{x:g},{y:g}" for x, y in area.corners)
    return f'<polygon points="{points}" class="r"/>'


def _label(route: Route) -> list[str]:
    """Return a label along the longest piece of the arrow, above it or on its right."""
    if not route.label:
        return []
    pieces = zip(route.corners, route.corners[1:])
    (x0, y0), (x1, y1) = max(pieces, key=lambda ends: abs(ends[0][0] - ends[1][0]) + abs(ends[0][1] - ends[1][1]))
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return [_text(x, y - 6, "l", route.label, "middle") if y0 == y1 else _text(x + 7, y + 4, "l", route.label)]


def _box(x: float, y: float, width: float, height: float, kind: str) -> str:
    style = "b d" if kind == TRAINING else "b"
    radius = min(7, height / 4)
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" '
        f'fill="{COLOURS[kind]}" class="{style}"/>'
    )
