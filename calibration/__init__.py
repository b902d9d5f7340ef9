"""INT8: image selection, range collection and Q/DQ insertion."""
