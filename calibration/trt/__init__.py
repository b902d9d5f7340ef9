"""INT8 without Q/DQ pairs: scales, caches and calibrators for TensorRT up to 10."""
