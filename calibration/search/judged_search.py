"""A search whose result is judged on images that it did not see.

    the first config ──► judged ──► held: done
                           │
                           ▼
      search on its own images ──► judged ──► not held: the search goes on with stricter limits, a few times

Each look at the judging images is one more chance to be lucky, so the intervals of the second look hold with 1 - 0.05 /
2, those of the third with 1 - 0.05 / 3, and so on: the chances that a figure lies over the upper end, 2.5 % of the
first look, add up to 5 % for four.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Container

from calibration.budget.intervals import CONFIDENCE
from calibration.budget.limits import Budget, Verdict, excess
from calibration.budget.set_labels import SetLabels
from calibration.qdq.insert import QuantizedGraph
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.results import EXCEEDED, HELD, NOT_SHOWN, STATES, LabelCost, SearchStep
from calibration.search.accuracy import AccuracySet, graph_runner
from calibration.search.config_search import ConfigSearch, SearchOutcome
from calibration.search.steps import figures, rejudged, step_of
from edge.console import Say
from edge.contract import Contract

MOST_LOOKS = 4
"""Number of quantised graphs that are judged at most: more would wear the judging images out."""

KEPT_SHARE = 0.9
"""Share of its multiply-adds in INT8 that a graph within its budget may lose for the images to show it."""

_AIM = 0.9
"""Share of what is left of a limit that a stricter search aims at."""

_LEAST_ROOM = 0.5
"""Share of a figure or of its limit below which a stricter search does not aim because of an interval."""

_LEAST_FACTOR = 0.25
"""Least share of the limits that a stricter search is tried with: nothing but a float network would hold less."""


@dataclass(frozen=True)
class JudgedConfig:
    """A quantisation config, judged on images that no search has seen.

    Attributes:
        config: quantisation config.
        quantized: quantised graph of that config.
        labels: labels that this graph gives on the judging images, simulated exactly.
        cost: cost of the graph in labels on these images.
        verdict: verdict on that cost.
        looks: every graph that was judged, in order.
        search: result of the last search; None where the first config was kept without one.
    """

    config: QuantizationConfig
    quantized: QuantizedGraph
    labels: SetLabels
    cost: LabelCost
    verdict: Verdict
    looks: tuple[SearchStep, ...]
    search: SearchOutcome | None = None

    @property
    def is_over_budget(self) -> bool:
        """Whether a figure exceeds its limit, so that no engine may be kept of this graph."""
        return self.verdict.is_exceeded


def find_config(
    search: ConfigSearch,
    start: QuantizationConfig,
    judging: AccuracySet,
    budget: Budget,
    contract: Contract,
    say: Say,
    first: str = "plain INT8",
) -> JudgedConfig:
    """Find the quantisation config that holds a budget, judged on images that the search does not see.

    Args:
        search: search on images of its own.
        start: first config to judge.
        judging: images that decide.
        budget: accuracy that INT8 may cost.
        contract: input and output of the graph.
        say: function that is called with a line of text for each step.
        first: words for the first config.

    Returns:
        The first config that holds the budget. Where none does, the one that comes closest to it.
    """
    looks: tuple[SearchStep, ...] = ()
    verdicts: dict[str, Verdict] = {}

    def judged(config: QuantizationConfig, what: str, outcome: SearchOutcome | None) -> JudgedConfig:
        nonlocal looks
        found = judge(search, config, judging, budget, contract, say, what, looks, outcome)
        looks = found.looks
        verdicts[config.digest()] = found.verdict
        return found

    best = judged(start, first, None) if not search.is_far_off(start, budget) else None
    factor, outcome = 1.0, None
    while budget.is_enforced and (best is None or best.verdict.state != HELD) and len(looks) < MOST_LOOKS:
        outcome = search.run(start, budget.scaled(factor), first)
        # A search of stricter limits judged its steps by those; the record has the verdicts of the budget itself.
        outcome = dataclasses.replace(outcome, steps=tuple(rejudged(step, budget) for step in outcome.steps))
        digest, share = outcome.config.digest(), outcome.quantized.int8_mac_share
        if best is not None and not best.is_over_budget and share < KEPT_SHARE * best.quantized.int8_mac_share:
            say(f"what would show it has {100 * share:.1f} % of multiply-adds in INT8, which is not worth it")
            break
        if digest not in verdicts:
            found = judged(outcome.config, outcome.config.sentence(), outcome)
            if best is None or _rank(found) < _rank(best):
                best = found
        # What was judged before holds on the images of the search alone: they have to ask for more.
        own = next(step for step in outcome.steps if step.recipe_sha256 == digest)
        stricter = stricter_factor(verdicts[digest], budget.judge(own.cost), factor, budget.class_limits)
        if outcome.is_out_of_time or not outcome.is_met or stricter is None:
            break
        factor = stricter
    return JudgedConfig(
        best.config, best.quantized, best.labels, best.cost, best.verdict, looks, best.search or outcome
    )


def judge(
    search: ConfigSearch,
    config: QuantizationConfig,
    judging: AccuracySet,
    budget: Budget,
    contract: Contract,
    say: Say,
    what: str,
    looks: tuple[SearchStep, ...] = (),
    outcome: SearchOutcome | None = None,
) -> JudgedConfig:
    """Judge one config, simulated exactly.

    Args:
        search: search that makes its graph.
        config: quantisation config.
        judging: images that decide.
        budget: accuracy that INT8 may cost.
        contract: input and output of the graph.
        say: function that is called with a line of text about the verdict.
        what: words for the config.
        looks: graphs that were judged on these images before; the interval is wider by them.
        outcome: result of the search that found the config; None for one that was not searched for.
    """
    quantized = outcome.quantized if outcome is not None else search.quantized(config)
    labels = judging.evaluate(graph_runner(quantized.data, contract, exact=True), f"judge {what}")
    cost = judging.cost(labels, 1.0 - (1.0 - CONFIDENCE) / (len(looks) + 1))
    verdict = budget.judge(cost)
    step = step_of(what, config, quantized.int8_mac_share, cost, verdict)
    state = verdict.state if budget.is_enforced else "nothing is limited"
    say(f"judged on {cost.image_count} images: {what}: {figures(step)}; {state}")
    return JudgedConfig(config, quantized, labels, cost, verdict, (*looks, step), outcome)


def stricter_factor(judged: Verdict, searched: Verdict, factor: float, named: Container[str] = ()) -> float | None:
    """Return the share of the limits that the next search has to hold for the judging images to show it.

    Args:
        judged: verdict on the judging images of what the last search found.
        searched: verdict on the search's own images of the same graph, by the whole limits.
        factor: share of the limits that the last search held, 0 to 1.
        named: names of the classes with limits of their own. Of others it is said that the images are too few to show
            that a limit is held; to show it all the same would cost much of INT8, for what is likely held.

    Returns:
        A smaller share; None where the verdict is held, and where the images are too few for any to be shown.
    """
    seen = {(each.measure, each.class_name): excess(each) for each in searched.judgements}
    wanted = factor
    for each in judged.judgements:
        if each.state == HELD or (each.state == NOT_SHOWN and each.images_needed is None):
            continue
        if each.state == NOT_SHOWN and each.class_name and each.class_name not in named:
            continue
        # What lies between figure and end of the interval stays about as wide.
        room = _AIM * (each.limit - (each.high - each.value if each.high is not None else 0.0))
        if each.state == EXCEEDED:
            room = max(room, _LEAST_ROOM * each.limit)
        if each.state == NOT_SHOWN and room < _LEAST_ROOM * each.value:
            continue  # to show it would cost far more than to hold it
        # The images of the search are easier by a factor that the last graph tells, if only roughly.
        reached = min(max(seen.get((each.measure, each.class_name), factor), _LEAST_ROOM * factor), factor)
        wanted = min(wanted, reached * room / max(each.value, room))
    wanted = max(wanted, _LEAST_FACTOR)
    return wanted if wanted < 0.98 * factor else None


def _rank(judged: JudgedConfig) -> tuple:
    """Return what orders judged configs, the best first: the verdict, what exceeds, and the share of INT8."""
    worst = judged.verdict.worst
    over = excess(worst) if worst is not None and judged.is_over_budget else 0.0
    return (STATES.index(judged.verdict.state), over, -judged.quantized.int8_mac_share)
