"""One view of an ONNX graph, for everything that reads or changes one."""
