"""The choice of a run: by status and score among comparable ones, and never without a word."""

from __future__ import annotations

import dataclasses
import os

import pytest

from edge.artifacts import sha256_file
from edge.records import write_record
from tests.train.test_runs import write_run
from train.run_choice import choose_run, find_runs, run_in, status_warning
from train.run_folder.lock import RunLock
from train.runs import BEST_WEIGHTS, RUN_RECORD, RUN_STATE, RunRecord
from train.weights_pair import staged_path

EPOCHS = tuple({"epoch": number + 1} for number in range(30))


@pytest.fixture
def put(tmp_path):
    """Return a function that writes a run and returns its weights; `epochs` is how many it has behind it."""

    def write(name="fast_scnn-camvid-20260101T000000.000Z", epochs=30, **changes):
        fields = {"recipe": {"epochs": 30}, "history": EPOCHS[:epochs], "validation_frames": 101, **changes}
        return write_run(tmp_path / name, content=name.encode(), **fields)

    return write


@pytest.fixture
def choose(tmp_path):
    """Return a function that chooses among the runs that were written."""
    return lambda *wanted, model="fast_scnn": choose_run(find_runs(model, tmp_path), *wanted)


def taken(choice):
    return choice.run.weights_path if choice.run is not None else None


def reasons(choice):
    return {run.folder.name: reason for run, reason in choice.passed_over}


def test_smoke_run_of_one_epoch_does_not_displace_a_better_one_and_is_named(put, choose):
    good = put("good", best_miou=0.6)
    put("smoke", epochs=1, best_miou=0.1, started_utc="2026-06-01T00:00:00+00:00")
    choice = choose()
    assert taken(choice) == good
    assert choice.sentence().endswith(
        "good (camvid, 384x512, mIoU 60.00 %, finished, 30 epochs), the best of 2 finished runs by mIoU; "
        "passed over: smoke (mIoU 10.00 %, 1 of 30 epochs)"
    )
    assert "\n" not in choice.sentence()


def test_of_equal_scores_the_newest_is_taken_by_its_time_and_not_by_its_name(put, choose):
    put("fast_scnn-camvid-zz-baseline", started_utc="2026-01-01T00:00:00+00:00")
    newest = put("a", started_utc="2026-03-01T00:00:00Z")
    put("shorter", epochs=1, started_utc="2026-04-01T00:00:00Z")
    put("fast_scnn-camvid-20260201T000000.000Z", started_utc="2026-02-01T00:00:00")
    assert taken(choose()) == newest


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_run_that_did_not_finish_is_passed_over_and_named(put, choose, status):
    good = put("good", best_miou=0.3)
    put("other", status=status, epochs=3, best_miou=0.9)
    choice = choose()
    assert taken(choice) == good
    assert "3 of 30 epochs done" in reasons(choice)["other"]
    (good.parent / RUN_RECORD).unlink()
    assert taken(choose()) is None


def test_failed_run_is_never_taken_however_new_and_good_it_is(put, choose):
    good = put("fast_scnn-camvid-20260101T000000.000Z", best_miou=0.2)
    put("fast_scnn-camvid-zz-baseline", status="failed", best_miou=0.9, started_utc="2026-09-01T00:00:00Z")
    choice = choose()
    assert taken(choice) == good
    assert reasons(choice) == {"fast_scnn-camvid-zz-baseline": "failed, 30 epochs done"}


def test_run_whose_process_is_gone_is_told_as_killed_with_the_way_on(put, choose, tmp_path):
    folder = put("run", status="running", epochs=7).parent
    assert reasons(choose()) == {"run": "killed, 7 of 30 epochs done"}
    (folder / RUN_STATE).write_bytes(b"state")
    assert reasons(choose()) == {
        "run": f"killed, 7 of 30 epochs done; it goes on with python train/train.py --resume {folder}"
    }
    assert status_warning(run_in(folder)) == (
        f"{folder} was killed after 7 of 30 epochs: its weights are the best until then. "
        f"Next: python train/train.py --resume {folder}"
    )


def test_run_whose_process_lives_is_told_as_running_without_a_way_on(put, choose):
    folder = put("run", status="running", epochs=7).parent
    (folder / RUN_STATE).write_bytes(b"state")
    with RunLock(folder):
        (reason,) = reasons(choose()).values()
        assert reason.startswith(f"still running (process {os.getpid()}, since 20")
        assert reason.endswith("), 7 of 30 epochs done")
        warning = status_warning(run_in(folder))
        assert warning.startswith(f"{folder} is still running (process {os.getpid()}, since ")
        assert warning.endswith(" after 7 of 30 epochs: its weights are the best until then")


@pytest.mark.parametrize(("status", "verb"), [("interrupted", "was interrupted"), ("failed", "has failed")])
def test_run_that_ended_early_goes_on_and_its_reason_is_told(put, choose, status, verb):
    folder = put("run", status=status, epochs=3, end_reason="SIGTERM").parent
    (folder / RUN_STATE).write_bytes(b"state")
    way_on = f"python train/train.py --resume {folder}"
    assert reasons(choose()) == {"run": f"{status} (SIGTERM), 3 of 30 epochs done; it goes on with {way_on}"}
    assert status_warning(run_in(folder)).startswith(f"{folder} {verb} (SIGTERM) after 3 of 30 epochs: ")
    assert status_warning(run_in(folder)).endswith(f". Next: {way_on}")


def test_finished_run_that_misfits_has_no_way_on(put, choose):
    folder = put("run", dataset="synthetic").parent
    (folder / RUN_STATE).write_bytes(b"state")
    assert reasons(choose("camvid")) == {"run": "on synthetic"}


def test_run_is_compared_by_its_best_score_where_not_every_epoch_was_validated(put, choose):
    history = tuple({"epoch": number + 1, "miou": 0.5 if number % 10 == 9 else None} for number in range(30))
    best = put("every-tenth", history=history, best_miou=0.5, best_epoch=10)
    put("every", best_miou=0.4)
    assert taken(choose()) == best
    assert "mIoU 50.00 %, finished, 30 epochs" in choose().sentence()


def test_run_whose_renaming_was_broken_off_is_taken_with_the_weights_of_its_record(put, choose):
    weights = put("run", best_miou=0.9)
    staged = staged_path(weights.parent, BEST_WEIGHTS, sha256_file(weights))
    weights.rename(staged)
    put("other", best_miou=0.3)
    assert taken(choose()) == staged
    weights.write_bytes(b"those of before")
    assert taken(choose()) == staged


def test_torn_runs_are_passed_over_and_named(put, choose, tmp_path):
    good = put("good", best_miou=0.3)
    put("fast_scnn-replaced", best_miou=0.9, weights_sha256="0" * 64)
    (put("fast_scnn-without-record", best_miou=0.9).parent / RUN_RECORD).unlink()
    put("fast_scnn-without-weights", best_miou=0.9).unlink()
    put("fast_scnn-truncated", best_miou=0.9)
    record = tmp_path / "fast_scnn-truncated" / RUN_RECORD
    record.write_text(record.read_text()[:-40])
    choice = choose()
    assert taken(choice) == good
    assert reasons(choice) == {
        "fast_scnn-replaced": "its weights are not those that run.json describes",
        "fast_scnn-without-record": "its run.json is missing or cannot be read",
        "fast_scnn-without-weights": "finished, has no weights",
        "fast_scnn-truncated": "its run.json is missing or cannot be read",
    }


def test_runs_on_several_datasets_are_not_chosen_among(put, choose):
    camvid, synthetic = put("one"), put("two", dataset="synthetic")
    assert (choose().run, choose().rival_datasets) == (None, ("camvid", "synthetic"))
    assert taken(choose("camvid")) == camvid
    assert taken(choose("synthetic")) == synthetic
    assert reasons(choose("synthetic")) == {"one": "on camvid"}
    synthetic.write_bytes(b"torn")
    assert taken(choose()) == camvid


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"height": 192, "width": 256}, "not comparable: at 192x256"),
        ({"validation_frames": 4}, "not comparable: on 4 validation frames"),
        ({"validation_frames": None}, "not comparable: on an unknown number of validation frames"),
    ],
)
def test_score_at_another_size_or_on_other_frames_is_not_compared(put, choose, other, words):
    long = put("long", best_miou=0.5)
    put("short", epochs=2, best_miou=0.9, started_utc="2026-06-01T00:00:00+00:00", **other)
    choice = choose()
    assert taken(choice) == long
    assert "the best of" not in choice.sentence()
    assert reasons(choice)["short"].endswith(words)


def test_run_has_the_size_that_was_asked_for(put, choose):
    put("large", best_miou=0.9)
    small = put("small", height=192, width=256, best_miou=0.2)
    choice = choose(None, (192, 256))
    assert (taken(choice), reasons(choice)) == (small, {"large": "at 384x512"})
    assert taken(choose(None, (96, 128))) is None


def test_run_is_of_the_model_that_was_asked_for(put, choose):
    put("fastfcn-camvid-20260401T000000.000Z")
    assert taken(choose(model="fastfcn")) is None
    assert taken(choose()) is not None  # the record says what it is, not the folder's name
    assert find_runs("fast") == []


def test_run_has_the_options_that_were_asked_for(put, choose):
    plain = put("plain", options={}, best_miou=0.1)
    wider = put("wider", options={"dropout": 0.3}, best_miou=0.2)
    symmetric = put("symmetric", options={"dropout": 0.3, "padding": "symmetric"}, best_miou=0.3)
    put("gone", options={"dropout": 0.3, "gone": 1}, best_miou=0.9)
    found = {
        (("dropout", 0.3),): symmetric,
        (("dropout", 0.3), ("padding", "same")): wider,
        (("dropout", 0.1),): plain,  # an option that a record does not name has its default
        (("padding", "same"),): wider,
        (("fusion_dilation", 1),): None,
    }
    for options, path in found.items():
        assert taken(choose(None, None, dict(options))) == path, options
    assert reasons(choose(None, None, {"padding": "same"})) == {
        "plain": "mIoU 10.00 %, 30 epochs",
        "symmetric": "with padding=symmetric",
        "gone": "has options of another version",
    }


def test_options_that_do_not_shape_the_weights_choose_no_run(put, choose):
    run = put("one", model="bayesian_segnet", options={})
    for options in ({"monte_carlo": 8}, {"uncertainty": "variance", "classifier": "plain"}):
        assert taken(choose(None, None, options, model="bayesian_segnet")) == run
    assert taken(choose(None, None, {"classifier": "norm_relu"}, model="bayesian_segnet")) is None


def test_without_runs_there_is_none(tmp_path):
    assert find_runs("fast_scnn", tmp_path / "none") == []
    (tmp_path / "runs").write_text("a file")
    assert find_runs("fast_scnn", tmp_path / "runs") == []
    assert choose_run([]).run is None


def test_line_about_many_runs_names_some_and_counts_the_rest(put, choose):
    for number in range(8):
        put(f"run-{number}", best_miou=0.1 * number)
    assert choose().sentence().endswith("and 3 more")


def test_named_run_that_did_not_finish_is_warned_of(put):
    folder = put("one", status="interrupted", epochs=3).parent
    assert status_warning(run_in(folder)).endswith(
        "one was interrupted after 3 of 30 epochs: its weights are the best until then"
    )
    write_record(folder / RUN_RECORD, dataclasses.replace(run_in(folder).record, status="finished"))
    assert status_warning(run_in(folder)) == ""
    assert run_in(folder.parent) is None
    assert isinstance(run_in(folder).record, RunRecord) and (folder / BEST_WEIGHTS).is_file()
