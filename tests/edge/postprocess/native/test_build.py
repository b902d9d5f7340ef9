import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge import compiled_library, user_cache
from edge.postprocess import LabelUpsampler
from edge.postprocess.native import build

REPOSITORY = Path(__file__).resolve().parents[4]

needs_compiler = pytest.mark.skipif(not compiled_library.find_compilers(), reason="no C++ compiler on this machine")


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """An empty cache, a tiny source in place of the kernel, and nothing remembered from before or for later."""
    source = tmp_path / "source" / "tiny.cpp"
    source.parent.mkdir()
    source.write_text('extern "C" int answer() { return 42; }\n')
    monkeypatch.setattr(build, "SOURCE", source)
    monkeypatch.setenv("SEGEDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SEGEDGE_NATIVE", raising=False)
    remembered = (
        build.load_library,
        build._load,
        user_cache._private_folder,
        compiled_library._compiler_version,
        compiled_library._processor,
    )
    for function in remembered:
        function.cache_clear()
    yield
    for function in remembered:
        function.cache_clear()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def compilations(monkeypatch):
    """The command lines that compiled something."""
    seen = []
    run = subprocess.run

    def spy(command, **options):
        if "-o" in command:
            seen.append(command)
        return run(command, **options)

    monkeypatch.setattr(compiled_library.subprocess, "run", spy)
    return seen


def forget():
    build.load_library.cache_clear()
    build._load.cache_clear()


def fake_compiler(tmp_path, monkeypatch, body):
    """Make a shell script the only compiler; `$@` in it are the arguments."""
    script = tmp_path / "fake-cxx"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setattr(compiled_library, "COMPILERS", ())


@needs_compiler
class TestCache:
    def test_a_library_is_compiled_once_and_kept(self, cache, compilations):
        assert build.load_library().answer() == 42
        assert len(compilations) == 1
        forget()
        assert build.load_library().answer() == 42
        assert len(compilations) == 1
        assert [path.suffix for path in cache.iterdir()] == [".so"]
        assert build.unavailable_reason() == ""

    def test_another_source_is_compiled_anew(self, compilations):
        build.load_library()
        build.SOURCE.write_text('extern "C" int answer() { return 43; }\n')
        forget()
        assert build.load_library().answer() == 43
        assert len(compilations) == 2

    def test_another_header_is_compiled_anew(self, compilations):
        header = build.SOURCE.with_name("number.h")
        build.SOURCE.write_text('#include "number.h"\nextern "C" int answer() { return NUMBER; }\n')
        header.write_text("#define NUMBER 1\n")
        assert build.load_library().answer() == 1
        header.write_text("#define NUMBER 2\n")
        forget()
        assert build.load_library().answer() == 2

    @pytest.mark.parametrize("damage", ["cut", "overwritten", "empty"])
    def test_a_damaged_library_is_compiled_again(self, cache, compilations, damage):
        # Damaged before it is loaded for the first time here: a file that is in use must not be written to.
        assert subprocess.run([*compiled_library.find_compilers()[0], "--version"], capture_output=True).returncode == 0
        source = build.SOURCE.read_bytes()
        key = compiled_library.library_key(
            source, [*compiled_library.find_compilers()[0], *build._FLAGS, compiled_library._native_flag()]
        )
        command = [*compiled_library.find_compilers()[0], *build._FLAGS, compiled_library._native_flag()]
        compiled_library._compile(user_cache.cache_folder(), key, command, [build.SOURCE])
        (path,) = cache.glob("native-*.so")
        whole = path.read_bytes()
        path.unlink()
        middle = len(whole) // 2
        damaged = {
            "cut": whole[:middle],
            "overwritten": whole[:middle] + b"\xff" * 64 + whole[middle + 64 :],
            "empty": b"",
        }
        path.write_bytes(damaged[damage])
        assert build.load_library().answer() == 42
        assert len(compilations) == 2
        (path,) = cache.glob("native-*.so")
        assert path.read_bytes() == whole

    def test_a_folder_that_cannot_be_made_is_replaced_by_a_private_one(self, monkeypatch, tmp_path):
        blocked = tmp_path / "file"
        blocked.write_text("")
        monkeypatch.setenv("SEGEDGE_CACHE", str(blocked / "cache"))
        assert build.load_library().answer() == 42
        assert user_cache._private_folder().stat().st_mode & 0o777 == 0o700

    def test_nothing_is_loaded_from_a_folder_of_another_user(self, monkeypatch, cache):
        cache.mkdir()
        owner = cache.stat().st_uid
        stat = Path.stat

        def foreign(path, **options):
            result = stat(path, **options)
            return os.stat_result((*result[:4], owner + 1, *result[5:10])) if path == cache else result

        monkeypatch.setattr(Path, "stat", foreign)
        assert build.load_library().answer() == 42
        assert not list(cache.iterdir())

    @pytest.mark.any_python
    def test_two_processes_at_once(self, cache):
        script = (
            "import numpy as np; from edge.postprocess import *; "
            "logits = np.random.default_rng(0).normal(size=(5, 9, 11)).astype(np.float32); "
            "upsampler = LabelUpsampler(5, 9, 11, 72, 88, backend='native'); "
            "assert np.array_equal(upsampler(logits), reference_labels(logits, 72, 88))"
        )
        processes = [
            subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stderr=subprocess.PIPE) for _ in range(2)
        ]
        errors = [process.communicate(timeout=120)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], errors
        left = [path.name for path in cache.iterdir()]
        assert left and all(name.startswith("native-") and name.endswith(".so") for name in left)


class TestKey:
    COMMAND = ["c++", "-O3"]

    def test_differs_with_all_that_makes_a_library_differ(self, monkeypatch):
        monkeypatch.setattr(compiled_library, "_compiler_version", lambda program: "12.2")
        monkeypatch.setattr(compiled_library, "_processor", lambda: "one")
        keys = [
            compiled_library.library_key(b"source", self.COMMAND),
            compiled_library.library_key(b"other", self.COMMAND),
        ]
        keys.append(compiled_library.library_key(b"source", ["c++", "-O2"]))
        monkeypatch.setattr(compiled_library, "_compiler_version", lambda program: "13.1")
        keys.append(compiled_library.library_key(b"source", self.COMMAND))
        monkeypatch.setattr(compiled_library, "_processor", lambda: "two")
        keys.append(compiled_library.library_key(b"source", self.COMMAND))
        assert len(set(keys)) == 5
        assert compiled_library.library_key(b"source", self.COMMAND) == keys[-1]


class TestFallback:
    def test_the_environment_turns_native_code_off_without_a_word(self, monkeypatch, caplog, compilations):
        monkeypatch.setenv("SEGEDGE_NATIVE", "0")
        assert build.load_library() is None
        assert "SEGEDGE_NATIVE=0" in build.unavailable_reason()
        assert not caplog.records
        assert not compilations
        assert LabelUpsampler(3, 2, 2, 4, 4).backend == "numpy"

    def test_no_compiler(self, monkeypatch, caplog):
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setattr(compiled_library, "COMPILERS", ("no-such-compiler",))
        assert build.load_library() is None
        assert "apt install g++" in build.unavailable_reason()
        assert build.load_library() is None
        assert len(caplog.records) == 1
        assert LabelUpsampler(3, 2, 2, 4, 4).backend == "numpy"

    def test_a_compiler_that_fails(self, monkeypatch, tmp_path, cache):
        fake_compiler(tmp_path, monkeypatch, 'echo "x.cpp:1: error: no such thing" >&2; exit 1')
        assert build.load_library() is None
        assert "x.cpp:1: error: no such thing" in build.unavailable_reason()
        assert "\n" not in build.unavailable_reason()
        assert not list(cache.iterdir())

    def test_a_compiler_that_writes_no_library(self, monkeypatch, tmp_path):
        fake_compiler(tmp_path, monkeypatch, 'while [ "$1" != -o ]; do shift; done; echo nonsense > "$2"')
        assert build.load_library() is None
        assert build.unavailable_reason()

    @needs_compiler
    def test_a_compiler_that_does_not_know_this_processor(self, monkeypatch, tmp_path, compilations):
        real = compiled_library.find_compilers()[0][0]
        fake_compiler(tmp_path, monkeypatch, f'case "$*" in *=native*) exit 1;; esac; exec {real} "$@"')
        assert build.load_library().answer() == 42
        assert [any("native" in word for word in command[:-3]) for command in compilations] == [True, False]

    @needs_compiler
    def test_a_broken_first_compiler(self, monkeypatch, tmp_path):
        monkeypatch.setenv("CXX", "false --option")
        assert isinstance(build.load_library(), ctypes.CDLL)
