"""The memory, the launches and the events of one frame under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Protocol

import numpy as np

from edge.contract import Contract
from edge.errors import InputError
from edge.runtime.calls import call
from edge.runtime.cuda import launches
from edge.runtime.cuda.context import Buffer, CudaContext, take_buffer, take_memory, upload_table
from edge.runtime.cuda.graph import CudaGraph, GraphDriver
from edge.runtime.cuda.launches import Launch
from edge.runtime.holdings import Holdings
from edge.runtime.lane import LaneRequest

COPY, UPLOAD, PREPROCESS, INFERENCE, POSTPROCESS, DOWNLOAD = (
    *("copy", "upload", "preprocess"),
    *("inference", "postprocess", "download"),
)
SPANS = {
    UPLOAD: ("upload begins", "uploaded"),
    PREPROCESS: ("compute begins", "prepared"),
    INFERENCE: ("prepared", "inferred"),
    POSTPROCESS: ("inferred", "labelled"),
    DOWNLOAD: ("download begins", "downloaded"),
}
"""Stage -> the events between which the device is at it."""

ORDER_EVENTS = ("copied", "computed", "done")
"""What another stream, or the host, waits for: the frame is on the GPU, its labels are, they are on the host."""


class Network(Protocol):
    """What a lane knows of an engine: where it reads and writes, and how it is started."""

    contract: Contract
    input_dtype: Any

    def enqueue(self, addresses: dict[str, int], stream: Any) -> None:
        """Put one inference of a single frame on a stream.

        Args:
            addresses: tensor -> where it lies on the GPU.
            stream: of pycuda.
        """


@dataclass
class Slot:
    """What one frame under way needs.

    Attributes:
        frame: the camera's, as it came.
        labels: the label map.
        not_finite: (1,) int32, not 0 where a logit was NaN or infinite.
        outputs: those that are wanted on the host.
        picture: frame and colours; None without a blend.
        addresses: tensor of the network -> where it lies.
        before: kernels in front of the network.
        after: kernels behind it.
        events: by name: those of SPANS tell the time, ORDER_EVENTS what has to come first.
        downloads: what is copied to the host.
        graph: everything that was recorded of it; None without.
        copy_ns: how long the host took to copy the frame.
    """

    frame: Buffer
    labels: Buffer
    not_finite: Buffer
    outputs: dict[str, Buffer]
    picture: Buffer | None
    addresses: dict[str, int]
    before: tuple[Launch, ...]
    after: tuple[Launch, ...]
    events: dict[str, Any]
    downloads: list[Buffer]
    graph: CudaGraph | None = None
    copy_ns: int = 0


def _take_event(context: CudaContext, held: Holdings, name: str, graphs: GraphDriver | None) -> Any:
    if graphs is None:
        return held.hold(name, call("pycuda.driver.Event", context.driver.Event))
    return held.hold(name, graphs.make_event(), ("cuEventDestroy", lambda event: event.free))


def frame_size(request: LaneRequest) -> tuple[int, int]:
    """Return rows and columns of the frames, in pixels."""
    rows, columns = request.frame_shape[:2]
    return (rows * 2 // 3, columns) if request.color_order == "nv12" else (rows, columns)


def upload_tables(context: CudaContext, held: Holdings, contract: Contract, request: LaneRequest) -> dict[str, int]:
    """Put the tables of both resizes and the palette into the GPU's memory; return name -> address.

    Raises:
        InputError: a blend does not go with the frames.
    """
    size = frame_size(request)
    rows, columns = launches.resize_tables(size, contract.height, contract.width)
    _, logit_height, logit_width = contract.output_shape[1:]
    tables = {
        "frame rows": rows,
        "frame columns": columns,
        "label rows": launches.cell_table(logit_height, request.height, contract.coordinates),
        "label columns": launches.cell_table(logit_width, request.width, contract.coordinates),
    }
    if request.blend is not None:
        if request.color_order == "nv12" or size != (request.height, request.width):
            raise InputError("a blend needs labels of the frame's size, and a frame of three bytes a pixel")
        tables["palette"] = launches.palette_table(request.blend.palette_rgb, request.color_order)
    return {name: upload_table(context, held, name, table) for name, table in tables.items()}


def take_slot(
    context: CudaContext,
    held: Holdings,
    network: Network,
    request: LaneRequest,
    tables: dict[str, int],
    number: int,
    graphs: GraphDriver | None,
) -> Slot:
    """Take everything that one frame under way needs.

    Args:
        context: current.
        held: what gives it back.
        network: the engine.
        request: what the lane is for.
        tables: of `upload_tables`.
        number: of the slot.
        graphs: makes events that work in a graph; None for those of pycuda.
    """
    contract = network.contract

    def buffer(name: str, shape: tuple[int, ...], dtype: Any) -> Buffer:
        return take_buffer(context, held, f"{name} {number}", shape, dtype)

    def memory(name: str, size_bytes: int) -> int:
        return int(take_memory(context, held, f"{name} {number}", size_bytes))

    frame = buffer("frame", request.frame_shape, np.uint8)
    labels = buffer("labels", (request.height, request.width), np.uint8)
    not_finite = buffer("not finite", (1,), np.int32)
    picture = buffer("picture", request.frame_shape, np.uint8) if request.blend is not None else None
    outputs = {name: buffer(f"output {name}", contract.output_shapes[name], np.float32) for name in request.outputs}
    addresses = {name: output.address for name, output in outputs.items()}
    for name, shape in contract.output_shapes.items():
        if name not in addresses:
            addresses[name] = memory(f"tensor {name}", int(np.prod(shape)) * 4)
    pixels = int(np.prod(contract.input_shape))
    prepared = memory("prepared", pixels)
    before = [_prepare(request, contract, frame.address, prepared, tables)]
    addresses[contract.input_name] = prepared
    if network.input_dtype == np.float32:
        addresses[contract.input_name] = memory("float input", 4 * pixels)
        before.append(launches.widen(prepared, addresses[contract.input_name], contract.height, 3 * contract.width))
    after = _label(request, contract, addresses[contract.output_name], tables, memory, labels, not_finite)
    if picture is not None:
        pitch = 3 * request.width
        after.append(
            launches.paint(
                frame.address, pitch, labels.address, request.width, tables["palette"], request.blend.alpha,
                picture.address, pitch, request.height, request.width,
            )
        )  # fmt: skip
    events = {
        name: _take_event(context, held, f"event {name} {number}", graphs)
        for name in dict.fromkeys(name for span in SPANS.values() for name in span)
    }
    for name in ORDER_EVENTS:
        made = call("pycuda.driver.Event", context.driver.Event)
        events[name] = held.hold(f"event {name} {number}", made)
    downloads = [labels, not_finite, *outputs.values(), *([picture] if picture is not None else [])]
    return Slot(frame, labels, not_finite, outputs, picture, addresses, tuple(before), tuple(after), events, downloads)


def _prepare(request: LaneRequest, contract: Contract, frame: int, prepared: int, tables: dict[str, int]) -> Launch:
    rows, columns = tables["frame rows"], tables["frame columns"]
    height, width = frame_size(request)
    if request.color_order == "nv12":
        return launches.prepare_nv12(
            frame, width, frame + height * width, width, (height, width), rows, columns,
            prepared, contract.height, contract.width,
        )  # fmt: skip
    return launches.prepare_interleaved(
        frame, 3 * width, rows, columns, prepared, contract.height, contract.width, request.color_order
    )


def _label(
    request: LaneRequest,
    contract: Contract,
    logits: int,
    tables: dict[str, int],
    memory: Callable[[str, int], int],
    labels: Buffer,
    not_finite: Buffer,
) -> list[Launch]:
    shape = contract.output_shape[1:]
    winners = memory("winners", shape[1] * shape[2])
    return [
        launches.label_nodes(logits, shape, winners, not_finite.address),
        launches.label_pixels(
            logits, shape, winners, tables["label rows"], tables["label columns"],
            labels.address, request.width, request.height, request.width,
        ),
    ]  # fmt: skip
