"""Which engine or artefact a path stands for: what was named is taken, and a choice among several is said."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Collection

from edge.card import BACKENDS, CARD_FILE, ENGINES_FOLDER, PRECISIONS, EngineCard, build_command
from edge.console import print_note
from edge.contract import CONTRACT_FILE, GRAPH_FILE, Contract
from edge.errors import InputError
from edge.records import read_record

FILES_OF_AN_ENGINE = ("card.json", "int8-report.json", "int8-report.html", "layers.json")
"""Files beside an engine that are about that engine and no other."""

DEFAULT_COMMAND = "edge-bench run"
_MOST_NEAR = 4
_ORDER = "TensorRT goes before ONNX Runtime, int8 before float16 before float32"


@dataclass(frozen=True)
class EngineChoice:
    """The engine folder that a path stands for.

    Attributes:
        folder: Folder of the engine, with its card.
        others: Folders of the other engines of the artefact; empty where the path names an engine itself.
    """

    folder: Path
    others: tuple[Path, ...] = ()

    def sentence(self) -> str:
        """Return a sentence that says which engine was taken and which others are there; "" where there are none."""
        if not self.others:
            return ""
        count = len(self.others) + 1
        names = ", ".join(folder.name for folder in self.others)
        return f"of {count} engines in {self.folder.parent} {self.folder.name} is taken ({_ORDER}); also there: {names}"


def choose_engine(path: str | os.PathLike, command: str = DEFAULT_COMMAND) -> EngineChoice:
    """Return the engine that a path stands for.

    Args:
        path: An engine folder, a file that belongs to one engine, an artefact folder, or its folder of engines. In an
            artefact folder TensorRT goes before ONNX Runtime, and int8 before float16 before float32. An engine for
            batches has to be named.
        command: Command that messages offer for each engine that is there, such as "edge-demo".

    Raises:
        InputError: There is no engine at this path, or it is a file of an artefact that is no engine.
    """
    given = Path(path)
    folder = given.parent if given.is_file() else given
    if (folder / CARD_FILE).is_file():
        if given.is_file() and given.name not in FILES_OF_AN_ENGINE and given.name != _engine_file(folder):
            raise InputError(f"{given} is not the engine of {folder / CARD_FILE}. Next: {command} {folder}")
        return EngineChoice(folder)
    engines = _engines_in(folder)
    if given.is_file():
        raise InputError(f"{given} is no engine{_what_is_there(engines)}. Next: {_steps(given, engines, command)}")
    for backend in BACKENDS:
        for precision in reversed(PRECISIONS):
            chosen = [engine for engine in engines if engine.name == f"{backend}-{precision}"]
            if chosen:
                return EngineChoice(chosen[0], tuple(engine for engine in engines if engine != chosen[0]))
    if engines:
        raise InputError(
            f"{given} has no engine for single frames{_what_is_there(engines)}. Next: {_steps(given, engines, command)}"
        )
    near = _engines_near(folder)
    steps = (
        ", or ".join(f"{command} {engine}" for engine in near) or "python export/build_engine.py --model MODEL --int8"
    )
    missing = "" if given.exists() else ", which is not there"
    raise InputError(
        f"no engine at {given}{missing}: expected a folder with {CARD_FILE}, or an artefact folder with "
        f"{ENGINES_FOLDER}/. Next: {steps}"
    )


def find_engine(path: str | os.PathLike, command: str = DEFAULT_COMMAND) -> Path:
    """Return the engine folder that a path stands for, and say it where there are several.

    Args:
        path: An engine folder, a file that belongs to one engine, an artefact folder, or its folder of engines.
        command: Command that messages offer for each engine that is there, such as "edge-demo".

    Raises:
        InputError: There is no engine at this path.
    """
    choice = choose_engine(path, command)
    if choice.others:
        print_note(choice.sentence())
    return choice.folder


def _engines_in(folder: Path) -> list[Path]:
    """Return the engine folders of an artefact, or of its folder of engines, by name."""
    root = folder if folder.name == ENGINES_FOLDER else folder / ENGINES_FOLDER
    return [path.parent for path in sorted(root.glob(f"*/{CARD_FILE}"))]


def _engines_near(folder: Path) -> list[Path]:
    """Return a few engine folders of the artefacts in a folder, or of those beside one that has no engine."""
    for root in (folder, folder.parent):
        cards = sorted(root.glob(f"*/{ENGINES_FOLDER}/*/{CARD_FILE}"))
        if cards:
            return [path.parent for path in cards[:_MOST_NEAR]]
    return []


def _engine_file(folder: Path) -> str:
    """Return the name of the engine file of a folder; "" where the card is damaged, which its reader says."""
    try:
        return read_record(EngineCard, folder / CARD_FILE).engine_file
    except InputError:
        return ""


def _what_is_there(engines: list[Path]) -> str:
    if not engines:
        return ", and no engine is beside it"
    return f"; the engines of its artefact are {', '.join(engine.name for engine in engines)}"


def _steps(given: Path, engines: list[Path], command: str) -> str:
    """Return the command for each engine that is there, and the one that builds an engine of a float graph."""
    steps = [f"{command} {engine}" for engine in engines]
    if given.name == GRAPH_FILE and not any(engine.name.endswith(PRECISIONS[0]) for engine in engines):
        try:
            steps.append(f"{build_command(read_record(Contract, given.with_name(CONTRACT_FILE)))} for one in float32")
        except InputError:
            pass
    if given.suffix.lower() == ".onnx" and not (given.parent / CONTRACT_FILE).is_file():
        steps.append(f"python export/build_engine.py --onnx {given} --contract FILE --int8 builds one of it")
    return ", or ".join(steps) or "python export/build_engine.py --model MODEL --int8"


def artifact_of(path: str | os.PathLike, files: Collection[str] = (GRAPH_FILE, CONTRACT_FILE)) -> Path:
    """Return the artefact folder that a path stands for.

    Args:
        path: An artefact folder, or one of the files in it that the caller works on.
        files: Names of those files.

    Raises:
        InputError: The path is another file, or the folder of an engine.
    """
    given = Path(path)
    if given.is_file():
        if given.name in files and (given.parent / CONTRACT_FILE).is_file():
            return given.parent
        raise InputError(f"{given} is a file, expected an artefact folder or its {GRAPH_FILE}. Next: {given.parent}")
    if (given / CARD_FILE).is_file():
        raise InputError(
            f"{given} is the folder of one engine, expected an artefact folder. Next: {given.resolve().parents[1]}"
        )
    return given
