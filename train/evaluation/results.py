"""What an evaluation leaves in its folder: the record, the page, and pictures.

evaluation.json  evaluation.html  confusion.svg  frames/NN-NAME.png
"""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np

from edge.artifacts import write_text
from edge.datasets import Dataset
from edge.evaluation.confusion_chart import chart_height, draw_confusion
from edge.evaluation.page import EVALUATION_PAGE, FramePictures, evaluation_page, prediction_page
from edge.evaluation.pictures import frame_pictures, side_by_side
from edge.evaluation.record import EVALUATION_FILE, Evaluation
from edge.evaluation.worst_frames import WorstFrame
from edge.imaging import write_image
from edge.page.picture_file import picture_file
from edge.records import write_record

CONFUSION_FILE, FRAMES_FOLDER = "confusion.svg", "frames"
RESULTS = (EVALUATION_FILE, EVALUATION_PAGE, CONFUSION_FILE, FRAMES_FOLDER)
"""Names of what is written."""


def write_results(
    folder: Path, evaluation: Evaluation, worst: Sequence[WorstFrame], dataset: Dataset, notes: Sequence[str]
) -> None:
    """Write everything about an evaluation; the record comes last, so a folder that has it is complete.

    Args:
        folder: Folder of the results.
        evaluation: Record of the evaluation.
        worst: Frames that are labelled worst, with their labels.
        dataset: Split that they are of.
        notes: Sentences on what may spoil the scores.

    Raises:
        StorageError: A file cannot be written.
    """
    pictures = _write_pictures(folder, worst, dataset)
    names = dataset.table.class_names
    confusion = np.array(evaluation.confusion, np.int64)
    chart = draw_confusion(confusion, names, "confusion matrix")
    title = f"Confusion on {evaluation.dataset} {evaluation.split}"
    caption = "Which share of each true class is predicted as which, in percent"
    drawn = picture_file(title, evaluation.subject.path, [(caption, chart_height(len(names)), chart)])
    write_text(folder / CONFUSION_FILE, drawn)
    write_text(folder / EVALUATION_PAGE, evaluation_page(evaluation, dataset.table, pictures, notes))
    write_record(folder / EVALUATION_FILE, evaluation)


def write_predictions_page(
    folder: Path, title: str, subtitle: str, shown: Sequence[WorstFrame], dataset: Dataset
) -> None:
    """Write the page and pictures of predictions for which there are no labels.

    Raises:
        StorageError: A file cannot be written.
    """
    pictures = _write_pictures(folder, shown, dataset)
    write_text(folder / EVALUATION_PAGE, prediction_page(title, subtitle, dataset.table, pictures))


def _write_pictures(folder: Path, frames: Sequence[WorstFrame], dataset: Dataset) -> FramePictures:
    shown = []
    for number, frame in enumerate(frames, 1):
        pictures = frame_pictures(frame, dataset)
        path = folder / FRAMES_FOLDER / f"{number:02d}-{frame.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, side_by_side(pictures))
        score = "" if frame.miou is None else f", mIoU {100 * frame.miou:.1f} %"
        shown.append((f"{frame.name}{score}", pictures))
    return shown
