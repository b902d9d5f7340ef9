"""contract.json: what goes into a network and what comes out.

The graph takes the frame as it is: uint8, (1, height, width, 3), RGB; scaling and normalisation
are inside it, so no caller can get them wrong. It gives float logits at the network's own stride,
(1, classes, height / stride, width / stride). Upsampling and argmax are edge.postprocess' work,
by the coordinate rule that the contract names.
"""

from __future__ import annotations

import os
from pathlib import Path

from edge.artifacts import sha256_file
from edge.errors import ContractError, GraphError, InputError
from edge.postprocess import COORDINATE_RULES
from edge.provenance import WeightsProvenance
from edge.records import read_record, record

CONTRACT_FILE = "contract.json"
GRAPH_FILE = "model.onnx"


@record(schema=1, what="contract")
class Contract:
    """Input and output of one graph, and what it was made from.

    Attributes:
        model: architecture.
        dataset: data set whose classes the logits have.
        class_names: one per logit channel.
        height: input rows.
        width: input columns.
        stride: input pixels per logit.
        coordinates: rule of the upsampling, "half_pixel" or "align_corners".
        input_name: tensor (1, height, width, 3) uint8 RGB.
        output_name: tensor (1, classes, height / stride, width / stride) float32.
        graph_sha256: of model.onnx.
        weights: where its weights come from.
        source_sha256: of the source files that define and export the network.
        opset: of the graph.
        versions: packages that made it.
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
        if not 1 <= len(self.class_names) <= 255:
            raise ContractError(f"contract of {self.model} has {len(self.class_names)} classes, expected 1 to 255")

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input tensor, NHWC."""
        return (1, self.height, self.width, 3)

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """Shape of the logits, NCHW."""
        return (1, len(self.class_names), self.height // self.stride, self.width // self.stride)


def read_contract(folder: str | os.PathLike) -> Contract:
    """Read the contract of an artefact folder, and check that its graph is the one described.

    Raises:
        InputError: there is no contract or graph.
        ContractError: the contract is damaged.
        GraphError: model.onnx is not the file that the contract describes.
    """
    contract = read_record(Contract, Path(folder) / CONTRACT_FILE)
    path = Path(folder) / GRAPH_FILE
    if not path.is_file():
        raise InputError(f"graph not found: {path}. Next: python export/to_onnx.py --model {contract.model}")
    digest = sha256_file(path)
    if digest != contract.graph_sha256:
        raise GraphError(
            f"{path} ({path.stat().st_size} bytes, sha256 {digest[:12]}) is not the graph of its contract "
            f"({contract.graph_sha256[:12]}): it is truncated or was replaced. "
            f"Next: python export/to_onnx.py --model {contract.model} --dataset {contract.dataset} "
            f"--size {contract.height}x{contract.width}"
        )
    return contract
