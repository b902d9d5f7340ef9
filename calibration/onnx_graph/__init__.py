"""One view of an ONNX graph, used by all code that reads or changes one.

file.py        the onnx package when it is needed, and graphs from files and bytes
node.py        a single node: its attributes, its name, what its operator is to quantisation
graph.py       OnnxGraph: nodes, constants, who gives and who reads a tensor, types and shapes
editable.py    EditableGraph: an OnnxGraph that is changed in place
shapes.py      the one inference of types and shapes, which copies no weights
mac_count.py   multiply-adds of each layer
"""
