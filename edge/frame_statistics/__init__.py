"""What measured times carry: percentiles with intervals, bounds on misses, comparisons and steadiness."""
