"""What a search keeps on disk (int8-search-*.json), so that a search that was stopped can be resumed."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Callable

from calibration.qdq.quantization_config import QuantizationConfig
from calibration.results import SearchStep
from calibration.search.sensitivity import Sensitivity
from edge.errors import ContractError, InputError
from edge.records import read_record, record, write_record


class SearchEndedError(Exception):
    """Ends a search: the budget holds, or time is up."""


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


class SearchStore:
    """Keeps every result of a search as soon as it is there, and tells when its time is up.

    Args:
        path: file that results are kept in.
        key: digest of all that the results depend on; results under another key are not used.
        say: function that is called with a line of text where a stored state is not used.

    Attributes:
        deadline_s: time of time.monotonic at which the search ends, in seconds.
    """

    def __init__(self, path: Path, key: str, say: Callable[[str], None]) -> None:
        self._path, self._state = path, stored_state(path, key, say)
        self.deadline_s = math.inf

    @property
    def is_late(self) -> bool:
        """Whether the time of the search is up."""
        return time.monotonic() > self.deadline_s

    def step_of(self, config: QuantizationConfig) -> SearchStep | None:
        """Return what is known of an evaluated config; None of one that was not evaluated."""
        digest = config.digest()
        return next((step for step in self._state.steps if step.recipe_sha256 == digest), None)

    def steps(self, digests: list[str]) -> tuple[SearchStep, ...]:
        """Return the steps of the configs with these digests, in their order."""
        known = {step.recipe_sha256: step for step in self._state.steps}
        return tuple(known[digest] for digest in digests)

    def keep_step(self, step: SearchStep) -> None:
        """Keep a step in place of an earlier one of the same config."""
        others = tuple(old for old in self._state.steps if old.recipe_sha256 != step.recipe_sha256)
        self._write(steps=(*others, step))

    def known_under(self, config: QuantizationConfig) -> dict[str, Sensitivity]:
        """Return the measurements of a config by their keys, such as names of layers."""
        prefix = f"{config.digest()} "
        kept = self._state.sensitivities.items()
        return {key[len(prefix) :]: value for key, value in kept if key.startswith(prefix)}

    def keep_under(self, config: QuantizationConfig) -> Callable[[str, Sensitivity], None]:
        """Return a function that keeps a measurement of a config under a key.

        It raises SearchEndedError behind the first one after the time is up.
        """
        prefix = f"{config.digest()} "

        def keep(key: str, value: Sensitivity) -> None:
            self._write(sensitivities={**self._state.sensitivities, prefix + key: value})
            if self.is_late:
                raise SearchEndedError

        return keep

    def _write(self, **changes: object) -> None:
        self._state = dataclasses.replace(self._state, **changes)
        write_record(self._path, self._state)


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
