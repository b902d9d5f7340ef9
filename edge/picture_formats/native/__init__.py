"""C++ that decodes label maps, compiled on the machine that runs it."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).with_name("png_ids.cpp")
"""Path of the source that is compiled; its header lies in the same folder."""
