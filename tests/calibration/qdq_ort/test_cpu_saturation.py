"""Which processors add 8-bit products in sums that saturate."""

from __future__ import annotations

import pathlib

import pytest

from calibration.qdq_ort import cpu_saturation
from calibration.qdq_ort.cpu_saturation import unsigned_levels


@pytest.mark.parametrize(
    ("cpuinfo", "levels"),
    [
        ("model name : a\nflags\t\t: fpu avx2 avx512_vnni\n", 255),
        ("flags\t\t: fpu avx_vnni\n", 255),
        ("flags\t\t: fpu avx2\n", 127),
        ("processor : 0\nFeatures : fp asimd\n", 255),  # Arm
    ],
)
def test_levels_follow_the_cpu(monkeypatch, cpuinfo, levels):
    monkeypatch.setattr(pathlib.Path, "read_text", lambda self, **options: cpuinfo)
    assert unsigned_levels() == levels


def test_unknown_cpu_gets_the_safe_levels(monkeypatch):
    def fail(self, **options):
        raise FileNotFoundError

    monkeypatch.setattr(cpu_saturation.Path, "read_text", fail)
    assert unsigned_levels() == 127
