"""Measurements on a few images, by the logits: of a whole config, of each of its layers, of range methods."""

from __future__ import annotations

import dataclasses
from typing import Any

from calibration.qdq.quantization_config import QuantizationConfig, counted
from calibration.search.accuracy import AccuracySet, covering_images
from calibration.search.estimates import choose_methods, measure_sensitivities, with_methods
from calibration.search.graph_sources import GraphSources
from calibration.search.noise_gain import predicted_noise
from calibration.search.sensitivity import LogitComparison, Sensitivity
from calibration.search.state import SearchStore
from calibration.search.switchboard import Switchboard
from edge.console import Say
from edge.contract import Contract
from edge.preprocess import FramePreparer

PROBE_IMAGES = 2
"""Number of images on which configs and layers are compared; they are chosen so that they show every class."""

_ALL_LAYERS = "*"


class LogitProbe:
    """Compares configs, layers and range methods on a few images of a search.

    Args:
        sources: float graphs of the search.
        contract: input and output of the graph.
        accuracy: images of the search, with the float graph's labels of them.
        store: store of the search, which keeps every measurement.
        say: function that is called with a line of text for each step.
    """

    def __init__(
        self, sources: GraphSources, contract: Contract, accuracy: AccuracySet, store: SearchStore, say: Say
    ) -> None:
        self._sources, self._contract, self._accuracy, self._store, self._say = sources, contract, accuracy, store, say
        self._shown: list | None = None
        self._comparison: LogitComparison | None = None
        self._board: tuple[str, Switchboard] | None = None

    def of_config(self, config: QuantizationConfig) -> Sensitivity:
        """Return what a config does to the logits.

        Raises:
            SearchEndedError: time is up.
        """
        known = self._store.known_under(config)
        if _ALL_LAYERS in known:
            return known[_ALL_LAYERS]
        if self._comparison is None:
            self._comparison = LogitComparison(self._logits(self._sources.plain[0].SerializeToString()))
        measured = self._comparison.of(self._logits(self._sources.quantized(config).data))
        self._store.keep_under(config)(_ALL_LAYERS, measured)
        return measured

    def of_layers(self, config: QuantizationConfig, most: int) -> dict[str, Sensitivity]:
        """Return the sensitivity of every layer of a config, each alone in INT8.

        Args:
            config: quantisation config; its float layers are measured as if they were in INT8.
            most: number of layers that are measured one by one, see calibration.search.estimates.

        Raises:
            SearchEndedError: time is up.
        """
        config = _for_switches(config)
        board, known = self._board_of(config), self._store.known_under(config)
        (model, ranges), sources = self._sources.of(config), self._sources
        predicted = predicted_noise(
            model, ranges, config, sources.form, self._contract.output_name, sources.unsigned_levels
        )
        if known.keys().isdisjoint(board.nodes):
            alone = min(most, len(board.nodes))
            self._say(f"sensitivity of {counted(len(board.nodes), 'layer')}, {alone} of them measured alone")
        return measure_sensitivities(board, predicted, board.nodes, most, self._store.keep_under(config), known)

    def with_best_methods(self, config: QuantizationConfig, most: int) -> QuantizationConfig:
        """Return a config whose most sensitive tensors have the range method that hurts least.

        Args:
            config: quantisation config to start from.
            most: number of most sensitive layers whose inputs are tried.

        Raises:
            SearchEndedError: time is up.
        """
        in_int8 = _for_switches(config)
        sensitivities = self.of_layers(config, most)
        keep, known = self._store.keep_under(in_int8), self._store.known_under(in_int8)
        ranges = self._sources.of(config)[1]
        methods = choose_methods(self._board_of(in_int8), sensitivities, config, ranges, most, keep, known)
        return with_methods(config, methods)

    def _board_of(self, config: QuantizationConfig) -> Switchboard:
        """Return the switchboard of a config; the last one stays open."""
        if self._board is None or self._board[0] != config.digest():
            (model, ranges), sources = self._sources.of(config), self._sources
            self._board = None  # its memory goes first
            board = Switchboard(
                model, ranges, config, sources.form, sources.unsigned_levels, self._contract, self._frames()
            )
            self._board = (config.digest(), board)
        return self._board[1]

    def _logits(self, data: bytes) -> list[Any]:
        with self._sources.runner(data, self._contract) as runner:
            return [runner.infer(frame).copy() for frame in self._frames()]

    def _frames(self) -> list[Any]:
        if self._shown is None:
            frames, contract = self._accuracy.frames, self._contract
            prepare = FramePreparer(contract.height, contract.width, "rgb")
            chosen = covering_images(self._accuracy.float_labels.overlaps[:, :, 0], PROBE_IMAGES)
            self._shown = [prepare(frames.read(index)).copy() for index in chosen]
        return self._shown


def _for_switches(config: QuantizationConfig) -> QuantizationConfig:
    """Return the config whose layers are measured one by one: all in INT8, with plain weights and biases.

    Clipped, reconstructed and corrected ones change the errors of layers by some percent and their order hardly, so
    what was measured without them stands.
    """
    return dataclasses.replace(
        config, float_layers={}, weight_method="max", weight_rounding="nearest", bias_correction=False
    )
