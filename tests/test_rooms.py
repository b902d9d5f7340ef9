"""The rooms of `export` and `calibration` import one another in one direction: there is no circle of any kind."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FLOORS = ("export", "calibration")


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file of every module of both floors below a folder."""
    found = {}
    for floor in FLOORS:
        for path in (root / floor).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the known modules that a file imports anywhere: at module level, in functions, and for types alone.

    A module that is imported from a package counts as itself, and the package as one only where a name of its own is
    imported from it.
    """
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names.update(name if name in known else node.module for name in full)
    return names & set(known)


def module_graph(root: Path) -> dict[str, set[str]]:
    known = modules(root)
    return {name: imports(path, known) - {name} for name, path in known.items()}


def room_graph(root: Path) -> dict[str, set[str]]:
    """Room -> rooms that it imports: a room is a package or a single file directly on a floor."""

    def room(name: str) -> str:
        return ".".join(name.split(".")[:2])

    rooms: dict[str, set[str]] = {}
    for name, used in module_graph(root).items():
        rooms.setdefault(room(name), set()).update(room(other) for other in used if room(other) != room(name))
    return rooms


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the nodes of one circle, the first one again at the end; nothing where there is none."""
    done: set[str] = set()

    def walk(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return []
        for following in sorted(graph.get(node, ())):
            found = walk(following, [*way, node])
            if found:
                return found
        done.add(node)
        return []

    for node in sorted(graph):
        found = walk(node, [])
        if found:
            return found
    return []


@pytest.mark.parametrize("graph_of", [room_graph, module_graph])
def test_there_is_no_circle(graph_of):
    graph = graph_of(REPOSITORY)
    assert {"export.pipeline", "calibration.qdq"} <= set(graph)
    assert circle(graph) == []


def test_package_of_the_backends_holds_no_logic():
    # The builders are in it: what they would need of their own package would close a circle.
    tree = ast.parse((REPOSITORY / "export" / "backends" / "__init__.py").read_text(encoding="utf-8"))
    assert [type(node) for node in tree.body] == [ast.Expr]


@pytest.mark.parametrize(
    ("upward", "rooms", "of_modules"),
    [
        # Between two rooms, by modules that have no circle among themselves.
        ("from calibration.report.page import PAGE", ["calibration.qdq", "calibration.report", "calibration.qdq"], []),
        # Inside a function, and for types alone.
        (
            "def later():\n    from calibration.report import text",
            ["calibration.qdq", "calibration.report", "calibration.qdq"],
            ["calibration.qdq.weights", "calibration.report.text", "calibration.qdq.weights"],
        ),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import calibration.report.text",
            ["calibration.qdq", "calibration.report", "calibration.qdq"],
            ["calibration.qdq.weights", "calibration.report.text", "calibration.qdq.weights"],
        ),
        # Inside one room no circle of rooms.
        (
            "from calibration.qdq import INSIDE",
            [],
            ["calibration.qdq", "calibration.qdq.weights", "calibration.qdq"],
        ),
    ],
)
def test_planted_circle_is_found(tmp_path, upward, rooms, of_modules):
    files = {
        "calibration/qdq/__init__.py": "from calibration.qdq import weights\nINSIDE = 1\n",
        "calibration/qdq/weights.py": f"{upward}\n",
        "calibration/report/__init__.py": "",
        "calibration/report/page.py": "PAGE = 1\n",
        "calibration/report/text.py": "from calibration.qdq import weights\n",
        "export/__init__.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert circle(room_graph(tmp_path)) == rooms
    assert circle(module_graph(tmp_path)) == of_modules
