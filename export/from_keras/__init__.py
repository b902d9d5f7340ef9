"""From a Keras model to an ONNX graph under the contract."""
