"""Examination of this machine: what it has and lacks for engines, and which command mends it.

Files are read, the CUDA driver is asked for a GPU, and packages are imported in a process of their own. No object of
TensorRT is ever created: version 8.6 ends the process that creates one without a GPU.
"""

from __future__ import annotations

from edge.doctor.benchmark_conditions import check_benchmark_conditions
from edge.doctor.board import check_board
from edge.doctor.compute import check_compute
from edge.doctor.finding import MISSING, DoctorReport
from edge.doctor.image_input import check_image_input
from edge.doctor.machine_probe import MachineProbe
from edge.doctor.storage import check_storage

__all__ = ["DoctorReport", "MachineProbe", "examine"]

CHECKS = (check_board, check_compute, check_image_input, check_benchmark_conditions, check_storage)


def examine(probe: MachineProbe) -> DoctorReport:
    """Examine everything that engines need on a machine.

    Args:
        probe: Access to the machine, or to a tree of files that stands for one.

    Returns:
        The findings, in the order of CHECKS, and whether engines can run.
    """
    findings = tuple(finding for check in CHECKS for finding in check(probe))
    return DoctorReport(all(finding.status != MISSING for finding in findings), findings)
