"""The command `python train/import_weights.py`: a published Fast-SCNN becomes weights, and every way to fail."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from edge.artifacts import sha256_file
from edge.errors import WeightsError
from edge.records import read_record
from export.from_keras.exporter import ExportRequest
from tests.train.checkpoint_import.checkpoint_files import fast_scnn_checkpoint, torchvision_vgg16, write_safetensors
from tests.train.checkpoint_import.published_networks import PUBLISHED
from train.checkpoint_import import CHECKPOINT_FAMILIES
from train.import_weights import main
from train.models import model_spec
from train.options import changed_options
from train.weights_file import ImportRecord, import_record_path, read_weights

pytestmark = pytest.mark.usefixtures("quick_weights")

CHECKOUT = Path(__file__).resolve().parents[2]
FAST_SCNN = PUBLISHED["fast_scnn"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return a function that gives a Fast-SCNN checkpoint of a number of classes, as a safetensors file."""
    folder = tmp_path_factory.mktemp("published")

    def find(class_count: int = 19) -> Path:
        path = folder / f"fast_scnn_{class_count}.safetensors"
        if not path.is_file():
            write_safetensors(path, fast_scnn_checkpoint(class_count))
        return path

    return find


@pytest.fixture(scope="module")
def imported(published, tmp_path_factory) -> Path:
    """Weights of 19 classes for tests that only look at them."""
    path = tmp_path_factory.mktemp("imported") / "city.weights.h5"
    assert run(published(), path) == 0
    return path


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "weights" / "fast.weights.h5"


def run(checkpoint, output, *more, model: str = "fast_scnn") -> int:
    return main([str(checkpoint), "--model", model, "--output", str(output), *map(str, more)])


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


# What comes out


@pytest.mark.slow
def test_script_writes_weights_and_their_record(published, tmp_path, run_python):
    script = CHECKOUT / "train" / "import_weights.py"
    arguments = [published(), "--model", "fast_scnn", "--source", "fast-scnn-pytorch", "--output", "here.weights.h5"]
    result = run_python(script, *arguments, cwd=str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    assert files(tmp_path) == {"here.weights.h5", "here.weights.json"}
    lines = result.stdout.splitlines()
    counters = sum(name.endswith("num_batches_tracked") for name in fast_scnn_checkpoint(19))
    used = len(fast_scnn_checkpoint(19)) - counters
    assert lines == [
        f"fast_scnn, 19 classes of cityscapes: {used} tensors of fast_scnn_19.safetensors used, each once",
        "taken for cityscapes by its 19 classes; --dataset says otherwise",
        f"not used: counters of training steps ({counters})",
        "not in the checkpoint, random: auxiliary_low_conv, auxiliary_low_conv_bn, auxiliary_low",
        "options: separable_relu=true padding=symmetric first_padding=valid fusion_dilation=1 "
        "coordinates=align_corners",
        "weights: here.weights.h5",
        "next: python export/build_engine.py --model fast_scnn --int8 --weights here.weights.h5",
    ]


def test_record_says_what_the_weights_are(published, imported):
    record = read_record(ImportRecord, import_record_path(imported))
    assert (record.model, record.source, record.file) == ("fast_scnn", "fast-scnn-pytorch", published().name)
    assert (record.file_sha256, record.weights_sha256) == (sha256_file(published()), sha256_file(imported))
    assert (record.dataset, record.class_count) == ("cityscapes", 19)
    assert changed_options("fast_scnn", record.options) == FAST_SCNN.options
    assert set(record.versions) == {"keras", "numpy"}


def test_weights_are_those_of_the_checkpoint(imported):
    weights = read_weights(imported, "fast_scnn")
    assert weights.fresh == ("auxiliary_low_conv", "auxiliary_low_conv_bn", "auxiliary_low")
    network = model_spec("fast_scnn").build(64, 128, 19, **weights.options)
    network.load_weights(imported)
    tensors = fast_scnn_checkpoint(19)
    kernel, bias = network.get_layer("logits").get_weights()
    np.testing.assert_array_equal(kernel[0, 0].T, tensors["classifier.conv.1.weight"][:, :, 0, 0])
    np.testing.assert_array_equal(bias, tensors["classifier.conv.1.bias"])
    first = network.get_layer("downsample_conv").get_weights()[0]
    np.testing.assert_array_equal(first.transpose(3, 2, 0, 1), tensors["learning_to_downsample.conv.conv.0.weight"])


def test_json_is_the_record(published, output, capsys):
    assert run(published(), output, "--json", "--option", "dropout=0.25") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["weights"] == str(output)
    assert printed["record"] == json.loads(import_record_path(output).read_text())
    assert printed["record"]["options"]["dropout"] == 0.25


@pytest.mark.parametrize(
    ("class_count", "arguments", "dataset", "classes"),
    [
        (11, [], "camvid", "11 classes of camvid"),
        (21, [], "voc", "21 classes of voc"),
        (150, [], None, "150 classes of an unknown dataset"),
        (19, ["--dataset", "synthetic"], "synthetic", "19 classes of synthetic"),
    ],
)
def test_dataset_is_told_by_the_number_of_classes_or_said(
    published, output, capsys, class_count, arguments, dataset, classes
):
    assert run(published(class_count), output, *arguments) == 0
    assert read_record(ImportRecord, import_record_path(output)).dataset == dataset
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"fast_scnn, {classes}: ")
    # Classes that no dataset here has can be trained from, and not deployed.
    script = "train/train.py" if dataset is None else "export/build_engine.py"
    assert lines[-1].startswith(f"next: python {script} --model fast_scnn ") and lines[-1].endswith(str(output))


@pytest.mark.slow
def test_earlier_weights_are_replaced_with_their_record(published, output):
    assert run(published(21), output) == 0
    assert run(published(19), output) == 0
    assert read_weights(output, "fast_scnn").class_count == 19  # which checks that the two belong together
    assert files(output.parent) == {output.name, import_record_path(output).name}


# What goes wrong: one line, code 2, and nothing is written


def refusal(capsys, one_line, code: int, folder: Path) -> str:
    captured = capsys.readouterr()
    assert (code, captured.out, files(folder)) == (2, "", set())
    return one_line(captured.err)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "weights not found: "),
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Google Drive - Virus scan warning</html>", "is a web page, not weights"),
        (b"\x80\x02not a pickle", "PyTorch"),
        (b"epoch,loss\n", "is neither PyTorch, safetensors nor Keras HDF5"),
    ],
    ids=["missing", "empty", "web page", "broken pickle", "text"],
)
def test_file_that_is_no_checkpoint_is_one_line(tmp_path, output, capsys, one_line, content, message):
    checkpoint = tmp_path / "model.pth"
    if content is not None:
        checkpoint.write_bytes(content)
    assert message in refusal(capsys, one_line, run(checkpoint, output), output.parent)


def test_damaged_file_is_one_line(published, tmp_path, output, capsys, one_line):
    checkpoint = tmp_path / "half.safetensors"
    data = published().read_bytes()
    checkpoint.write_bytes(data[: len(data) // 2])
    message = refusal(capsys, one_line, run(checkpoint, output), output.parent)
    assert f"{checkpoint} is damaged: " in message and "Next: download it again" in message


def test_file_that_may_not_be_read_is_one_line(published, output, capsys, one_line, monkeypatch):
    def refuse(*_arguments, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    checkpoint = published()
    with monkeypatch.context() as patch:
        patch.setattr("train.checkpoints.open", refuse, raising=False)  # a test that runs as root may read everything
        code = run(checkpoint, output)
    assert "cannot be read: Permission denied" in refusal(capsys, one_line, code, output.parent)


def test_checkpoint_of_another_network_is_one_line(published, output, capsys, one_line):
    code = run(published(), output, model="unet")
    message = refusal(capsys, one_line, code, output.parent)
    assert (
        f"{published()} does not fit unet of milesial/Pytorch-UNet: the checkpoint has no tensor outc.conv" in message
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "camvid"], "has 19 classes, camvid has 11. Next: leave --dataset out"),
        (["--dataset", "voc"], "has 19 classes, voc has 21. Next: leave --dataset out"),
        (["--source", "torchvision"], "torchvision has no weights for fast_scnn, sources that have: fast-scnn-pytorch"),
        (["--option", "padding=same"], "it has padding=symmetric, expected padding=same"),
        (["--option", "depth=101"], "fast_scnn has no option 'depth'"),
        (["--option", "fusion_dilation=2"], "option fusion_dilation is '2', expected 4, 1"),
    ],
)
def test_argument_that_contradicts_the_checkpoint_is_one_line(published, output, capsys, one_line, arguments, message):
    assert message in refusal(capsys, one_line, run(published(), output, *arguments), output.parent)


@pytest.mark.parametrize("name", ["weights.h5", "fast_scnn.pth", "fast_scnn"])
def test_output_of_another_ending_is_one_line(published, tmp_path, capsys, one_line, name):
    folder = tmp_path / "here"
    message = refusal(capsys, one_line, run(published(), folder / name), folder)
    assert f"--output is {folder / name}, expected a name that ends in .weights.h5" in message


def test_backbone_has_no_dataset(tmp_path, output, capsys, one_line):
    checkpoint = write_safetensors(tmp_path / "vgg16.safetensors", torchvision_vgg16())
    code = run(checkpoint, output, "--source", "torchvision", "--dataset", "voc", model="bayesian_segnet")
    message = refusal(capsys, one_line, code, output.parent)
    assert "holds a backbone without a classifier, so it has no classes of voc" in message


def test_full_disk_keeps_the_earlier_weights(published, output, capsys, one_line, monkeypatch):
    assert run(published(), output) == 0
    before = {path: path.read_bytes() for path in output.parent.iterdir()}
    capsys.readouterr()

    def fill_the_disk(_network, path, **_options):
        Path(path).write_bytes(b"half of the weights")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keras.Model, "save_weights", fill_the_disk)
    assert run(published(21), output) == 2
    assert f"cannot write {output}: No space left on device" in one_line(capsys.readouterr().err)
    assert {path: path.read_bytes() for path in output.parent.iterdir()} == before


# What the export makes of them


def test_export_takes_the_options_of_imported_weights(published, imported):
    provenance, options = ExportRequest("fast_scnn", "cityscapes", 512, 1024, imported).provenance()
    assert (provenance.kind, provenance.source, provenance.miou) == ("imported", published().name, None)
    assert provenance.sha256 == sha256_file(imported)
    assert changed_options("fast_scnn", options) == FAST_SCNN.options
    with pytest.raises(WeightsError, match="with padding=symmetric, expected padding=same"):
        ExportRequest("fast_scnn", "cityscapes", 512, 1024, imported, {"padding": "same"}).provenance()


def test_weights_of_other_classes_are_not_exported_for_cityscapes(published, output):
    assert run(published(21), output) == 0
    with pytest.raises(WeightsError) as caught:
        ExportRequest("fast_scnn", "cityscapes", 512, 1024, output).provenance()
    assert str(caught.value) == f"{output} has 21 classes of voc, cityscapes has 19. Next: --dataset voc"


def test_weights_of_another_model_or_replaced_ones_are_not_exported(published, output):
    assert run(published(), output) == 0
    with pytest.raises(WeightsError, match=r"are weights of fast_scnn, expected unet\. Next: --model fast_scnn"):
        ExportRequest("unet", "cityscapes", 512, 1024, output).provenance()
    output.write_bytes(output.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="it is damaged or was replaced"):
        ExportRequest("fast_scnn", "cityscapes", 512, 1024, output).provenance()


def test_help_names_every_source(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0 and all(f"{name} = " in printed for name in CHECKPOINT_FAMILIES)
