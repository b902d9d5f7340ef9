"""The part of segedge that a Jetson needs: data, runtimes, benchmark and live segmentation.

Source of the design: docs/ARCHITECTURE.md.
"""

from __future__ import annotations

from edge.privacy import opt_out

__version__ = "0.1.0"

opt_out()
