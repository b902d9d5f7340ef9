"""Results never overwrite earlier ones."""

from __future__ import annotations

import pytest

from edge.bench.output_folder import free_folder, latest_folder
from edge.errors import StorageError

NAMES = ("record.json", "overlays")


def write_run(folder):
    with free_folder(folder, NAMES) as chosen:
        (chosen / "record.json").write_text("{}")
    return chosen


def test_runs_are_numbered_and_the_latest_is_by_number_not_by_spelling(tmp_path):
    folder = tmp_path / "out" / "demo"
    assert [write_run(folder) for _ in range(3)] == [folder, folder / "run-2", folder / "run-3"]
    (folder / "run-10").mkdir()
    assert write_run(folder) == folder / "run-11"
    assert latest_folder(folder, "record.json") == (folder / "run-11", 4)


def test_folder_with_other_files_is_taken_as_it_is(tmp_path):
    (tmp_path / "profile.json").write_text("{}")
    (tmp_path / "run-of-the-mill").mkdir()
    assert write_run(tmp_path) == tmp_path


def test_link_that_leads_nowhere_is_not_written_through(tmp_path):
    (tmp_path / "record.json").symlink_to(tmp_path / "elsewhere")
    assert write_run(tmp_path) == tmp_path / "run-2"
    assert not (tmp_path / "elsewhere").exists()


def test_folder_of_a_run_that_wrote_nothing_is_removed(tmp_path):
    (tmp_path / "record.json").write_text("{}")
    for folder in (tmp_path, tmp_path / "new" / "one"):
        with pytest.raises(StorageError), free_folder(folder, NAMES):
            raise StorageError("disk full")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["record.json"]


def test_folder_without_runs_has_no_latest(tmp_path):
    assert latest_folder(tmp_path, "record.json") == (tmp_path, 0)
