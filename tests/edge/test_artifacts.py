from __future__ import annotations

import errno
import hashlib
import os
import stat

import pytest

from edge.artifacts import (
    artifact_folder,
    atomic_path,
    read_json,
    sha256_file,
    sha256_json,
    spell_option,
    write_bytes,
    write_json,
    write_text,
)
from edge.errors import ContractError, InputError, StorageError


def full_disk(*_arguments, **_options):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_folder_is_named_after_model_dataset_and_size(tmp_path):
    assert artifact_folder("fastfcn", "camvid", 512, 1024, tmp_path) == tmp_path / "fastfcn-camvid-512x1024"
    assert artifact_folder("fastfcn", "camvid", 512, 1024, tmp_path, {}, 1).name == "fastfcn-camvid-512x1024"


def test_folder_names_the_options_and_the_batch(tmp_path):
    options = {"head": "psp", "depth": 101}
    folder = artifact_folder("fastfcn", "cityscapes", 512, 1024, tmp_path, options, batch=4)
    assert folder == tmp_path / "fastfcn+depth-101+head-psp-cityscapes-512x1024-batch4"
    backwards = dict(reversed(list(options.items())))
    assert artifact_folder("fastfcn", "cityscapes", 512, 1024, tmp_path, backwards, 4) == folder
    norm = artifact_folder("unet", "camvid", 64, 128, options={"batch_norm": True}, root=tmp_path)
    assert norm == tmp_path / "unet+batch_norm-true-camvid-64x128"


def test_options_that_differ_never_share_a_folder(tmp_path):
    variants = [{}, {"a": 1}, {"a": "1+b-2"}, {"a": 1, "b": 2}, {"a": True}, {"a": "../x"}, {"a": ".._x"}, {"a": 0.1}]
    folders = [artifact_folder("m", "d", 1, 2, tmp_path, options) for options in variants]
    assert len(set(folders)) == len(variants)
    assert all(folder.parent == tmp_path for folder in folders)


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (101, "101"), (0.1, "0.1"), ("psp", "psp"), ("True", "True")]
)
def test_value_of_an_option_is_spelt_as_it_is_typed(value, text):
    assert spell_option(value) == text


def test_file_appears_whole_with_its_folders(tmp_path):
    path = tmp_path / "deep" / "down" / "file.bin"
    write_bytes(path, b"abc")
    assert path.read_bytes() == b"abc"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]


def test_nothing_is_seen_under_the_name_before_the_end(tmp_path):
    path = tmp_path / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "new"


def test_temporary_name_keeps_every_suffix(tmp_path):
    with atomic_path(tmp_path / "best.weights.h5") as temporary:
        assert temporary.name.endswith(".weights.h5")


def test_new_file_has_the_permissions_of_any_new_file(tmp_path):
    write_text(tmp_path / "ours", "x")
    (tmp_path / "any").write_text("x")
    ours, usual = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "any"))
    assert ours == usual


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def interrupted():
        with atomic_path(path) as temporary:
            temporary.write_text("ne")
            raise failure

    with pytest.raises(failure):
        interrupted()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "file.txt"
    path.write_text("old")
    monkeypatch.setattr(os, step, full_disk)
    with pytest.raises(StorageError, match=r"cannot write .*file\.txt: No space left.* Next: free some space"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_write_that_the_system_cuts_short_leaves_the_old_file(tmp_path, run_python, one_line):
    # The system's own limit on the size of a file: a real write that fails half-way.
    resource = pytest.importorskip("resource")
    path = tmp_path / "file.txt"
    path.write_text("old")
    script = (
        "import resource, sys\nfrom edge.artifacts import write_text\nfrom edge.console import run_command\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (4096, {resource.getrlimit(resource.RLIMIT_FSIZE)[1]}))\n"
        "sys.exit(run_command(lambda: write_text(sys.argv[1], 'x' * 100_000) or 0))\n"
    )
    result = run_python("-c", script, path)
    assert result.returncode == 2
    assert "cannot write" in one_line(result.stderr)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_file_in_the_place_of_a_folder_is_a_storage_error(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(StorageError, match="cannot write"):
        write_text(tmp_path / "taken" / "file.txt", "y")


def test_folder_in_the_place_of_a_file_is_a_storage_error(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        write_text(tmp_path / "taken", "y")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_json_comes_back_as_it_was(tmp_path):
    value = {"name": "gare de l'Est é", "values": [1, 2.5, None, True], "inner": {"b": 1, "a": 2}}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json", "record") == value
    text = (tmp_path / "file.json").read_text(encoding="utf-8")
    assert "é" in text
    assert text.endswith("}\n")
    assert text.index('"b"') < text.index('"a"')


def test_not_a_number_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file.json", {"fps": float("nan")})
    assert [entry.name for entry in tmp_path.iterdir()] == []


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95])
def test_truncated_json_is_refused(tmp_path, share):
    path = tmp_path / "card.json"
    write_json(path, {"schema": 1, "names": list(range(50))})
    text = path.read_text()
    path.write_text(text[: int(len(text) * share)])
    with pytest.raises(
        ContractError, match=r"is damaged: line \d+, column \d+ has .*, expected .*\. Next: "
    ) as refused:
        read_json(path, "engine card", "python export/build_engine.py")
    assert str(refused.value).startswith(f"engine card {path} ")
    assert "make it again with python export/build_engine.py, or correct it there" in str(refused.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1, column 1 has the end of the file"),
        (b"\xff\xfe\x00", "ends within a character"),
        (b"[1]", "a list"),
    ],
)
def test_json_of_another_kind_is_refused(tmp_path, data, message):
    (tmp_path / "file.json").write_bytes(data)
    with pytest.raises(ContractError, match=message):
        read_json(tmp_path / "file.json", "record")


@pytest.mark.parametrize("name", ["none.json", "folder", "file/inside.json"])
def test_json_that_is_not_there_is_named(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="engine card not found"):
        read_json(tmp_path / name, "engine card")


@pytest.mark.parametrize("read", [sha256_file, lambda path: read_json(path, "card")])
def test_file_without_permission_is_an_input_error_not_a_write_error(tmp_path, monkeypatch, read):
    (tmp_path / "file").write_text("{}")

    def refused(*_arguments, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    monkeypatch.setattr("io.open", refused)
    monkeypatch.setattr("pathlib.Path.read_text", refused)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        read(tmp_path / "file")


def test_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    data = os.urandom(3 * (1 << 20) + 17)
    (tmp_path / "file").write_bytes(data)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()
    for missing in (tmp_path / "none", tmp_path, tmp_path / "file" / "inside"):
        with pytest.raises(InputError, match="file not found"):
            sha256_file(missing)


def test_hash_of_json_knows_values_but_not_the_order_of_keys():
    assert sha256_json({"a": 1, "b": [1, 2]}) == sha256_json({"b": [1, 2], "a": 1})
    assert sha256_json({"a": 1, "b": [1, 2]}) != sha256_json({"a": 1, "b": [2, 1]})
