"""Opt-outs of libraries that send data by themselves; docs/privacy.md says what each dependency does.

The package `edge` sets them when it is imported. Each way into the project imports `edge` before such a library.
"""

from __future__ import annotations

import os

OPT_OUTS = {
    # Read once, when the library is loaded: its disable_telemetry_events() comes after the device id was written and
    # the first event stored. Wheels for Linux have it from 1.29.0 on; an empty value, 0 and false leave it on.
    "ORT_DISABLE_TELEMETRY": "1",
    # Asked when it is imported, by a training with --log mlflow; 1 and true switch it off, as does DO_NOT_TRACK.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Environment variable -> the value with which its library sends and stores nothing."""


def opt_out() -> None:
    """Set the opt-outs that the user has not set, for this process and for those that it starts."""
    for variable, value in OPT_OUTS.items():
        # A variable that is there but empty is no choice, and its library takes it as a yes.
        if not os.environ.get(variable):
            os.environ[variable] = value
