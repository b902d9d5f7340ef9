"""Measure what INT8 costs on networks with hostile ranges: this build, an earlier one, and two peers.

    python benchmarks/int8_hostile.py [KIND ...] [--baseline CHECKOUT] [--modelopt-python PYTHON] [--json]
    python benchmarks/int8_hostile.py --onnx FILE --contract FILE --images FOLDER [--baseline CHECKOUT]

Without a file it makes small networks of each kind (benchmarks/hostile/kinds.py) from a seed, fits their last layer to
drawn scenes, and judges them on drawn scenes of another seed. With one, the pictures of a folder serve, or those of the
contract's dataset in --data-dir; half of a folder calibrates, the other half judges.

Each build starts from nothing, in a process of its own, with ONNX Runtime on the CPU. Its search is timed from the
collected ranges to the engine, and takes in both forms of the graph. The peers are `quantize_static` of
onnxruntime.quantization, by percentile and per channel, run by this CPU's kernels, and nvidia-modelopt by entropy,
simulated exactly. All of them quantise the same float graph and are judged on the same pictures, by the same count of
changed labels.

Goal: at most 5 % of labels changed with at least 85 % of multiply-adds in INT8 in both forms, in at most a third of the
baseline's time.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.hostile.builds import Work, figures_of, float_graph, run_build
from benchmarks.hostile.judge import Judge
from benchmarks.hostile.kinds import KINDS
from benchmarks.hostile.peers import entropy_figures, percentile_figures
from benchmarks.hostile.scenes import write_network, write_pictures
from benchmarks.hostile.table import GOAL_CHANGED_PERCENT, misses_goal, table_lines
from calibration.images.frames import read_manifest_frames
from calibration.images.selection import MANIFEST_FILE
from edge.console import CommandParser, RawHelpFormatter, positive_int, print_json, print_status, run_command
from edge.contract import Contract
from edge.datasets import Dataset, open_dataset
from edge.errors import InputError
from edge.frames import DatasetFrames, FrameSet
from edge.machine import this_machine
from edge.runtime.onnxruntime import import_onnxruntime
from export.pipeline.command_options import minutes_argument, points_argument
from export.pipeline.user_images import split_pictures

CHECKOUT = Path(__file__).resolve().parents[1]


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument(
        "kinds", nargs="*", metavar="KIND", help=f"generated networks: {', '.join(KINDS)} (default: all)"
    )
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="a network instead, as build_engine.py takes it")
    parser.add_argument("--contract", type=Path, metavar="FILE", help="its contract (docs/any-network.md)")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="pictures for it, without labels")
    parser.add_argument("--data-dir", type=Path, help="folder of the contract's dataset instead, with labels")
    parser.add_argument("--accuracy-images", type=positive_int, default=45, help="judged pictures")
    parser.add_argument("--search-minutes", type=minutes_argument, default=15.0, help="limit of each search")
    parser.add_argument(
        "--max-miou-drop",
        type=points_argument,
        metavar="POINTS",
        help="points of mIoU to lose, with labels (default: 0.5)",
    )
    parser.add_argument("--baseline", type=Path, metavar="CHECKOUT", help="an earlier checkout that builds the same")
    parser.add_argument("--peer-images", type=positive_int, default=16, help="pictures of the peers")
    parser.add_argument("--no-peers", action="store_true", help="builds alone")
    parser.add_argument("--modelopt-python", type=Path, metavar="PYTHON", help="Python with nvidia-modelopt[onnx]")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="keep networks and artefacts here (default: nowhere)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Measure every network, print the result, and return the exit code: 1 if a goal is missed."""
    _check(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work if arguments.work is not None else Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        networks = [_measure(arguments, work, kind) for kind in _kinds(arguments)]
    result = {
        "processor": this_machine().cpu,
        "cores": os.cpu_count(),
        "onnxruntime": import_onnxruntime().__version__,
        "search_minutes": arguments.search_minutes,
        "networks": networks,
    }
    if arguments.json:
        print_json(result)
    else:
        print("\n".join(table_lines(result)))
    return 1 if any(misses_goal(network) for network in networks) else 0


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        InputError: A kind is unknown, a file comes without what it needs, or the baseline is no checkout.
    """
    unknown = sorted(set(arguments.kinds) - set(KINDS))
    if unknown:
        raise InputError(f"got the kind '{unknown[0]}', expected one of {', '.join(KINDS)}")
    given = [arguments.onnx, arguments.contract, arguments.images or arguments.data_dir]
    if any(given) and not all(given):
        raise InputError("a network needs --onnx, --contract, and --images or --data-dir, got only some of them")
    if arguments.onnx is not None and (arguments.kinds or (arguments.images and arguments.data_dir)):
        raise InputError("got --onnx with a KIND, or with both --images and --data-dir, expected one of them")
    if arguments.baseline is not None and not (arguments.baseline / "export" / "build_engine.py").is_file():
        raise InputError(f"{arguments.baseline} has no export/build_engine.py, expected a checkout of this project")


def _kinds(arguments: argparse.Namespace) -> list[str | None]:
    """Return the kinds that are generated; only None where a network was given."""
    return [None] if arguments.onnx is not None else list(arguments.kinds or KINDS)


def _measure(arguments: argparse.Namespace, work: Path, kind: str | None) -> dict[str, Any]:
    """Build one network by every checkout, quantise it by every peer, and return the figures."""
    name, onnx, contract, images, made = arguments.onnx, arguments.onnx, arguments.contract, arguments.images, {}
    if kind is not None:
        print_status(f"{kind}: making the network and its pictures")
        onnx, contract, miou = write_network(kind, work)
        images, made = work / "scenes", {"generated_miou": miou}
        write_pictures(images)
    name = onnx.stem
    options = ["--accuracy-images", str(arguments.accuracy_images)]
    options += ["--images", str(images.resolve())] if images else ["--data-dir", str(arguments.data_dir.resolve())]
    if arguments.max_miou_drop is not None:
        options += ["--max-miou-drop", f"{arguments.max_miou_drop:g}"]
    asked = Work(onnx, contract, tuple(options), arguments.search_minutes)
    checkouts = {"ours": CHECKOUT, **({"baseline": arguments.baseline} if arguments.baseline is not None else {})}
    rows, judge, ours = {}, None, None
    for who, checkout in checkouts.items():
        print_status(f"{name}: building by {who}, at most {arguments.search_minutes:g} minutes of search")
        build = run_build(checkout, asked, work / f"{name}-{who}")
        if judge is None:
            ours, judge = build, _judge(arguments, float_graph(build), build.contract, images)
        rows[who] = dataclasses.asdict(figures_of(build, judge, who))
    peers = {}
    if not arguments.no_peers and judge is not None and ours is not None:
        frames = _peer_frames(arguments, ours.contract, ours.artifact, images)
        given = (float_graph(ours), ours.contract, frames, judge)
        found = percentile_figures(*given), entropy_figures(*given, arguments.modelopt_python)
        names = ("onnxruntime.quantization percentile", "nvidia-modelopt entropy")
        peers = {peer: dataclasses.asdict(figures) for peer, figures in zip(names, found) if figures is not None}
    return {
        "network": name,
        "goal_changed_percent": GOAL_CHANGED_PERCENT,
        "miou_float": judge.float_figures.miou if judge is not None else None,
        **made,
        "builds": rows,
        "peers": peers,
    }


def _judge(arguments: argparse.Namespace, graph: Path, contract: Contract, images: Path | None) -> Judge:
    """Return the judged pictures of a network."""
    if images is not None:
        return Judge(graph, contract, split_pictures(images, arguments.accuracy_images)[1])
    dataset = _dataset(arguments, contract)
    return Judge(graph, contract, DatasetFrames(dataset), dataset)


def _dataset(arguments: argparse.Namespace, contract: Contract) -> Dataset:
    """Return the judged images of the contract's dataset."""
    return open_dataset(contract.dataset, arguments.data_dir, "val", limit=arguments.accuracy_images)


def _peer_frames(arguments: argparse.Namespace, contract: Contract, artifact: Path, images: Path | None) -> FrameSet:
    """Return the pictures that the peers calibrate on: some of those that the builds did, evenly spread."""
    if images is not None:
        frames = split_pictures(images, arguments.accuracy_images)[0]
    else:
        frames, _ = read_manifest_frames(artifact / MANIFEST_FILE, contract.dataset, arguments.data_dir)
    return frames.spread(arguments.peer_images)


if __name__ == "__main__":
    sys.exit(main())
