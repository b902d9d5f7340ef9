"""Drawn scenes that generated networks are fitted to and judged on, and the fit of their last layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np

from benchmarks.hostile.kinds import KINDS
from benchmarks.hostile.network_builder import IMAGE, LEAST_RMS, NetworkBuilder
from edge.artifacts import write_bytes, write_json
from edge.imaging import write_image
from edge.labels import CITYSCAPES, IGNORE_ID
from edge.metrics import ConfusionMatrix
from edge.opencv import cv2
from edge.runtime.onnxruntime import import_onnxruntime
from edge.synthetic import draw_scene

HEIGHT, WIDTH = 192, 384
STRIDE = 4
FIT_SEED, JUDGED_SEED = 3, 4
FIT_SCENES, SHAPING_SCENES, JUDGED_SCENES = 32, 6, 90
FIT_STEPS, FIT_EVERY = 60, 3
RIDGE = 1e-2
"""Share of the mean feature's power that is added to every feature's, so that no weight is far larger than it needs."""

CATEGORIES = tuple(dict.fromkeys(one.category for one in CITYSCAPES.file_classes if one.category != "void"))
"""Categories of Cityscapes, in the order of their classes' ids."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def draw(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a drawn scene, (HEIGHT, WIDTH, 3) uint8 RGB, and its categories, (HEIGHT, WIDTH) uint8."""
    scene = draw_scene(seed, index, HEIGHT, WIDTH)
    lookup = np.full(256, IGNORE_ID, np.uint8)
    for one in CITYSCAPES.file_classes:
        if one.category in CATEGORIES:
            lookup[list(one.ids)] = CATEGORIES.index(one.category)
    return scene.frame_rgb, lookup[scene.label_ids]


def write_pictures(folder: Path, count: int = JUDGED_SCENES) -> None:
    """Write drawn scenes, which no network is fitted to, as PNG into a folder; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        path = folder / f"scene_{index:03d}.png"
        if not path.is_file():
            write_image(path, cv2.cvtColor(draw(JUDGED_SEED, index)[0], cv2.COLOR_RGB2BGR))


def write_network(kind: str, folder: Path, seed: int = 0) -> tuple[Path, Path, float]:
    """Make a network of one kind, fit its last layer, and write it with its contract.

    Args:
        kind: Name in benchmarks.hostile.kinds.KINDS.
        folder: Folder of both files.
        seed: Seed of the weights.

    Returns:
        The graph, its contract, and its mIoU on scenes that it was not fitted to, 0 to 1.
    """
    divisor = 255.0 if kind == "image_beside_features" else 1.0
    scenes = [draw(FIT_SEED, index) for index in range(FIT_SCENES)]
    images = [_normalised(frame_rgb, divisor) for frame_rgb, _ in scenes]
    net = NetworkBuilder(np.stack(images[:SHAPING_SCENES]), seed)
    features = KINDS[kind](net)
    run = _runner(net.model(features, HEIGHT, WIDTH))
    weight, bias = fit_classifier([run(image) for image in images], [labels for _, labels in scenes], len(CATEGORIES))
    model = net.model(features, HEIGHT, WIDTH, weight, bias)
    graph, contract = folder / f"{kind}.onnx", folder / f"{kind}.json"
    write_bytes(graph, model.SerializeToString())
    facts = {
        "name": kind,
        "class_names": list(CATEGORIES),
        "mean": [255.0 * value for value in MEAN],
        "std": [255.0 * divisor * value for value in STD],
        "scale": 1,
        "channel_order": "rgb",
        "coordinates": "half_pixel",
        "weights": f"seed {seed}, its last layer fitted to drawn scenes",
    }
    write_json(contract, facts)
    return graph, contract, _miou(_runner(model), divisor)


def fit_classifier(features: list[np.ndarray], labels: list[np.ndarray], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit a linear classifier by logistic regression, in which every class counts by the root of its share.

    Each step solves least squares with the same matrix, an upper bound of the curvature (Boehning 1992, Multinomial
    logistic regression algorithm).

    Args:
        features: Features of each picture, (channels, rows, columns) float32.
        labels: Labels of each picture, (height, width) uint8; the features stand at the centres of equal cells of it.
        classes: Number of classes.

    Returns:
        Weight, (classes, channels), and bias, (classes,), both float64.
    """
    channels = features[0].shape[0]
    rows = np.concatenate([feature.reshape(channels, -1).T for feature in features])
    ids = np.concatenate([_at_centres(truth, feature.shape[1:]).ravel() for truth, feature in zip(labels, features)])
    chosen = np.flatnonzero(ids < classes)[::FIT_EVERY]
    rows, truth = rows[chosen].astype(np.float64), np.eye(classes)[ids[chosen]]
    mean, std = rows.mean(0), np.maximum(rows.std(0), LEAST_RMS)
    x = np.column_stack([(rows - mean) / std, np.ones(len(rows))])
    importance = (truth @ (1.0 / np.sqrt(np.maximum(truth.sum(0), 1))))[:, None]
    importance /= importance.mean()
    ridge = RIDGE * np.trace(x.T @ x) / x.shape[1] * np.eye(x.shape[1])
    curvature = np.linalg.inv(0.5 * x.T @ (x * importance) + ridge)
    solved = np.zeros((x.shape[1], classes))
    for _ in range(FIT_STEPS):
        scores = x @ solved
        likely = np.exp(scores - scores.max(1, keepdims=True))
        likely /= likely.sum(1, keepdims=True)
        solved += curvature @ (x.T @ (importance * (truth - likely)) - ridge @ solved)
    weight = solved[:-1].T / std
    return weight, solved[-1] - weight @ mean


def _at_centres(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the labels at the centres of a grid of cells."""
    rows = (np.arange(size[0]) * 2 + 1) * labels.shape[0] // (2 * size[0])
    columns = (np.arange(size[1]) * 2 + 1) * labels.shape[1] // (2 * size[1])
    return labels[np.ix_(rows, columns)]


def _normalised(frame_rgb: np.ndarray, divisor: float) -> np.ndarray:
    """Return a frame as the network takes it, (3, height, width) float32."""
    pixels = (frame_rgb / 255.0 - np.array(MEAN)) / (np.array(STD) * divisor)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)


def _runner(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that gives what a model gives for one picture, without the batch axis."""
    session = import_onnxruntime().InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {IMAGE: image[None]})[0][0]


def _miou(run: Callable[[np.ndarray], np.ndarray], divisor: float, count: int = 8) -> float:
    """Return the mIoU of a network on scenes of the judged set, 0 to 1."""
    matrix = ConfusionMatrix(len(CATEGORIES))
    for index in range(count):
        frame_rgb, truth = draw(JUDGED_SEED, index)
        planes = [
            cv2.resize(plane, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
            for plane in run(_normalised(frame_rgb, divisor))
        ]
        matrix.update(truth, np.argmax(planes, axis=0).astype(np.uint8))
    return matrix.miou() or 0.0
