"""Memory, launches and events of one frame under way on the GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edge.contract import Contract
from edge.errors import InputError
from edge.runtime.calls import call
from edge.runtime.cuda import launches
from edge.runtime.cuda.context import Buffer, CudaContext, allocate_buffer, allocate_memory, upload_table
from edge.runtime.cuda.graph import CudaGraph, GraphDriver
from edge.runtime.cuda.launches import Launch
from edge.runtime.lane import LaneRequest
from edge.runtime.resource_stack import ResourceStack

COPY, UPLOAD, PREPROCESS, INFERENCE, POSTPROCESS, DOWNLOAD = (
    "copy",
    "upload",
    "preprocess",
    "inference",
    "postprocess",
    "download",
)
STAGE_EVENTS = {
    UPLOAD: ("upload begins", "uploaded"),
    PREPROCESS: ("compute begins", "prepared"),
    INFERENCE: ("prepared", "inferred"),
    POSTPROCESS: ("inferred", "labelled"),
    DOWNLOAD: ("download begins", "downloaded"),
}
"""Stage -> names of the events at its beginning and at its end."""

ORDER_EVENTS = ("copied", "computed", "done")
"""Names of the events that another stream or the host waits for.

They are recorded when the frame is on the GPU, when its labels are on the GPU, and when they are on the host.
"""


class Network(Protocol):
    """What a lane knows of an engine: its tensors, and how an inference is started.

    Attributes:
        contract: Contract with the input and outputs of the engine.
        input_dtype: Data type of the input, numpy.uint8 or numpy.float32.
        graph_problem: Reason why the engine cannot be recorded in a CUDA graph; None if it can.
    """

    contract: Contract
    input_dtype: Any
    graph_problem: str | None

    def enqueue(self, addresses: dict[str, int], stream: Any, batch: int = 1) -> None:
        """Enqueue one inference on a stream.

        Args:
            addresses: Tensor name -> address in the GPU's memory.
            stream: pycuda stream on which the inference is enqueued.
            batch: Number of frames in the input.
        """

    def renew_execution(self) -> None:
        """Create a new execution context after a failed capture, unless a recorded frame needs the old one."""


@dataclass(frozen=True)
class Scratch:
    """Memory of the GPU that all frames of a lane share.

    Attributes:
        tables: Table name -> address, for the tables of both resizes and the palette.
        prepared: Address of the resized frame, (height, width, 3) uint8.
        addresses: Tensor name of the network -> address.
        winners: Address of the best class of each logit node, (h, w) uint8.
    """

    tables: dict[str, int]
    prepared: int
    addresses: dict[str, int]
    winners: int


@dataclass
class Slot:
    """Everything that one frame under way needs for itself.

    Attributes:
        frame: Camera frame as it came.
        labels: Label map of the frame.
        not_finite: (1,) int32, which is not 0 where a logit was NaN or infinite.
        outputs: Outputs of the network that are copied to the host, by name.
        picture: Frame blended with the colours of its labels; None without a blend.
        preprocess: Kernels that run before the network.
        device_copies: Copies on the GPU of the wanted outputs: (target address, source address, bytes).
        postprocess: Kernels that run after the network.
        events: Events by name: those of STAGE_EVENTS measure time, those of ORDER_EVENTS keep the order of streams.
        downloads: Buffers that are copied to the host.
        graph: CUDA graph of the frame's work; None where it could not be recorded.
        copy_ns: Time in nanoseconds in which the host copied the frame into page-locked memory.
    """

    frame: Buffer
    labels: Buffer
    not_finite: Buffer
    outputs: dict[str, Buffer]
    picture: Buffer | None
    preprocess: tuple[Launch, ...]
    device_copies: tuple[tuple[int, int, int], ...]
    postprocess: tuple[Launch, ...]
    events: dict[str, Any]
    downloads: list[Buffer]
    graph: CudaGraph | None = None
    copy_ns: int = 0


def frame_size(request: LaneRequest) -> tuple[int, int]:
    """Return height and width of a request's frames, in pixels."""
    rows, columns = request.frame_shape[:2]
    return (rows * 2 // 3, columns) if request.color_order == "nv12" else (rows, columns)


def allocate_scratch(context: CudaContext, resources: ResourceStack, network: Network, request: LaneRequest) -> Scratch:
    """Allocate what all frames of a lane share: they are computed one after another, on one stream.

    Args:
        context: CUDA context, which is current.
        resources: Stack that frees the memory.
        network: Engine that labels the frames.
        request: Sizes, format and depth of the lane.

    Raises:
        InputError: The blend does not go with the format or size of the frames.
    """
    contract = network.contract
    tables = _upload_tables(context, resources, contract, request)

    def memory(name: str, size_bytes: int) -> int:
        return int(allocate_memory(context, resources, name, size_bytes))

    addresses = {
        name: memory(f"tensor {name}", int(np.prod(shape)) * 4) for name, shape in contract.output_shapes.items()
    }
    pixels = int(np.prod(contract.input_shape))
    prepared = memory("prepared", pixels)
    is_float = network.input_dtype == np.float32
    addresses[contract.input_name] = memory("float input", 4 * pixels) if is_float else prepared
    _, logit_height, logit_width = contract.output_shape[1:]
    return Scratch(tables, prepared, addresses, memory("winners", logit_height * logit_width))


def _upload_tables(
    context: CudaContext, resources: ResourceStack, contract: Contract, request: LaneRequest
) -> dict[str, int]:
    """Copy the tables of both resizes and the palette to the GPU; return table name -> address."""
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
    return {name: upload_table(context, resources, name, table) for name, table in tables.items()}


def allocate_slot(
    context: CudaContext,
    resources: ResourceStack,
    network: Network,
    request: LaneRequest,
    scratch: Scratch,
    number: int,
    graphs: GraphDriver | None,
) -> Slot:
    """Allocate everything that one frame under way needs for itself.

    Args:
        context: CUDA context, which is current.
        resources: Stack that frees memory and events.
        network: Engine that labels the frames.
        request: Sizes, format and depth of the lane.
        scratch: Memory that the slots share.
        number: Number of the slot, from 0.
        graphs: Driver that creates events which work in a graph; None for events of pycuda.
    """
    contract = network.contract

    def buffer(name: str, shape: tuple[int, ...], dtype: Any) -> Buffer:
        return allocate_buffer(context, resources, f"{name} {number}", shape, dtype)

    frame = buffer("frame", request.frame_shape, np.uint8)
    labels = buffer("labels", (request.height, request.width), np.uint8)
    not_finite = buffer("not finite", (1,), np.int32)
    picture = buffer("picture", request.frame_shape, np.uint8) if request.blend is not None else None
    outputs = {name: buffer(f"output {name}", contract.output_shapes[name], np.float32) for name in request.outputs}
    preprocess = [_prepare(request, contract, frame.address, scratch)]
    network_input = scratch.addresses[contract.input_name]
    if network_input != scratch.prepared:
        preprocess.append(launches.widen(scratch.prepared, network_input, contract.height, 3 * contract.width))
    postprocess = _label(request, contract, scratch, labels, not_finite)
    if picture is not None:
        pitch = 3 * request.width
        postprocess.append(
            launches.paint(
                frame.address,
                pitch,
                labels.address,
                request.width,
                scratch.tables["palette"],
                request.blend.alpha,
                picture.address,
                pitch,
                request.height,
                request.width,
            )
        )
    return Slot(
        frame=frame,
        labels=labels,
        not_finite=not_finite,
        outputs=outputs,
        picture=picture,
        preprocess=tuple(preprocess),
        device_copies=tuple(
            (output.address, scratch.addresses[name], output.host.nbytes) for name, output in outputs.items()
        ),
        postprocess=tuple(postprocess),
        events=_create_events(context, resources, number, graphs, request.depth),
        downloads=[labels, not_finite, *outputs.values(), *([picture] if picture is not None else [])],
    )


def _create_events(
    context: CudaContext, resources: ResourceStack, number: int, graphs: GraphDriver | None, depth: int
) -> dict[str, Any]:
    driver = context.driver
    events: dict[str, Any] = {}
    for name in dict.fromkeys(name for span in STAGE_EVENTS.values() for name in span):
        if graphs is None:
            events[name] = resources.push(f"event {name} {number}", call("pycuda.driver.Event", driver.Event))
        else:
            made = graphs.make_event()
            events[name] = resources.push(f"event {name} {number}", made, ("cuEventDestroy", lambda event: event.free))
    # With one frame under way the host waits busily, for the least latency; with several it has time, and sleeps.
    for name in ORDER_EVENTS:
        flags = driver.event_flags.DISABLE_TIMING | (driver.event_flags.BLOCKING_SYNC if depth > 1 else 0)
        events[name] = resources.push(f"event {name} {number}", call("pycuda.driver.Event", driver.Event, flags))
    return events


def _prepare(request: LaneRequest, contract: Contract, frame: int, scratch: Scratch) -> Launch:
    rows, columns = scratch.tables["frame rows"], scratch.tables["frame columns"]
    height, width = frame_size(request)
    if request.color_order == "nv12":
        return launches.prepare_nv12(
            frame,
            width,
            frame + height * width,
            width,
            (height, width),
            rows,
            columns,
            scratch.prepared,
            contract.height,
            contract.width,
        )
    return launches.prepare_interleaved(
        frame, 3 * width, rows, columns, scratch.prepared, contract.height, contract.width, request.color_order
    )


def _label(
    request: LaneRequest, contract: Contract, scratch: Scratch, labels: Buffer, not_finite: Buffer
) -> list[Launch]:
    logits, shape = scratch.addresses[contract.output_name], contract.output_shape[1:]
    return [
        launches.label_nodes(logits, shape, scratch.winners, not_finite.address),
        launches.label_pixels(
            logits,
            shape,
            scratch.winners,
            scratch.tables["label rows"],
            scratch.tables["label columns"],
            labels.address,
            request.width,
            request.height,
            request.width,
        ),
    ]
