"""Networks of this folder are built without drawing their weights anew."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quick_weights(quick_weights):
    """Build every network here without drawing its weights anew."""
