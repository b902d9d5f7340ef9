"""The figures of hostile networks as a table, and whether the goal is reached."""

from __future__ import annotations

from typing import Any, Iterator

GOAL_CHANGED_PERCENT, GOAL_MAC_SHARE, GOAL_TIME_RATIO = 5.0, 0.85, 1 / 3

_HEADER = ("network", "by", "labels changed", "worst class IoU", "INT8", "for TensorRT", "search", "processor")
_WIDTHS = (22, 34, 14, 26, 7, 16, 9, 9)


def table_lines(result: dict[str, Any]) -> list[str]:
    """Return the lines of the table.

    Args:
        result: Record of the measurement, as the command prints it with --json.
    """
    lines = [f"{result['processor']}, {result['cores']} cores, onnxruntime {result['onnxruntime']}", _row(_HEADER)]
    for network in result["networks"]:
        lines += map(_row, _rows(network))
        ratio = time_ratio(network)
        if ratio is not None:
            lines.append(f"  search of ours against the baseline's: {ratio:.2f} times the seconds")
        if network.get("generated_miou") is not None:
            lines.append(f"  float mIoU on scenes that it was not fitted to: {100 * network['generated_miou']:.1f} %")
    missed = [network["network"] for network in result["networks"] if misses_goal(network)]
    lines.append(
        f"goal: at most {GOAL_CHANGED_PERCENT:g} % of labels changed, at least {100 * GOAL_MAC_SHARE:g} % of "
        f"multiply-adds in INT8 in both forms, at most {GOAL_TIME_RATIO:.2f} of the baseline's search: "
        + (f"missed by {', '.join(missed)}" if missed else "reached by all")
    )
    return lines


def misses_goal(network: dict[str, Any]) -> bool:
    """Return whether our build of a network misses the goal in labels, in multiply-adds of a form, or in time."""
    ours, ratio = network["builds"]["ours"], time_ratio(network)
    if ours["drop_points"] is None and ours["changed_percent"] > GOAL_CHANGED_PERCENT:
        return True
    is_slow = ratio is not None and ratio > GOAL_TIME_RATIO
    shares = ours["int8_mac_share"], ours["tensorrt_mac_share"] or 0.0
    return not ours["is_met"] or min(shares) < GOAL_MAC_SHARE or is_slow


def time_ratio(network: dict[str, Any]) -> float | None:
    """Return the seconds of our search over those of the baseline's; None without a baseline."""
    builds = network["builds"]
    if "baseline" not in builds or not builds["baseline"]["search_s"]:
        return None
    return builds["ours"]["search_s"] / builds["baseline"]["search_s"]


def _rows(network: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for who, build in network["builds"].items():
        verdict = who if build["is_met"] else f"{who} (no engine kept)"
        changed = build["tensorrt_changed_percent"]
        portable = "not written" if changed is None else f"{100 * build['tensorrt_mac_share']:.1f} %, {changed:.2f} %"
        times = f"{build['search_s']:.0f} s", f"{build['processor_s']:.0f} s"
        yield (network["network"], verdict, *_labels(build), portable, *times)
    for who, peer in network["peers"].items():
        yield (network["network"], who, *_labels(peer), "", f"{peer['seconds']:.0f} s", "")


def _labels(figures: dict[str, Any]) -> tuple[str, str, str]:
    changed, drop = f"{figures['changed_percent']:.2f} %", figures["drop_points"]
    if drop is not None:
        changed += f" {drop:+.2f}p"
    worst = "" if figures["worst_iou"] is None else f"{100 * figures['worst_iou']:.1f} % {figures['worst_class']}"
    return changed, worst, f"{100 * figures['int8_mac_share']:.1f} %"


def _row(cells: tuple[str, ...]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS)).rstrip()
