"""contract.json: what goes into a network and what comes out.

The graph takes the frame as it is: uint8, (batch, height, width, 3), RGB; scaling and normalisation
are inside it, so no caller can get them wrong. It gives float logits at the network's own stride,
(batch, classes, height / stride, width / stride). Upsampling and argmax are edge.postprocess' work,
by the coordinate rule that the contract names. A decision by thresholds is an argmax too, by planes that
an adopted graph has for it (edge/decision.py).

Some networks give more than logits, at the same stride: a panoptic network the centres and offsets
of its instances, a Bayesian one the uncertainty of its labels. `extra_outputs` names those.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np

from edge.artifacts import sha256_file, spell_option
from edge.coordinate_rules import COORDINATE_RULES
from edge.decision import Decision
from edge.errors import ContractError, GraphError, InputError
from edge.network_class import NetworkClass, painted_palette, require_named_alike
from edge.provenance import DescribedData, WeightsProvenance
from edge.records import read_record, record

CONTRACT_FILE = "contract.json"
GRAPH_FILE = "model.onnx"

OWN_CLASSES = "own"
"""Name in place of a dataset's for a network whose classes belong to no dataset of the project."""

CENTRE_HEATMAP, OFFSETS, UNCERTAINTY = "centre heat map", "offsets", "uncertainty"
OUTPUT_KINDS = (CENTRE_HEATMAP, OFFSETS, UNCERTAINTY)
"""Meanings of an output beside the logits.

    centre heat map   (1 channel)  how much a position is the centre of mass of an instance, about 0 to 1
    offsets           (2 channels) from a position to the centre of its instance: rows, then columns, in
                      positions of the output (times the stride: in pixels of the input)
    uncertainty       (1 channel)  of the labels, 0 and up: see `unit`
"""


@record(schema=1, what="output tensor")
class OutputTensor:
    """One output beside the logits, (batch, channels, height / stride, width / stride) float32.

    Attributes:
        name: Name of the tensor in the graph.
        channels: Number of channels.
        kind: Meaning of the output, one of OUTPUT_KINDS.
        unit: Unit of the values, such as "nats" for a predictive entropy; "" where they have none.
        maximum: Largest value that the output can take, by which a picture is scaled; None where there is no bound.
    """

    name: str
    channels: int
    kind: str
    unit: str = ""
    maximum: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in OUTPUT_KINDS:
            raise ContractError(f"output '{self.name}' is '{self.kind}', expected one of: {', '.join(OUTPUT_KINDS)}")
        if self.channels < 1:
            raise ContractError(f"output '{self.name}' has {self.channels} channels, expected at least 1")


@record(schema=2, what="contract", made_by="python export/build_engine.py")
class Contract:
    """Input and outputs of one graph, and what the graph was made from.

    Attributes:
        model: Name of the architecture, such as "fastfcn".
        dataset: Name of the dataset whose classes the logits have; OWN_CLASSES for classes of no dataset of this
            project.
        class_names: Names of the classes, one for each channel of the logits.
        height: Rows of the input, in pixels.
        width: Columns of the input, in pixels.
        stride: Input pixels for one logit, along each side.
        coordinates: Coordinate rule of the upsampling, "half_pixel" or "align_corners".
        input_name: Name of the input tensor, (batch, height, width, 3) uint8 RGB.
        output_name: Name of the logits, (batch, classes, height / stride, width / stride) float32.
        graph_sha256: SHA-256 of model.onnx.
        weights: Origin of the weights in the graph.
        source_sha256: Digest of the code that defines and exports the network (edge/code_digest.py).
        opset: ONNX opset version of the graph.
        versions: Package name -> version, of the packages that made the graph.
        options: Options of the architecture that differ from their defaults, such as {"depth": 101}.
        batch: Frames in one call.
        extra_outputs: Outputs of the network beside the logits.
        adopted_from: Paths of the ONNX file and of its contract as a user gave them, for a graph that this project did
            not make (export/adopt/adoption.py); None for a graph that it exported.
        decision: Decision that the planes of the logits were made for; None where they are the network's channels as
            they are, and a pixel has the class of the largest.
        classes: Painted colour, category and groups of each class, in the order of `class_names`; empty in records of
            before, and for a graph of a user's own whose classes nobody described.
        described: Dataset description that the classes are from; None for a dataset that the project knows by name.
        gives_labels: Whether upsampling and argmax are in the graph: its output is then the labels of a frame, (batch,
            height, width) uint8, and nothing is left to post-processing.
    """

    model: str
    dataset: str
    class_names: tuple[str, ...]
    height: int
    width: int
    stride: int
    coordinates: str
    input_name: str
    output_name: str
    graph_sha256: str
    weights: WeightsProvenance
    source_sha256: str
    opset: int
    versions: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    batch: int = 1
    extra_outputs: tuple[OutputTensor, ...] = ()
    adopted_from: tuple[str, ...] | None = None
    decision: Decision | None = None
    classes: tuple[NetworkClass, ...] = ()
    described: DescribedData | None = None
    gives_labels: bool = False

    def __post_init__(self) -> None:
        if self.coordinates not in COORDINATE_RULES:
            raise ContractError(
                f"contract of {self.model} has the coordinate rule '{self.coordinates}', "
                f"expected one of: {', '.join(COORDINATE_RULES)}"
            )
        if min(self.height, self.width, self.stride) < 1 or self.height % self.stride or self.width % self.stride:
            raise ContractError(
                f"contract of {self.model} has {self.height}x{self.width} at stride {self.stride}, "
                "expected a size that is a multiple of the stride"
            )
        if len(self.class_names) == 1:
            raise ContractError(
                f"contract of {self.model} has 1 class, expected 2 to 255: the largest of one channel is always label "
                '0. Next: adopt the graph with "decision": "binary" (docs/any-network.md)'
            )
        if not 2 <= len(self.class_names) <= 255:
            raise ContractError(f"contract of {self.model} has {len(self.class_names)} classes, expected 2 to 255")
        require_named_alike(self.classes, self.class_names, f"contract of {self.model}")
        if self.decision is not None:
            self.decision.check_classes(self.class_names)
        if self.batch < 1:
            raise ContractError(f"contract of {self.model} has a batch of {self.batch}, expected at least 1")
        if self.gives_labels and self.extra_outputs:
            raise ContractError(
                f"contract of {self.model} gives labels and {self.extra_outputs[0].name}, expected labels alone"
            )
        names = [self.output_name, *(output.name for output in self.extra_outputs)]
        if len(set(names)) < len(names):
            raise ContractError(f"contract of {self.model} names an output twice: {', '.join(names)}")
        if self.adopted_from is not None and len(self.adopted_from) != 2:
            raise ContractError(
                f"contract of {self.model} is adopted from {len(self.adopted_from)} files, expected a graph and its "
                "contract"
            )

    def painted_palette(self) -> np.ndarray:
        """Return the colours in which labels are painted: (256, 3) uint8 RGB, black beyond the classes."""
        return painted_palette(self.classes, self.class_names)

    @property
    def dataset_option(self) -> str:
        """Value of --dataset that means the classes of this contract: a name, or the file of a description."""
        return self.dataset if self.described is None else self.described.path

    def decision_sentence(self) -> str:
        """Return the rule by which a pixel gets its label, for people; "" where it is the largest of all channels."""
        return "" if self.decision is None else self.decision.sentence(self.class_names)

    def adoption_command(self) -> str:
        """Return the command that builds an engine of an adopted graph, without the options that describe the engine.

        Raises:
            ContractError: The graph was exported by this project, not adopted.
        """
        if self.adopted_from is None:
            raise ContractError(f"{self.model} was exported, not adopted. Next: {self.export_command()}")
        graph, contract = map(shlex.quote, self.adopted_from)
        return f"python export/build_engine.py --onnx {graph} --contract {contract} --size {self.height}x{self.width}"

    def export_command(self) -> str:
        """Return the command that makes this graph again, quoted where a shell needs it."""
        if self.adopted_from is not None:
            return self.adoption_command()
        options = [f"{name}={spell_option(value)}" for name, value in sorted(self.options.items())]
        words = [
            f"python export/to_onnx.py --model {self.model} --dataset {shlex.quote(self.dataset_option)}",
            f"--size {self.height}x{self.width}",
            *(f"--option {shlex.quote(option)}" for option in options),
            *([f"--batch {self.batch}"] if self.batch != 1 else []),
            *(["--random-weights"] if self.weights.is_random else []),
        ]
        return " ".join(words)

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input tensor: (batch, height, width, 3)."""
        return (self.batch, self.height, self.width, 3)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the logits, (batch, classes, height / stride, width / stride), or of labels in their place."""
        if self.gives_labels:
            return (self.batch, self.height, self.width)
        return (self.batch, len(self.class_names), self.height // self.stride, self.width // self.stride)

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all outputs by name, each (batch, channels, height, width); the logits, or labels, come first."""
        if self.gives_labels:
            return {self.output_name: self.output_shape}
        batch, _, height, width = self.output_shape
        extra = {output.name: (batch, output.channels, height, width) for output in self.extra_outputs}
        return {self.output_name: self.output_shape, **extra}


def read_contract(folder: str | os.PathLike) -> Contract:
    """Read the contract of an artefact folder, and check that its graph is the one that it describes.

    Raises:
        InputError: There is no contract, or no graph.
        ContractError: The contract is damaged, or has an unknown schema.
        GraphError: model.onnx is not the file that the contract describes.
    """
    contract = read_record(Contract, Path(folder) / CONTRACT_FILE)
    path = Path(folder) / GRAPH_FILE
    if not path.is_file():
        raise InputError(f"graph not found: {path}. Next: {contract.export_command()}")
    digest = sha256_file(path)
    if digest != contract.graph_sha256:
        raise GraphError(
            f"{path} ({path.stat().st_size} bytes, sha256 {digest[:12]}) is not the graph of its contract "
            f"({contract.graph_sha256[:12]}): it is truncated or was replaced. "
            f"Next: {contract.export_command()}"
        )
    return contract
