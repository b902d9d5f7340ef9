"""What holds for the tree as a whole: names of modules, who may import what, and commands that start."""

from __future__ import annotations

import ast
import configparser
import importlib
import os
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ROOMS = ("edge", "calibration", "export", "train", "benchmarks")

HEAVY = {"tensorflow", "keras", "tf2onnx", "tensorrt", "pycuda", "jtop", "pynvml", "onnxruntime", "onnx"}
"""What a device may lack, and what takes seconds to import: never imported at module level there."""

TRAINING = {"tensorflow", "keras", "tf2onnx"}

COMMANDS = {
    "edge-bench": "edge.bench.cli",
    "edge-bench run": "edge.bench.cli run",
    "edge-bench ab": "edge.bench.cli ab",
    "edge-bench suite": "edge.bench.cli suite",
    "edge-bench show": "edge.bench.cli show",
    "edge-bench compare": "edge.bench.cli compare",
    "edge-bench profile": "edge.bench.cli profile",
    "edge-bench leaderboard": "edge.bench.cli leaderboard",
    "edge-bench list": "edge.bench.cli list",
    "edge-bench export": "edge.bench.cli export",
    "edge-bench import": "edge.bench.cli import",
    "edge-bench delete": "edge.bench.cli delete",
    "edge-bench verify": "edge.bench.cli verify",
    "edge-bench doctor": "edge.bench.cli doctor",
    "edge.doctor": "edge.doctor",
    "edge-demo": "edge.stream.cli",
    "edge.synthetic": "edge.synthetic",
    "build_engine": "export/build_engine.py",
    "to_onnx": "export/to_onnx.py",
    "parity": "export/parity.py",
    "tensorrt_rules": "export/tensorrt_rules.py",
    "select_images": "calibration/select_images.py",
    "lint": "calibration/lint.py",
    "tensorrt_cache": "calibration/tensorrt_cache.py",
    "train": "train/train.py",
    "compare": "train/compare.py",
    "overfit": "train/overfit.py",
    "import_weights": "train/import_weights.py",
    "pack_weights": "train/pack_weights.py",
    "train.models": "train.models",
}


def modules(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (REPOSITORY / room).rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def dotted(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_when_imported(path: Path) -> set[str]:
    """Full names that a module imports when it is imported: not those inside functions or behind TYPE_CHECKING."""
    names = set()

    def visit(node):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            return
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return names


def reached_from(start: Path) -> set[Path]:
    """A module of the checkout, and all that are imported with it."""
    by_name = {dotted(path): path for path in modules(*ROOMS)}
    reached, waiting = set(), [start]
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        for name in imported_when_imported(path):
            parents = [".".join(name.split(".")[:count]) for count in range(1, name.count(".") + 2)]
            waiting += [by_name[parent] for parent in parents if parent in by_name]
    return reached


@pytest.mark.parametrize("path", modules(*ROOMS), ids=name_of)
def test_module_is_named_by_its_role(path):
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


@pytest.mark.parametrize("path", modules("edge", "calibration"), ids=name_of)
def test_device_set_imports_nothing_heavy_at_module_level(path):
    heavy = {name for name in imported_when_imported(path) if name.split(".")[0] in HEAVY}
    assert not heavy, f"{name_of(path)} imports {heavy} at module level; import it where it is used"


def test_build_engine_starts_without_anything_heavy():
    reached = reached_from(REPOSITORY / "export" / "build_engine.py")
    assert REPOSITORY / "export" / "pipeline" / "build.py" in reached
    assert REPOSITORY / "edge" / "errors.py" in reached
    found = {name_of(path): imported_when_imported(path) for path in reached}
    heavy = {(where, name) for where, names in found.items() for name in names if name.split(".")[0] in HEAVY}
    assert not heavy


def test_edge_imports_no_other_room():
    for path in modules("edge"):
        others = {name.split(".")[0] for name in imported_when_imported(path)} & {"train", "export", "calibration"}
        assert not others, f"{name_of(path)} imports {others}"


def test_every_module_of_edge_can_be_imported_on_a_bare_machine(run_python, tmp_path):
    script = """
import importlib, importlib.abc, pkgutil, sys
blocked = set(sys.argv[1].split(","))

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import edge
names = [module.name for module in pkgutil.walk_packages(edge.__path__, "edge.")]
for name in names:
    importlib.import_module(name)
assert not blocked & set(sys.modules)
print("\\n".join(names))
"""
    result = run_python("-W", "error", "-c", script, ",".join(sorted(HEAVY)), cwd=str(tmp_path))
    assert result.returncode == 0, result.stderr
    packages = {dotted(path) for path in modules("edge")} - {"edge"}
    assert set(result.stdout.split()) == packages


def test_every_module_that_build_engine_needs_can_be_imported_on_a_bare_machine(run_python, tmp_path):
    # On Python 3.8 too, by tests/python38.sh: what is written there for a later Python fails here.
    reached = reached_from(REPOSITORY / "export" / "build_engine.py")
    names = sorted({dotted(path) for path in [*reached, *modules("calibration")]})
    script = "import importlib, sys; sys.modules.update(dict.fromkeys(sys.argv[1].split(',')))\n"
    script += "for name in sys.argv[2:]: importlib.import_module(name)"
    result = run_python("-W", "error", "-c", script, ",".join(sorted(HEAVY)), *names, cwd=str(tmp_path))
    assert result.returncode == 0, result.stderr


def test_no_file_of_tests_is_left_out_on_python38_as_a_whole():
    def is_left_out(definition):
        return any("any_python" in ast.dump(decorator) for decorator in definition.decorator_list)

    def kept(definitions):
        for each in definitions:
            if isinstance(each, ast.ClassDef) and not is_left_out(each):
                yield from kept(each.body)
            elif isinstance(each, ast.FunctionDef) and each.name.startswith("test_") and not is_left_out(each):
                yield each.name

    paths = [path for room in ("edge", "calibration", "export") for path in (REPOSITORY / "tests" / room).rglob("*.py")]
    for path in (path for path in paths if path.name.startswith("test_")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^pytestmark\b.*any_python", text, re.MULTILINE), name_of(path)
        assert list(kept(ast.parse(text).body)), f"{name_of(path)} has no test on Python 3.8"


@pytest.mark.parametrize("command", COMMANDS)
def test_command_explains_itself_without_loading_tensorflow(command, run_python, tmp_path):
    target, *arguments = COMMANDS[command].split()
    script = """
import runpy, sys
target, heavy = sys.argv[1], set(sys.argv[2].split(","))
sys.argv = [target, *sys.argv[3:]]
code = "the command did not end"
try:
    (runpy.run_path if target.endswith(".py") else runpy.run_module)(target, run_name="__main__")
except SystemExit as end:
    code = end.code
print("loaded:", sorted(heavy & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""
    if target.endswith(".py"):
        target = str(REPOSITORY / target)
    # In another folder, and without the checkout on the path: a script finds it by itself.
    options = {"cwd": str(tmp_path)} if target.endswith(".py") else {}
    result = run_python("-c", script, target, ",".join(sorted(HEAVY)), *arguments, "--help", **options)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage: ")
    assert "-h, --help" in result.stdout
    assert result.stderr.strip().endswith("loaded: []"), result.stderr


@pytest.mark.parametrize("script", [target for target in COMMANDS.values() if target.endswith(".py")])
def test_script_runs_by_its_path_from_any_folder(script, run_python, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = run_python(REPOSITORY / script, "--help", cwd=str(tmp_path), env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: ")


def test_installed_commands_are_functions_that_exist():
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    scripts = dict(
        line.split(" = ") for line in settings["options.entry_points"]["console_scripts"].strip().splitlines()
    )
    assert set(scripts) == {"edge-bench", "edge-demo"}
    for target in scripts.values():
        module, function = target.split(":")
        assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_option_is_code_2(command, run_python):
    target, *arguments = COMMANDS[command].split()
    place = [str(REPOSITORY / target)] if target.endswith(".py") else ["-m", target]
    result = run_python(*place, *arguments, "--no-such-option", cwd=str(REPOSITORY))
    assert result.returncode == 2
    assert "error:" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_tensorflow_is_imported_under_train_and_in_keras_to_onnx_alone():
    allowed = {REPOSITORY / "export" / "from_keras" / "network.py"}
    allowed |= set((REPOSITORY / "benchmarks").glob("training_*/*.py"))  # what a training is measured against
    allowed.add(REPOSITORY / "benchmarks" / "dilated_step.py")
    for path in modules("edge", "calibration", "export", "benchmarks"):
        names = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert path in allowed or not names & TRAINING, f"{name_of(path)} imports {names & TRAINING}"


def text_files() -> list[Path]:
    folders = (*ROOMS, "tests", "docs", "docker", ".ci")
    inside = [path for folder in folders for path in (REPOSITORY / folder).rglob("*")]
    files = [path for path in [*REPOSITORY.iterdir(), *inside] if path.is_file() and "__pycache__" not in path.parts]
    # In a working tree beside the first one, .git is a file with the path of that one.
    files = [path for path in files if path.name != ".git"]
    return sorted(path for path in files if path.suffix not in {".png", ".jpg", ".npz", ".npy", ".pyc", ".onnx"})


def test_no_file_names_a_path_of_one_machine():
    # Folders of a home, a checkout or a scratch place that only its author has.
    pattern = re.compile(r"(?<![\w.$}/-])/(?:work|home/\w+|tmp/\w+|Users/\w+|mnt/\w+)(?:/|\b)")
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:100]}"
        for path in text_files()
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)
