"""Synthetic scenes with exact labels: streets in the layout of Cityscapes and as a video, and railway lines likewise.

seeded_random -> world (position of everything at a time) -> camera -> render -> scene -> dataset, video
                 light                                      pose      canvas <- ground, city_blocks, vegetation,
                                                                      optics    vehicles, people, street_furniture
railway/ draws lines in RailSem19's classes and layout, from the same parts

Drawn in a set of some dozen pictures: all 19 evaluated classes, and of the ignored ones ego vehicle,
rectification border, out of roi, static, ground, parking, rail track, guard rail, bridge, caravan and
trailer. Never drawn: unlabeled, dynamic, tunnel, polegroup. A fence's label covers its gaps, a rider
and the machine below are two instances, a trunk belongs to vegetation: as in the real set.

The pixels are the same on every machine and every version of Python and NumPy; the PNG files hold
the same pixels, while their compressed bytes are the zlib's that OpenCV was built with.
"""

from __future__ import annotations

from edge.synthetic.dataset import read_manifest, write_dataset
from edge.synthetic.railway.scene import RailScene, draw_rail_scene
from edge.synthetic.railway.video import Incident, RailVideo
from edge.synthetic.scene import Scene, draw_scene
from edge.synthetic.video import SyntheticVideo

__all__ = [
    "Incident",
    "RailScene",
    "RailVideo",
    "Scene",
    "SyntheticVideo",
    "draw_rail_scene",
    "draw_scene",
    "read_manifest",
    "write_dataset",
]
