"""Sensitivities of all layers, and the range method of each tensor, from few runs of a switchboard.

The forecast (calibration.search.noise_gain) says which layers are worth a run of their own. All others are measured
together: noise of many layers adds up, so a group that is as quiet as forecast hides no loud layer. One that is louder
is halved until the layer is found. That is group testing (Dorfman, "The Detection of Defective Members of Large
Populations", 1943), with halving as in Sobel and Groll, 1959.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from typing import Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from calibration.qdq.quantization_config import QuantizationConfig
from calibration.ranges.record import Ranges
from calibration.ranges.thresholds import CALIBRATION_METHODS
from calibration.search.sensitivity import Sensitivity
from calibration.search.switchboard import Switchboard

MEASURED_LAYERS = 24
"""Number of layers that are measured one by one."""

TUNED_LAYERS = 12
"""Number of most sensitive layers whose inputs are tried with each calibration method."""

LEAST_GAIN = 0.03
"""Share of the noise power that another method of a tensor has to save, or it is chance of the frames."""

CLASS_LOSS = 0.25
"""Change of a class (1 less the IoU) from which a layer alone is to blame for it, and a group is halved."""

_LOUDER = 4.0
"""Noise power of a group over its forecast from which on it is halved: twice the error."""

_SMALL_SHARE = 0.02
"""Share of the power of all measured layers below which a group does not matter, however wrong its forecast is."""

Keep = Callable[[str, Sensitivity], None]


def _keep_nothing(key: str, value: Sensitivity) -> None:
    pass


def measure_sensitivities(
    switchboard: Switchboard,
    predicted: Mapping[str, float],
    nodes: Sequence[str],
    most: int = MEASURED_LAYERS,
    keep: Keep = _keep_nothing,
    known: Mapping[str, Sensitivity] | None = None,
) -> Dict[str, Sensitivity]:
    """Measure the layers that matter, and estimate the others.

    Args:
        switchboard: switchboard of the network.
        predicted: name of a node -> its predicted output error, as predicted_noise returns it.
        nodes: names of the nodes, all of which have a switch.
        most: number of layers, those with the largest forecast, that are measured one by one. Groups are halved as
            often at most, which is two runs each.
        keep: function that is called after each run with a key and its result; it may raise to stop. The key is the
            name of a layer, or that of a group, which begins with "group ".
        known: earlier results by key, which are not measured again.

    Returns:
        Name of a node -> its sensitivity, in the order of `nodes`. Where `is_measured` is False, the error is the
        forecast, scaled so that the group has the power that was measured, and the share of changed labels is a part
        of the group's in proportion to it.
    """
    measure = _Measurements(switchboard, keep, known or {})
    ranked = sorted(nodes, key=lambda name: (-predicted.get(name, 0.0), name))
    results = {name: measure.of([name]) for name in ranked[:most]}
    rest = ranked[most:]
    powers = {name: predicted.get(name, 0.0) ** 2 for name in nodes}
    factor = _forecast_factor(results, powers)
    loud: List[Tuple[float, List[str]]] = []  # power and members of groups that are louder than forecast

    def take(group: List[str]) -> None:
        seen = measure.of(group)
        power, forecast = seen.output_error**2, factor * sum(powers[name] for name in group)
        total = sum(value.output_error**2 for value in results.values())
        if len(group) == 1:
            results[group[0]] = seen
        elif power > max(_LOUDER * forecast, _SMALL_SHARE * total) or seen.class_change > CLASS_LOSS:
            loud.append((power, group))
        else:
            results.update(_shared_out(seen, group, powers))

    if rest:
        take(rest)
    for _ in range(most):
        if not loud:
            break
        _, group = loud.pop(loud.index(max(loud)))
        take(group[: len(group) // 2])
        take(group[len(group) // 2 :])
    for _, group in loud:  # there are no runs left for them
        results.update(_shared_out(measure.of(group), group, powers))
    # Not before: groups that depended on what is known would be others after an interruption.
    return {name: measure.known.get(name, results[name]) for name in nodes}


def group_key(nodes: Sequence[str]) -> str:
    """Return the key of a run with some nodes on: the name of a single one, else "group " and a digest."""
    if len(nodes) == 1:
        return nodes[0]
    return f"group {hashlib.sha256(chr(0).join(sorted(nodes)).encode()).hexdigest()[:16]}"


class _Measurements:
    """Runs of a switchboard, of which each is made once."""

    def __init__(self, switchboard: Switchboard, keep: Keep, known: Mapping[str, Sensitivity]) -> None:
        self._switchboard, self._keep, self.known = switchboard, keep, dict(known)

    def of(self, nodes: Sequence[str]) -> Sensitivity:
        """Return the sensitivity of some nodes together."""
        return self._once(group_key(nodes), nodes, None)

    def of_methods(self, methods: Mapping[str, str]) -> Sensitivity:
        """Return the sensitivity of the whole network with some range methods."""
        digest = hashlib.sha256(repr(sorted(methods.items())).encode()).hexdigest()[:16]
        return self._once(f"methods {digest}", None, methods)

    def _once(self, key: str, nodes: Sequence[str] | None, methods: Mapping[str, str] | None) -> Sensitivity:
        if key not in self.known:
            self.known[key] = self._switchboard.output_error(nodes, methods)
            self._keep(key, self.known[key])
        return self.known[key]


def _forecast_factor(results: Mapping[str, Sensitivity], powers: Mapping[str, float]) -> float:
    """Return the median of measured over predicted noise power; 1 where there is none."""
    ratios = [value.output_error**2 / powers[name] for name, value in results.items() if powers.get(name)]
    return float(np.median(ratios)) if ratios else 1.0


def _shared_out(seen: Sensitivity, group: Sequence[str], powers: Mapping[str, float]) -> Dict[str, Sensitivity]:
    """Return estimates for the layers of a group, whose powers add up to that of the group."""
    total = sum(powers[name] for name in group)
    shares = {name: powers[name] / total if total else 1.0 / len(group) for name in group}
    amplitudes = {name: float(np.sqrt(share)) for name, share in shares.items()}
    whole = sum(amplitudes.values())
    return {
        name: Sensitivity(seen.output_error * amplitude, seen.label_change * amplitude / whole, is_measured=False)
        for name, amplitude in amplitudes.items()
    }


def choose_methods(
    switchboard: Switchboard,
    sensitivities: Mapping[str, Sensitivity],
    config: QuantizationConfig,
    ranges: Ranges,
    most: int = TUNED_LAYERS,
    keep: Keep = _keep_nothing,
    known: Mapping[str, Sensitivity] | None = None,
) -> Dict[str, str]:
    """Choose the range method of each tensor by the measured error of the whole network in INT8.

    It starts from the methods of the config, or from the best single method for all tensors if that is better. Then
    the tensors that the most sensitive layers read are tried with each method, one after the other, and another method
    stays where it saves at least LEAST_GAIN of the noise power. A layer whose noise covers that of all others hides
    their gains, so that it is better put into float before.

    Args:
        switchboard: switchboard of the network with this config.
        sensitivities: name of a node -> its sensitivity.
        config: quantisation config to start from.
        ranges: ranges of the graph's activations.
        most: number of most sensitive layers whose inputs are tried.
        keep: function that is called after each run with a key, which begins with "methods ", and its result; it may
            raise to stop.
        known: earlier results by key, which are not measured again.

    Returns:
        Name of a tensor -> its method, for all tensors of the ranges; `with_methods` puts them into a config.
    """
    measure = _Measurements(switchboard, keep, known or {})
    starts = [{name: config.method_of(name) for name in ranges.tensors}]
    starts.extend(dict.fromkeys(ranges.tensors, method) for method in CALIBRATION_METHODS)
    errors = [measure.of_methods(methods).output_error for methods in starts]  # of equal ones, one is measured
    best, methods = errors[0], starts[0]
    for error, start in zip(errors, starts):
        if _saves(error, best):
            best, methods = error, start
    loud = sorted(sensitivities, key=lambda name: (-sensitivities[name].output_error, name))[:most]
    tried: set = set()
    for node in loud:
        for tensor in _tensors_to_try(switchboard, node, methods, tried):
            for method in _other_methods(ranges, tensor, methods[tensor]):
                error = measure.of_methods({**methods, tensor: method}).output_error
                if _saves(error, best):
                    best, methods = error, {**methods, tensor: method}
            tried.add(tensor)
    return methods


def with_methods(config: QuantizationConfig, methods: Mapping[str, str]) -> QuantizationConfig:
    """Return a config with the range methods of some tensors, the commonest of them being the method of all others."""
    commonest = Counter(methods.values()).most_common(1)[0][0] if methods else config.method
    others = {name: method for name, method in methods.items() if method != commonest}
    return dataclasses.replace(config, method=commonest, tensor_methods=others)


def _saves(error: float, best: float) -> bool:
    return error**2 < (1.0 - LEAST_GAIN) * best**2


def _tensors_to_try(switchboard: Switchboard, node: str, methods: Mapping[str, str], tried: set) -> List[str]:
    if node not in switchboard.nodes:
        return []
    return [name for name in switchboard.range_tensors(node, methods) if name in methods and name not in tried]


def _other_methods(ranges: Ranges, tensor: str, method: str) -> List[str]:
    """Return the methods that give a tensor another threshold, one for each threshold."""
    found = {ranges.threshold(tensor, method): method}
    for other in CALIBRATION_METHODS:
        found.setdefault(ranges.threshold(tensor, other), other)
    return [other for other in found.values() if other != method]
