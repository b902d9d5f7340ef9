"""State of a search on disk (int8-search-*.json), so that a search that was stopped can be resumed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Callable

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


def stored_state(store: Path, key: str, say: Callable[[str], None] = lambda line: None) -> SearchState:
    """Return the state that is stored under a key; an empty one where there is none, or it has other inputs.

    Args:
        store: path of the file.
        key: digest of all that the results depend on, the code among it.
        say: function that is called with a line of text where a stored state is not used.
    """
    try:
        state = read_record(SearchState, store)
    except ContractError as error:
        say(f"the search starts anew: {error}")
        return SearchState(key)
    except InputError:
        return SearchState(key)
    if state.key == key:
        return state
    say(
        f"the search starts anew: {store.name} is of other inputs or other code: got {state.key[:12]}, "
        f"expected {key[:12]}"
    )
    return SearchState(key)
