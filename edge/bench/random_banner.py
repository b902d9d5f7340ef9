"""The banner on top of a page whose network has random weights."""

from __future__ import annotations

from edge.page.elements import BAD, banner
from edge.page.markup import Html
from edge.provenance import WeightsProvenance


def random_banner(weights: WeightsProvenance) -> Html:
    """Return the banner that says what a page of random weights is worth; an empty text for other weights."""
    return banner(BAD, "Random weights", [weights.warning()]) if weights.is_random else Html()
