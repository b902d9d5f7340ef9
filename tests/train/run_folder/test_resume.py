"""What a training goes on from, and what may not be otherwise then."""

from __future__ import annotations

import dataclasses

import pytest

from edge.errors import InputError, WeightsError
from edge.network_class import NetworkClass
from edge.provenance import DescribedData
from edge.records import record_to_json, write_record
from tests.train.run_folder.toy_training import RECORD, start
from train.recipe import Recipe
from train.run_folder.open_run import OpenRun
from train.run_folder.resume import can_go_on, read_run_to_resume
from train.run_folder.state_file import write_state
from train.runs import RUN_RECORD, RUN_STATE, RunRecord, frames_digest

RECIPE = Recipe(epochs=24, batch_size=8, height=384, width=512, optimizer="sgd", learning_rate=0.045, patience=5)
RUN = dataclasses.replace(
    RECORD,
    recipe=dataclasses.asdict(RECIPE),
    training_frames=2,
    frames_sha256={"train": frames_digest(["a", "b"]), "val": frames_digest(["c"])},
    steps_done=7,
)


@pytest.fixture
def folder(tmp_path):
    with OpenRun(tmp_path / "run") as run:
        run.begin(RUN, start(), {"step": 7, "waited_s": 0.5})
    return tmp_path / "run"


def refusal(folder, **wanted) -> str:
    with pytest.raises(InputError) as caught:
        read_run_to_resume(folder, wanted)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_record_arrays_and_facts_come_back(folder):
    found = read_run_to_resume(folder)
    assert found.record == RUN
    assert (found.state.facts["waited_s"], list(found.state.arrays)) == (0.5, ["weights", "ema", "step"])


def test_configuration_of_the_run_itself_is_no_other(folder):
    wanted = {name: getattr(RUN, name) for name in ("model", "dataset", "class_count", "seed", "options", "init")}
    frames = {"frames_sha256": RUN.frames_sha256, "training_frames": 2}
    assert read_run_to_resume(folder, {**wanted, **frames, "recipe": dataclasses.asdict(RECIPE)}).record == RUN


@pytest.mark.parametrize(
    ("wanted", "difference"),
    [
        ({"recipe": {"epochs": 30}}, "epochs 24 (run) / 30 (wanted)"),
        ({"recipe": {"clip_norm": 1.0}}, "clip_norm none (run) / 1.0 (wanted)"),
        ({"recipe": {"auxiliary_weights": {"a": 0.4}}}, "auxiliary_weights {} (run) / {'a': 0.4} (wanted)"),
        ({"model": "unet"}, "model fast_scnn (run) / unet (wanted)"),
        ({"dataset": "cityscapes"}, "dataset camvid (run) / cityscapes (wanted)"),
        ({"class_count": 19}, "class count 11 (run) / 19 (wanted)"),
        ({"seed": 4}, "seed 3 (run) / 4 (wanted)"),
        ({"init": "imagenet"}, "init random (run) / imagenet (wanted)"),
        ({"options": {"dropout": 0.2}}, "option dropout 0.1 (run) / 0.2 (wanted)"),
        ({"training_frames": 3}, "training frames 2 (run) / 3 (wanted)"),
        ({"frames_sha256": {"train": frames_digest(["b", "a"])}}, "other frames in train than the run's"),
    ],
)
def test_whatever_decides_the_weights_may_not_change(folder, wanted, difference):
    message = refusal(folder, **wanted)
    assert message == (
        f"{folder} is a run of another configuration: {difference}. "
        f"Next: leave that out, or train anew with --init-weights {folder}"
    )


CLASSES = tuple(NetworkClass(name, (1, 2, 3), "other") for name in ("ground", "rail", "person"))
DESCRIBED_RUN = dataclasses.replace(RUN, classes=CLASSES, described=DescribedData("/data/yard.json", "a" * 64))


@pytest.fixture
def described(tmp_path):
    with OpenRun(tmp_path / "described") as run:
        run.begin(DESCRIBED_RUN, start(), {"step": 7})
    return tmp_path / "described"


@pytest.mark.parametrize(
    ("wanted", "difference"),
    [
        ({"classes": CLASSES[:2]}, "classes without person"),
        ({"classes": (CLASSES[1], CLASSES[0], CLASSES[2])}, "the classes are in another order"),
        (
            {"classes": (*CLASSES[:2], NetworkClass("worker", (1, 2, 3), "other"))},
            "classes without person, classes with worker",
        ),
        (
            {"described": DescribedData("/data/yard.json", "b" * 64)},
            "another dataset description: /data/yard.json, aaaaaaaaaaaa (run) / bbbbbbbbbbbb (wanted)",
        ),
        (
            {"frames_sha256": {"val": frames_digest(["d"])}, "data_dir": "/moved"},
            f"other frames in val than the run's, data folder {RUN.data_dir} (run) / /moved (wanted)",
        ),
    ],
)
def test_other_description_classes_or_frames_are_named(described, wanted, difference):
    assert f"of another configuration: {difference}. Next" in refusal(described, **wanted)


def test_description_and_data_may_have_moved_and_colours_may_be_others(described):
    painted = tuple(dataclasses.replace(each, painted_rgb=(9, 9, 9)) for each in CLASSES)
    moved = DescribedData("/elsewhere/yard.json", "a" * 64)
    wanted = {"classes": painted, "described": moved, "data_dir": "/moved", "frames_sha256": RUN.frames_sha256}
    assert read_run_to_resume(described, wanted).record == DESCRIBED_RUN


def test_run_of_before_has_no_classes_to_compare(folder):
    assert read_run_to_resume(folder, {"classes": CLASSES, "described": None}).record == RUN


def test_every_difference_is_named(folder):
    message = refusal(folder, seed=1, model="unet", recipe={"epochs": 2, "xla": True, "batch_size": 8})
    told = "epochs 24 (run) / 2 (wanted), xla False (run) / True (wanted)"
    assert "seed 3 (run) / 1 (wanted), model fast_scnn (run) / unet (wanted), " + told in message
    assert "batch_size" not in message


@pytest.mark.parametrize(
    "name", sorted({field.name for field in dataclasses.fields(Recipe)} - {"patience", "validate_every", "options"})
)
def test_no_field_of_the_recipe_may_change_but_two(folder, name):
    assert f": {name} " in refusal(folder, recipe={name: "another"})


def test_when_to_look_and_when_to_stop_may_change(folder):
    found = read_run_to_resume(folder, {"recipe": {"patience": None, "validate_every": 3}})
    assert found.record.recipe == {**RUN.recipe, "patience": None, "validate_every": 3}


def test_field_that_a_run_of_before_does_not_have_has_its_default(tmp_path):
    recipe = {name: value for name, value in RUN.recipe.items() if name not in ("xla", "epochs")}
    with OpenRun(tmp_path / "run") as run:
        run.begin(dataclasses.replace(RUN, recipe=recipe), start(), {})
    read_run_to_resume(tmp_path / "run", {"recipe": {"xla": False}})
    assert "xla False (run) / True (wanted)" in refusal(tmp_path / "run", recipe={"xla": True})
    assert "epochs none (run) / 24 (wanted)" in refusal(tmp_path / "run", recipe={"epochs": 24})


# Runs that do not go on


def test_folder_without_a_run_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        assert refusal(folder) == f"{folder} holds no run: it has no run.json. Next: name the folder of a run"


def test_finished_run_does_not_go_on(folder):
    write_record(folder / RUN_RECORD, dataclasses.replace(RUN, status="finished"))
    assert refusal(folder) == f"{folder} has finished: no step is left. Next: train anew with --init-weights {folder}"


def test_run_of_before_has_no_state(folder):
    (folder / RUN_STATE).unlink()
    assert not can_go_on(folder)
    assert f"{folder} has no state.npz to go on from" in refusal(folder)


@pytest.mark.parametrize("content", [None, "{"])
def test_record_that_is_lost_is_in_the_state_too(folder, content):
    (folder / RUN_RECORD).unlink()
    if content is not None:
        (folder / RUN_RECORD).write_text(content)
    with OpenRun(folder) as run:
        assert run.go_on(read_run_to_resume(folder)).steps_done == 7
    assert (folder / RUN_RECORD).is_file()


def test_state_of_something_else_is_refused(folder):
    write_state(folder / RUN_STATE, {}, {"step": 1})
    with pytest.raises(WeightsError, match="is no state of a training in a run folder: it has no record"):
        read_run_to_resume(folder)


def test_damaged_state_is_refused(folder):
    (folder / RUN_STATE).write_bytes((folder / RUN_STATE).read_bytes()[:-9])
    with pytest.raises(WeightsError, match="is damaged"):
        read_run_to_resume(folder)


def test_record_in_a_state_is_that_of_run_json(folder):
    assert read_run_to_resume(folder).record == dataclasses.replace(RUN)
    assert RunRecord.record_schema == record_to_json(RUN)["schema"] == 1
