"""A folder that cannot be written to is known before the work."""

from __future__ import annotations

import errno
import tempfile

import pytest

from edge.errors import StorageError
from edge.output_check import check_output


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
