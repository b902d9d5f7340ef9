"""The host-memory CUDA driver itself, through pycuda: it does what a driver does, and sees what it would not."""

from __future__ import annotations

import numpy as np
import pytest


def pinned(cuda, count: int = 64, value: int = 0, flags: int = 0) -> np.ndarray:
    array = cuda.pagelocked_empty(count, np.uint8, mem_flags=flags)
    array[:] = value
    return array


def test_copy_without_a_wait_is_seen_as_wrong(cuda, context, driver):
    source, target, stream = pinned(cuda, value=7), pinned(cuda), cuda.Stream()
    device = cuda.mem_alloc(64)
    cuda.memcpy_htod_async(device, source, stream)
    cuda.memcpy_dtoh_async(target, device, stream)
    assert not target.any()
    stream.synchronize()
    assert (target == 7).all()


def test_failure_is_planned_by_name_and_number(cuda, context, driver):
    driver.fail("cuMemAlloc", 2, nth=2)
    driver.fail("cuMemAlloc", 2, nth=3)  # pycuda collects garbage and asks again
    kept = cuda.mem_alloc(16)
    with pytest.raises(cuda.MemoryError, match="cuMemAlloc failed: out of memory"):
        cuda.mem_alloc(16)
    assert driver.live("memory") == 1
    assert driver.planned() == 0
    kept.free()
