"""Vegetation of a street: trees, bushes and hedges."""

from __future__ import annotations

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.pose import Pose
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.texture import LEAF_VARIANTS, leaf_sprite
from edge.synthetic.world import World

_VEGETATION = CITYSCAPES_RAW_IDS["vegetation"]
_LEAVES = (
    ((62.0, 92.0, 40.0), 4.0),
    ((88.0, 108.0, 52.0), 3.0),
    ((48.0, 66.0, 44.0), 2.0),
    ((135.0, 118.0, 48.0), 1.0),
    ((140.0, 84.0, 44.0), 1.0),
    ((105.0, 88.0, 70.0), 1.0),
)


def draw_tree(canvas: Canvas, along_m: float, side_m: float, key: tuple, world: World) -> None:
    """Draw a tree: a trunk and a crown of leaves."""
    right, ahead = canvas.camera.view(along_m, side_m)
    if ahead < 2.0:
        return
    rng = SeededRandom(*key)
    high, trunk = rng.uniform(4.0, 12.0), rng.uniform(1.6, 3.2)
    wide = high * rng.uniform(0.5, 0.95)
    thick = high * rng.uniform(0.014, 0.028)
    bark = rng.choice(((85.0, 70.0, 55.0), (110.0, 104.0, 95.0), (60.0, 52.0, 46.0)))
    lean = rng.uniform(-0.4, 0.4)
    stem = [(right - thick, 0.0, ahead), (right - thick * 0.6 + lean, high * 0.6, ahead)]
    stem += [(right + thick * 0.6 + lean, high * 0.6, ahead), (right + thick, 0.0, ahead)]
    canvas.fill(stem, bark, _VEGETATION, (0.0, 0.3, -0.7))
    color = tuple(c * rng.uniform(0.8, 1.25) for c in rng.weighted(_LEAVES))
    mask, light = leaf_sprite(rng.integer(0, LEAF_VARIANTS - 1))
    if rng.chance(0.5):
        mask = mask[:, ::-1]
    box = (right + lean - wide / 2, trunk, right + lean + wide / 2, high)
    canvas.stamp(mask, light, color, _VEGETATION, box, ahead)


def draw_bush(
    canvas: Canvas, foot: tuple, wide: float, high: float, color: tuple, variant: int, rng: SeededRandom
) -> None:
    """Draw a bush or a far clump of trees at (right, ahead), in metres from the camera."""
    mask, light = leaf_sprite(variant % LEAF_VARIANTS)
    color = tuple(c * rng.uniform(0.9, 1.12) for c in color)
    canvas.stamp(
        mask[:88], light[:88], color, _VEGETATION, (foot[0] - wide / 2, 0.0, foot[0] + wide / 2, high), foot[1]
    )


def draw_street_tree(canvas: Canvas, pose: Pose, scene_object: object, world: World) -> None:
    """Draw a tree at the kerb."""
    draw_tree(canvas, scene_object.along_m, scene_object.side_m, scene_object.random_key, world)
