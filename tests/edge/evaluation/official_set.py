"""A small set in the layout of Cityscapes with predictions that hold everything that is awkward, for the tests here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np

from edge.datasets import Dataset, open_dataset
from edge.evaluation.measure import Measured, WhatToMeasure, measure_files
from edge.evaluation.prediction_files import find_predictions
from edge.evaluation.scores import Scores, scores_of
from edge.imaging import write_image
from edge.labels import CITYSCAPES_RAW_IDS

REPOSITORY = Path(__file__).resolve().parents[3]
PYTHON = REPOSITORY / ".venv-cityscapesscripts-2.3.0" / "bin" / "python"

HEIGHT, WIDTH, FRAMES = 48, 96, 3

OFFICIAL_RUN = """
import json, sys
truths, predictions, out = sys.argv[1].split(","), sys.argv[2].split(","), sys.argv[3]
sys.argv = sys.argv[:1]
import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as official
official.args.quiet, official.args.JSONOutput = True, False
result = official.evaluateImgLists(predictions, truths, official.args)
json.dump(result, open(out, "w"))
"""
"""Run of the official evaluation on files in a given order: by itself it takes them as the file system lists them, and
sums of floats depend on their order."""


def write_set(root: Path) -> tuple[Dataset, Path]:
    """Write frames, label maps and predictions, and return the split and the folder of the predictions.

    There are objects of each class that has instances but train, a group (id 24 alone), an object of an ignored class,
    and ignored ids in truth and prediction. No frame has a train, and wall is predicted where none is.
    """
    generator = np.random.default_rng(7)
    ids = CITYSCAPES_RAW_IDS
    for index in range(FRAMES):
        city = ("aachen", "bochum")[index % 2]
        name = f"{city}_00000{index}_000019"
        labels = np.full((HEIGHT, WIDTH), ids["road"], np.uint8)
        labels[:20] = ids["building"]
        labels[:8, 30:] = ids["sky"]
        labels[20:24] = ids["sidewalk"]
        labels[:3] = ids["out of roi"]
        labels[4:40, 50 + index] = ids["pole"]
        instances = labels.astype(np.uint16)
        objects = ("person", "rider", "car", "truck", "bus", "motorcycle", "bicycle", "caravan", "person", "car", "car")
        for number, kind in enumerate(objects):
            top, left = int(generator.integers(10, HEIGHT - 12)), int(generator.integers(0, WIDTH - 14))
            height, width = (int(side) for side in generator.integers(2, 13, 2))
            box = np.s_[top : top + height, left : left + width]
            labels[box] = ids[kind]
            instances[box] = 1000 * ids[kind] + number
        labels[44:, :6] = instances[44:, :6] = ids["person"]  # a group, whose people nobody told apart
        predicted = np.roll(labels, (1, 2), (0, 1))
        for kind in ("caravan", "trailer", "wall", "car", "dynamic", "unlabeled", "polegroup", "fence"):
            top, left = int(generator.integers(0, HEIGHT - 6)), int(generator.integers(0, WIDTH - 8))
            predicted[top : top + 6, left : left + 8] = ids[kind]
        folder = root / "gtFine" / "val" / city
        write_image(
            root / "leftImg8bit" / "val" / city / f"{name}_leftImg8bit.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        )
        write_image(folder / f"{name}_gtFine_labelIds.png", labels)
        write_image(folder / f"{name}_gtFine_instanceIds.png", instances)
        write_image(root / "results" / f"{name}_pred.png", predicted)
    return open_dataset("cityscapes", root, "val"), root / "results"


def own_scores(dataset: Dataset, predictions: Path) -> tuple[Scores, Measured]:
    """Return our scores of files, without boundaries, which the official evaluation does not have."""
    paths = find_predictions(predictions, [sample.name for sample in dataset.samples])
    measured = measure_files(paths, dataset, WhatToMeasure(boundary_tolerance=None, worst=0))
    return scores_of(measured.counts), measured


def official_scores(dataset: Dataset, predictions: Path, out: Path) -> dict:
    """Return what the official evaluation says of the same files."""
    paths = find_predictions(predictions, [sample.name for sample in dataset.samples])
    truths = [str(sample.label_path) for sample in dataset.samples]
    command = [str(PYTHON), "-c", OFFICIAL_RUN, ",".join(truths), ",".join(map(str, paths)), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())


def as_official(scores: Scores, names: tuple[str, ...]) -> dict:
    """Return our scores under the names of the official result."""
    return {
        "classScores": dict(zip(names, scores.class_iou)),
        "classInstScores": dict(zip(names, scores.class_iiou)),
        "categoryScores": scores.category_iou,
        "categoryInstScores": scores.category_iiou,
        "averageScoreClasses": scores.miou,
        "averageScoreInstClasses": scores.miiou,
        "averageScoreCategories": scores.category_miou,
        "averageScoreInstCategories": scores.category_miiou,
    }


def of_evaluated(official: dict, names: tuple[str, ...]) -> dict:
    """Return the scores of an official result, None where it has nan, without what is not evaluated."""
    kept = {}
    for key, value in official.items():
        if key.startswith("averageScore"):
            kept[key] = _none(value)
        elif key.startswith("class"):
            kept[key] = {name: _none(value[name]) for name in names}
        elif key.startswith("category"):
            kept[key] = {name: _none(score) for name, score in value.items() if name != "void"}
    return kept


def _none(value: float) -> float | None:
    return None if value != value else value
