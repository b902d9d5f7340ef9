"""Write docs/records.md and docs/schemas/ from the record classes: `python docs/write_records.py`.

tests/test_records_page.py holds that they are current and that no record is left out.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))  # a checkout need not be installed

from edge.artifacts import write_bytes  # noqa: E402
from edge.record_schema import field_descriptions, json_schema, parts_of  # noqa: E402
from edge.records import record_class  # noqa: E402

PAGE = DOCS / "records.md"
SCHEMAS = DOCS / "schemas"


@dataclass(frozen=True)
class RecordFile:
    """A file that users meet, and its record class.

    Attributes:
        key: Name of its schema, without the suffix.
        path: Where the file lies, as on the page.
        module: Module of its record class.
        name: Name of the record class.
        written_by: Command that writes the file.
        also: Names of further record classes of the module, which stand in a field of any type.
    """

    key: str
    path: str
    module: str
    name: str
    written_by: str
    also: tuple[str, ...] = ()

    @property
    def record(self) -> type:
        """The record class."""
        return getattr(importlib.import_module(self.module), self.name)


FILES = (
    RecordFile("run", "runs/.../run.json", "train.runs", "RunRecord", "`train/train.py`"),
    RecordFile(
        "weights", "weights/<name>.weights.json", "train.weights_file", "ImportRecord", "`train/import_weights.py`"
    ),
    RecordFile(
        "weights-card", "weights/<name>.card.json", "train.weights_card", "WeightsCard", "`train/pack_weights.py`"
    ),
    RecordFile(
        "contract",
        "artifacts/.../contract.json",
        "edge.contract",
        "Contract",
        "`export/to_onnx.py`, `export/build_engine.py`",
    ),
    RecordFile(
        "parity",
        "artifacts/.../parity.json",
        "export.graph.parity",
        "ParityReport",
        "`export/to_onnx.py`, `export/parity.py`",
    ),
    RecordFile(
        "adoption",
        "artifacts/.../adoption.json",
        "export.adopt.adoption",
        "AdoptionReport",
        "`export/build_engine.py --onnx`",
    ),
    RecordFile(
        "calibration",
        "artifacts/.../calibration.json",
        "calibration.images.manifest",
        "CalibrationManifest",
        "`export/build_engine.py --int8`, `calibration/select_images.py`",
    ),
    RecordFile(
        "ranges", "artifacts/.../ranges.json", "calibration.ranges.record", "Ranges", "`export/build_engine.py --int8`"
    ),
    RecordFile(
        "int8-search",
        "artifacts/.../int8-search-<form>.json",
        "calibration.search.state",
        "SearchState",
        "`export/build_engine.py --int8`",
    ),
    RecordFile(
        "int8-recipe",
        "artifacts/.../int8-recipe.json",
        "export.pipeline.int8",
        "KeptConfig",
        "`export/build_engine.py --int8`",
    ),
    RecordFile(
        "tensorrt-cache",
        "artifacts/.../tensorrt-<hash>.json",
        "calibration.trt.cache",
        "CacheRecord",
        "`calibration/tensorrt_cache.py`",
    ),
    RecordFile("card", "artifacts/.../engines/.../card.json", "edge.card", "EngineCard", "`export/build_engine.py`"),
    RecordFile(
        "int8-report",
        "artifacts/.../engines/.../int8-report.json",
        "calibration.results",
        "Int8Report",
        "`export/build_engine.py --int8`",
    ),
    RecordFile("benchmark", "<output>/record.json", "edge.bench.bench_record", "BenchRecord", "`edge-bench run`"),
    RecordFile("ab", "<output>/ab.json", "edge.bench.ab_record", "AbRecord", "`edge-bench ab`"),
    RecordFile("suite", "<output>/suite.json", "edge.bench.suite_record", "SuiteRecord", "`edge-bench suite`"),
    RecordFile(
        "profile", "<output>/profile.json", "edge.bench.profile_record", "ProfileRecord", "`edge-bench profile`"
    ),
    RecordFile(
        "leaderboard",
        "<output>/leaderboard.json",
        "edge.leaderboard.leaderboard_record",
        "Leaderboard",
        "`edge-bench leaderboard`",
    ),
    RecordFile(
        "comparison",
        "on stdout",
        "edge.bench.comparison.run_comparison",
        "RunComparison",
        "`edge-bench compare --json`",
    ),
    RecordFile(
        "bundle",
        "<bundle>.zip: bundle.json",
        "edge.run_store.bundle",
        "BundleManifest",
        "`edge-bench export RUN --bundle FILE`",
    ),
    RecordFile("doctor", "on stdout", "edge.doctor.finding", "DoctorReport", "`edge-bench doctor --json`"),
    RecordFile(
        "evaluation",
        "out/evaluation/.../evaluation.json",
        "edge.evaluation.record",
        "Evaluation",
        "`train/evaluate.py`",
    ),
    RecordFile("demo", "on stdout", "edge.stream.summary", "DemoSummary", "`edge-demo --json`"),
    RecordFile(
        "gpu-check",
        "gpu-check.json",
        "benchmarks.gpu_check.record",
        "GpuCheck",
        "`benchmarks/gpu_check.sh`",
        also=("Environment", "KernelCheck", "BuiltCheck", "LanesCheck", "LatencyCheck", "SoakCheck"),
    ),
)

_HEAD = """# The fields of every record

Each file that a command leaves beside weights, graphs and engines is one JSON object, made from one class. `schema` is
a number that grows when a field changes its meaning: this version reads only the number given here, and says so of
another. A field that was not measured is `null`, never 0. Units are in the names: `_ms` milliseconds, `_s` seconds,
`_ns` nanoseconds, `_mw` milliwatts, `_mj` millijoules, `_bytes` bytes. Shares and mIoU run from 0 to 1, unless the name
says `percent` or `points`.

For programs there is a [JSON Schema](https://json-schema.org) of each file in [schemas/](schemas):

    pip install check-jsonschema
    check-jsonschema --schemafile docs/schemas/card.schema.json artifacts/*/engines/*/card.json

A contract that you write yourself, for a network of your own, is another and smaller form:
[any-network.md](any-network.md).

This page and the schemas are written by `python docs/write_records.py` from the classes; do not edit them.
"""


def schema_name(file: RecordFile) -> str:
    """Return the name of a record's schema file, such as `run.schema.json`."""
    return f"{file.key}.schema.json"


def page() -> str:
    """Return the text of docs/records.md."""
    lines = [_HEAD, "| file | record | schema | written by |", "|---|---|---|---|"]
    parts: dict[str, type] = {}
    for file in FILES:
        cls = file.record
        link = f"[{cls.record_what}](#{_anchor(cls)})"
        schema = f"[{cls.record_schema}](schemas/{schema_name(file)})"
        path = f"`{file.path}`" if "." in file.path else file.path
        lines.append(f"| {path} | {link} | {schema} | {file.written_by} |")
        for holder in (cls, *(getattr(importlib.import_module(file.module), name) for name in file.also)):
            parts.update({part.__name__: part for part in (holder, *parts_of(holder))})
    tops = {file.name for file in FILES}
    for file in FILES:
        lines += ["", *_section(file.record, "##")]
    lines += ["", "# Parts of records"]
    for name in sorted(set(parts) - tops, key=lambda name: parts[name].record_what.lower()):
        lines += ["", *_section(parts[name], "##")]
    return "\n".join(lines) + "\n"


def _anchor(cls: type) -> str:
    return re.sub(r"[^\w -]", "", cls.record_what.lower()).replace(" ", "-")


def _section(cls: type, mark: str) -> list[str]:
    told = field_descriptions(cls)
    lines = [f"{mark} {_sentence(cls.record_what)}", "", (inspect.getdoc(cls) or "").splitlines()[0], ""]
    lines += ["| field | type | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(cls):
        lines.append(f"| `{field.name}` | {_type(str(field.type))} | {_sentence(told.get(field.name, ''))} |")
    return lines


def _sentence(text: str) -> str:
    # mIoU and the like stay as they are.
    begun = text if text[1:2].isupper() else text[:1].upper() + text[1:]
    return begun.replace("|", r"\|")


_JSON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "Any": "any"}


def _type(annotation: str) -> str:
    if annotation.endswith(" | None"):
        return f"{_type(annotation[: -len(' | None')])} or null"
    if annotation in _JSON_TYPES:
        return _JSON_TYPES[annotation]
    sequence = re.fullmatch(r"tuple\[(.+), \.\.\.\]", annotation)
    if sequence:
        return f"list of {_type(sequence[1])}"
    mapping = re.fullmatch(r"dict\[str, (.+)\]", annotation)
    if mapping:
        return f"object of {_type(mapping[1])}"
    cls = record_class(annotation)
    return f"[{cls.record_what}](#{_anchor(cls)})"


def texts() -> dict[Path, str]:
    """Return path -> text of the page and of every schema."""
    written = {PAGE: page()}
    for file in FILES:
        written[SCHEMAS / schema_name(file)] = json.dumps(json_schema(file.record), indent=1, ensure_ascii=False) + "\n"
    return written


def main() -> None:
    """Write the page and the schemas."""
    for path, text in texts().items():
        write_bytes(path, text.encode("utf-8"))
    print(f"written: {PAGE.relative_to(DOCS.parent)} and {len(FILES)} schemas")


if __name__ == "__main__":
    main()
