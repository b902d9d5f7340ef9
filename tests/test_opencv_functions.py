"""What labels, drawn scenes and tests rest on is computed alike by every OpenCV from 4.5 to 5.

Compared were opencv-python-headless 4.5.5, 4.10, 4.13, 4.14 and 5.0. Drawn scenes are equal to the byte on all of them
(tests/edge/synthetic/test_scene.py pins them), and so are bytes that cv2.resize scales by INTER_LINEAR, INTER_AREA and
INTER_NEAREST, JPEG files, NV12 frames, convex polygons, lines of one pixel, circles and connected components. What
follows is not; a picture that nobody computes with may use it, in the files named here.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

REPOSITORY = Path(__file__).resolve().parents[1]

UNLIKE = {
    "INTER_NEAREST_EXACT": "other neighbours in version 5, and in 4.5 for frames of three channels",
    "INTER_CUBIC": "other bytes in 4.5, other rounding of floats",
    "warpAffine": "version 5 interpolates exactly, 4 in steps of 1/32 pixel",
    "warpPerspective": "not compared, of warpAffine's kind",
    "remap": "not compared, of warpAffine's kind",
    "fillPoly": "edges differ from version to version",
    "polylines": "not compared, of fillPoly's kind",
    "drawContours": "not compared, of fillPoly's kind",
    "ellipse": "not compared, of fillPoly's kind",
    "putText": "version 5 has other fonts",
    "getTextSize": "version 5 has other fonts",
}

PICTURES_ALONE = {
    ("edge/stream/lettering.py", "putText"),
    ("edge/stream/lettering.py", "getTextSize"),
    ("edge/stream/lettering.py", "polylines"),
    ("edge/stream/text_overlay.py", "getTextSize"),
    ("edge/stream/uncertainty.py", "warpAffine"),
    ("benchmarks/postprocess.py", "INTER_CUBIC"),
    ("tests/edge/stream/test_lettering.py", "putText"),
}
"""Captions, a heat map on a frame, the smooth noise of a benchmark, and a test that asks what this version writes."""


def uses(room: str) -> Iterator[tuple[str, ast.AST]]:
    for path in sorted((REPOSITORY / room).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "cv2." in text:  # parsing all files would take ten times as long
            for node in ast.walk(ast.parse(text)):
                yield str(path.relative_to(REPOSITORY)), node


def is_cv2(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cv2"


def test_nothing_that_counts_uses_a_function_that_versions_compute_differently():
    found = {
        (path, node.attr)
        for room in ("edge", "calibration", "export", "train", "benchmarks", "tests")
        for path, node in uses(room)
        if is_cv2(node) and node.attr in UNLIKE
    }
    assert found == PICTURES_ALONE


def test_thick_lines_are_drawn_by_our_own_code():
    # cv2.line(picture, start, end, colour) without a thickness draws one pixel.
    thick = [
        f"{path}:{node.lineno}"
        for path, node in uses("edge/synthetic")
        if isinstance(node, ast.Call)
        and is_cv2(node.func)
        and node.func.attr == "line"
        and (len(node.args) > 4 or node.keywords)
    ]
    assert not thick
