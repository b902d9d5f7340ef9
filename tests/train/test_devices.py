"""A training says what it runs on, and when a GPU is left unused."""

from __future__ import annotations

import types

import pytest

tensorflow = pytest.importorskip("tensorflow")

import train.devices  # noqa: E402
from train.devices import describe_devices  # noqa: E402


@pytest.fixture
def gpus(monkeypatch):
    """Make TensorFlow see GPUs of the given names."""

    def see(*names: str) -> None:
        devices = [types.SimpleNamespace(name=f"/physical_device:GPU:{i}", model=name) for i, name in enumerate(names)]
        monkeypatch.setattr(tensorflow.config, "list_physical_devices", lambda kind: devices)
        monkeypatch.setattr(
            tensorflow.config.experimental, "get_device_details", lambda device: {"device_name": device.model}
        )

    return see


def test_cpu_is_named_with_its_cores(gpus, monkeypatch, tmp_path, capsys):
    gpus()
    monkeypatch.setattr(train.devices, "_DRIVER_GPUS", tmp_path / "none")
    assert describe_devices().startswith("the CPU (")
    assert capsys.readouterr().err == ""


def test_gpus_are_counted_and_named(gpus):
    gpus("NVIDIA RTX A6000", "NVIDIA RTX A6000")
    assert describe_devices() == "2 GPUs: NVIDIA RTX A6000"


def test_gpu_that_tensorflow_does_not_see_is_a_warning_with_the_cure(gpus, monkeypatch, tmp_path, capsys):
    gpus()
    (tmp_path / "0000:01:00.0").mkdir()
    monkeypatch.setattr(train.devices, "_DRIVER_GPUS", tmp_path)
    describe_devices()
    warning = capsys.readouterr().err
    assert warning.startswith("warning: ")
    assert "'.[train-gpu]'" in warning
