"""Runs the kernels on the host: see host_gpu.py."""

from __future__ import annotations

import pytest

from tests.edge.runtime.cuda.host_gpu import compile_kernels


@pytest.fixture(scope="session")
def host_gpu(tmp_path_factory):
    return compile_kernels(tmp_path_factory.mktemp("host-gpu"))
