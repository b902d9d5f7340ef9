"""The record of a leaderboard: engines with their figures, what a need says of them, and who is beaten by nobody."""

from __future__ import annotations

from edge.records import record

LEADERBOARD_FILE = "leaderboard.json"

MET, NOT_MET, NOT_SHOWN, UNMEASURED = "met", "not met", "not shown", "not measured"
"""Answers to one demand: the figure holds it, misses it, is too uncertain to say, or does not exist."""

UNKNOWN = "unknown"
"""Answer to a whole need where no demand is missed, and one or more are not shown or not measured."""


@record(schema=1, what="figure of a leaderboard")
class BoardFigure:
    """One figure of an engine; where it was not measured, the reason.

    Attributes:
        value: Value of the figure, in the unit of its column; None where it was not measured.
        low: Lower end of its interval; None where the figure has no interval.
        high: Upper end of its interval; None where the figure has no interval.
        confidence: Confidence of the interval, such as 0.95; 1 for what is counted exactly; None without an interval.
        unknown: Reason why there is no value, and what measures it; "" where there is one.
        run: Run that the figure is of: its id, or the path of its record; "" where there is no value.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    unknown: str = ""
    run: str = ""


@record(schema=1, what="column of a leaderboard")
class BoardColumn:
    """One column of a leaderboard: a figure that every row has, or lacks for a reason.

    Attributes:
        name: Name of the figure as a need spells it, such as "p99" or "iou(person)".
        title: Words above the column.
        unit: Unit of the values; "" where they have none.
        is_more_better: Whether a larger value is the better one.
        digits: Digits behind the point that are worth showing.
    """

    name: str
    title: str
    unit: str
    is_more_better: bool
    digits: int


@record(schema=1, what="answer to a demand")
class DemandAnswer:
    """Answer of one engine to one demand of a need.

    Attributes:
        demand: Demand as it was given, such as "p99<=50".
        verdict: Answer, one of "met", "not met", "not shown" and "not measured".
        value: Value of the figure; None where it was not measured.
        margin: Distance of the value from the limit in the figure's unit, positive on the good side; None without one.
        margin_percent: The same in percent of the limit; None without a value, or where the limit is 0.
        least_margin: Distance of the interval's worse end from the limit, positive on the good side; None where the
            figure has no interval.
        confidence: Confidence with which the verdict holds, by the end of the interval on that side; None where the
            figure has no interval, or nothing is shown.
        reason: Reason of a verdict that is neither "met" nor "not met"; "" for these.
    """

    demand: str
    verdict: str
    value: float | None
    margin: float | None = None
    margin_percent: float | None = None
    least_margin: float | None = None
    confidence: float | None = None
    reason: str = ""


@record(schema=1, what="row of a leaderboard")
class BoardRow:
    """One engine on one machine under one scenario, with the figures of its latest runs.

    Attributes:
        name: Name of the row, no other row has the same.
        model: Name of the architecture, with its options where they are not the defaults.
        precision: Precision of the engine, "float32", "float16" or "int8".
        backend: Backend of the engine and its version.
        dataset: Name of the dataset whose classes the engine has.
        height: Rows of the network's input, in pixels.
        width: Columns of the network's input, in pixels.
        weights: Sentence on where the weights come from.
        has_random_weights: Whether nobody trained the weights, so that speed alone means anything.
        labels: Place where logits become labels: "after the network", or "in the network" for a graph with upsampling
            and argmax of its own.
        machine: Name of the machine's board, GPU or processor, with the cores that were used.
        scenario: Words on how frames came, and on their size.
        scored_on: Dataset, split and number of frames behind the accuracy; "" where it was not measured.
        run: Run that speed, power and temperatures are of: its id, or the path of its record.
        started_utc: Start of that run in UTC, ISO 8601.
        run_count: Number of runs of this engine that were given, the invalid ones among them.
        invalid: Reasons why that run is not valid, each with its remedy; empty for a valid one.
        figures: Name of a column -> figure.
        answers: Answer to each demand of the need, in its order; empty where nothing was needed.
        verdict: Answer to the whole need: "met" where every demand is, "not met" where one is missed, else "unknown";
            "" where nothing was needed.
        confidence: Confidence with which all demands are met together, at least; None where the verdict is another one,
            or a figure has no interval.
    """

    name: str
    model: str
    precision: str
    backend: str
    dataset: str
    height: int
    width: int
    weights: str
    has_random_weights: bool
    labels: str
    machine: str
    scenario: str
    scored_on: str
    run: str
    started_utc: str
    run_count: int
    invalid: tuple[str, ...]
    figures: dict[str, BoardFigure]
    answers: tuple[DemandAnswer, ...] = ()
    verdict: str = ""
    confidence: float | None = None


@record(schema=1, what="front of a leaderboard")
class BoardFront:
    """Rows that can be compared in two figures, and those among them that no other beats in both.

    Attributes:
        x: Name of the column of the horizontal axis, such as "energy".
        y: Name of the column of the vertical axis, such as "miou".
        group: Words on what the rows have in common: machine, scenario, and the frames of the accuracy.
        rows: Names of all rows of the group that have both figures.
        best: Names of those that no other row of the group beats: none is better in one figure and not worse in the
            other.
    """

    x: str
    y: str
    group: str
    rows: tuple[str, ...]
    best: tuple[str, ...]


@record(schema=1, what="run that is left out")
class RunLeftOut:
    """A run that has no row, and the reason.

    Attributes:
        name: Name of its engine.
        run: Id of the run, or the path of its record.
        reasons: Reasons why it is left out, each with its remedy.
    """

    name: str
    run: str
    reasons: tuple[str, ...]


@record(schema=1, what="leaderboard", made_by="edge-bench leaderboard --output")
class Leaderboard:
    """Engines side by side, and which of them meet a need.

    Attributes:
        made_utc: Time when it was made, in UTC, ISO 8601.
        need: Need as it was given, such as "fps>=30, p99<=50"; "" where there was none.
        columns: Columns in their order; every row has a figure for each.
        rows: Rows; with a need those that meet it come first, then the unknown ones, then those that miss it, and
            within these the most accurate first.
        fronts: Fronts of accuracy against energy and against latency, one for each group of rows that can be compared.
        left_out: Runs that have no row, with the reason.
        notes: Sentences on what a reader must know before two rows are compared.
    """

    made_utc: str
    need: str
    columns: tuple[BoardColumn, ...]
    rows: tuple[BoardRow, ...]
    fronts: tuple[BoardFront, ...]
    left_out: tuple[RunLeftOut, ...]
    notes: tuple[str, ...]
