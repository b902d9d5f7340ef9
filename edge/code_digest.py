"""What a kept result depends on in the code: the modules that its maker imports, found by reading them.

A result that is kept on disk (ranges, an exported graph, a search) carries `code_digest(<module that makes it>)`. It is
made anew when that digest changes. The digest covers the maker's module, every module of this checkout that it imports,
at module level or inside a function, and the C++ and CUDA sources beside them. No list has to be kept by hand.

Comments, docstrings, blank lines and trailing blanks of Python files do not count: a better sentence throws no result
away. The digest is the same on every Python from 3.8 on, because it is taken from the text between the positions that
the parser gives: a recipe that a workstation found stays current on a Jetson.

Imports by a computed name cannot be seen. Who makes such an import names the module as a further root:
`code_digest("export.from_keras.exporter", f"train.models.{model}")`.
"""

from __future__ import annotations

import ast
import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Iterator

PACKAGES = ("edge", "calibration", "export", "train")
"""The checkout's own packages; other imports are known by the versions that a result names."""

CHECKOUT = Path(__file__).resolve().parents[1]
"""The folder that the packages lie in."""

APART = {
    "edge.synthetic": "the drawn world makes input, not results: SyntheticFrames.digest has its code in it",
    "edge.console": "it reads options and prints, and no figure depends on it",
}
"""Module or package that no closure enters from outside, and why. As a root it has its closure like any other."""

_NATIVE = (".cpp", ".h", ".cu", ".cuh", ".json")

_STRING_OR_BLANK = re.compile(
    rb'("""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')'
    rb"|(?:[ \t\f]*(?:#[^\n]*)?(?:\n|\Z))+",
    re.DOTALL,
)
"""A string, which stays as it is, or the end of a line with its comment and the lines without code behind it.

An f-string ends at its first own quote, as in every Python before 3.12.
"""

_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)


@lru_cache(maxsize=None)
def import_closure(*roots: str, checkout: Path = CHECKOUT) -> tuple[Path, ...]:
    """Return the source files that root modules are made of.

    A file belongs to the closure if it is a module of PACKAGES that a root reaches by import statements (those behind
    `if TYPE_CHECKING` left out), an `__init__` of a package on the way, a native source in the folder of such a
    module, or one that such a source includes. Imports inside functions count, save those of an `__init__` that is
    only on the way to a submodule: nobody calls its functions.

    Args:
        roots: names of modules, such as "calibration.ranges.collector".
        checkout: folder of the packages.

    Returns:
        Paths relative to the checkout, sorted.

    Raises:
        ValueError: a root is no module of the checkout, or a module is no Python.
    """
    reached: set[Path] = set()
    waiting = [(root, True) for root in roots]
    seen = set()
    while waiting:
        name, is_used = waiting.pop()
        if (name, is_used) in seen:
            continue
        seen.add((name, is_used))
        path = _module_file(checkout, name)
        if path is None:
            if name in roots:
                raise ValueError(f"{name} is no module of {checkout}, expected one in {', '.join(PACKAGES)}")
            continue  # `from module import name`, where the name is no submodule
        reached.add(path.relative_to(checkout))
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        imports = _read(path).imports(package, with_functions=is_used)
        waiting += [(one, True) for one in imports if not _is_apart(one, name)]
        waiting += [(parent, False) for parent in _packages(name)]
    return tuple(sorted(reached | _native_files(checkout, {path.parent for path in reached})))


@lru_cache(maxsize=None)
def code_digest(*roots: str, checkout: Path = CHECKOUT) -> str:
    """Return the SHA-256 of the code that root modules are made of: 64 hex digits.

    Args:
        roots: names of modules; usually one, the module that makes a result.
        checkout: folder of the packages.

    Raises:
        ValueError: see `import_closure`.
    """
    digest = hashlib.sha256()
    for path in import_closure(*roots, checkout=checkout):
        content = _read(checkout / path).significant if path.suffix == ".py" else _text(checkout / path)
        digest.update(path.as_posix().encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


def other_code(what: str, got: str, expected: str) -> str:
    """Say in one line that a kept result was made by other code than this.

    Args:
        what: the result's file, such as "ranges.json".
        got: the digest that it names.
        expected: the digest of this code.
    """
    return f"{what} is of other code: got {got[:12]}, expected {expected[:12]}"


def forget_code() -> None:
    """Forget what was read: for tests that change a copy of the checkout."""
    import_closure.cache_clear()
    code_digest.cache_clear()


class _Source:
    """The text of one Python file, parsed.

    Attributes:
        significant: the text without docstrings, comments, blank lines and trailing blanks.
    """

    def __init__(self, text: bytes) -> None:
        tree = ast.parse(text)
        self._imports: list[tuple[int, str, bool]] = []  # level of a relative import, name, whether in a function
        strings: list[ast.expr] = []
        for statement, is_in_function in _statements(tree.body):
            if isinstance(statement, ast.Import):
                # `import a.b` binds a, so that all of a's names may be used.
                names = [name for alias in statement.names for name in (*_packages(alias.name), alias.name)]
                self._imports += [(0, name, is_in_function) for name in names]
            elif isinstance(statement, ast.ImportFrom):
                module = statement.module or ""
                names = [module, *(f"{module}.{alias.name}".lstrip(".") for alias in statement.names)]
                self._imports += [(statement.level, name, is_in_function) for name in names]
            elif isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str):
                strings.append(statement.value)
        self.significant = _significant(text, strings)

    def imports(self, package: str, with_functions: bool) -> Iterator[str]:
        """Give the full names under PACKAGES that the file imports.

        Args:
            package: the package that the file is in, or is.
            with_functions: give those that its functions import, too.
        """
        for level, name, is_in_function in self._imports:
            if level:
                parts = package.split(".")
                name = ".".join([*parts[: len(parts) - level + 1], name]).rstrip(".")
            if name.split(".", 1)[0] in PACKAGES and (with_functions or not is_in_function):
                yield name


_parsed = lru_cache(maxsize=None)(_Source)
"""By its text, so that files which several closures share are parsed once."""


def _read(path: Path) -> _Source:
    try:
        return _parsed(_text(path))
    except SyntaxError as error:
        raise ValueError(f"{path} is no Python: {error}") from None


def _text(path: Path) -> bytes:
    return path.read_bytes().replace(b"\r\n", b"\n")


def _packages(name: str) -> list[str]:
    """Return the packages that a module is in, such as "a" and "a.b" for "a.b.c"."""
    return [name[: match.start()] for match in re.finditer(r"\.", name)]


def _statements(body: list, is_in_function: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Give every statement of a body, and whether it is in a function; nested ones too, save behind TYPE_CHECKING."""
    for statement in body:
        yield statement, is_in_function
        is_function = isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
        is_for_types = isinstance(statement, ast.If) and "TYPE_CHECKING" in (
            getattr(statement.test, "id", ""),
            getattr(statement.test, "attr", ""),
        )
        for field in ("orelse",) if is_for_types else ("body", "handlers", "orelse", "finalbody", "cases"):
            inner = getattr(statement, field, None)
            if isinstance(inner, list):
                yield from _statements(inner, is_in_function or is_function)


def _significant(text: bytes, strings: list[ast.expr]) -> bytes:
    """Cut bare strings by their positions, then comments, blank lines and trailing blanks."""
    starts = [0]
    for line in text.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    for node in sorted(strings, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        start = starts[node.lineno - 1] + node.col_offset  # the parser counts columns in bytes of UTF-8
        end = starts[node.end_lineno - 1] + node.end_col_offset
        text = text[:start] + text[end:]
    return _STRING_OR_BLANK.sub(lambda match: match[1] or b"\n", text).strip(b"\n")


def _module_file(checkout: Path, name: str) -> Path | None:
    place = checkout.joinpath(*name.split("."))
    for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if path.is_file():
            return path
    return None


def _is_apart(name: str, importer: str) -> bool:
    """Say whether a module is set apart from the one that imports it."""
    return any(f"{name}.".startswith(f"{apart}.") and not f"{importer}.".startswith(f"{apart}.") for apart in APART)


def _native_files(checkout: Path, folders: set[Path]) -> set[Path]:
    """Return the native sources in folders, and what those include, relative to the checkout."""
    waiting = [path for folder in folders for path in (checkout / folder).iterdir() if path.suffix in _NATIVE]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop().resolve()
        if path in found:
            continue
        found.add(path)
        for include in _INCLUDE.finditer(_text(path)):
            name = include[1].decode()
            beside = path.parent / name
            # The compiler is given further folders, so a header that is not beside its reader is somewhere in there.
            places = [beside] if beside.is_file() else checkout.glob(f"{PACKAGES[0]}/**/{name}")
            waiting += [place for place in places if place.is_file()]
    return {path.relative_to(checkout) for path in found if checkout in path.parents}
