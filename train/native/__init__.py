"""Operations of the training step in C++, compiled at first use and loaded into TensorFlow.

    cross_entropy.cpp   cross entropy at the size of the labels
    batch_norm.cpp      BatchNorm, with the ReLU behind it
    depthwise.cpp       depthwise convolution

They run on the processor alone, and in training alone: no graph that is exported holds one. Each has a form of
TensorFlow's own operations that gives the same numbers within rounding; `kernels` is None where that one has to do:
beside a GPU, under XLA, without a compiler, and with SEGEDGE_NATIVE=0. No result depends on the number of threads.

    library.py         compiles and loads them
    operations.py      the layers' operations as functions, with their gradients
    dilated_conv.py    dilated convolutions, by TensorFlow's products of matrices
    training_call.py   calls a network with them
    operation.h        TensorFlow's C interface: inputs, outputs, registration
    worker_pool.h      threads that share the tasks of an operation
    vectors.h          eight floats at once, their exp and log
"""

from __future__ import annotations

from train.native.library import kernels, thread_count, unavailable_reason, without_kernels

__all__ = ["kernels", "thread_count", "unavailable_reason", "without_kernels"]
