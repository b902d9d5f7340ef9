"""From Keras weights to an ONNX graph, and from there to an engine."""
