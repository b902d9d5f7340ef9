"""One finding of the doctor, and all of them."""

from __future__ import annotations

from edge.records import record

OK = "ok"
ADVICE = "advice"
MISSING = "missing"
NOT_HERE = "not here"


@record(schema=1, what="doctor's finding")
class Finding:
    """What was found out about one thing.

    Attributes:
        name: what was looked at, such as "TensorRT library".
        status: "ok"; "advice", engines run but something should be otherwise; "missing", engines do not run without
            it; "not here", which does not apply to this machine.
        found: version or state, as short as it goes.
        meaning: what follows from it, None where nothing does.
        mend: the command that mends it, None where nothing is to be done.
    """

    name: str
    status: str
    found: str
    meaning: str | None = None
    mend: str | None = None


@record(schema=1, what="doctor's report")
class DoctorReport:
    """Everything that was found.

    Attributes:
        can_run_engines: no finding is "missing".
        findings: in the order in which they are told.
    """

    can_run_engines: bool
    findings: tuple[Finding, ...]
