"""The comparison of a graph with its Keras model, in this process or in one of its own.

A large network on large frames has its own: what TensorFlow holds of the conversion and of the
activations would otherwise add up, and while one core converts, the other already runs the Keras
model. For others a second start of TensorFlow (6 s of a core, 0.6 GB) costs more than both.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

import numpy as np

from calibration.onnx_graph.file import import_onnx, parse_graph
from edge.errors import BackendError, SegEdgeError
from edge.frames import FrameSet
from edge.preprocess import prepare_rgb
from edge.runtime.onnxruntime import open_session
from export.from_keras.network import KerasNetwork, give_memory_back
from export.graph.parity import ParityReport, compare
from export.graph.random_inputs import noise_as_inputs

OWN_PROCESS_PIXELS = 256 * 512
OWN_PROCESS_PARAMETERS = 5_000_000
"""Pixels of a call and parameters of a network from which on its comparison has a process of its own."""

MODULE = "export.from_keras.comparison"

_END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl: the signal that a process gets when its parent dies."""


def has_own_process(pixels: int, network: KerasNetwork) -> bool:
    """Say whether network and frames are so large that a second start of TensorFlow pays.

    Args:
        pixels: number of pixels in all frames of a call.
        network: what is compared.
    """
    return pixels >= OWN_PROCESS_PIXELS and network.parameter_count >= OWN_PROCESS_PARAMETERS


def compare_graph(network: KerasNetwork | GivenNetwork, graph: bytes, frames: FrameSet) -> ParityReport:
    """Compare a graph with its Keras model in this process.

    Args:
        network: the Keras model.
        graph: the ONNX file's bytes.
        frames: images to compare on.

    Raises:
        ParityError: outputs of other names or shapes, numbers that are not finite, or no images.
    """
    compared = graph
    if network.noise or network.decisions:
        onnx = import_onnx("comparing a graph with its Keras model")
        model = parse_graph(graph, "comparing a graph with its Keras model")
        noise_as_inputs(model)
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in network.decisions)
        compared = model.SerializeToString()
    session = open_session(compared, lean=True)
    names = [value.name for value in session.get_outputs()]
    return compare(
        network,
        lambda tensor: dict(zip(names, session.run(names, {"frame": tensor, **network.noise}))),
        _batches(network, frames),
        frames.description,
        hashlib.sha256(graph).hexdigest(),
        network.decisions,
    )


def _batches(network: KerasNetwork | GivenNetwork, frames: FrameSet) -> Iterator[np.ndarray]:
    """Give every frame once, prepared, as many as a call takes; the first ones again to fill the last call."""
    batch, height, width, _ = network.shape
    for start in range(0, len(frames), batch):
        indices = [index % len(frames) for index in range(start, start + batch)]
        yield np.concatenate([prepare_rgb(frames.read(index), height, width) for index in indices])


class ComparisonProcess:
    """A process that builds the Keras model and runs it, and then compares the graph that it is given.

    Used with `with`: it does not outlive the block.

    Args:
        arguments: positional arguments of KerasNetwork.
        frames: images to compare on.
    """

    def __init__(self, arguments: tuple[Any, ...], frames: FrameSet) -> None:
        checkout = str(Path(__file__).resolve().parents[2])
        searched = os.pathsep.join(filter(None, (checkout, os.environ.get("PYTHONPATH"))))
        # A session of its own: Ctrl-C comes to this process alone, which then ends that one.
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": searched},
            start_new_session=True,
        )
        self._asked = _message(pickle.dumps((os.getpid(), arguments, frames)))

    def __enter__(self) -> ComparisonProcess:
        with contextlib.suppress(BrokenPipeError):  # it ended; `compare` says how
            self._process.stdin.write(self._asked)
            self._process.stdin.flush()
        return self

    def __exit__(self, *raised: Any) -> None:
        if self._process.poll() is None:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def compare(self, graph: bytes) -> ParityReport:
        """Compare a graph with the Keras model.

        Raises:
            SegEdgeError: what the comparison raised.
            BackendError: the process ended without an answer.
        """
        answer, _ = self._process.communicate(_message(pickle.dumps(graph)))
        if not answer:
            raise BackendError(f"the comparison with Keras failed: {_death(self._process.returncode)}")
        report, error, message = pickle.loads(answer)
        if report is not None:
            return report
        raised = error.__new__(error)  # its own arguments may be others than its message
        Exception.__init__(raised, message)
        raise raised


def _death(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed. Next: free memory, or export a smaller --size or --batch"
    return f"its process ended with exit code {code}"


def serve(arguments: list[str]) -> None:
    """Run one comparison: what is exported and then the graph come on stdin, the answer goes to stdout.

    The Keras model runs first, on all images; then this process becomes another program, without
    TensorFlow and the model, and runs the graph. A model that follows the graph's decisions cannot run first.

    Args:
        arguments: file descriptors, of that second program: of what Keras gave, and of the answer.
    """
    if arguments:
        given, answers = (os.fdopen(int(number), mode) for number, mode in zip(arguments, ("rb", "wb")))
        _answer(answers, lambda: _compare_with_given(given))
        return
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    parent, network, frames = pickle.loads(_read_message())
    _end_with(parent)
    _answer(answers, lambda: _compare_asked(network, frames, answers.fileno()))


def _answer(answers: Any, make_report: Callable[[], ParityReport]) -> None:
    try:
        report, error = make_report(), None
    except SegEdgeError as caught:
        report, error = None, caught
    answers.write(pickle.dumps((report, type(error), str(error))))
    answers.flush()


def _compare_asked(arguments: tuple[Any, ...], frames: FrameSet, answers: int) -> ParityReport:
    network = KerasNetwork(*arguments)
    if network.decisions:
        return compare_graph(network, pickle.loads(_read_message()), frames)
    with tempfile.TemporaryFile() as given:
        pickle.dump((GivenNetwork(network.shape, network.noise), frames), given)
        for tensor in _batches(network, frames):
            pickle.dump(network(tensor, {}), given)
            give_memory_back()  # of one image, before the next takes its own
        given.flush()
        given.seek(0)
        for number in (given.fileno(), answers):
            os.set_inheritable(number, True)
        os.execv(sys.executable, [sys.executable, "-m", MODULE, str(given.fileno()), str(answers)])


@dataclass(frozen=True)
class GivenNetwork:
    """A Keras model that ran already.

    Attributes:
        shape: shape of its input, (batch, height, width, 3).
        noise: name -> value of each further input, float32.
        results: open file with what it gave, batch by batch, pickled.
        decisions: always empty: a model that follows decisions cannot run before the graph.
    """

    shape: tuple[int, int, int, int]
    noise: dict[str, np.ndarray]
    results: Any = None
    decisions: tuple[str, ...] = ()

    def __call__(self, tensor: np.ndarray, decided: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return what the model gave on the next batch."""
        return pickle.load(self.results)


def _compare_with_given(given: Any) -> ParityReport:
    network, frames = pickle.load(given)
    return compare_graph(replace(network, results=given), pickle.loads(_read_message()), frames)


def _message(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data


def _read_message() -> bytes:
    """Read one message from stdin, and no byte more: the next one may be for another program."""
    size = int.from_bytes(_read_exactly(8), "little")
    return _read_exactly(size)


def _read_exactly(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = os.read(0, min(size - len(data), 1 << 20))
        if not part:
            sys.exit(1)  # the parent was given something else to do
        data += part
    return bytes(data)


def _end_with(parent: int) -> None:
    """Let this process end when its parent does, however that ends."""
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    # Pickles name classes by their module, which is not __main__ in the parent.
    import export.from_keras.comparison as module

    try:
        module.serve(sys.argv[1:])
    except Exception:
        traceback.print_exc()
        sys.exit(1)
