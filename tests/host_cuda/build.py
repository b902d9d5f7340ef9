"""Build the host-memory CUDA driver, and the real pycuda over it for this Python; keep both in the cache folder.

    python tests/host_cuda/build.py        prints the folder: libcuda.so.1, host_kernels.so and the package pycuda

The folder lies in edge's cache ($SEGEDGE_CACHE, else ~/.cache/segedge) and is named by a hash of everything it was
made from, so nothing stale is used; it is made elsewhere and renamed when it is whole. pycuda's own setup is not
run: it would compile for minutes what matters nothing here. Its sources are fetched from the package index.

Exit code 4 and one line on stderr: something that this needs is not on this machine.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path.insert(0, os.fspath(REPOSITORY))

from edge.postprocess.native.build import SOURCE as NATIVE_SOURCE  # noqa: E402
from edge.user_cache import cache_folder  # noqa: E402

PYCUDA_VERSION = "2026.1"
LACKS = 4
TIMEOUT_S = 600

DRIVER_FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared")
KERNEL_FLAGS = ("-std=c++14", "-O2", "-fPIC", "-shared", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")
KERNEL_SOURCES = (
    REPOSITORY / "tests" / "edge" / "runtime" / "cuda" / "host_grid.cpp",
    REPOSITORY / "edge" / "runtime" / "cuda" / "kernels.cu",
    *sorted(NATIVE_SOURCE.parent.glob("*.h")),
)
# As aksetup_helper.py of pycuda sets them for its own copy of Boost; nothing is optimised, since nothing is timed.
PYCUDA_FLAGS = (
    "-std=gnu++17",
    "-O0",
    "-w",
    "-fPIC",
    "-fno-strict-aliasing",
    "-fvisibility=hidden",
    "-pthread",
    "-Isrc/cpp",
    "-Ibpl-subset/bpl_subset",
    "-Dboost=pycudaboost",
    "-DBOOST_ALL_NO_LIB=1",
    "-DBOOST_THREAD_BUILD_DLL=1",
    "-DBOOST_PYTHON_SOURCE=1",
    "-DBOOST_MULTI_INDEX_DISABLE_SERIALIZATION=1",
    "-DBOOST_THREAD_DONT_USE_CHRONO=1",
    "-DPYGPU_PACKAGE=pycuda",
    "-DPYGPU_PYCUDA=1",
)
# The longest first. The files of Boost are compiled in few pieces: most of the time goes into their headers.
PYCUDA_SOURCES = ("src/wrapper/wrap_cudadrv.cpp", "src/wrapper/mempool.cpp", "src/cpp/cuda.cpp", "src/cpp/bitlog.cpp")
PACKAGES_WITH_HEADERS = (
    ("nvidia", "cuda_runtime/include"),
    ("nvidia", "cu13/include"),
    ("tensorflow", "include/third_party/gpus/cuda/include"),
)
STRUCT_SOURCE = "src/wrapper/_pvt_struct_v3.cpp"


class LackingError(Exception):
    """Something that the build needs is not here."""


def find_program(*names: str) -> str:
    """Return the first program of `names` that is there.

    Raises:
        LackingError: none is.
    """
    for name in filter(None, names):
        if shutil.which(name):
            return name
    raise LackingError(f"no {names[-1]} here (apt install {names[-1]})")


def find_cuda_headers() -> Path:
    """Return a folder with cuda.h: of the toolkit, or of a package that carries them.

    Raises:
        LackingError: there is none.
    """
    homes = [home for home in (os.environ.get("CUDA_HOME"), "/usr/local/cuda") if home]
    places = [Path(home) / "include" for home in homes]
    for package, inside in PACKAGES_WITH_HEADERS:
        spec = importlib.util.find_spec(package)
        places += [Path(folder) / inside for folder in (spec and spec.submodule_search_locations) or ()]
    for place in places:
        if (place / "cuda.h").is_file():
            return place
    raise LackingError("no cuda.h here (set CUDA_HOME, or pip install nvidia-cuda-runtime-cu12)")


def run(command: list[str], folder: Path | None = None) -> str:
    """Run a program and return what it says.

    Raises:
        RuntimeError: it fails; with the last lines of what it said.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n" + "\n".join(done.stdout.splitlines()[-15:]))
    return done.stdout


def digest_of(*parts: object) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update((part.read_bytes() if isinstance(part, Path) else str(part).encode()) + b"\0")
    return digest.hexdigest()[:24]


@contextlib.contextmanager
def whole_folder(place: Path):
    """Give a folder to fill that takes its place when it is whole; several processes may do so at once."""
    scratch = Path(tempfile.mkdtemp(prefix=".host-cuda-", dir=place.parent))
    try:
        yield scratch
        with contextlib.suppress(OSError):  # another process was first
            os.replace(scratch, place)
        if not place.is_dir():
            raise RuntimeError(f"{place} could not be made")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def build_driver(folder: Path, gcc: str) -> None:
    """Compile libcuda.so.1 into a folder."""
    made = folder / "libcuda.so.1"
    sources = [os.fspath(path) for path in sorted(HERE.glob("*.c"))]
    run([gcc, *DRIVER_FLAGS, "-Wl,-soname,libcuda.so.1", *sources, "-o", os.fspath(made), "-ldl", "-lpthread"])
    (folder / "libcuda.so").symlink_to(made.name)


def build_kernels(folder: Path, gxx: str) -> None:
    """Compile the kernels and the grid that runs them on the host into a folder."""
    folders = sorted({f"-I{path.parent}" for path in KERNEL_SOURCES})
    run([gxx, *KERNEL_FLAGS, *folders, os.fspath(KERNEL_SOURCES[0]), "-o", os.fspath(folder / "host_kernels.so")])


def fetch_pycuda(folder: Path) -> Path:
    """Unpack pycuda's sources in a folder.

    Raises:
        LackingError: the package index does not give them.
    """
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary=:all:", "--no-build-isolation", "-d", os.fspath(folder), f"pycuda=={PYCUDA_VERSION}"]
    try:
        run(command)
        archive = next(folder.glob("pycuda-*.tar.gz"))
    except (RuntimeError, StopIteration) as reason:
        raise LackingError(f"the sources of pycuda {PYCUDA_VERSION} cannot be downloaded: {reason}") from None
    with tarfile.open(archive) as packed:
        packed.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return folder / archive.name[: -len(".tar.gz")]


def build_pycuda(folder: Path, driver: Path, gxx: str, headers: Path) -> None:
    """Compile pycuda into a folder, against the driver in another one."""
    import numpy

    jobs = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="segedge-pycuda-") as scratch:
        source = fetch_pycuda(Path(scratch))
        subset = source / "bpl-subset" / "bpl_subset"
        (subset / "pycudaboost").symlink_to("boost")
        boost = [path for path in subset.glob("libs/**/*.cpp") if "thread" not in path.parts]
        boost += [path for path in subset.glob("libs/thread/src/pthread/*.cpp") if path.name != "once_atomic.cpp"]
        pieces = [f"piece_{index}.cpp" for index in range(jobs)]
        for index, piece in enumerate(pieces):
            lines = [f'#include "{path}"\n' for path in sorted(boost)[index::jobs]]
            (source / piece).write_text("".join(lines), encoding="utf-8")
        includes = [sysconfig.get_paths()["include"], numpy.get_include(), os.fspath(headers), HERE / "headers"]
        flags = [*PYCUDA_FLAGS, *(f"-I{include}" for include in includes)]

        def compile_one(name: str) -> str:
            made = f"{Path(name).stem}.o"
            run([gxx, *flags, "-c", name, "-o", made], source)
            return made

        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            *objects, struct = pool.map(compile_one, (*PYCUDA_SOURCES, *pieces, STRUCT_SOURCE))
        package = folder / "pycuda"
        shutil.copytree(source / "pycuda", package)
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        link = [gxx, "-shared", "-pthread"]
        # The driver itself is found by its name when the extension is loaded, as the real one is.
        made = os.fspath(package / f"_driver{suffix}")
        run([*link, *objects, "-o", made, f"-L{driver}", "-l:libcuda.so.1"], source)
        run([*link, struct, "-o", os.fspath(package / f"_pvt_struct{suffix}")], source)


def build() -> tuple[Path, Path]:
    """Return the folder of libcuda.so.1 and host_kernels.so, and that of the package pycuda.

    Raises:
        LackingError: a compiler, headers or sources are not here.
        RuntimeError: something does not compile.
    """
    gcc, gxx = find_program(os.environ.get("CC", ""), "gcc"), find_program(os.environ.get("CXX", ""), "g++")
    headers = find_cuda_headers()
    compilers = (run([gcc, "--version"]), run([gxx, "--version"]))
    version = re.search(r"define CUDA_VERSION (\d+)", (headers / "cuda.h").read_text(errors="replace"))
    cache = cache_folder()
    sources = (Path(__file__), *sorted(HERE.glob("*.[ch]")), *KERNEL_SOURCES)
    driver = cache / f"host-cuda-{digest_of(compilers, *sources)}"
    if not driver.is_dir():
        with whole_folder(driver) as folder:
            build_driver(folder, gcc)
            build_kernels(folder, gxx)
    import numpy

    made_from = (PYCUDA_VERSION, PYCUDA_FLAGS, sys.version, numpy.__version__, version and version.group(1), compilers)
    pycuda = cache / f"host-pycuda-{digest_of(*made_from)}"
    if not pycuda.is_dir():
        print(f"building pycuda {PYCUDA_VERSION}, once", file=sys.stderr, flush=True)
        with whole_folder(pycuda) as folder:
            build_pycuda(folder, driver, gxx, headers)
    return driver, pycuda


def main() -> int:
    """Print both folders, a line each."""
    try:
        print("\n".join(os.fspath(folder) for folder in build()))
    except LackingError as reason:
        print(" ".join(str(reason).split()), file=sys.stderr)
        return LACKS
    return 0


if __name__ == "__main__":
    sys.exit(main())
