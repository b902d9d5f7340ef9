"""Networks with hostile ranges, and what INT8 costs on them here, in an earlier version and elsewhere."""
