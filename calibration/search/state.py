"""State of a search on disk (int8-search-*.json), so that a search that was stopped can be resumed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from calibration.results import SearchStep
from calibration.search.sensitivity import Sensitivity
from edge.errors import ContractError, InputError
from edge.records import read_record, record


@record(schema=1, what="search state")
class SearchState:
    """Results of a search so far.

    Attributes:
        key: digest of all that the results depend on.
        steps: evaluated quantisation configs. Their field `recipe_sha256` keeps its earlier name on disk.
        sensitivities: digest of the config and name of the layer, joined by a blank -> sensitivity of the layer.
    """

    key: str
    steps: tuple[SearchStep, ...] = ()
    sensitivities: dict[str, Sensitivity] = dataclasses.field(default_factory=dict)


def stored_state(store: Path, key: str) -> SearchState:
    """Return the state that was stored under a key; an empty state where there is none, or one of other inputs."""
    try:
        state = read_record(SearchState, store)
    except (InputError, ContractError):
        return SearchState(key)
    return state if state.key == key else SearchState(key)
