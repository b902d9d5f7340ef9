"""Rewrites of a Q/DQ graph for ONNX Runtime's CPU kernels alone."""
