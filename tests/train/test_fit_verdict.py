"""The verdict on whether a model and a dataset fit together, from the epochs of a training on a few images."""

from __future__ import annotations

import pytest

from edge.datasets import open_dataset
from edge.errors import DatasetError
from edge.imaging import write_image
from edge.labels import IGNORE_ID
from tests.train import street_set
from train.fit_verdict import class_shares_of, judge_fit, overfitting_recipe, repeated, score_of
from train.journal.entries import EpochEntry
from train.recipe import Recipe
from train.recipes import find_recipe

SHARES = {"sky": 0.6, "road": 0.397, "pole": 0.003}


def epoch(number: int, loss: float, sky: float | None = None, road: float = 0.0, pole: float = 0.0) -> EpochEntry:
    if sky is None:
        return EpochEntry(number, loss, 1e-3, 1.0, step=20 * number)
    # A class that the images do not have pulls the mIoU of the validation down.
    class_iou = {"sky": sky, "road": road, "pole": pole, "car": 0.0}
    return EpochEntry(number, loss, 1e-3, 1.0, step=20 * number, miou=(sky + road + pole) / 4, class_iou=class_iou)


def test_network_that_knows_its_images_fits():
    verdict = judge_fit([epoch(1, 2.0), epoch(20, 0.05, 0.99, 0.98, 0.7)], SHARES, 0.75, "tiny and camvid")
    assert verdict.fits and verdict.step == 400
    assert verdict.miou == pytest.approx(0.89)
    (sentence,) = verdict.sentences
    assert sentence == "tiny and camvid fit together: mIoU 89.0 % on the images that were learnt, after 400 steps"


def test_score_is_that_of_the_classes_that_the_images_have():
    assert score_of(epoch(1, 1.0, 0.9, 0.9, 0.9), SHARES) == pytest.approx(0.9)
    assert score_of(epoch(1, 1.0), SHARES) is None


def test_loss_that_stays_is_called_nothing_learnt():
    verdict = judge_fit([epoch(1, 2.0, 0.5), epoch(40, 1.8, 0.55)], SHARES, 0.75, "x")
    assert not verdict.fits
    assert "the loss went from 2.0000 to 1.8000: next to nothing was learnt" in verdict.sentences[1]


def test_classes_that_are_never_right_are_named_with_their_share():
    verdict = judge_fit([epoch(1, 2.0, 0.5), epoch(40, 0.1, 0.9, 0.9, 0.0)], SHARES, 0.75, "x")
    assert verdict.never_right == {"pole": 0.003}
    assert "1 of 3 classes are never right: pole (0.3 % of the pixels). Next: a larger --size" in verdict.sentences[1]
    verdict = judge_fit([epoch(1, 2.0, 0.5), epoch(40, 0.1, 0.9, 0.0, 0.9)], SHARES, 0.75, "x")
    assert "road (40 % of the pixels). Next: check that these classes mean the same" in verdict.sentences[1]


def test_score_that_still_rises_asks_for_more_time():
    epochs = [epoch(1, 2.0, 0.3, 0.3, 0.1), epoch(40, 0.2, 0.6, 0.6, 0.4)]
    assert "the score is still rising. Next: more --steps" in judge_fit(epochs, SHARES, 0.75, "x").sentences[1]
    epochs.append(epoch(60, 0.2, 0.6, 0.6, 0.3))
    assert "pole least with 40.0 %. Next: a larger --size" in judge_fit(epochs, SHARES, 0.75, "x").sentences[1]


def test_run_without_validation_is_not_judged():
    verdict = judge_fit([epoch(1, 2.0)], SHARES, 0.75, "x")
    assert (verdict.fits, verdict.miou) == (False, None)
    assert "no epoch was validated" in verdict.sentences[0]


@pytest.fixture
def images(tmp_path):
    root = street_set.write_camvid(tmp_path / "camvid", train=9)
    return lambda count: open_dataset("camvid", root, "train", limit=count)


def test_recipe_has_nothing_that_holds_back(images):
    own = find_recipe("fast_scnn", "cityscapes").recipe.changed(
        auxiliary_weights={"auxiliary": 0.3}, clip_norm=1.0, ema=0.99
    )
    recipe = overfitting_recipe(own, images(8), None, 400, 1e-3)
    assert (recipe.height, recipe.width) == recipe.crop_size == own.crop_size
    assert (recipe.scale_min, recipe.scale_max, recipe.flip, recipe.blur) == (1.0, 1.0, 0.0, 0.0)
    assert (recipe.brightness, recipe.contrast, recipe.saturation) == (0.0, 0.0, 0.0)
    assert (recipe.weight_decay, recipe.clip_norm, recipe.ema, recipe.warmup_steps) == (0.0, None, 0.0, 0)
    assert (recipe.optimizer, recipe.learning_rate, recipe.schedule) == ("adam", 1e-3, "constant")
    assert recipe.auxiliary_weights == own.auxiliary_weights and recipe.options == own.options


def test_recipe_that_is_checked_keeps_no_setting_of_chance(images):
    own = Recipe(2, 3, 32, 64, "sgd", 0.1, hardest_share=0.1, patience=2, validate_every=9)
    recipe = overfitting_recipe(own, images(8), None, 10, 1e-3)
    assert (recipe.hardest_share, recipe.patience, recipe.validate_every) == (1.0, None, 1)


@pytest.mark.parametrize(("count", "batch_size", "frames"), [(8, 8, 160), (3, 3, 60), (9, 8, 162)])
def test_images_are_repeated_until_an_epoch_has_twenty_steps(images, count, batch_size, frames):
    own = find_recipe("fast_scnn", "camvid").recipe
    few = images(count)
    recipe = overfitting_recipe(own, few, (64, 96), 400, 1e-3)
    assert (recipe.batch_size, len(repeated(few)), recipe.epochs) == (batch_size, frames, 20)
    assert [sample.name for sample in repeated(few).samples[:count]] == [sample.name for sample in few.samples]


def test_shares_are_of_the_labelled_pixels(images):
    pair = images(2)
    shares = class_shares_of(pair)
    assert set(shares) == {"sky", "road"}
    assert sum(shares.values()) == pytest.approx(1.0)
    rows = sum(int((pair.read_labels(index) == 0).sum()) for index in range(2))
    assert shares["sky"] == pytest.approx(rows / (2 * street_set.HEIGHT * street_set.WIDTH))


def test_images_without_a_labelled_pixel_are_refused(tmp_path):
    root = street_set.write_camvid(tmp_path / "camvid", train=1)
    images = open_dataset("camvid", root, "train")
    labels = images.read_labels(0)
    labels[:] = images.table.class_count  # CamVid's "void"
    write_image(images.samples[0].label_path, labels)
    assert (images.read_labels(0) == IGNORE_ID).all()
    with pytest.raises(DatasetError, match=r"1 frames of camvid train have no labelled pixel\. Next: more --images"):
        class_shares_of(images)
