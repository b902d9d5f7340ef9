"""The rules by which a pixel of the label map finds its position in the logits; `edge.postprocess.bilinear` has them.

They stand alone, so that whoever only reads or writes a contract does not depend on the code that makes labels.
"""

from __future__ import annotations

COORDINATE_RULES = ("half_pixel", "align_corners")
"""How a pixel's position in the logits follows from its place in the label map."""
