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
import traceback
from pathlib import Path
from typing import Any, Iterator, Mapping

import numpy as np

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

_END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl: the signal that a process gets when its parent dies."""


def has_own_process(pixels: int, network: KerasNetwork) -> bool:
    """Say whether network and frames are so large that a second start of TensorFlow pays.

    Args:
        pixels: of all frames of a call.
        network: what is compared.
    """
    return pixels >= OWN_PROCESS_PIXELS and network.parameter_count >= OWN_PROCESS_PARAMETERS


def compare_graph(
    network: KerasNetwork, graph: bytes, frames: FrameSet, expected: list[Any] | None = None
) -> ParityReport:
    """Compare a graph with its Keras model in this process.

    Args:
        network: the Keras model.
        graph: the ONNX file's bytes.
        frames: images to compare on.
        expected: what the Keras model gave on every batch, where it ran already; emptied.

    Raises:
        ParityError: outputs of other names or shapes, numbers that are not finite, or no images.
    """
    import onnx

    compared = graph
    if network.noise or network.decisions:
        model = onnx.load_model_from_string(graph)
        noise_as_inputs(model)
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in network.decisions)
        compared = model.SerializeToString()
    session = open_session(compared)
    names = [value.name for value in session.get_outputs()]

    def keras_network(tensor: np.ndarray, decided: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return expected.pop(0) if expected else network(tensor, decided)

    return compare(
        keras_network,
        lambda tensor: dict(zip(names, session.run(names, {"frame": tensor, **network.noise}))),
        _batches(network, frames),
        frames.description,
        hashlib.sha256(graph).hexdigest(),
        network.decisions,
    )


def _batches(network: KerasNetwork, frames: FrameSet) -> Iterator[np.ndarray]:
    """Give every frame once, prepared, as many as a call takes; the first ones again to fill the last call."""
    batch, height, width, _ = network.shape
    for start in range(0, len(frames), batch):
        indices = [index % len(frames) for index in range(start, start + batch)]
        yield np.concatenate([prepare_rgb(frames.read(index), height, width) for index in indices])


class ComparisonProcess:
    """A process that builds the Keras model and runs it, and then compares the graph that it is given.

    Used with `with`: it does not outlive the block.

    Args:
        arguments: of KerasNetwork.
        frames: images to compare on.
    """

    def __init__(self, arguments: tuple[Any, ...], frames: FrameSet) -> None:
        checkout = str(Path(__file__).resolve().parents[2])
        searched = os.pathsep.join(filter(None, (checkout, os.environ.get("PYTHONPATH"))))
        # A session of its own: Ctrl-C comes to this process alone, which then ends that one.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": searched},
            start_new_session=True,
        )
        self._asked = pickle.dumps((os.getpid(), arguments, frames))

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
        answer, _ = self._process.communicate(pickle.dumps(graph))
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


def serve() -> None:
    """Run one comparison: what is exported and then the graph come on stdin, the answer goes to stdout."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    asked = sys.stdin.buffer
    parent, arguments, frames = pickle.load(asked)
    _end_with(parent)
    try:
        report, error = _compare_asked(asked, arguments, frames), None
    except SegEdgeError as caught:
        report, error = None, caught
    answers.write(pickle.dumps((report, type(error), str(error))))
    answers.flush()


def _compare_asked(asked: Any, arguments: tuple[Any, ...], frames: FrameSet) -> ParityReport:
    network = KerasNetwork(*arguments)
    expected = None
    if not network.decisions:  # those follow the graph's
        expected = [network(tensor, {}) for tensor in _batches(network, frames)]
        network.forget_model()
        give_memory_back()
    return compare_graph(network, pickle.load(asked), frames, expected)


def _end_with(parent: int) -> None:
    """Let this process end when its parent does, however that ends."""
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    try:
        serve()
    except EOFError:  # the parent was given something else to do
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
