"""The devices that a training runs on, as words for the user."""

from __future__ import annotations

from pathlib import Path

from edge.console import print_warning
from edge.machine import this_machine

GPU_INSTALL = "pip install -e '.[train-gpu]'"

_DRIVER_GPUS = Path("/proc/driver/nvidia/gpus")
"""Folder in which NVIDIA's driver lists the GPUs of a workstation."""


def describe_devices() -> str:
    """Return what TensorFlow trains on, such as "2 GPUs: NVIDIA RTX A6000" or "the CPU (AMD EPYC 7B13, 8 cores)".

    Warns where the driver has a GPU that TensorFlow does not see.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
        names = sorted({str(detail.get("device_name", "unnamed")) for detail in details})
        return f"{len(gpus)} GPU{'s' if len(gpus) > 1 else ''}: {', '.join(names)}"
    if _DRIVER_GPUS.is_dir() and any(_DRIVER_GPUS.iterdir()):
        print_warning(
            "NVIDIA's driver lists a GPU, but TensorFlow sees none: it was probably installed without CUDA. "
            f"Next: {GPU_INSTALL}"
        )
    machine = this_machine()
    return f"the CPU ({machine.cpu}, {machine.cpu_count} core{'s' if machine.cpu_count > 1 else ''})"
