"""Rewrites of ONNX graphs, rules that they are held against, and the comparison with Keras."""
