"""The chart of a confusion matrix: what stands above it lies above it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edge.evaluation.confusion_chart import draw_confusion
from edge.page.svg import WIDE


@pytest.mark.parametrize("classes", [2, 3, 30])
def test_words_above_the_matrix_end_where_it_ends(classes):
    names = [f"class {index}" for index in range(classes)]
    chart = draw_confusion(np.eye(classes + 1, dtype=np.int64), names, "confusion")
    words = float(re.search(r'<text [^>]*x="([0-9.]+)"[^>]*>predicted class', chart)[1])
    cells = re.findall(r'<rect [^>]*\bx="([0-9.]+)"[^>]* width="([0-9.]+)"', chart)
    ends = [float(left) + float(width) for left, width in cells]
    assert words <= WIDE and words == pytest.approx(max(ends), abs=2.0)
