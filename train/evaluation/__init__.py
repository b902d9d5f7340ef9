"""What `train/evaluate.py` evaluates: Keras weights, an ONNX graph, or an engine, behind one form.

command_options.py the command line
subject.py         what a path stands for, opened
keras_network.py   Keras weights as a network of any size
results.py         what an evaluation leaves in its folder
"""
