"""What a search has found out so far, kept so that one that was stopped goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from calibration.results import SearchStep
from calibration.search.sensitivity import Sensitivity
from edge.errors import ContractError, InputError
from edge.records import read_record, record


@record(schema=1, what="search state")
class SearchState:
    """What a search has found out so far.

    Attributes:
        key: digest of all that the results depend on.
        steps: evaluated recipes.
        sensitivities: digest of the recipe and name of the layer, joined by a blank -> result.
    """

    key: str
    steps: tuple[SearchStep, ...] = ()
    sensitivities: dict[str, Sensitivity] = dataclasses.field(default_factory=dict)


def stored_state(store: Path, key: str) -> SearchState:
    """Return what is kept under a key; an empty state where there is nothing, or it is of other inputs."""
    try:
        state = read_record(SearchState, store)
    except (InputError, ContractError):
        return SearchState(key)
    return state if state.key == key else SearchState(key)
