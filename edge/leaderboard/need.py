"""What a site needs of an engine: limits of figures, read from a line of text, and whether a figure holds one.

    fps>=30, miou>=65, power<=30, p99<=50, iou(person)>=60

A demand is decided by the end of the figure's interval that speaks against the verdict. So "met" means that the limit
holds with the interval's confidence and more: of an interval of 95 %, 2.5 % lie beyond that end.
"""

from __future__ import annotations

import argparse
import difflib
import re
from dataclasses import dataclass

from edge.errors import InputError
from edge.leaderboard.figures import FIGURES, OF_A_CLASS, FigureKind, kind_of
from edge.leaderboard.leaderboard_record import (
    MET,
    NOT_MET,
    NOT_SHOWN,
    UNKNOWN,
    UNMEASURED,
    BoardFigure,
    DemandAnswer,
)

EXAMPLE = "fps>=30, miou>=65, power<=30, p99<=50, iou(person)>=60"

_DEMAND = re.compile(r"(?P<name>[^<>=]*?)\s*(?P<sign>[<>]=?|=+)\s*(?P<limit>[^<>=]*)")
_NUMBER = re.compile(r"(?P<number>[0-9]+(\.[0-9]*)?|\.[0-9]+)\s*(?P<unit>.*)")


@dataclass(frozen=True)
class Demand:
    """Limit of one figure.

    Attributes:
        kind: Figure that is limited.
        name: Name of the figure with its class or group, such as "iou(person)".
        limit: Limit in the figure's unit.
        is_strict: Whether the limit itself is too little, as with ">" and "<".
    """

    kind: FigureKind
    name: str
    limit: float
    is_strict: bool = False

    @property
    def text(self) -> str:
        """Demand as it is typed."""
        sign = (">" if self.kind.is_more_better else "<") + ("" if self.is_strict else "=")
        return f"{self.name}{sign}{self.limit:g}"


def parse_need(text: str) -> tuple[Demand, ...]:
    """Read a need: demands between commas, each a figure, a sign and a number in the figure's unit.

    Raises:
        InputError: A demand is no such text, names an unknown figure, limits a figure on its good side, has another
            unit or an absurd number, or limits a figure twice.
    """
    parts = [part.strip() for part in re.split(r"[,;](?![^()]*\))", text)]
    if not any(parts):
        raise InputError(f"need is '{text}', expected limits of figures, such as '{EXAMPLE}'")
    demands = tuple(_parse_demand(part) for part in parts if part)
    names = [demand.name for demand in demands]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"need limits {name} {names.count(name)} times, expected once")
    return demands


def need_argument(text: str) -> tuple[Demand, ...]:
    """Read a need for argparse; a wrong one raises the error type that argparse expects."""
    try:
        return parse_need(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def need_text(need: tuple[Demand, ...]) -> str:
    """Return a need as it is typed."""
    return ", ".join(demand.text for demand in need)


def _parse_demand(text: str) -> Demand:
    spelled = text.replace("≥", ">=").replace("≤", "<=")
    match = _DEMAND.fullmatch(spelled)
    if not match or not match["name"]:
        raise InputError(f"need has '{text}', expected FIGURE>=NUMBER or FIGURE<=NUMBER, such as '{EXAMPLE}'")
    kind, name = _named(match["name"], text)
    best = ">=" if kind.is_more_better else "<="
    if match["sign"][0] != best[0]:
        side = "lowest" if kind.is_more_better else "highest"
        raise InputError(f"need has '{text}', expected {name}{best}NUMBER: of {kind.title} the {side} value is limited")
    number = _NUMBER.fullmatch(match["limit"].strip())
    if not number:
        got = f"'{match['limit'].strip()}'" if match["limit"].strip() else "nothing"
        unit = f" in {kind.unit}" if kind.unit else ""
        raise InputError(f"need has '{text}' with {got} for a number, expected a number of at least 0{unit}")
    unit, limit = number["unit"].strip(), float(number["number"])
    if unit and unit.lower() not in kind.units:
        raise InputError(f"need has '{text}' in '{unit}', expected {kind.unit or 'no unit'}. Next: {name}{best}NUMBER")
    if limit > kind.most:
        raise InputError(f"need has '{text}', expected at most {kind.most:g} {kind.unit}".rstrip())
    if kind.is_accuracy and 0 < limit < 1:
        raise InputError(
            f"need has '{text}', which is {limit:g} %, expected percent. Next: {name}{best}{100 * limit:g}"
        )
    return Demand(kind, name, limit, is_strict="=" not in match["sign"])


def _named(given: str, demand: str) -> tuple[FigureKind, str]:
    """Return the figure of a name, and the name with its class or group in the spelling of a column."""
    spelled = re.sub(r"\s*\(\s*", "(", given.strip().lower())
    base, bracket, inside = spelled.partition("(")
    kind = kind_of(base.strip())
    if kind is None:
        names = [kind.name for kind in FIGURES] + [alias for kind in FIGURES for alias in kind.aliases]
        near = difflib.get_close_matches(base, names, 1)
        listed = ", ".join(kind.name + ("(CLASS)" if kind.name == OF_A_CLASS else "") for kind in FIGURES)
        guess = f". Next: {kind_of(near[0]).name}" if near else ""
        raise InputError(f"need has '{demand}': '{base}' is no figure, expected one of: {listed}{guess}")
    inside = inside.strip()
    if bracket and (not inside.endswith(")") or not inside[:-1].strip()):
        raise InputError(f"need has '{demand}', expected {kind.name}(NAME) with both brackets")
    if bracket and not kind.takes_name:
        raise InputError(f"need has '{demand}': {kind.name} is of a whole engine, expected it without brackets")
    if not bracket and kind.name == OF_A_CLASS:
        raise InputError(f"need has '{demand}': of which class is not said, expected {kind.name}(CLASS)")
    return kind, kind.column_name(inside[:-1]) if bracket else kind.name


def answer(demand: Demand, figure: BoardFigure) -> DemandAnswer:
    """Return whether a figure holds a demand, by what margin and with what confidence."""
    if figure.value is None:
        return DemandAnswer(demand.text, UNMEASURED, None, reason=figure.unknown)
    sign = 1.0 if demand.kind.is_more_better else -1.0

    def margin_of(value: float) -> float:
        return sign * (value - demand.limit)

    def holds(value: float) -> bool:
        return margin_of(value) > 0 or (margin_of(value) == 0 and not demand.is_strict)

    margin = margin_of(figure.value)
    percent = 100 * margin / demand.limit if demand.limit else None
    if figure.low is None or figure.high is None:
        verdict = MET if holds(figure.value) else NOT_MET
        return DemandAnswer(demand.text, verdict, figure.value, margin, percent, None, _exact(figure))
    worse, better = (figure.low, figure.high) if demand.kind.is_more_better else (figure.high, figure.low)
    least = margin_of(worse)
    if holds(worse) or not holds(better):
        verdict = MET if holds(worse) else NOT_MET
        return DemandAnswer(demand.text, verdict, figure.value, margin, percent, least, _one_sided(figure))
    digits = demand.kind.digits
    reason = (
        f"the limit lies within the interval {figure.low:.{digits}f} to {figure.high:.{digits}f}: "
        f"{demand.kind.how_to_narrow}"
    )
    return DemandAnswer(demand.text, NOT_SHOWN, figure.value, margin, percent, least, None, reason)


def verdict_of(answers: tuple[DemandAnswer, ...]) -> str:
    """Return the answer to a whole need; "" where nothing was needed."""
    verdicts = [each.verdict for each in answers]
    if NOT_MET in verdicts:
        return NOT_MET
    if not verdicts or all(verdict == MET for verdict in verdicts):
        return MET if verdicts else ""
    return UNKNOWN


def joint_confidence(answers: tuple[DemandAnswer, ...]) -> float | None:
    """Return the confidence with which all demands are met together, at least.

    Each is wrong with a probability of at most one less its confidence, so all are right with at least one less the sum
    of these (Bonferroni's inequality), however they depend on each other.

    Returns:
        The confidence, 0 to 1; None where a demand is not met, or one figure has no interval.
    """
    if verdict_of(answers) != MET or any(each.confidence is None for each in answers):
        return None
    return max(1.0 - sum(1.0 - each.confidence for each in answers), 0.0)


def _exact(figure: BoardFigure) -> float | None:
    return 1.0 if figure.confidence == 1.0 else None


def _one_sided(figure: BoardFigure) -> float | None:
    return None if figure.confidence is None else 0.5 + figure.confidence / 2
