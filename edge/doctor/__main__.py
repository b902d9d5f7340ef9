"""`python -m edge.doctor`: needs NumPy alone, so it also tells what is wrong where `edge-bench` cannot start."""

from __future__ import annotations

import sys

from edge.doctor.cli import main

if __name__ == "__main__":
    sys.exit(main())
