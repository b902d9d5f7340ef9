"""CUDA kernels around the network: camera frame to network input, logits to labels, labels over the frame.

    kernels.cu    the source, compiled by nvcc or NVRTC for the GPU and by a C++ compiler for the tests
    launches.py   each kernel's arguments, grid and tables
    build.py      compiled once for each GPU, and kept

Nothing here imports pycuda or touches a GPU: whoever owns the context loads the image of `load_image` and
starts what a `Launch` says. The results equal those of edge.preprocess and edge.postprocess to the last bit.
"""

from __future__ import annotations

from edge.runtime.cuda.build import load_image
from edge.runtime.cuda.launches import (
    KERNELS,
    Launch,
    cell_table,
    label_nodes,
    label_pixels,
    paint,
    palette_table,
    prepare_interleaved,
    prepare_nv12,
    resize_tables,
    widen,
)

__all__ = [
    "KERNELS",
    "Launch",
    "cell_table",
    "label_nodes",
    "label_pixels",
    "load_image",
    "paint",
    "palette_table",
    "prepare_interleaved",
    "prepare_nv12",
    "resize_tables",
    "widen",
]
