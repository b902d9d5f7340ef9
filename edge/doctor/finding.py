"""Results of the doctor: one finding for each check, and the report of all."""

from __future__ import annotations

from edge.records import record

OK = "ok"
ADVICE = "advice"
MISSING = "missing"
NOT_HERE = "not here"


@record(schema=1, what="doctor's finding")
class Finding:
    """Result of one check.

    Attributes:
        name: Name of what was examined, such as "TensorRT library".
        status: Either "ok"; "advice", engines run but something should be changed; "missing", engines do not run
            without it; or "not here", the check does not apply to this machine.
        found: Version or state, as short as possible.
        meaning: Consequence of the finding; None where there is none.
        mend: Command that mends the finding; None where nothing has to be done.
    """

    name: str
    status: str
    found: str
    meaning: str | None = None
    mend: str | None = None


@record(schema=1, what="doctor's report")
class DoctorReport:
    """All findings of one examination.

    Attributes:
        can_run_engines: Whether engines can run: no finding is "missing".
        findings: Findings in the order of the checks.
    """

    can_run_engines: bool
    findings: tuple[Finding, ...]
