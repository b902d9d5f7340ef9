"""The layers and tensor names that TensorRT's ONNX parser makes of a graph, for the stand-in of TensorRT.

What is imitated: the output of a node has its name; a constant that is data becomes a layer called after it, whose
tensor nobody names; it is broadcast by a Shuffle; a Gemm is a product, a constant, a Shuffle and a sum. Source: the
importers of github.com/onnx/onnx-tensorrt (8.5-GA, 10.1-GA), and the cache of a real 8.5 network with a Gemm:
"(Unnamed Layer* 8) [Constant]_output", "(Unnamed Layer* 9) [Matrix Multiply]_output",
"(Unnamed Layer* 10) [Constant]_output", "(Unnamed Layer* 11) [Shuffle]_output", then the Gemm's own.
"""

from __future__ import annotations

ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min")
KINDS = {
    **dict.fromkeys(("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"), "SHUFFLE"),
    **dict.fromkeys(("Relu", "Sigmoid", "Tanh", "Clip", "LeakyRelu"), "ACTIVATION"),
    **dict.fromkeys(("MaxPool", "AveragePool"), "POOLING"),
    **dict.fromkeys(("GlobalAveragePool", "ReduceMean"), "REDUCE"),
    **{"Conv": "CONVOLUTION", "ConvTranspose": "DECONVOLUTION", "Concat": "CONCATENATION", "Resize": "RESIZE"},
    **{"Softmax": "SOFTMAX", "Slice": "SLICE", "QuantizeLinear": "QUANTIZE", "DequantizeLinear": "DEQUANTIZE"},
    **{"MatMul": "MATRIX_MULTIPLY", "Identity": "IDENTITY"},
}
SPELT = {
    "CONSTANT": "Constant",
    "SHUFFLE": "Shuffle",
    "MATRIX_MULTIPLY": "Matrix Multiply",
    "ELEMENTWISE": "ElementWise",
}


def parsed_network(trt, version, model):
    """Return the inputs and layers of a network, as the parser of a version makes them of a ModelProto."""
    import onnx

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    types = {onnx.TensorProto.UINT8: trt.DataType.UINT8, onnx.TensorProto.FLOAT: trt.DataType.FLOAT}
    inputs = []
    for value in graph.input:
        kind = value.type.tensor_type
        shape = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in kind.shape.dim)
        inputs.append(trt.ITensor(value.name, types[kind.elem_type], shape))
    tensors = {tensor.name: tensor for tensor in inputs}
    layers, seen = [], {}
    is_old = version.startswith("8.")

    def add(kind, name, read, output=None):
        """Add a layer; without a name for its output, TensorRT gives one."""
        default = f"(Unnamed Layer* {len(layers)}) [{SPELT.get(kind, kind)}]"
        if name is None:
            name = default if is_old else f"ONNXTRT_{len(layers)}"
        made = f"{default if is_old else name}_output"
        tensor = trt.ITensor(output or made, trt.DataType.FLOAT)
        layers.append(trt.ILayer(name, getattr(trt.LayerType, kind), read, [tensor]))
        return tensor

    def data(name, rank=None):
        """Return a tensor; of a constant, that of its layer, which is made once."""
        if name not in constants:
            return tensors[name]
        if name not in seen:
            seen[name] = add("CONSTANT", name, [])
        if rank is not None and len(constants[name].dims) < rank:
            return add("SHUFFLE", None, [seen[name]])
        return seen[name]

    for node in graph.node:
        name = node.name or f"node_of_{node.output[0]}"
        output = node.output[0]
        if node.op_type in ELEMENTWISE:
            made = add("ELEMENTWISE", name, [data(read, 4) for read in node.input], output)
        elif node.op_type == "Gemm":
            product = add("MATRIX_MULTIPLY", name, [data(node.input[0]), data(node.input[1])])
            made = add("ELEMENTWISE", None, [product, data(node.input[2], 2)], output)
        elif node.op_type == "Cast":
            kind = "CAST" if hasattr(trt.LayerType, "CAST") else "IDENTITY"
            made = add(kind, name, [data(node.input[0])], output)
        else:
            read = [tensors[read] for read in node.input if read in tensors]
            made = add(KINDS.get(node.op_type, "UNARY"), name, read, output)
        tensors[output] = made
    return inputs, layers
