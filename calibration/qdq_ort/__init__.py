"""What ONNX Runtime's form of a Q/DQ graph has beyond TensorRT's."""
