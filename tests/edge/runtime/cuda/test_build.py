from __future__ import annotations

import configparser
import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge import user_cache
from edge.compiled_library import find_compilers
from edge.errors import BackendError
from edge.runtime.cuda import KERNELS, build, nvrtc

REPOSITORY = Path(__file__).resolve().parents[4]
# AGX Xavier is 7.2, which CUDA 13 does not know any more: 7.5 stands for it.
ARCHITECTURES = ("75", "87", "90", "110")


class PretendedCompiler:
    """Gives code that says what it was made from, and counts."""

    def __init__(self, description="pretended 11.4", failure=""):
        self.description, self._failure, self.calls = description, failure, []

    def compile(self, path, options):
        self.calls.append(list(options))
        if self._failure:
            raise BackendError(self._failure)
        return f"{self.description} {options[0]} ".encode() + path.read_bytes()


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGEDGE_CACHE", str(tmp_path / "cache"))
    remembered = (build.load_image, user_cache._private_folder)
    for function in remembered:
        function.cache_clear()
    yield
    for function in remembered:
        function.cache_clear()


@pytest.fixture
def use(monkeypatch):
    def use(*compilers):
        build.load_image.cache_clear()
        monkeypatch.setattr(build, "find_compilers", lambda: iter(compilers))
        return compilers[0] if compilers else None

    return use


@pytest.fixture
def kept(tmp_path):
    return lambda: sorted(path.name for path in (tmp_path / "cache").iterdir())


class TestCache:
    def test_second_process_takes_what_the_first_compiled(self, use, kept):
        compiler = use(PretendedCompiler())
        image = build.load_image("8.7")
        assert image.startswith(b"pretended 11.4 --gpu-architecture=sm_87 ")
        use(compiler)
        assert build.load_image("8.7") == image
        assert len(compiler.calls) == 1
        assert len(kept()) == 1 and re.fullmatch(r"cuda-8\.7-[0-9a-f]{24}-[0-9a-f]{24}\.cubin", kept()[0])

    def test_same_process_asks_neither_compiler_nor_disk_again(self, use, kept, tmp_path):
        compiler = use(PretendedCompiler())
        image = build.load_image("8.7")
        (tmp_path / "cache" / kept()[0]).unlink()
        assert build.load_image("8.7") is image
        assert len(compiler.calls) == 1

    def test_contraction_is_off_in_every_compilation(self, use):
        compiler = use(PretendedCompiler())
        build.load_image("11.0")
        assert compiler.calls[0][0] == "--gpu-architecture=sm_110"
        assert {"--fmad=false", "--std=c++14"} <= set(compiler.calls[0])

    def test_another_gpu_compiler_or_source_gets_code_of_its_own(self, use, kept, monkeypatch, tmp_path):
        use(PretendedCompiler())
        images = [build.load_image("8.7"), build.load_image("7.2")]
        use(PretendedCompiler("pretended 12.6"))
        images.append(build.load_image("8.7"))
        monkeypatch.setattr(build, "SOURCE", tmp_path / "other.cu")
        build.SOURCE.write_text("other")
        use(PretendedCompiler("pretended 12.6"))
        images.append(build.load_image("8.7"))
        assert len(set(images)) == len(kept()) == 4

    def test_key_follows_the_shared_header_and_the_flags(self, monkeypatch, tmp_path):
        keys = [build.image_key("8.7", "one")]
        monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "--lineinfo"))
        keys.append(build.image_key("8.7", "one"))
        monkeypatch.setattr(build, "INCLUDE_FOLDER", tmp_path)
        (tmp_path / "bilinear.h").write_text("other arithmetic")
        keys.append(build.image_key("8.7", "one"))
        assert len(set(keys)) == 3

    def test_damaged_file_is_compiled_again(self, use, kept, tmp_path):
        compiler = use(PretendedCompiler())
        image = build.load_image("8.7")
        (tmp_path / "cache" / kept()[0]).write_bytes(image[:-1])
        use(compiler)
        assert build.load_image("8.7") == image
        assert len(compiler.calls) == 2
        assert (tmp_path / "cache" / kept()[0]).read_bytes() == image

    def test_full_disk_costs_the_next_start_alone(self, use, kept, monkeypatch):
        def full(*arguments):
            raise OSError(28, "No space left on device")

        compiler = use(PretendedCompiler())
        monkeypatch.setattr(build.os, "replace", full)
        assert build.load_image("8.7").startswith(b"pretended")
        assert kept() == []
        use(compiler)
        assert build.load_image("8.7").startswith(b"pretended")
        assert len(compiler.calls) == 2

    @pytest.mark.any_python
    def test_two_processes_at_once_leave_one_whole_file(self, kept):
        script = (
            "from edge.runtime.cuda import build\n"
            "class Slow:\n"
            "    description = 'slow'\n"
            "    def compile(self, path, options):\n"
            "        import time; time.sleep(0.2); return path.read_bytes()\n"
            "build.find_compilers = lambda: iter([Slow()])\n"
            "assert build.load_image('8.7') == build.SOURCE.read_bytes()\n"
        )
        processes = [
            subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stderr=subprocess.PIPE) for _ in range(2)
        ]
        errors = [process.communicate(timeout=60)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], errors
        assert len(kept()) == 1


class TestFailures:
    def test_second_compiler_takes_over(self, use):
        use(PretendedCompiler(failure="no host compiler"), PretendedCompiler("second"))
        assert build.load_image("8.7").startswith(b"second")

    def test_first_failure_is_what_is_told(self, use, kept):
        use(PretendedCompiler(failure="nvcc says sm_99 is unknown"), PretendedCompiler(failure="so does NVRTC"))
        with pytest.raises(
            BackendError, match=r"compute capability 9\.9 .*nvcc says sm_99 is unknown.* Next: "
        ) as caught:
            build.load_image("9.9")
        assert "\n" not in str(caught.value)

    def test_no_compiler_names_what_to_install(self, use):
        use()
        with pytest.raises(BackendError, match=r"neither nvcc nor NVRTC.*Next: sudo apt install"):
            build.load_image("8.7")

    @pytest.mark.parametrize("capability", ["", "sm_87", "8", "8.7; rm"])
    def test_what_is_no_compute_capability_is_refused(self, use, capability):
        compiler = use(PretendedCompiler())
        with pytest.raises(BackendError, match=r"expected a number such as 8\.7"):
            build.load_image(capability)
        assert not compiler.calls


def script_at(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return os.fspath(path)


class TestNvcc:
    def test_cuda_home_comes_first_and_then_the_path(self, monkeypatch, tmp_path):
        of_home = script_at(tmp_path / "cuda" / "bin" / "nvcc", "exit 0")
        of_path = script_at(tmp_path / "bin" / "nvcc", "exit 0")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
        assert build.find_nvcc() == of_home
        monkeypatch.delenv("CUDA_HOME")
        assert build.find_nvcc() == of_path

    def test_first_error_is_told_in_one_line(self, tmp_path):
        body = (
            '[ "$1" = --version ] && echo 11.4 && exit 0; echo "note"; echo "k.cu(3): error: no such thing" >&2; exit 2'
        )
        compiler = build.Nvcc(script_at(tmp_path / "nvcc", body))
        assert compiler.description == "11.4\n"
        with pytest.raises(BackendError, match=r"could not compile it \(k\.cu\(3\): error: no such thing\)$"):
            compiler.compile(build.SOURCE, [])

    def test_one_that_writes_nothing_is_an_error(self, tmp_path):
        with pytest.raises(BackendError, match="wrote nothing"):
            build.Nvcc(script_at(tmp_path / "nvcc", "exit 0")).compile(build.SOURCE, [])

    def test_one_that_cannot_start_is_passed_over(self, monkeypatch, tmp_path):
        monkeypatch.setattr(build, "find_nvcc", lambda: script_at(tmp_path / "nvcc", "exit 1"))
        monkeypatch.setattr(build, "find_nvrtc", lambda: "the other")
        assert list(build.find_compilers()) == ["the other"]

    def test_paths_with_spaces(self, monkeypatch, tmp_path):
        body = '[ "$1" = --version ] && exit 0; while [ "$1" != --output-file ]; do shift; done; echo code > "$2"'
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        compiler = build.Nvcc(script_at(tmp_path / "a folder" / "nvcc", body))
        assert compiler.compile(build.SOURCE, ["--include-path=a b"]) == b"code\n"


# What of libnvrtc is called, as its documentation says.
PRETENDED_NVRTC = """
#include <cstring>
#include <string>
struct Program { std::string source, log, code; };
extern "C" {
const char* nvrtcGetErrorString(int status) { return status == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR_OTHER"; }
int nvrtcVersion(int* major, int* minor) { *major = 11; *minor = 8; return 0; }
int nvrtcCreateProgram(Program** made, const char* source, const char* name, int headers, void*, void*) {
    if (headers) return 3;
    *made = new Program{std::string(name) + ":" + source, "", ""};
    return 0;
}
int nvrtcCompileProgram(Program* program, int count, const char* const* options) {
    if (program->source.find("wrong") != std::string::npos) {
        program->log = "k.cu(1): warning: odd\\nk.cu(2): error: no such thing\\n2 errors\\n";
        return 6;
    }
    for (int i = 0; i < count; ++i) program->code += std::string(options[i]) + "|";
    program->code += program->source;
    return 0;
}
int nvrtcGetProgramLogSize(Program* program, size_t* size) { *size = program->log.size() + 1; return 0; }
int nvrtcGetProgramLog(Program* program, char* to) { std::strcpy(to, program->log.c_str()); return 0; }
int nvrtcGetCUBINSize(Program* program, size_t* size) { *size = program->code.size(); return program->code.empty(); }
int nvrtcGetCUBIN(Program* program, char* to) { std::memcpy(to, program->code.data(), program->code.size()); return 0; }
int nvrtcDestroyProgram(Program** program) { delete *program; *program = nullptr; return 0; }
}
"""


@pytest.fixture(scope="module")
def pretended_nvrtc(tmp_path_factory):
    compilers = find_compilers()
    if not compilers:
        pytest.skip("no C++ compiler here, so no stand-in for libnvrtc")
    folder = tmp_path_factory.mktemp("nvrtc")
    (folder / "nvrtc.cpp").write_text(PRETENDED_NVRTC)
    made = folder / "libnvrtc.so"
    command = [*compilers[0], "-std=c++14", "-fPIC", "-shared", "-o", os.fspath(made), os.fspath(folder / "nvrtc.cpp")]
    subprocess.run(command, check=True, timeout=120)
    return os.fspath(made)


class TestNvrtc:
    def test_compiles_with_the_options_given(self, pretended_nvrtc, tmp_path):
        (tmp_path / "k.cu").write_text("source")
        compiler = nvrtc.Nvrtc(ctypes.CDLL(pretended_nvrtc))
        assert compiler.description == "NVRTC 11.8"
        assert compiler.compile(tmp_path / "k.cu", ["--a", "--b"]) == b"--a|--b|k.cu:source"

    def test_first_error_is_told_in_one_line(self, pretended_nvrtc, tmp_path):
        (tmp_path / "k.cu").write_text("wrong")
        with pytest.raises(BackendError, match=r"^NVRTC 11\.8 could not .*\(k\.cu\(2\): error: no such thing\)$"):
            nvrtc.Nvrtc(ctypes.CDLL(pretended_nvrtc)).compile(tmp_path / "k.cu", [])

    def test_call_that_fails_is_named(self, pretended_nvrtc, tmp_path):
        compiler = nvrtc.Nvrtc(ctypes.CDLL(pretended_nvrtc))
        with pytest.raises(BackendError, match=r"nvrtcGetCUBINSize failed \(NVRTC_ERROR_OTHER\)"):
            compiler._read(self.empty_program(compiler), "nvrtcGetCUBIN")

    @staticmethod
    def empty_program(compiler):
        program = ctypes.c_void_p()
        compiler._call("nvrtcCreateProgram", ctypes.byref(program), b"", b"", 0, None, None)
        return program

    def test_library_that_makes_no_gpu_code_is_refused(self):
        with pytest.raises(BackendError, match=r"expected NVRTC of CUDA 11\.1"):
            nvrtc.Nvrtc(ctypes.CDLL(None))

    def test_is_found_where_its_library_is(self, pretended_nvrtc, monkeypatch):
        monkeypatch.setattr(nvrtc, "_candidates", lambda: iter(["libnvrtc-that-is-not-there.so", pretended_nvrtc]))
        assert nvrtc.find_nvrtc().description == "NVRTC 11.8"
        monkeypatch.setattr(nvrtc, "_candidates", lambda: iter(["libnvrtc-that-is-not-there.so"]))
        assert nvrtc.find_nvrtc() is None


class TestRealCompilers:
    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    @pytest.mark.any_python
    def test_nvcc_takes_the_source_and_contracts_no_label(self, architecture, tmp_path):
        program = build.find_nvcc()
        if program is None:
            pytest.skip("no nvcc here (CUDA toolkit), so kernels.cu is compiled by the C++ compiler alone")
        known = subprocess.run([program, "--list-gpu-arch"], capture_output=True, text=True, timeout=60).stdout.split()
        if f"compute_{architecture}" not in known:
            pytest.skip(f"this nvcc does not know compute_{architecture}: {' '.join(known)}")
        made = tmp_path / "kernels.ptx"
        command = [program, "--ptx", f"--gpu-architecture=compute_{architecture}", *build.FLAGS]
        warnings = ["--Werror", "all-warnings", f"--include-path={build.INCLUDE_FOLDER}"]
        run = subprocess.run(
            [*command, *warnings, "--output-file", os.fspath(made), os.fspath(build.SOURCE)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert run.returncode == 0, run.stderr
        ptx = made.read_text()
        assert re.search(rf"^\.target sm_{architecture}\b", ptx, re.MULTILINE)
        bodies = dict(re.findall(r"^\.visible \.entry (\w+)\((.*?)^\}", ptx, re.MULTILINE | re.DOTALL))
        assert sorted(bodies) == sorted(KERNELS)
        # The blend is fused on purpose, in each of three channels; labels rest on products that are rounded.
        fused = {name: len(re.findall(r"\bfma\.rn\.f(?:32|64)", body)) for name, body in bodies.items()}
        assert {name: count for name, count in fused.items() if count} == {"segedge_paint": 3}
        assert re.search(r"\bmul\.(?:rn\.)?f64", bodies["segedge_label_pixels"])

    @pytest.mark.any_python
    def test_image_of_a_real_compiler_is_a_cubin_and_is_kept(self, kept):
        if not list(build.find_compilers()):
            pytest.skip("neither nvcc nor NVRTC here")
        image = build.load_image("8.7")
        assert image.startswith(b"\x7fELF")
        for kernel in KERNELS:
            assert kernel.encode() in image
        assert len(kept()) == 1

    def test_nvrtc_takes_the_source_without_headers_of_a_compiler(self):
        compiler = nvrtc.find_nvrtc()
        if compiler is None:
            pytest.skip("no libnvrtc here")
        options = ["--gpu-architecture=sm_87", *build.FLAGS, f"--include-path={build.INCLUDE_FOLDER}"]
        assert compiler.compile(build.SOURCE, options).startswith(b"\x7fELF")


def test_an_installed_package_brings_the_source():
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    data = settings["options.package_data"]
    assert build.SOURCE.match(data["edge.runtime.cuda"])
    header = build.INCLUDE_FOLDER / "bilinear.h"
    assert header.is_file() and any(header.match(word.strip()) for word in data["edge.postprocess.native"].split(","))
