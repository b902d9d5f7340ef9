"""What the TensorRT binding of each version has (tests/data/tensorrt_api), as a stand-in needs it."""

from __future__ import annotations

import json
from pathlib import Path

TABLE = json.loads((Path(__file__).parents[2] / "data" / "tensorrt_api" / "names.json").read_text())
VERSIONS = tuple(TABLE["versions"])
MAGIC = b"stand-in engine of "


def names_of(owner: str, version: str) -> set:
    """Return the public attributes of a TensorRT class in one version."""
    return {
        name
        for versions, names in TABLE["classes"][owner].items()
        if not versions or version in versions.split()
        for name in names.split()
    }


class Checked:
    """Takes only attributes that the real class has: a misspelt one would be set and mean nothing."""

    _settable: set = set()

    def __setattr__(self, name, value):
        if name not in self._settable:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        self.__dict__[name] = value


def swallow(function, *arguments):
    try:
        return function(*arguments)
    except BaseException:
        return None


class _Enum:
    def __init__(self, name: str, value: int) -> None:
        self.name, self.value = name, value

    def __int__(self) -> int:
        return self.value


def enumeration(owner: str, version: str) -> type:
    members = sorted(names_of(owner, version) - {"name", "value"})
    return type(owner, (), {name: _Enum(name, number) for number, name in enumerate(members)})
