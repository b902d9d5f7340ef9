"""Stand-ins for the weights while tf2onnx converts a network, so that its passes copy none of them.

TensorFlow's freezing, its optimiser (Grappler) and every pass of tf2onnx copy the whole graph, and
with it every constant: some thirty copies, which for FastFCN are 6 GB. Here each large constant
travels as a stand-in: a tensor of the same shape and type whose bytes are a key of a table that
holds the array. Whoever in tf2onnx asks for the values gets the array of the table, and what it makes of
them (a transposed kernel) goes into the table in turn; at the end the arrays are put into the model.
So every pass decides and computes on the same numbers, and the graph is the same to the byte.

    key        of the content, so that equal constants have equal bytes and are merged as ever
    Grappler   computes with constants: it moves the scale of a BatchNorm into the kernel of the
               convolution before it. It is given kernels with as many channels less as a grouped
               convolution may have, of one number, and tells by them what it multiplied them with
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any, Callable, Iterator

import numpy as np

LEAST_BYTES = 4096
"""Smaller constants stay what they are: shapes and axes, which TensorFlow and ONNX look into, are among them."""

_MARK = b"segedge:stand-in"
_KEY_BYTES = len(_MARK) + hashlib.sha256().digest_size


class StandInError(Exception):
    """Stand-ins cannot be used: a hook is missing in this tf2onnx or TensorFlow, or a stand-in is where none may be."""


class WeightTable:
    """The arrays that stand-ins stand for."""

    def __init__(self) -> None:
        self._arrays: dict[bytes, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._arrays)

    def add(self, array: np.ndarray) -> bytes:
        """Keep an array and return its key, which equal arrays of one shape and type share."""
        digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
        key = _MARK + digest.digest()
        if key not in self._arrays:
            array.flags.writeable = False  # one array has many readers
            self._arrays[key] = array
        return key

    def __getitem__(self, key: bytes) -> np.ndarray:
        return self._arrays[key]

    def keep(self, keys: set[bytes]) -> None:
        """Forget every array but these."""
        self._arrays = {key: array for key, array in self._arrays.items() if key in keys}


def large(array: Any) -> bool:
    """Say whether an array is one that a stand-in pays for."""
    return isinstance(array, np.ndarray) and array.dtype == np.float32 and array.nbytes >= LEAST_BYTES


def key_of(data: bytes) -> bytes | None:
    """Return the key if the bytes of a tensor are one."""
    return data if len(data) == _KEY_BYTES and data.startswith(_MARK) else None


@contextlib.contextmanager
def stand_ins(tf2onnx: Any) -> Iterator[WeightTable]:
    """Let tf2onnx work on stand-ins for large constants.

    Returns:
        The table of the arrays; `restore` puts them into the model that the converter gives.

    Raises:
        StandInError: tf2onnx or TensorFlow has no such function to take hold of.
    """
    table = WeightTable()
    with contextlib.ExitStack() as hooks:
        for module, name, make in _hooks(tf2onnx, table):
            hooks.enter_context(_replaced(module, name, make))
        yield table


def restore(model: Any, table: WeightTable) -> None:
    """Put the arrays in the place of their stand-ins.

    Args:
        model: onnx.ModelProto, changed in place.
        table: table of the conversion that it comes from; empty afterwards.

    Raises:
        StandInError: a stand-in has another shape than its array, or a constant of a node is one.
    """
    readers: dict[bytes, int] = {}
    for tensor in model.graph.initializer:
        key = key_of(tensor.raw_data)
        if key is not None:
            readers[key] = readers.get(key, 0) + 1
    table.keep(set(readers))
    for tensor in model.graph.initializer:
        key = key_of(tensor.raw_data)
        if key is None:
            continue
        if tuple(tensor.dims) != table[key].shape:
            raise StandInError(f"{tensor.name} has the shape {list(tensor.dims)}, its array {table[key].shape}")
        tensor.raw_data = table[key].tobytes()
        readers[key] -= 1
        table.keep({key for key, count in readers.items() if count})
    for node in model.graph.node:
        for attribute in node.attribute:
            if key_of(attribute.t.raw_data) is not None:
                raise StandInError(f"{node.name} has a stand-in as its {attribute.name}")


@contextlib.contextmanager
def _replaced(module: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    original = getattr(module, name, None)
    if original is None:
        raise StandInError(f"{getattr(module, '__name__', 'tf2onnx')} has no {name}")
    setattr(module, name, make(original))
    try:
        yield
    finally:
        setattr(module, name, original)


def _hooks(tf2onnx: Any, table: WeightTable) -> list[tuple[Any, str, Callable[[Any], Any]]]:
    """Return what is replaced: (module, name, original -> its replacement)."""
    graph, tf_loader, tf_utils = (getattr(tf2onnx, name, None) for name in ("graph", "tf_loader", "tf_utils"))
    tensor_util, tensor_pb2 = (getattr(tf_utils, name, None) for name in ("tensor_util", "tensor_pb2"))
    if tensor_util is None or tensor_pb2 is None:
        raise StandInError("tf2onnx.tf_utils has not what it reads tensors with")
    new_tensor = tensor_pb2.TensorProto
    return [
        (
            tf_loader,
            "convert_variables_to_constants_v2",
            lambda freeze: _freeze(freeze, table, tensor_util, new_tensor),
        ),
        (tf_loader, "tf_optimize", lambda optimize: _optimize_thin(optimize, table, tensor_util.MakeNdarray)),
        (tf_utils, "get_tf_tensor_data", lambda read: _read_through(read, table)),
        (tf_utils, "numpy_helper", lambda helper: _TensorConversion(helper, table)),
        (graph, "numpy_helper", lambda helper: _TensorConversion(helper, table)),
    ]


class _TensorConversion:
    """What tf2onnx uses of onnx.numpy_helper, with stand-ins for large arrays."""

    def __init__(self, helper: Any, table: WeightTable) -> None:
        self._helper, self._table = helper, table

    def __getattr__(self, name: str) -> Any:
        return getattr(self._helper, name)

    def from_array(self, array: np.ndarray, name: str | None = None) -> Any:
        if not large(array):
            return self._helper.from_array(array, name)
        from onnx import TensorProto

        key = self._table.add(array)
        return TensorProto(dims=array.shape, data_type=TensorProto.FLOAT, raw_data=key, name=name or "")

    def to_array(self, tensor: Any, *arguments: Any) -> np.ndarray:
        key = key_of(tensor.raw_data)
        return self._helper.to_array(tensor, *arguments) if key is None else self._table[key]


def _read_through(read: Callable[[Any], np.ndarray], table: WeightTable) -> Callable[[Any], np.ndarray]:
    def get_tf_tensor_data(tensor: Any) -> np.ndarray:
        key = key_of(tensor.tensor_content)
        return read(tensor) if key is None else table[key]

    return get_tf_tensor_data


def _freeze(freeze: Callable[..., Any], table: WeightTable, tensor_util: Any, new_tensor: Any) -> Callable[..., Any]:
    """Make constants of variables: the large ones become stand-ins, before anything copies them."""

    def make(make_tensor_proto: Callable[..., Any]) -> Callable[..., Any]:
        def make_stand_in(values: Any, *arguments: Any, **options: Any) -> Any:
            if not large(values):
                return make_tensor_proto(values, *arguments, **options)
            return _stand_in(new_tensor, table.add(values), values.shape)

        return make_stand_in

    def convert_variables_to_constants(*arguments: Any, **options: Any) -> Any:
        with _replaced(tensor_util, "make_tensor_proto", make):
            return freeze(*arguments, **options)

    return convert_variables_to_constants


def _optimize_thin(
    optimize: Callable[..., Any], table: WeightTable, read: Callable[[Any], np.ndarray]
) -> Callable[..., Any]:
    """Let Grappler work on thin kernels, and do to the true ones what it did to those."""

    def tf_optimize(input_names: list[str], output_names: list[str], graph_def: Any) -> Any:
        kernels = _make_thin(graph_def, table)
        graph_def = optimize(input_names, output_names, graph_def)
        _make_whole(graph_def, kernels, table, read)
        return graph_def

    return tf_optimize


_PROBE = np.float32(2)
"""What thin kernels hold: a product with it loses no digit, and no rule of Grappler's looks for twos."""


def _make_thin(graph_def: Any, table: WeightTable) -> dict[str, bytes]:
    """Replace stand-ins by constants that Grappler can compute with.

    A convolution may have as many groups as divide its channels, and then its kernel is as much
    thinner, with the same output shape. Constants that something else reads get their own values.

    Args:
        graph_def: changed in place.
        table: table that the arrays are put into.

    Returns:
        Names that the constant may have afterwards -> the kernel's key: its own, that of its read,
        and that of its product with a factor behind the convolution.
    """
    readers: dict[str, list[tuple[Any, int]]] = {}
    for node in graph_def.node:
        for index, name in enumerate(node.input):
            if not name.startswith("^"):  # what only waits for it
                readers.setdefault(name.split(":")[0], []).append((node, index))
    kernels: dict[str, bytes] = {}
    for node in graph_def.node:
        key = _constant_key(node)
        if key is None:
            continue
        tensor, array = node.attr["value"].tensor, table[key]
        names, convolutions, found = [node.name], [], list(readers.get(node.name, ()))
        while found:
            reader, index = found.pop()
            if reader.op == "Identity":
                names.append(reader.name)
                found += readers.get(reader.name, ())
            else:
                convolutions.append((reader, index))
        thinner = np.gcd(*array.shape[2:]) if array.ndim == 4 else 1
        # One number throughout is what Grappler looks for: it drops a factor of zeros or ones.
        if (
            thinner == 1
            or any(reader.op != "Conv2D" or index != 1 for reader, index in convolutions)
            or (array == array.flat[0]).all()
        ):
            tensor.tensor_content = array.tobytes()
            continue
        tensor.tensor_content = b""
        tensor.float_val.append(_PROBE)
        tensor.tensor_shape.dim[2].size = array.shape[2] // int(thinner)
        for name in names:
            kernels[name] = key
        kernels.update((f"{reader.name}/merged_input", key) for reader, _ in convolutions)
        nodes_with_shape = [node, *(reader for reader, _ in readers.get(node.name, ()) if reader.op == "Identity")]
        for shaped in nodes_with_shape:
            shaped.attr.pop("_output_shapes", None)
    return kernels


def _make_whole(
    graph_def: Any, kernels: dict[str, bytes], table: WeightTable, read: Callable[[Any], np.ndarray]
) -> None:
    """Undo `_make_thin` after Grappler, and let stand-ins take the place of all other large constants.

    Raises:
        StandInError: something else became of a thin kernel than itself or its product with a factor per filter.
    """
    for node in graph_def.node:
        if node.op != "Const":
            continue
        tensor = node.attr["value"].tensor
        key = kernels.get(node.name)
        if key is None:
            array = read(tensor)
            if large(array):
                node.attr["value"].tensor.CopyFrom(_stand_in(type(tensor), table.add(array), array.shape))
            continue
        thin, kernel = read(tensor), table[key]
        factor = thin[0, 0, 0] / _PROBE
        thinner = int(np.gcd(*kernel.shape[2:]))
        expected = (*kernel.shape[:2], kernel.shape[2] // thinner, kernel.shape[3])
        if thin.shape != expected or not (thin == thin[0, 0, 0]).all():
            raise StandInError(f"{node.name} is no kernel times a factor per filter")
        if node.name.endswith("/merged_input"):
            kernel = kernel * factor  # as TensorFlow multiplies float32, whatever the order
            key = table.add(kernel)
        elif not (factor == 1).all():
            raise StandInError(f"{node.name} was multiplied")
        tensor.CopyFrom(_stand_in(type(tensor), key, kernel.shape))
    table.keep({key for node in graph_def.node if (key := _constant_key(node)) is not None})


def _stand_in(tensor_type: Any, key: bytes, shape: tuple[int, ...]) -> Any:
    """Return a stand-in for a float32 array as TensorFlow's TensorProto."""
    tensor = tensor_type(dtype=1, tensor_content=key)
    for side in shape:
        tensor.tensor_shape.dim.add(size=side)
    return tensor


def _constant_key(node: Any) -> bytes | None:
    return key_of(node.attr["value"].tensor.tensor_content) if node.op == "Const" else None
