"""From how many samples on a percentile is quoted, the same in every record, page and line of text."""

from __future__ import annotations


def least_samples(percent: float) -> int:
    """Return the number of samples from which a percentile is quoted: 1 up to the median, 100 for the 99th.

    With fewer, not one sample lies beyond the percentile on average, and the nearest rank is the largest sample itself:
    it says how bad the worst moment was, and nothing of how often one is as bad.
    """
    return 1 if percent <= 50 else round(100 / (100 - percent))


def is_carried(percent: float, sample_count: int) -> bool:
    """Return whether so many samples carry a percentile."""
    return sample_count >= least_samples(percent)


def percentile_text(value: float | None, percent: float, digits: int = 1) -> str:
    """Return a percentile with its unit, such as "5.2 ms", or how many frames it needs."""
    return f"needs {least_samples(percent)} frames" if value is None else f"{value:.{digits}f} ms"
