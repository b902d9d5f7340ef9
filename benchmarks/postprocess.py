"""Measure the time from strided logits to labels, against cv2.resize of every class followed by numpy.argmax.

    python benchmarks/postprocess.py
    python benchmarks/postprocess.py --logits logits.npy
    python benchmarks/postprocess.py --synthetic --json

The peer is the usual line of code,
`np.argmax(np.stack([cv2.resize(plane, size) for plane in logits]), axis=0)`, and, as a harder one, the
same with all its memory made beforehand. Each repetition times ours and both peers one after the other,
on one thread; ratios are taken within the repetition. The logits are written just before the clock
starts, as a network writes them; everything else in the caches is what the others left. The case "mask" is
one channel over a threshold, as an adopted network gives it: behind a plane of zeros. Its peer is
`cv2.resize(plane, size) > 0`, of the one channel alone. Goals,
for 19x128x256 logits and 1024x2048 labels: at least 100 times the peer on a trained model's logits, 20
times on random noise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Callable

import numpy as np

from edge.opencv import cv2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edge.artifacts import ARTIFACTS_ROOT
from edge.console import (
    CommandParser,
    RawHelpFormatter,
    parse_size,
    positive_int,
    print_json,
    run_command,
    size_argument,
)
from edge.contract import GRAPH_FILE, read_contract
from edge.errors import InputError
from edge.machine import this_machine
from edge.postprocess import BACKENDS, COORDINATE_RULES, LabelUpsampler, backend, reference_labels
from edge.preprocess import prepare_rgb
from edge.provenance import RANDOM
from edge.runtime.onnxruntime import OnnxRuntimeRunner
from edge.synthetic import draw_scene

CLASSES, LOGIT_HEIGHT, LOGIT_WIDTH = 19, 128, 256
GOAL_RATIO = {"trained": 100, "synthetic": 100, "noise": 20}


def trained_logits() -> tuple[np.ndarray, str]:
    """Return the logits of the newest trained model on a validation image, and where they come from.

    The newest trained artefact at 1024x2048 is asked, on a drawn street that it was not trained on.

    Returns:
        Logits (classes, h, w) float32, and a text that names the artefact and the image.

    Raises:
        InputError: there is no trained artefact.
    """
    contracts = sorted(ARTIFACTS_ROOT.glob("*-1024x2048/contract.json"), key=lambda path: path.stat().st_mtime)
    for path in reversed(contracts):
        contract = read_contract(path.parent)
        if contract.weights.kind != RANDOM and len(contract.class_names) == CLASSES:
            frame_rgb = draw_scene(9_000_000, 0, contract.height, contract.width).frame_rgb
            with OnnxRuntimeRunner(path.parent / GRAPH_FILE, contract) as runner:
                logits = runner.infer(prepare_rgb(frame_rgb, contract.height, contract.width)).copy()
            return logits, f"{path.parent.name} ({contract.weights.source}) on a drawn street"
    raise InputError(
        "no trained artefact of 19 classes at 1024x2048 was found. Next: make demo, then python export/to_onnx.py "
        "--model fast_scnn --weights runs/RUN --size 1024x2048; or give --logits FILE.npy, or --synthetic"
    )


def synthetic_logits(seed: int = 0) -> np.ndarray:
    """Return logits that resemble a trained street model's: smooth regions, sharp borders, a little noise.

    Returns:
        Logits (19, 128, 256) float32; about one cell in ten lies on a class boundary.
    """
    generator = np.random.default_rng(seed)
    coarse = generator.standard_normal((CLASSES, 5, 8)).astype(np.float32)
    size_wh = (LOGIT_WIDTH, LOGIT_HEIGHT)
    smooth = np.stack([cv2.resize(plane, size_wh, interpolation=cv2.INTER_CUBIC) for plane in coarse])
    return 8 * smooth + 0.1 * generator.standard_normal(smooth.shape).astype(np.float32)


def noise_logits(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return independent normal logits: nearly every cell lies on a boundary, the worst case."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def read_logits(path: str) -> np.ndarray:
    """Read (classes, h, w) or (1, classes, h, w) float32 logits from an .npy file.

    Raises:
        InputError: the file is missing, is no .npy file, or holds something else.
    """
    try:
        logits = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"logits not found: {path}") from None
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"logits {path} cannot be read as an .npy file: {error}") from None
    if not isinstance(logits, np.ndarray) or logits.dtype != np.float32:
        raise InputError(f"logits {path} are no float32 array, expected (classes, h, w) float32")
    logits = logits[0] if logits.ndim == 4 and len(logits) == 1 else logits
    if logits.ndim != 3:
        raise InputError(f"logits {path} have shape {logits.shape}, expected (classes, h, w)")
    return logits


def boundary_share(logits: np.ndarray) -> float:
    """Return the share of cells whose four corners differ in argmax, 0 to 1."""
    winner = logits.argmax(axis=0)
    first = winner[:-1, :-1]
    others = (winner[:-1, 1:], winner[1:, :-1], winner[1:, 1:])
    return float(np.mean(np.any([other != first for other in others], axis=0))) if first.size else 0.0


def plain_labels(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the labels by the usual line of code: resize each class with OpenCV, and take the argmax."""
    return np.argmax(np.stack([cv2.resize(plane, (width, height)) for plane in logits]), axis=0).astype(np.uint8)


def peer_labels(logits: np.ndarray, upsampled: np.ndarray) -> np.ndarray:
    """Return the labels as plain_labels does, in the memory of `upsampled`, (classes, height, width) float32."""
    size_wh = (upsampled.shape[2], upsampled.shape[1])
    for plane, to in zip(logits, upsampled):
        cv2.resize(plane, size_wh, dst=to, interpolation=cv2.INTER_LINEAR)
    return upsampled.argmax(axis=0).astype(np.uint8)


def mask_logits(logits: np.ndarray) -> np.ndarray:
    """Return the planes of a decision on one channel, (2, h, w) float32: zeros, and one class less the best other."""
    label = int(np.bincount(logits.argmax(axis=0).ravel()).argmax())
    margin = logits[label] - np.delete(logits, label, axis=0).max(axis=0)
    return np.stack([np.zeros_like(margin), margin])


def plain_mask(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the labels of one channel over 0 by the usual line of code."""
    return (cv2.resize(planes[1], (width, height)) > 0).astype(np.uint8)


def peer_mask(planes: np.ndarray, upsampled: np.ndarray) -> np.ndarray:
    """Return the labels as plain_mask does, in the memory of `upsampled`, (2, height, width) float32."""
    cv2.resize(planes[1], (upsampled.shape[2], upsampled.shape[1]), dst=upsampled[1], interpolation=cv2.INTER_LINEAR)
    return (upsampled[1] > 0).astype(np.uint8)


PEERS = {"mask": (plain_mask, peer_mask)}
"""Kind of logits -> the usual line of code, and the same with its memory made beforehand; else that of the largest."""


def measure(
    logits: np.ndarray, height: int, width: int, coordinates: str, backend_name: str, repetitions: int, kind: str = ""
) -> dict[str, object]:
    """Time one backend of this project and the peers of a kind of logits, in turn.

    Returns:
        A record with times in ms and ratios, each as minimum, median and maximum, and with the agreement of the
        labels with the definition and with the peer.
    """
    upsampler = LabelUpsampler(*logits.shape, height, width, coordinates, backend=backend_name)
    out = np.empty((height, width), np.uint8)
    upsampled = np.empty((logits.shape[0], height, width), np.float32)
    upsampler(logits, out)
    plain, preallocated = PEERS.get(kind, (plain_labels, peer_labels))
    peer = preallocated(logits, upsampled)  # both have now touched their buffers once
    fresh = np.empty_like(logits)
    ours_ms, plain_ms, peer_ms = [], [], []
    for _ in range(repetitions):
        np.copyto(fresh, logits)
        ours_ms.append(_milliseconds(lambda: upsampler(fresh, out)))
        np.copyto(fresh, logits)
        plain_ms.append(_milliseconds(lambda: plain(fresh, height, width)))
        np.copyto(fresh, logits)
        peer_ms.append(_milliseconds(lambda: preallocated(fresh, upsampled)))
    wrong = int(np.count_nonzero(out != reference_labels(logits, height, width, coordinates)))
    return {
        "backend": backend_name,
        "coordinates": coordinates,
        "repetitions": repetitions,
        "ours_ms": _spread(ours_ms),
        "peer_ms": _spread(plain_ms),
        "ratio": _spread([theirs / ours for ours, theirs in zip(ours_ms, plain_ms)]),
        "preallocated_peer_ms": _spread(peer_ms),
        "preallocated_ratio": _spread([theirs / ours for ours, theirs in zip(ours_ms, peer_ms)]),
        "pixels_unlike_reference": wrong,
        # The peer rounds in float32, and knows half_pixel alone.
        "peer_agreement": float(np.mean(out == peer)) if coordinates == "half_pixel" else None,
    }


def _milliseconds(work: Callable[[], object]) -> float:
    start_ns = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start_ns) / 1e6


def _spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def run(arguments: argparse.Namespace) -> int:
    """Measure what the arguments ask for, print it, and return the exit code: 1 if a label is not the definition's."""
    if arguments.logits:
        kind, logits, source = "trained", read_logits(arguments.logits), arguments.logits
    elif arguments.synthetic:
        kind, logits, source = "synthetic", synthetic_logits(), "made up, of no trained model"
    else:
        kind, (logits, source) = "trained", trained_logits()
    height, width = arguments.size
    cv2.setNumThreads(1)
    names = [name for name in BACKENDS if name == "numpy" or backend() == "native"]
    if arguments.backend:
        names = [arguments.backend]
    record: dict[str, object] = {
        "processor": this_machine().cpu,
        "processors": os.cpu_count(),
        "load_average_1_min": os.getloadavg()[0],
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "logits_shape": list(logits.shape),
        "labels_shape": [height, width],
        "logits_source": source,
    }
    cases = []
    for case, case_logits in ((kind, logits), ("noise", noise_logits(logits.shape)), ("mask", mask_logits(logits))):
        for name in names:
            result = measure(case_logits, height, width, arguments.coordinates, name, arguments.repetitions, case)
            cases.append({"logits": case, "boundary_cells": boundary_share(case_logits), **result})
    record["cases"] = cases
    if arguments.json:
        print_json(record)
    else:
        _print_table(record, cases)
    return 1 if any(case["pixels_unlike_reference"] for case in cases) else 0


def _print_table(record: dict[str, object], cases: list[dict]) -> None:
    print(
        f"{record['processor']}, {record['processors']} cores, load {record['load_average_1_min']:.1f}; one thread used"
    )
    print(f"logits {record['logits_shape']} -> labels {record['labels_shape']}; {record['logits_source']}")
    for case in cases:
        ours, peer, ratio = case["ours_ms"], case["peer_ms"], case["ratio"]
        goal = GOAL_RATIO.get(case["logits"]) if case["backend"] == "native" else None
        goal = f" (goal {goal})" if goal is not None else ""
        agreement = case["peer_agreement"]
        print(
            f"{case['logits']:9} {case['backend']:6} {case['boundary_cells']:6.1%} boundary cells: "
            f"ours {ours['median']:.2f} ms ({ours['min']:.2f} to {ours['max']:.2f}), "
            f"peer {peer['median']:.0f} ms ({peer['min']:.0f} to {peer['max']:.0f}), "
            f"ratio {ratio['median']:.1f} ({ratio['min']:.1f} to {ratio['max']:.1f}){goal}, "
            f"{case['preallocated_ratio']['median']:.1f} with the peer's memory made beforehand; "
            f"{case['pixels_unlike_reference']} pixels unlike the definition"
            + (f", {agreement:.4%} like the peer" if agreement is not None else "")
        )


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=RawHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--logits", metavar="FILE.npy", help="logits of a trained model, (classes, h, w) float32")
    source.add_argument("--synthetic", action="store_true", help="make up logits that resemble a trained model's")
    parser.add_argument(
        "--size",
        type=size_argument,
        default=parse_size("1024x2048"),
        metavar="HEIGHTxWIDTH",
        help="size of the label map in pixels",
    )
    parser.add_argument("--coordinates", choices=COORDINATE_RULES, default="half_pixel", help="coordinate rule")
    parser.add_argument("--backend", choices=BACKENDS, help="measure this one alone (default: all there are)")
    parser.add_argument("--repetitions", type=positive_int, default=15, metavar="N", help="repetitions of each case")
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
