"""The command `python -m edge.doctor`; it needs NumPy alone, so it runs where `edge-bench` cannot start."""

from __future__ import annotations

import sys

from edge.doctor.cli import main

if __name__ == "__main__":
    sys.exit(main())
