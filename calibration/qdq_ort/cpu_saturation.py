"""A check whether sums of 8-bit products saturate in the integer kernels of this machine's processor."""

from __future__ import annotations

from pathlib import Path


def unsigned_levels() -> int:
    """Return the largest uint8 that int8 weights of 127 steps can be multiplied by: 255, or 127 on x86 without VNNI.

    Without VNNI, x86 adds two 8-bit products in 16 bits and saturates: 2 * 255 * 127 does not fit, 2 * 127 * 127 does.
    calibration.qdq.insert gives weights fewer steps then. Source: ONNX Runtime documentation, "Quantize ONNX models",
    on AVX2 and AVX512.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return 127
    flags = next((line for line in text.splitlines() if line.startswith("flags")), None)
    if flags is None:
        return 255  # not x86: 64-bit Arm has no such instruction
    return 255 if "avx512_vnni" in flags or "avx_vnni" in flags else 127
