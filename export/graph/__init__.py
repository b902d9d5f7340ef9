"""Rewrites of ONNX graphs, the rules of TensorRT 8.5 for them, and the comparison with Keras."""
