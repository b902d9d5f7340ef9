"""Published weight files: read whatever they were saved with, nothing in them run, and one line for what is wrong."""

from __future__ import annotations

import collections
import contextlib
import errno
import hashlib
import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest

from edge.errors import InputError, MissingDependencyError, SegEdgeError, WeightsError
from train.checkpoints import KERAS, PYTORCH, SAFETENSORS, read_checkpoint

h5py = pytest.importorskip("h5py")


def refusal(path, error=WeightsError) -> str:
    """Read a file that must be refused, and give the message: one line, exit code 2."""
    with pytest.raises(error) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, SegEdgeError)
    return message


# Files that are no weights


def test_missing_file_is_named(tmp_path):
    assert "weights not found" in refusal(tmp_path / "none.pth", InputError)
    (tmp_path / "file").write_bytes(b"x")
    assert "weights not found" in refusal(tmp_path / "file" / "none.pth", InputError)


def test_folder_is_refused(tmp_path):
    assert "is a folder" in refusal(tmp_path)


def test_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert "no regular file" in refusal(tmp_path / "pipe")


def test_file_without_permission_is_named(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"PK\x03\x04")

    def refuse(*_arguments, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)  # a test that runs as root may read everything
    assert "cannot be read: Permission denied" in refusal(path, InputError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html>sign in</html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"\x1f\x8b\x08" + bytes(20), "packed archive"),
        (bytes(257) + b"ustar" + bytes(250), "packed archive"),
        (b"epoch,loss\n1,0.5\n", "it begins with b'epoch,lo'"),
        # The text form of pickles has no signature, and is not read at all.
        (pickle.dumps(print, protocol=0), "is neither PyTorch, safetensors nor Keras HDF5"),
    ],
)
def test_file_that_is_something_else_is_told_by_its_content(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)

    assert message in refusal(path)


# safetensors


def safetensors_bytes(header: object, data: bytes, header_size: int | None = None) -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text) if header_size is None else header_size) + text + data


def entry(dtype: str, shape: list, begin: int, end: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_safetensors_of_every_type_are_read(tmp_path):
    arrays = {
        "double": np.array([[1.5, -2.0]]),
        "single": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
        "half": np.array([0.25, 65504.0], np.float16),
        "count": np.array(7, np.int64),
        "bytes": np.array([0, 255], np.uint8),
        "flags": np.array([True, False]),
        "nothing": np.zeros((0, 3), np.float32),
    }
    kinds = ("F64", "F32", "F16", "I64", "U8", "BOOL", "F32")
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for (name, array), kind in zip(arrays.items(), kinds):
        header[name] = entry(kind, list(array.shape), len(data), len(data) + array.nbytes)
        data += array.tobytes()
    # The upper halves of the float32 numbers 1.0, -2.0 and 0.15625.
    header["brain"] = entry("BF16", [3], len(data), len(data) + 6)
    data += bytes.fromhex("803f 00c0 203e")
    path = tmp_path / "weights.bin"
    path.write_bytes(safetensors_bytes(header, data))

    checkpoint = read_checkpoint(path)

    assert (checkpoint.format, checkpoint.left_out) == (SAFETENSORS, ("__metadata__",))
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert set(checkpoint.tensors) == {*arrays, "brain"}
    for name, array in arrays.items():
        expected = array.astype(np.float32) if array.dtype == np.float16 else array
        assert checkpoint.tensors[name].dtype == expected.dtype, name
        np.testing.assert_array_equal(checkpoint.tensors[name], expected)
    assert checkpoint.tensors["brain"].dtype == np.float32
    assert checkpoint.tensors["brain"].tolist() == [1.0, -2.0, 0.15625]


GOOD = entry("F32", [2], 0, 8)


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"a": GOOD}, bytes(7), "ends at byte 8 of its data, which has 7"),
        ({"a": GOOD}, bytes(12), "take 8 bytes, its data has 12"),
        ({"a": GOOD, "b": entry("F32", [1], 4, 8)}, bytes(8), "overlap, or leave a hole"),
        ({"a": GOOD, "b": entry("F32", [1], 12, 16)}, bytes(16), "overlap, or leave a hole"),
        ({"a": entry("F32", [3], 0, 8)}, bytes(8), "has 8 bytes, expected 12"),
        ({"a": entry("F32", [2], 8, 0)}, bytes(8), "has -8 bytes, expected 8"),
        ({"a": entry("F32", [-2], 0, 8)}, bytes(8), "no whole numbers"),
        ({"a": entry("F32", [2], -8, 0)}, bytes(8), "no whole numbers"),
        ({"a": entry("F32", [True, 2], 0, 8)}, bytes(8), "no whole numbers"),
        ({"a": entry("F32", [2.0], 0, 8)}, bytes(8), "no whole numbers"),
        ({"a": entry("F32", [2**62, 2**62], 0, 8)}, bytes(8), "has 8 bytes, expected"),
        ({"a": entry("F32", [0, 2**70], 0, 0)}, b"", "cannot have the shape"),
        ({"a": {**GOOD, "data_offsets": [0, 4, 8]}}, bytes(8), "no whole numbers"),
        ({"a": {"dtype": "F32", "shape": [2]}}, bytes(8), "not of dtype, shape and data_offsets"),
        ({"a": 3}, b"", "not of dtype, shape and data_offsets"),
        ({"a": entry("F8_E4M3", [2], 0, 2)}, bytes(2), "is of the type 'F8_E4M3', expected one of F64"),
        (b'{"a": {"dtype": "F32", "a": 1, "a": 2}}', b"", "is no JSON"),
        (b'{"a": ' + b"[" * 100_000, b"", "is no JSON"),
        (b'{"a": \xff}', b"", "is no JSON"),
        ({}, b"", "holds no weights"),
    ],
)
def test_safetensors_whose_header_and_data_disagree_are_refused(tmp_path, header, data, message):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors_bytes(header, data))

    assert message in refusal(path)


def test_safetensors_with_a_header_beyond_the_file_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors_bytes({"a": GOOD}, bytes(8), header_size=10_000))

    assert "its header alone should have 10000 bytes" in refusal(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path, value):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors_bytes({"conv.weight": GOOD}, np.array([1.0, value], np.float32).tobytes()))

    assert "conv.weight holds NaN or infinity at 1 of 2 places" in refusal(path)


# PyTorch, by a stand-in of what is called: the reader's own work, also where PyTorch is not installed


DTYPES = {
    name: types.SimpleNamespace(name=name, is_floating_point="float" in name)
    for name in ("float64", "float32", "bfloat16", "int64")
}


class StandInTensor:
    def __init__(self, values, dtype="float32", layout="strided"):
        self.values, self.dtype, self.layout, self.is_quantized = np.asarray(values), DTYPES[dtype], layout, False

    def detach(self):
        return self

    def to(self, dtype):
        return StandInTensor(self.values.astype(dtype.name), dtype.name)

    def numpy(self):
        return self.values


@pytest.fixture
def stand_in(monkeypatch):
    """Return a function that puts a torch into place whose `load` gives, or raises, what it is told."""

    def put(loaded: object, version: str = "2.6.0") -> None:
        def load(_path, map_location, weights_only):
            assert map_location == "cpu"
            assert weights_only is True
            if isinstance(loaded, BaseException):
                raise loaded
            return loaded

        torch = types.ModuleType("torch")
        torch.__version__, torch.load, torch.Tensor, torch.strided = version, load, StandInTensor, "strided"
        torch.float32, torch.float64 = DTYPES["float32"], DTYPES["float64"]
        torch.serialization = types.SimpleNamespace(safe_globals=lambda _kinds: contextlib.nullcontext())
        monkeypatch.setitem(sys.modules, "torch", torch)

    return put


@pytest.fixture
def pickle_path(tmp_path):
    """A file with the signature of a pickle, for the stand-in."""
    path = tmp_path / "weights.pth.tar"
    path.write_bytes(b"\x80\x02}.")
    return path


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state", "model_state_dict", "model", "net"])
def test_weights_are_found_in_the_usual_wrappers_and_the_rest_is_listed(stand_in, pickle_path, wrapper):
    # A tensor beside the wrapper, such as the best score, is no weight.
    weights = {"conv.weight": StandInTensor([[1.0]]), "conv.bias": StandInTensor([2.0])}
    stand_in({"epoch": 3, "best": StandInTensor(0.5), wrapper: weights, "optimizer": {"lr": 0.1}})

    checkpoint = read_checkpoint(pickle_path)

    assert checkpoint.format == PYTORCH
    assert list(checkpoint.tensors) == ["conv.weight", "conv.bias"]
    assert checkpoint.left_out == ("epoch", "best", "optimizer")


def test_entries_among_the_tensors_that_are_none_are_listed(stand_in, pickle_path):
    stand_in({"inc.weight": StandInTensor([1.0]), "mask_values": [0, 1], 5: StandInTensor([1.0])})

    checkpoint = read_checkpoint(pickle_path)

    assert list(checkpoint.tensors) == ["inc.weight"]
    assert checkpoint.left_out == ("mask_values", "5")


def test_prefix_that_all_names_share_is_stripped(stand_in, pickle_path):
    stand_in({"module.a": StandInTensor([1.0]), "module.module.b": StandInTensor([1.0])})

    assert list(read_checkpoint(pickle_path).tensors) == ["a", "module.b"]


def test_prefix_that_one_name_lacks_stays(stand_in, pickle_path):
    stand_in({"module.a": StandInTensor([1.0]), "b": StandInTensor([1.0])})

    assert list(read_checkpoint(pickle_path).tensors) == ["module.a", "b"]


def test_narrow_floats_are_widened_and_other_types_stay(stand_in, pickle_path):
    stand_in(
        {
            "half": StandInTensor(np.array([0.5], np.float16), "bfloat16"),
            "double": StandInTensor(np.array([0.5]), "float64"),
            "count": StandInTensor(np.array(3), "int64"),
        }
    )

    read = read_checkpoint(pickle_path).tensors

    assert {name: str(array.dtype) for name, array in read.items()} == {
        "half": "float32",
        "double": "float64",
        "count": "int64",
    }


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        ([1], "holds a list, expected tensors by name"),
        (StandInTensor([1.0]), "holds a StandInTensor, expected tensors by name"),
        ({"encoder": {}, "epoch": 3}, "holds no weights: its entries are encoder, epoch"),
        ({"state_dict": {}}, "holds no weights: it is an empty collection"),
        ({"a": StandInTensor([1.0], layout="sparse")}, "a is a sparse or quantised tensor"),
        ({"a": StandInTensor([np.nan])}, "a holds NaN or infinity"),
        (IndexError("index out of range"), "is damaged: PyTorch cannot read it (IndexError)"),
        (EOFError(), "is damaged: PyTorch cannot read it (EOFError)"),
        (MemoryError(), "more memory than there is"),
        (
            pickle.UnpicklingError("Weights only load failed.\nUnsupported GLOBAL posix.system whose module"),
            "objects beside tensors (posix.system), which only running its code could read; nothing in it was executed",
        ),
        (pickle.UnpicklingError("Unsupported operand 149"), "nothing in it was executed"),
    ],
)
def test_pickles_without_usable_weights_are_refused(stand_in, pickle_path, loaded, message):
    stand_in(loaded)

    assert message in refusal(pickle_path)


def test_pytorch_that_is_not_installed_is_one_line(monkeypatch, pickle_path):
    monkeypatch.setitem(sys.modules, "torch", None)

    message = refusal(pickle_path, MissingDependencyError)

    assert "needs the package torch" in message
    assert message.endswith("pip install torch")


def test_pytorch_whose_safe_reader_was_not_safe_is_refused(stand_in, pickle_path):
    stand_in({"a": StandInTensor([1.0])}, version="2.5.1+cpu")

    assert "needs the package torch>=2.6" in refusal(pickle_path, MissingDependencyError)


def zip_bytes(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zip_bytes(model_weights_h5=b""), "is a whole Keras model"),
        (zip_bytes(readme_txt=b""), "is a zip archive without PyTorch weights"),
        (zip_bytes(net__data_pkl=b"", net__constants_pkl=b""), "is a TorchScript program"),
        (zip_bytes(net__data_pkl=bytes(1000))[:-30], "bytes are no whole zip archive"),
        (zip_bytes(net__data_pkl=b"numbers").replace(b"numbers", b"numbErs"), "the checksum of net/data.pkl"),
    ],
)
def test_archives_that_hold_no_pytorch_weights_are_refused_before_pytorch_is_asked(
    monkeypatch, tmp_path, content, message
):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "weights.pth"
    path.write_bytes(content)

    assert message in refusal(path)


# PyTorch itself, where it is installed


class Order:
    """What a malicious file does: name a function that reading it calls."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_files_are_read(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    weights = collections.OrderedDict(
        [
            ("module.conv.weight", torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))),
            ("module.conv.bias", torch.tensor([0.5, 1.5], dtype=torch.bfloat16)),
            ("module.bn.num_batches_tracked", torch.tensor(3)),
        ]
    )
    path = tmp_path / "weights.h5"  # the ending says nothing
    # A NumPy number as the best score is how many published training scripts write it.
    torch.save(
        {"state_dict": weights, "best": np.float64(0.5), "epoch": 3},
        path,
        _use_new_zipfile_serialization=zipped,
    )

    checkpoint = read_checkpoint(path)

    assert (checkpoint.format, checkpoint.left_out) == (PYTORCH, ("best", "epoch"))
    assert {name: (array.dtype.name, array.tolist()) for name, array in checkpoint.tensors.items()} == {
        "conv.weight": ("float32", [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]),
        "conv.bias": ("float32", [0.5, 1.5]),
        "bn.num_batches_tracked": ("int64", 3),
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_malicious_pytorch_file_is_refused_and_nothing_is_executed(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    path, victim = tmp_path / "weights.pth", tmp_path / "executed"
    torch.save(
        {"a": torch.zeros(1), "b": Order(victim)},
        path,
        _use_new_zipfile_serialization=zipped,
    )

    assert "objects beside tensors (posix.mkdir)" in refusal(path)
    assert not victim.exists()


def test_malicious_plain_pickle_is_refused_and_nothing_is_executed(tmp_path):
    pytest.importorskip("torch")
    victim = tmp_path / "executed"
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(Order(victim), protocol=2))

    assert "nothing in it was executed" in refusal(path)
    assert not victim.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.99])
def test_truncated_pytorch_file_is_refused(tmp_path, zipped, kept):
    torch = pytest.importorskip("torch")
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(500)}, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])

    assert "is damaged" in refusal(path)


# Keras


def write_legacy(path, layers, root="", names_per_attribute=None):
    """Write HDF5 in the layout of Keras 1 and 2: {layer: {weight name as stored: array}}."""
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        names = [name.encode() for name in layers]
        if names_per_attribute is None:
            group.attrs["layer_names"] = names
        else:
            for start in range(0, len(names), names_per_attribute):
                part = names[start : start + names_per_attribute]
                group.attrs[f"layer_names{start // names_per_attribute}"] = part
        for layer, weights in layers.items():
            inner = group.create_group(layer)
            inner.attrs["weight_names"] = [name.encode() for name in weights]
            for name, array in weights.items():
                inner[name] = array
    return path


KERNEL, VECTOR = np.arange(24, dtype=np.float32).reshape(2, 2, 3, 2), np.array([1.0, 2.0], np.float32)


@pytest.mark.parametrize("root", ["", "model_weights"])
@pytest.mark.parametrize("names_per_attribute", [None, 2])
def test_weights_of_keras_applications_are_read(tmp_path, root, names_per_attribute):
    layers = {
        "conv1_conv": {"conv1_conv/kernel:0": KERNEL, "conv1_conv/bias:0": VECTOR},
        "conv1_bn": {"conv1_bn_1/gamma:0": VECTOR, "conv1_bn_1/moving_variance:0": VECTOR.astype(">f2")},
        "pool1_pool": {},
        "inner": {"inner/dense/kernel:0": VECTOR[None]},
    }
    path = write_legacy(tmp_path / "resnet50", layers, root, names_per_attribute)

    checkpoint = read_checkpoint(path)

    assert checkpoint.format == KERAS
    assert list(checkpoint.tensors) == [
        "conv1_conv/kernel",
        "conv1_conv/bias",
        "conv1_bn/gamma",
        "conv1_bn/moving_variance",
        "inner/dense/kernel",
    ]
    assert {array.dtype for array in checkpoint.tensors.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(checkpoint.tensors["conv1_conv/kernel"], KERNEL)
    np.testing.assert_array_equal(checkpoint.tensors["conv1_bn/moving_variance"], VECTOR)


def test_names_of_keras_1_become_those_of_today(tmp_path):
    layers = {
        "block1_conv1": {"block1_conv1_W_1:0": KERNEL, "block1_conv1_b_1:0": VECTOR},
        "bn2a": {"bn2a_running_std:0": VECTOR},
        "odd": {"something_else:0": VECTOR},
    }

    tensors = read_checkpoint(write_legacy(tmp_path / "vgg16.h5", layers)).tensors

    assert list(tensors) == [
        "block1_conv1/kernel",
        "block1_conv1/bias",
        "bn2a/moving_variance",
        "odd/something_else",
    ]


@pytest.fixture(scope="module")
def keras_model():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    frame = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv1_conv")(frame)
    x = layers.BatchNormalization(name="conv1_bn")(x)
    x = layers.DepthwiseConv2D(3, use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(scale=False, name="shifted_bn")(x)
    x = layers.Conv2DTranspose(4, 2, strides=2, name="up")(x)
    inner = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(2, 1, name="conv")], name="inner")
    model = keras.Model(frame, inner(x))
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=weight.shape).astype(np.float32) for weight in model.weights])
    return model


def test_weights_of_keras_3_have_the_names_of_their_layers(tmp_path, keras_model):
    path = tmp_path / "own.weights.h5"
    keras_model.save_weights(path)

    checkpoint = read_checkpoint(path)

    expected = {weight.path: np.asarray(weight) for weight in keras_model.weights}
    renamed = {
        # The file has numbers alone, and a normalisation without scale counts differently.
        "shifted_bn/beta": "shifted_bn/0",
        "shifted_bn/moving_mean": "shifted_bn/1",
        "shifted_bn/moving_variance": "shifted_bn/2",
    }
    assert checkpoint.format == KERAS
    assert len(checkpoint.tensors) == len(expected) == 14
    for name, array in expected.items():
        np.testing.assert_array_equal(checkpoint.tensors[renamed.get(name, name)], array, err_msg=name)


def test_whole_model_of_keras_2_leaves_out_the_optimiser(tmp_path):
    path = write_legacy(tmp_path / "model.h5", {"a": {"a/kernel:0": KERNEL}}, root="model_weights")
    with h5py.File(path, "a") as file:
        file.create_group("optimizer_weights")

    assert read_checkpoint(path).left_out == ("optimizer_weights",)


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_truncated_hdf5_is_refused(tmp_path, kept):
    path = write_legacy(tmp_path / "weights.h5", {"a": {"a/kernel:0": np.zeros(5000, np.float32)}})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])

    assert "is damaged: HDF5 cannot read it" in refusal(path)


def test_hdf5_of_something_else_is_refused(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["images"] = np.zeros(3)

    assert "none of Keras weights: its entries are images" in refusal(tmp_path / "data.h5")


def test_hdf5_that_lacks_a_weight_it_names_is_refused(tmp_path):
    path = write_legacy(tmp_path / "weights.h5", {"a": {"a/kernel:0": KERNEL}})
    with h5py.File(path, "a") as file:
        del file["a/a/kernel:0"]

    assert "is damaged" in refusal(path)


def test_hdf5_with_text_for_a_weight_is_refused(tmp_path):
    path = write_legacy(tmp_path / "weights.h5", {"a": {"a/kernel:0": np.array([b"text"])}})

    assert "a/kernel is no numbers" in refusal(path)


def test_numbers_in_hdf5_that_are_not_finite_are_refused(tmp_path):
    path = write_legacy(tmp_path / "weights.h5", {"a": {"a/kernel:0": np.array([np.inf, 1.0])}})

    assert "a/kernel holds NaN or infinity at 1 of 2 places" in refusal(path)


def test_hdf5_reader_that_is_not_installed_is_one_line(tmp_path, monkeypatch):
    path = write_legacy(tmp_path / "weights.h5", {"a": {"a/kernel:0": KERNEL}})
    monkeypatch.setitem(sys.modules, "h5py", None)

    assert refusal(path, MissingDependencyError).endswith("pip install h5py")
