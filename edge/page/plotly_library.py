"""The plotting library whose script a page carries, where it is installed: plotly (`pip install segedge[report]`).

Plotly draws SVG, so its charts stay sharp and take the colours of a light and of a dark page; its package needs no
other of weight, and runs on Python 3.8. Its script is 4.8 MB, 2.0 MB as a page carries it. Bokeh's is 1.3 MB, but draws
pixels, and its package brings Pillow, Tornado and five more and needs Python 3.10.

Source: plotly 7.1.0 (MIT) and bokeh 3.9.2 (BSD 3-clause), sizes of plotly.min.js and bokeh.min.js in their wheels.
"""

from __future__ import annotations

import base64
import functools
import gzip
import importlib.util

_LEVEL = 6
"""Level of gzip: level 9 takes three times as long for 1 % less."""

_LONGEST_HEAD = 400
"""Characters of the script within which its licence is named."""


@functools.lru_cache(maxsize=None)
def is_installed() -> bool:
    """Return whether pages can carry interactive charts on this machine."""
    return importlib.util.find_spec("plotly") is not None


@functools.lru_cache(maxsize=None)
def packed_script() -> tuple[str, str]:
    """Return the library's script as base64 of gzip, which a page unpacks by itself, and the line of its licence.

    Returns:
        Script, and the name, owner and licence that stand at its head and have to stay with it.
    """
    from plotly.offline import get_plotlyjs

    script = get_plotlyjs()
    licence = " ".join(script[:_LONGEST_HEAD].split("*/")[0].replace("*", " ").replace("/", " ").split())
    # Without a time in its head, the same page is the same bytes.
    return base64.b64encode(gzip.compress(script.encode(), _LEVEL, mtime=0)).decode(), licence
