"""Pictures inside a page, so that it can be sent as one file."""

from __future__ import annotations

import base64
from typing import Sequence

import numpy as np

from edge.opencv import cv2
from edge.page.markup import Html, as_html, element

_JPEG_QUALITY = 88


def shrunk(picture: np.ndarray, width: int) -> np.ndarray:
    """Return a picture of at most `width` columns; one that has no more is returned as it is.

    Args:
        picture: Picture (height, width) or (height, width, 3), uint8 or float32.
        width: Largest width of the result, in pixels.
    """
    rows, columns = picture.shape[:2]
    if columns <= width:
        return picture
    return cv2.resize(picture, (width, max(rows * width // columns, 1)), interpolation=cv2.INTER_AREA)


def picture_figure(picture_rgb: np.ndarray, alt: str, caption: str) -> Html:
    """Return a picture with its caption, as a JPEG inside the page.

    Args:
        picture_rgb: Picture (height, width, 3) uint8 RGB.
        alt: Description of the picture for a reader who cannot see it.
        caption: Text below the picture.
    """
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture_rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    height, width = picture_rgb.shape[:2]
    address = f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
    # With its size the page does not jump while pictures are decoded.
    image = Html(f'<img alt="{as_html(alt)}" width="{width}" height="{height}" src="{address}">')
    return element("figure", image, element("figcaption", caption))


def picture_grid(figures: Sequence[Html], columns: int) -> Html:
    """Return figures side by side in two or three columns, one below the other on a narrow screen; "" for none."""
    return element("div", *figures, class_=f"pictures of-{columns}") if figures else Html()
