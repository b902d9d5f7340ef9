"""The record of one evaluated graph, and its figures in words."""

from __future__ import annotations

import dataclasses

from calibration.budget.limits import Budget, Verdict, drop_words, judgement_words
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.results import LabelCost, SearchStep


def step_of(
    what: str, config: QuantizationConfig, int8_mac_share: float, cost: LabelCost, verdict: Verdict
) -> SearchStep:
    """Return the record of one evaluated graph.

    Args:
        what: words for what was tried.
        config: quantisation config of the graph.
        int8_mac_share: share of multiply-adds in INT8, 0 to 1.
        cost: what it costs in labels.
        verdict: verdict on that cost.
    """
    worst = verdict.worst
    return SearchStep(
        what,
        config.digest(),
        int8_mac_share,
        cost.label_agreement,
        cost.drop_points,
        not verdict.is_exceeded,
        judgement_words(worst) if worst is not None else "",
        cost,
        verdict.state if verdict.judgements else None,
    )


def rejudged(step: SearchStep, budget: Budget) -> SearchStep:
    """Return a step with the verdict of another budget; one whose cost was not kept is returned as it is."""
    if step.cost is None:
        return step
    verdict = budget.judge(step.cost)
    worst = judgement_words(verdict.worst) if verdict.worst is not None else ""
    return dataclasses.replace(step, within_budget=not verdict.is_exceeded, worst=worst)


def figures(step: SearchStep) -> str:
    """Return the figures of a step as a phrase, for progress."""
    parts = [f"{100 * (1 - step.label_agreement):.2f} % of labels changed"]
    if step.drop_points is not None:
        parts.append(drop_words(step.drop_points))
    parts.append(f"{100 * step.int8_mac_share:.1f} % of multiply-adds in INT8")
    if step.worst:
        parts.append(f"worst is {step.worst}")
    return ", ".join(parts)
