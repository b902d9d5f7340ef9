"""What a kept result depends on is found by reading the code: what counts, what does not, and on every Python alike."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from calibration.ranges.record import ranges_code
from edge.code_digest import APART, CHECKOUT, PACKAGES, code_digest, forget_code, import_closure, other_code
from edge.frames import SyntheticFrames
from export.pipeline import int8

RANGES = ("calibration.ranges.collector", "calibration.ranges.rescaling")
EXPORT = ("export.from_keras.exporter", "train.models.fast_scnn")
ADOPTION = ("export.adopt.adoption",)
CACHE = ("calibration.trt.cache",)
TENSORRT_CALIBRATION = ("calibration.trt.calibrator",)
CHOICE = ("calibration.images.selection",)
DRAWN = ("edge.synthetic.scene",)
RECIPE, SEARCH = int8._EVALUATION, int8._SEARCH
RESULTS = (RANGES, EXPORT, ADOPTION, CACHE, TENSORRT_CALIBRATION, CHOICE, DRAWN, RECIPE, SEARCH)


@pytest.fixture(autouse=True)
def fresh():
    yield
    forget_code()


def files(checkout: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    forget_code()
    return checkout


def closure(checkout: Path, *roots: str) -> set[str]:
    return {path.as_posix() for path in import_closure(*roots, checkout=checkout)}


def digest_of(checkout: Path, text: str) -> str:
    return code_digest("edge.one", checkout=files(checkout, {"edge/__init__.py": "", "edge/one.py": text}))


# What belongs to a closure


def test_imports_at_module_level_in_functions_and_of_submodules_belong_to_it(tmp_path):
    files(
        tmp_path,
        {
            "edge/__init__.py": "",
            "edge/root.py": "import edge.a\nfrom edge import b\nfrom edge.c import value\n\n"
            "def late():\n    if True:\n        try:\n            from edge.d import e\n"
            "        finally:\n            pass\n    class Inner:\n        import export.f\n",
            **{f"edge/{name}.py": "value = 1\n" for name in ("a", "b", "c", "unused")},
            "edge/d/__init__.py": "",
            "edge/d/e.py": "import numpy\nfrom . import g\nfrom .g import value\n",
            "edge/d/g.py": "from ..h import value\n",
            "edge/h.py": "value = 1\n",
            "export/__init__.py": "",
            "export/f.py": "import other.thing\n",
            "other/thing.py": "",
        },
    )
    inside = "__init__ a b c d/__init__ d/e d/g h root"
    assert closure(tmp_path, "edge.root") == {
        *(f"edge/{name}.py" for name in inside.split()),
        "export/__init__.py",
        "export/f.py",
    }


def test_imports_for_type_checkers_do_not_belong_to_it(tmp_path):
    text = (
        "import typing\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import edge.a\nelse:\n    import edge.b\n"
        "if typing.TYPE_CHECKING:\n    import edge.c\n"
        "if len('x'):\n    import edge.d\n"
    )
    files(tmp_path, {"edge/__init__.py": "", "edge/root.py": text, **{f"edge/{name}.py": "" for name in "abcd"}})
    assert closure(tmp_path, "edge.root") == {f"edge/{name}.py" for name in ("__init__", "root", "b", "d")}


def test_package_on_the_way_counts_with_what_it_imports_at_once_and_one_that_is_used_with_all(tmp_path):
    files(
        tmp_path,
        {
            "edge/__init__.py": "",
            "edge/box/__init__.py": "import edge.at_once\n\ndef open_it():\n    import edge.late\n",
            "edge/box/lid.py": "",
            **{f"edge/{name}.py": "" for name in ("at_once", "late")},
            "edge/on_the_way.py": "from edge.box.lid import x\n",
            "edge/used.py": "from edge.box import open_it\n",
            "edge/bound.py": "import edge.box.lid\n",
        },
    )
    assert "edge/at_once.py" in closure(tmp_path, "edge.on_the_way")
    assert "edge/late.py" not in closure(tmp_path, "edge.on_the_way")
    assert "edge/late.py" in closure(tmp_path, "edge.used")
    assert "edge/late.py" in closure(tmp_path, "edge.bound")


def test_native_sources_beside_a_module_and_what_they_include_belong_to_it(tmp_path):
    files(
        tmp_path,
        {
            "edge/__init__.py": "",
            "edge/kernels/__init__.py": "",
            "edge/kernels/build.py": "",
            "edge/kernels/a.cu": '#include "b.h"\n#include <math.h>\n  # include "../more/c.cuh"\n',
            "edge/kernels/alone.cpp": "",
            "edge/kernels/notes.txt": "",
            "edge/elsewhere/b.h": "",
            "edge/more/c.cuh": "",
            "edge/more/unused.h": "",
            "edge/root.py": "from edge.kernels import build\n",
        },
    )
    native = {name for name in closure(tmp_path, "edge.root") if not name.endswith(".py")}
    assert native == {"edge/kernels/a.cu", "edge/kernels/alone.cpp", "edge/elsewhere/b.h", "edge/more/c.cuh"}


def test_what_is_set_apart_is_not_entered_but_has_a_closure_of_its_own():
    assert set(APART) == {"edge.synthetic", "edge.console"}
    drawn = {path for path in import_closure(*DRAWN) if path.parts[:2] == ("edge", "synthetic")}
    assert len(drawn) > 15
    for roots in RESULTS:
        if roots is not DRAWN:
            assert not drawn & set(import_closure(*roots))
            assert not any(path.parts[:2] == ("edge", "console") for path in import_closure(*roots))


def test_root_that_is_no_module_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"edge\.nothing is no module of .*, expected one in edge, calibration"):
        import_closure("edge.nothing")
    with pytest.raises(ValueError, match=r"one\.py is no Python"):
        digest_of(tmp_path, "def (")


# What counts of a file

PLAIN = '''import os

LIMIT = 3
TEXT = """one

  # two\x20\x20\x20
"""

def area(side):
    return side * side\x20
'''

TALKATIVE = '''"""Areas – with a dash, and # no comment."""
# -*- of squares
import os  # for nothing


LIMIT = 3
"""The largest
side."""
TEXT = """one

  # two\x20\x20\x20
"""


def area(side):
    r\'\'\'Return an "area" \\
    # of it.\'\'\'

    # Squares are simple; "so is this
    return side * side
    "no more"  # to say
'''


def test_comments_docstrings_and_blank_lines_do_not_count(tmp_path):
    assert digest_of(tmp_path, TALKATIVE) == digest_of(tmp_path, PLAIN)
    assert digest_of(tmp_path, PLAIN.replace("\n", "\r\n")) == digest_of(tmp_path, PLAIN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("side * side", "side + side"),
        ("    return", "        return"),
        ("# two   \n", "# three   \n"),
        ("# two   \n", "# two\n"),
        ('"""one\n\n', '"""one\n'),
        ("import os\n", ""),
    ],
)
def test_code_and_the_text_of_strings_count(tmp_path, old, new):
    assert PLAIN.count(old) == 1
    assert digest_of(tmp_path, PLAIN.replace(old, new)) != digest_of(tmp_path, PLAIN)


def test_string_with_a_comment_sign_or_a_quote_is_left_whole(tmp_path):
    lines = [
        "X = '#1'  # a",
        'X = "\'#2"',
        r"X = '\'#3'",
        'X = f"#{4}"',
        'X = rb"#5"',
        "X = '''#6'''",
        'X = ("#7"\n     # between\n     "#8")',
    ]
    digests = {digest_of(tmp_path, line + "\n") for line in lines}
    digests |= {digest_of(tmp_path, line.replace("#", "#0", 1) + "\n") for line in lines}
    assert len(digests) == 2 * len(lines)
    assert digest_of(tmp_path, lines[-1].replace("     # between\n", "")) == digest_of(tmp_path, lines[-1])


def test_every_byte_of_a_native_source_counts_and_so_do_the_names_of_files(tmp_path):
    first = digest_of(tmp_path, "X = 1\n")
    files(tmp_path, {"edge/kernel.cpp": "int x;  // one\n"})
    second = code_digest("edge.one", checkout=tmp_path)
    files(tmp_path, {"edge/kernel.cpp": "int x;  // two\n"})
    third = code_digest("edge.one", checkout=tmp_path)
    (tmp_path / "edge" / "kernel.cpp").rename(tmp_path / "edge" / "cernel.cpp")
    forget_code()
    assert len({first, second, third, code_digest("edge.one", checkout=tmp_path)}) == 4


def other_pythons() -> list[Path]:
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named = [os.environ.get("SEGEDGE_PYTHON38"), *(shutil.which(f"python3.{minor}") for minor in range(8, 14))]
    found = [Path(path) for path in (*named, *versions.glob("3.*/bin/python")) if path]
    return [path for path in found if path.is_file() and _minor(path) in range(8, 14)]


def _minor(python: Path) -> int:
    code = "import sys; print(sys.version_info[1])"
    run = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return int(run.stdout) if run.returncode == 0 else 0


def test_digest_is_the_same_on_the_oldest_and_the_newest_python_that_are_here():
    pythons = {_minor(path): path for path in other_pythons()}
    pythons.pop(sys.version_info[1], None)
    if not pythons:
        pytest.skip("no other Python is here")
    code = "import sys; from edge.code_digest import code_digest\nfor r in sys.argv[1:]: print(code_digest(*r.split()))"
    roots = [" ".join(roots) for roots in (*RESULTS, ("export.pipeline.build",))]
    for minor in {min(pythons), max(pythons)}:
        python = pythons[minor]
        run = subprocess.run(
            [str(python), "-c", code, *roots], cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.split() == [code_digest(*one.split()) for one in roots], f"Python 3.{minor}"


# This checkout


def test_no_module_imports_by_a_computed_name_but_those_that_are_known():
    known = {
        "edge/picture_formats/label_png.py",  # zlib-ng
        "edge/runtime/calls.py",  # TensorRT and pycuda, which are no modules of the checkout
        "train/tensorflow_import.py",  # tensorflow and keras
        "train/models/__init__.py",  # the architectures: source_digest names that of the model
    }
    found = set()
    for package in PACKAGES:
        for path in (CHECKOUT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                name = getattr(node, "attr", getattr(node, "id", getattr(node, "name", "")))
                if name in {"import_module", "__import__", "run_module", "run_path", "spec_from_file_location", "exec"}:
                    found.add(path.relative_to(CHECKOUT).as_posix())
    assert found == known


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the checkout's packages, whose files a test may change."""
    checkout = tmp_path_factory.mktemp("checkout")
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
    return checkout


def stale_after(copied: Path, name: str, roots: tuple[str, ...]) -> bool:
    """Say whether a result is stale after one line was added to a file."""
    before = code_digest(*roots, checkout=copied)
    path = copied / name
    text = path.read_bytes()
    path.write_bytes(text + (b"\n_PLANTED = 1\n" if name.endswith(".py") else b"\nint planted;\n"))
    forget_code()
    try:
        return code_digest(*roots, checkout=copied) != before
    finally:
        path.write_bytes(text)
        forget_code()


@pytest.mark.parametrize(
    ("name", "roots"),
    [
        ("edge/postprocess/native/upsample_argmax.cpp", SEARCH),
        ("edge/postprocess/native/upsample_argmax.cpp", RECIPE),
        ("edge/postprocess/native/bilinear.h", SEARCH),
        ("edge/segmenter.py", SEARCH),
        ("calibration/search/sensitivity.py", SEARCH),
        ("calibration/ranges/record.py", RANGES),
        ("calibration/ranges/record.py", SEARCH),
        ("calibration/ranges/record.py", CACHE),
        ("calibration/ranges/thresholds.py", RANGES),
        ("calibration/ranges/histogram.py", RANGES),
        ("calibration/ranges/rescaling.py", RANGES),
        ("calibration/onnx_graph/channel_flow.py", RANGES),
        ("edge/preprocess.py", RANGES),
        ("calibration/qdq/quantization_config.py", RECIPE),
        ("calibration/qdq/quantization_config.py", SEARCH),
        ("calibration/qdq/quantization_config.py", CACHE),
        ("calibration/qdq/channel_equalization.py", SEARCH),
        ("calibration/qdq/channel_factors.py", SEARCH),
        ("calibration/qdq/weight_reconstruction.py", RECIPE),
        ("calibration/qdq_ort/integer_input.py", RECIPE),
        ("calibration/trt/scales.py", CACHE),
        ("edge/preprocess.py", TENSORRT_CALIBRATION),
        ("calibration/images/coverage.py", CHOICE),
        ("edge/synthetic/vehicles.py", DRAWN),
        ("edge/synthetic/render.py", DRAWN),
        ("export/graph/fusions.py", EXPORT),
        ("train/models/fast_scnn.py", EXPORT),
        ("export/adopt/cleaning.py", ADOPTION),
        ("export/graph/fusions.py", ADOPTION),
        ("calibration/onnx_graph/editable.py", ADOPTION),
    ],
)
def test_changed_source_makes_the_result_stale(copied, name, roots):
    assert stale_after(copied, name, roots)


@pytest.mark.parametrize(
    ("name", "roots"),
    [
        ("calibration/report/page.py", SEARCH),
        ("edge/telemetry/jtop.py", SEARCH),
        ("edge/runtime/cuda/kernels.cu", SEARCH),
        ("edge/runtime/tensorrt.py", RANGES),
        ("edge/postprocess/native/upsample_argmax.cpp", RANGES),
        ("edge/synthetic/render.py", RANGES),
        ("edge/synthetic/render.py", SEARCH),
        ("train/models/unet.py", EXPORT),
        ("export/pipeline/build.py", EXPORT),
    ],
)
def test_source_that_decides_nothing_of_a_result_leaves_it_current(copied, name, roots):
    assert not stale_after(copied, name, roots)


def test_results_name_the_code_that_makes_them():
    assert ranges_code() == code_digest(*RANGES)
    for name in ("export.from_keras.exporter", "export.adopt.adoption", "calibration.trt.cache"):
        assert "code_digest(__name__" in (CHECKOUT / Path(*name.split("."))).with_suffix(".py").read_text()


def test_drawn_scenes_are_others_when_the_renderer_changes_and_pictures_are_not(monkeypatch):
    frames = SyntheticFrames(1, 64, 128, seed=4)
    before = frames.digest(0)
    assert frames.digest(0) == before
    monkeypatch.setattr("edge.frames.code_digest", lambda *roots: {DRAWN: "f" * 64}[roots])
    assert frames.digest(0) != before


def test_code_is_read_once_and_a_file_of_several_closures_is_parsed_once(monkeypatch):
    first = code_digest("export.pipeline.build")
    monkeypatch.setattr(ast, "parse", lambda text: pytest.fail("parsed again"))
    assert code_digest(*RANGES) != first
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read again"))
    assert code_digest("export.pipeline.build") == first


def test_line_names_what_was_found_and_what_was_expected():
    line = other_code("ranges.json", "a" * 64, "b" * 64)
    assert line == "ranges.json is of other code: got aaaaaaaaaaaa, expected bbbbbbbbbbbb"
