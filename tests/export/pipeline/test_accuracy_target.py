"""The images and the limits that an engine is judged by, and the images that a search looks at instead."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.budget.limits import DEFAULT_CLASS_CHANGE, DEFAULT_CLASS_DROP, DEFAULT_REGION_LOSS, Budget
from edge.contract import read_contract
from edge.datasets import open_dataset
from edge.errors import InputError
from edge.frames import DatasetFrames, FolderFrames, SyntheticFrames
from export.pipeline.accuracy_target import SEARCH_IMAGES, open_accuracy_target
from export.pipeline.calibrate import CalibratedGraph
from export.pipeline.float_graph import FloatGraph
from export.pipeline.images import ImageSources
from export.pipeline.request import Int8Request
from tests.export import small_device as device
from tests.export.small_device import ARTIFACT, SIZE, hostile

MODEL = hostile.hostile_network(ratio=1.0)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    device.prepare(tmp_path, monkeypatch)
    device.write_artifact(MODEL)
    device.write_camvid(MODEL, val=7)
    return tmp_path


def target_of(
    calibrating="train", pictures=None, has_dataset=True, weights=device.TRAINED, has_kept_config=False, **limits
):
    """The target of an INT8 build whose calibration images are a split, frames, or not here (None)."""
    if not has_dataset:
        shutil.rmtree("data")
    contract = dataclasses.replace(read_contract(ARTIFACT), weights=weights)
    graph = FloatGraph(ARTIFACT, contract)
    root = Path("data") / "camvid"
    frames = DatasetFrames(open_dataset("camvid", root, calibrating)) if isinstance(calibrating, str) else calibrating
    calibrated = CalibratedGraph(graph, frames, None, ranges=object())
    sources = ImageSources("camvid", root if has_dataset else None, pictures, SIZE, SIZE, 50)
    return open_accuracy_target(graph, calibrated, sources, Int8Request(**limits), has_kept_config)


def names(images):
    return set(images.frames.names)


# Images


def test_calibration_images_are_searched_on_and_held_out_ones_judge():
    target = target_of()
    assert names(target.images) == {f"val_{index}" for index in range(7)}
    assert names(target.search_images) == {f"train_{index}" for index in range(5)}
    assert target.images.has_truth and target.search_images.has_truth


def test_search_looks_at_a_few_of_many_calibration_images():
    pictures = FolderFrames(device.write_pictures(Path("many"), 60))
    target = target_of(calibrating=pictures, pictures=device.write_pictures(Path("mine"), 6))
    assert len(target.search_images.frames) == SEARCH_IMAGES


def test_some_held_out_images_are_searched_on_where_the_calibration_images_are_not_here():
    target = target_of(calibrating=None)
    assert names(target.search_images) == {"val_0", "val_3", "val_6"}
    assert names(target.images) == {"val_1", "val_2", "val_4", "val_5"}


def test_a_drop_in_miou_is_never_searched_for_on_images_without_labels():
    pictures = FolderFrames(device.write_pictures(Path("mine"), 6))
    target = target_of(calibrating=pictures)
    assert target.images.has_truth and target.search_images.has_truth
    assert not names(target.images) & names(target.search_images)


def test_labels_of_calibration_images_are_not_counted_where_the_judging_ones_have_none():
    target = target_of(pictures=device.write_pictures(Path("mine"), 6))
    assert not target.images.has_truth and not target.search_images.has_truth
    assert names(target.search_images) == {f"train_{index}" for index in range(5)}


def test_single_held_out_image_judges_and_is_searched_on():
    target = target_of(calibrating=None, pictures=device.write_pictures(Path("mine"), 2))
    assert len(target.images.frames) == 1 and target.search_images is None


# Limits


def test_limits_with_labels_are_points_of_iou():
    assert target_of().budget == Budget(0.5, None, DEFAULT_CLASS_DROP, None, DEFAULT_REGION_LOSS)


def test_limits_without_labels_are_changes():
    target = target_of(pictures=device.write_pictures(Path("mine"), 6))
    assert target.budget == Budget(None, 0.95, None, DEFAULT_CLASS_CHANGE, DEFAULT_REGION_LOSS)


def test_user_who_allows_the_network_more_allows_a_class_as_much():
    assert target_of(max_drop_points=7.0).budget == Budget(7.0, None, 7.0, None, DEFAULT_REGION_LOSS)
    assert target_of(max_drop_points=100.0).budget == Budget(100.0, None, 100.0, None, 100.0)
    own = target_of(max_drop_points=7.0, max_class_drop=1.0, max_region_loss_percent=5.0)
    assert own.budget == Budget(7.0, None, 1.0, None, 5.0)


def test_class_has_the_limit_that_the_user_names():
    assert target_of(class_limits={"pedestrian": 0.3}).budget.class_limits == {"pedestrian": 0.3}


def test_random_weights_have_no_limits():
    target = target_of(weights=device.RANDOM, max_drop_points=0.0)
    assert (target.budget, target.search_images) == (Budget(None, None), None)


@pytest.mark.parametrize("calibrating", [None, SyntheticFrames(4, SIZE, SIZE, 1)], ids=["not here", "drawn"])
def test_config_that_held_elsewhere_is_not_judged_by_drawn_scenes(calibrating):
    target = target_of(calibrating, has_dataset=False, has_kept_config=True)
    assert target.images.frames.description == SyntheticFrames.DESCRIPTION and not target.budget.is_enforced


def test_drawn_scenes_judge_where_nothing_else_does():
    assert target_of(None, has_dataset=False).budget == Budget(None, 0.95, None, 50.0, 50.0)


@pytest.mark.parametrize(
    "limit",
    [
        {"max_label_change_percent": 5.0},
        {"max_class_drop": 5.0},
        {"class_limits": {"pedestrian": 3.0}},
        {"max_region_loss_percent": 5.0},
    ],
    ids=str,
)
def test_any_limit_of_the_user_is_judged_by_drawn_scenes_too(limit):
    assert target_of(None, has_dataset=False, has_kept_config=True, **limit).budget.is_enforced


def test_unknown_class_is_refused_with_those_that_are_there():
    with pytest.raises(InputError, match="names 'persn', which is no class of the network, expected one of: sky, b"):
        Int8Request(class_limits={"persn": 1.0}).require_classes(hostile.CAMVID.class_names)
