"""A bundle says that it holds, and says what does not when anything in it was changed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile

import numpy as np
import pytest

from edge.errors import ContractError, InputError
from edge.run_store.bundle import MANIFEST_FILE, read_bundle, write_bundle
from edge.run_store.insertion import insert_bundle
from edge.run_store.store import RunStore
from edge.run_store.stored_run import load_run
from edge.run_store.verification import verify

TAMPERINGS = 50


@pytest.fixture
def bundle(store, make_run, keep, tmp_path):
    """Path, digest and run of a small bundle."""
    run = load_run(keep(store, make_run(60)), store)
    path = tmp_path / "run.zip"
    return path, write_bundle(path, run), run


def problems(path, digest=None):
    return [f"{check.name}: {text}" for check in verify(read_bundle(path), digest) for text in check.problems]


def contents_of(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write_contents(path, contents, with_hashes=False):
    if with_hashes:
        manifest = json.loads(contents[MANIFEST_FILE])
        manifest["files"] = {name: hashlib.sha256(contents[name]).hexdigest() for name in manifest["files"]}
        contents = {**contents, MANIFEST_FILE: json.dumps(manifest).encode()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in contents.items():
            file.writestr(name, data)


def other_number(value, rng):
    """A number beside another one, which differs by 1 % at least."""
    if isinstance(value, int):
        return value + int(rng.choice([-1, 1])) * max(1, abs(value) // 50)
    return value * float(rng.choice([0.98, 1.02])) if value else 0.5


def number_places(value, place=()):
    """Places of all numbers of a JSON value."""
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in number_places(item, (*place, key))]
    if isinstance(value, list):
        return [found for key, item in enumerate(value) for found in number_places(item, (*place, key))]
    return [place] if isinstance(value, (int, float)) and not isinstance(value, bool) and place[-1] != "schema" else []


def tamper_json(data, rng, is_place):
    value = json.loads(data)
    places = [place for place in number_places(value) if is_place(place)]
    place = places[int(rng.integers(len(places)))]
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = other_number(inner[place[-1]], rng)
    return json.dumps(value).encode()


def tamper_csv(data, rng, column):
    rows = [line.split(",") for line in data.decode().splitlines()]
    index = rows[0].index(column)
    numbers = [row for row in rows[1:] if row[index].replace(".", "").isdigit()]
    row = numbers[int(rng.integers(len(numbers)))]
    row[index] = str(other_number(json.loads(row[index]), rng))
    return "\n".join(map(",".join, [*rows, ""])).encode()


FIGURES = ("stages", "end_to_end", "fps", "duration_s", "steadiness")


def is_figure(place):
    return place[0] in FIGURES


def is_parameter(place):
    return place[0] not in (*FIGURES, "power", "validity")


TARGETS = {
    "figure": ("record.json", lambda data, rng: tamper_json(data, rng, is_figure)),
    "parameter": ("record.json", lambda data, rng: tamper_json(data, rng, is_parameter)),
    "card": ("card.json", lambda data, rng: tamper_json(data, rng, lambda place: True)),
    "latency": ("frames.csv", lambda data, rng: tamper_csv(data, rng, "latency_ns")),
    "stage": ("frames.csv", lambda data, rng: tamper_csv(data, rng, "inference_ns")),
    "end": ("frames.csv", lambda data, rng: tamper_csv(data, rng, "end_ns")),
    "telemetry": ("telemetry.csv", lambda data, rng: tamper_csv(data, rng, "value")),
}
FOUND_BY_FIGURES = ("figure", "card", "latency", "stage", "end")
"""What is found from the samples alone, by whoever has neither hashes nor the digest."""


def test_bundle_that_nobody_touched_holds(bundle):
    path, digest, run = bundle
    assert problems(path) == problems(path, digest) == []
    read = read_bundle(path)
    assert (read.digest, read.manifest.run_id, read.samples) == (digest, run.run_id, run.samples)
    assert np.array_equal(read.frames.end_ns, run.frames.end_ns)


def test_fifty_random_tamperings_are_found_fifty_times(bundle, tmp_path):
    # Of who changes a file alone, of who makes the hashes anew, and, without the digest, by the figures alone.
    path, digest, _ = bundle
    whole, rng, missed = contents_of(path), np.random.default_rng(1), []
    for number in range(TAMPERINGS):
        is_hashed, is_published = number >= 20, number < 35
        target = str(rng.choice(tuple(TARGETS) if is_published else FOUND_BY_FIGURES))
        name, tamper = TARGETS[target]
        write_contents(tmp_path / "tampered.zip", {**whole, name: tamper(whole[name], rng)}, is_hashed)
        try:
            checks = verify(read_bundle(tmp_path / "tampered.zip"), digest if is_hashed and is_published else None)
            is_found = not all(check.holds for check in checks)
        except ContractError:
            is_found = True
        if not is_found:
            missed.append((number, target))
    assert missed == []


def test_figure_that_does_not_follow_is_named_with_both_values(bundle, tmp_path):
    path, _, run = bundle
    contents = contents_of(path)
    record = json.loads(contents["record.json"])
    record["end_to_end"]["p50_ms"] = 9.5
    write_contents(path, {**contents, "record.json": json.dumps(record).encode()}, with_hashes=True)
    assert problems(path) == [f"figures: end_to_end.p50_ms is 9.5, the samples give {run.record.end_to_end.p50_ms}"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[:5] + rows[6:], "not numbered 0, 1, 2"),
        (lambda rows: [rows[0], rows[1].replace(",", ",x", 1), *rows[2:]], "no whole number"),
        (lambda rows: [rows[0].replace("due_ns", "when"), *rows[1:]], "has the columns"),
    ],
)
def test_frames_that_cannot_be_read_are_one_line(bundle, change, said):
    path, _, _ = bundle
    contents = contents_of(path)
    rows = contents["frames.csv"].decode().splitlines()
    write_contents(path, {**contents, "frames.csv": "\n".join(change(rows)).encode()})
    with pytest.raises(ContractError, match=said):
        read_bundle(path)


def test_file_that_is_no_bundle_is_one_line(bundle, tmp_path):
    path, _, _ = bundle
    with pytest.raises(InputError, match="bundle not found"):
        read_bundle(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("not a zip file")
    with pytest.raises(ContractError, match="no zip file"):
        read_bundle(tmp_path / "text.zip")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ContractError):
        read_bundle(path)
    write_contents(tmp_path / "cats.zip", {"cats.txt": b"meow"})
    with pytest.raises(InputError, match=r"no bundle: it has no bundle\.json"):
        read_bundle(tmp_path / "cats.zip")


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("frames", "UPDATE frames SET latency_ns = latency_ns - 1 WHERE frame = 7"),
        ("telemetry", "UPDATE telemetry SET value = 1.0 WHERE rowid = 3"),
    ],
)
def test_run_that_was_changed_in_its_database_gives_no_bundle(bundle, store, tmp_path, part, change):
    _, _, run = bundle
    store.connection.execute(change)
    with pytest.raises(InputError, match=f"its {part} are not those that were measured"):
        write_bundle(tmp_path / "changed.zip", store.find(run.run_id))


def test_bundle_enters_another_database_once_and_gives_the_same_bundle_again(bundle, tmp_path):
    path, _, run = bundle
    with RunStore(tmp_path / "other.db") as other:
        read = read_bundle(path)
        assert [insert_bundle(other, read), insert_bundle(other, read)] == [(run.run_id, True), (run.run_id, False)]
        again = load_run(run.run_id, other)
        assert (again.record, again.samples, again.status) == (run.record, run.samples, run.status)
        write_bundle(tmp_path / "again.zip", again)
    again = read_bundle(tmp_path / "again.zip")
    assert again.contents == read.contents
    assert dataclasses.replace(again.manifest, made_utc="") == dataclasses.replace(read.manifest, made_utc="")
