"""The list of planted faults stays plantable: every place is there, once, and the tests that should see it exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.planted_faults.__main__ import plant
from tests.planted_faults.faults import FAULTS

REPOSITORY = Path(__file__).resolve().parents[2]


def test_names_are_unique_and_every_room_has_a_fault():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 40
    rooms = {fault.path.split("/")[0] for fault in FAULTS}
    assert rooms == {"edge", "calibration", "export", "train", "benchmarks"}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_can_be_planted_and_its_tests_are_there(fault, tmp_path):
    path = tmp_path / fault.path
    path.parent.mkdir(parents=True)
    path.write_bytes((REPOSITORY / fault.path).read_bytes())
    before = plant(tmp_path, fault)
    assert path.read_text(encoding="utf-8") != before == (REPOSITORY / fault.path).read_text(encoding="utf-8")
    assert all((REPOSITORY / name).exists() for name in fault.tests)
