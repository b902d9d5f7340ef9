"""Label maps that are drawn from polygons: Cityscapes' own annotations, filled as its scripts fill them.

cityscapes.py   reads a *_gtFine_polygons.json
fill.py         fills polygons pixel by pixel as Pillow does
edges.py        rows that edges cross, and where
"""
