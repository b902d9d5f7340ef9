"""Trees, bushes, hedges and woods beside the line."""

from __future__ import annotations

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.railway.line import Flank, Line
from edge.synthetic.railway.surfaces import Drawings, fill_rough
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.texture import LEAF_VARIANTS, leaf_sprite

_PLANT = CITYSCAPES_RAW_IDS["vegetation"]
LEAVES = (
    ((62.0, 92.0, 40.0), 4.0),
    ((86.0, 108.0, 52.0), 3.0),
    ((46.0, 64.0, 42.0), 2.5),
    ((134.0, 116.0, 50.0), 1.0),
    ((140.0, 86.0, 44.0), 0.8),
    ((104.0, 90.0, 72.0), 1.2),
)


def near_first(rng: SeededRandom) -> float:
    """Return a random share of the way, 0 to 1, more often a small one."""
    share = rng.uniform(0.0, 1.0)
    return share * share


def stamp_bush(
    canvas: Canvas, foot: tuple, wide: float, high: float, color: tuple, variant: int, rng: SeededRandom
) -> None:
    """Draw a bush or a clump of trees at (right, up, ahead) in view, of a width and a height in metres."""
    mask, light = leaf_sprite(variant % LEAF_VARIANTS)
    color = tuple(c * rng.uniform(0.9, 1.12) for c in color)
    right, up, ahead = foot
    canvas.stamp(mask[:92], light[:92], color, _PLANT, (right - wide / 2, up, right + wide / 2, up + high), ahead)


def add_plants(drawings: Drawings, canvas: Canvas, line: Line, flank: Flank, end: float, rng: SeededRandom) -> None:
    """Add everything that grows on one side of a line, up to `end` metres ahead."""
    trees, bushes = {"forest": (44, 20), "bushes": (16, 34), "field": (3, 8), "houses": (8, 12), "halls": (4, 12)}[
        flank.scenery
    ]
    behind = flank.edge_m + (11.0 if flank.kind == "street" else 0.0)
    conifers = rng.chance(0.4)
    for number in range(trees + bushes):
        is_tree = number < trees
        along = 3.0 + (end - 6.0) * near_first(rng)
        out = behind + (rng.uniform(2.5, 26.0) if is_tree else rng.uniform(0.3, 14.0))
        if flank.scenery in ("houses", "halls") and out > behind + 7.0:
            out = behind + rng.uniform(0.5, 6.0)
        kind = "bush" if not is_tree else "needles" if conifers and rng.chance(0.8) else "leaves"
        _place(drawings, canvas, line, (along, out * flank.sign), kind, (*line.key, 33, flank.sign, number))
    for number in range(14):  # tufts where nobody mows
        place = (2.6 + 40.0 * near_first(rng), (flank.edge_m - 0.4 + rng.uniform(0.0, 1.6)) * flank.sign)
        if flank.kind not in ("wall", "barrier", "street"):
            _place(drawings, canvas, line, place, "tuft", (*line.key, 37, flank.sign, number))
    wooded = flank.scenery == "forest" or (flank.scenery == "bushes" and rng.chance(0.6))
    if wooded:  # the wood closes behind its first trees, or lies beyond a meadow
        along, near = 12.0, 17.0 if flank.scenery == "forest" else rng.uniform(20.0, 50.0)
        while along < end:
            place = (along, (behind + near + rng.uniform(0.0, 13.0)) * flank.sign)
            _place(drawings, canvas, line, place, "thicket", (*line.key, 38, flank.sign, int(along)))
            along += 4.5 + along * 0.03
    if flank.kind in ("plain", "bank", "dam") and flank.fence == "none" and rng.chance(0.3):  # a hedge
        along, out = 4.0, behind + rng.uniform(0.9, 1.8)
        while along < min(end, 170.0):
            _place(
                drawings, canvas, line, (along, out * flank.sign), "hedge", (*line.key, 39, flank.sign, int(along * 2))
            )
            along += 1.3 + along * 0.025


def _place(drawings: Drawings, canvas: Canvas, line: Line, place: tuple[float, float], kind: str, key: tuple) -> None:
    """Add a plant where no road crosses."""
    if line.crossing is None or not line.crossing[0] - 2.5 < place[0] < line.crossing[1] + 2.5:
        add_plant(drawings, canvas, line, place, kind, key)


_BUSHES_M = {
    "bush": (0.5, 2.6, 0.9, 1.9),
    "tuft": (0.15, 0.5, 1.2, 3.0),
    "hedge": (1.1, 2.0, 1.3, 2.0),
    "thicket": (7.0, 14.0, 0.7, 1.2),
}
"""Kind -> least and largest height in metres, least and largest width as a share of the height."""


def add_plant(
    drawings: Drawings, canvas: Canvas, line: Line, place: tuple[float, float], kind: str, key: tuple
) -> None:
    """Add a tree or a bush.

    Args:
        drawings: List that it is added to.
        canvas: Canvas to draw on.
        line: Line beside which it stands.
        place: (along, side) in metres.
        kind: Kind: leaves or needles, which are trees, or a kind of bush.
        key: Key of the random numbers that decide its looks.
    """
    along, side = place
    up = line.flank(side).ground_up(side)
    right, ahead = canvas.camera.view(along, side)
    half_view = canvas.camera.width / canvas.camera.focal_px
    least = {"leaves": 9.0, "needles": 7.0, "tuft": 2.6, "thicket": 14.0}.get(kind, 5.0)
    if ahead < least or abs(right) > ahead * half_view + 8.0:
        return

    def draw() -> None:
        rng = SeededRandom(*key)
        color = tuple(c * rng.uniform(0.8, 1.22) for c in rng.weighted(LEAVES))
        mask, light = leaf_sprite(rng.integer(0, LEAF_VARIANTS - 1))
        if rng.chance(0.5):
            mask = mask[:, ::-1]
        if kind in _BUSHES_M:
            low, most, slim, broad = _BUSHES_M[kind]
            high = rng.uniform(low, most)
            wide = high * rng.uniform(slim, broad)
            canvas.stamp(
                mask[:96], light[:96], color, _PLANT, (right - wide / 2, up, right + wide / 2, up + high), ahead
            )
            return
        if kind == "needles":
            _needles(canvas, (right, up, ahead), rng)
            return
        high, trunk = rng.uniform(5.0, 15.0), rng.uniform(1.4, 3.2)
        wide, thick, lean = high * rng.uniform(0.45, 0.9), high * rng.uniform(0.014, 0.026), rng.uniform(-0.4, 0.4)
        bark = rng.choice(((85.0, 70.0, 55.0), (112.0, 106.0, 97.0), (60.0, 52.0, 46.0)))
        stem = [(right - thick, up, ahead), (right + lean - thick * 0.6, up + high * 0.6, ahead)]
        stem += [(right + lean + thick * 0.6, up + high * 0.6, ahead), (right + thick, up, ahead)]
        canvas.fill(stem, bark, _PLANT, (0.0, 0.3, -0.7))
        box = (right + lean - wide / 2, up + trunk, right + lean + wide / 2, up + high)
        canvas.stamp(mask, light, color, _PLANT, box, ahead)

    drawings.append((ahead, draw))


def _needles(canvas: Canvas, foot: tuple, rng: SeededRandom) -> None:
    right, up, ahead = foot
    high = rng.uniform(7.0, 20.0)
    wide, green = high * rng.uniform(0.26, 0.4), rng.uniform(0.75, 1.15)
    color = (44.0 * green, 66.0 * green, 46.0 * green)
    stem = [
        (right - 0.18, up, ahead),
        (right + 0.18, up, ahead),
        (right + 0.1, up + high * 0.3, ahead),
        (right - 0.1, up + high * 0.3, ahead),
    ]
    canvas.fill(stem, (72.0, 58.0, 46.0), _PLANT, (0.0, 0.3, -0.7))
    tiers = 5
    for tier in range(tiers):
        low, top = 0.1 + 0.72 * tier / tiers, 0.34 + 0.66 * (tier + 1) / tiers
        half = wide * (0.5 - 0.4 * tier / tiers)
        corners = [
            (right - half, up + high * low, ahead),
            (right + half, up + high * low, ahead),
            (right, up + high * min(top, 1.0), ahead),
        ]
        fill_rough(
            canvas, corners, tuple(c * (0.86 + 0.07 * tier) for c in color), _PLANT, (0.0, 0.5, -0.6), 60.0, tier
        )
