"""A folder that cannot be written to is known before the work."""

from __future__ import annotations

import errno
import tempfile

import pytest

from calibration import select_images
from edge.artifacts import write_text
from edge.errors import StorageError
from edge.output_check import check_output, check_output_file
from edge.stream.sinks import open_sink
from edge.stream.sources import open_source


def test_check_leaves_nothing_behind(tmp_path):
    check_output(tmp_path / "a" / "b")
    check_output(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_disk_that_is_read_only_is_found_by_writing(tmp_path, monkeypatch):
    def refused(**_options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    with pytest.raises(StorageError, match=r"cannot write .*: Read-only file system\. Next: "):
        check_output(tmp_path / "out")


def test_file_and_link_to_nothing_are_no_folders(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for path in (tmp_path / "file", tmp_path / "file" / "deep" / "er"):
        with pytest.raises(StorageError, match=r"file is a file, expected a folder\. Next: "):
            check_output(path)
    with pytest.raises(StorageError, match="link is a link to nothing"):
        check_output(tmp_path / "link" / "out")


def test_file_that_is_to_be_written_may_not_be_a_folder_or_lie_under_a_file(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "old.json").write_text("{}")
    check_output_file(tmp_path / "old.json")
    check_output_file(tmp_path / "new" / "m.json")
    with pytest.raises(StorageError, match=r"is a folder, expected the name of a file\. Next: "):
        check_output_file(tmp_path)
    with pytest.raises(StorageError, match=r"file is a file, expected a folder\. Next: "):
        check_output_file(tmp_path / "file" / "m.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "old.json"]


def test_name_that_is_too_long_is_said_in_words(tmp_path):
    with pytest.raises(StorageError, match=r"too long\. Next: name a shorter one"):
        check_output(tmp_path / ("a" * 300) / "b")


def test_writing_under_a_file_or_over_a_folder_names_what_is_in_the_way(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(StorageError, match="file is a file, expected a folder"):
        write_text(tmp_path / "file" / "deep" / "m.json", "{}")
    with pytest.raises(StorageError, match="is a folder, expected the name of a file"):
        write_text(tmp_path, "{}")


@pytest.mark.parametrize("name", ["out.mp4", "out.png", "out"])
def test_demo_checks_its_output_before_the_first_frame(tmp_path, name):
    (tmp_path / "file").write_text("kept")
    source = open_source("synthetic:64x128")
    with pytest.raises(StorageError, match="file is a file, expected a folder"):
        open_sink(tmp_path / "file" / name, source)


@pytest.mark.parametrize("output", ["file", "file/m.json"])
def test_selection_checks_its_output_before_it_looks_at_images(tmp_path, output, capsys):
    (tmp_path / "file").mkdir() if output == "file" else (tmp_path / "file").write_text("kept")
    options = ["--dataset", "camvid", "--data-dir", str(tmp_path), "--output", str(tmp_path / output)]
    assert select_images.main(options) == 2
    assert "cannot write" in capsys.readouterr().err  # and not that the dataset is missing
