"""Objects of TensorRT's Python binding, called as TensorRT's libraries call them: by their C++ virtual functions.

A class that Python derives from one of the binding is a C++ object as well, whose virtual functions look up the Python
methods, take the interpreter's lock, convert what goes in and out, and swallow exceptions. None of that happens when
Python calls the methods, and TensorRT calls them only with a GPU. Here they are called through the table of virtual
functions, without the interpreter's lock, as a build does.

Sources: IInt8Calibrator in NvInfer.h, ILogger in NvInferRuntimeCommon.h and IProfiler in NvInferRuntime.h of TensorRT
8.5 (the order of virtual functions); Itanium C++ ABI, "Virtual Table Layout" (an object starts with the address of its
first function); `struct instance` in pybind11/detail/common.h (the C++ object's address follows the Python header).
"""

from __future__ import annotations

import ctypes

_HEADER_BYTES = object.__basicsize__


def _virtual(made, slot, result, *kinds):
    """Return the function of a slot, bound to the C++ object behind a Python one."""
    address = ctypes.c_void_p.from_address(id(made) + _HEADER_BYTES).value
    table = ctypes.c_void_p.from_address(address).value
    function = ctypes.c_void_p.from_address(table + slot * ctypes.sizeof(ctypes.c_void_p)).value
    prototype = ctypes.CFUNCTYPE(result, ctypes.c_void_p, *kinds)
    return lambda *arguments: prototype(function)(address, *arguments)


class CppCalibrator:
    """An IInt8Calibrator."""

    def __init__(self, made):
        self._made = made
        pointers, names = ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_char_p)
        self.batch_size = _virtual(made, 0, ctypes.c_int32)
        self._get_batch = _virtual(made, 1, ctypes.c_bool, pointers, names, ctypes.c_int32)
        self._read = _virtual(made, 2, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t))
        self._write = _virtual(made, 3, None, ctypes.c_void_p, ctypes.c_size_t)
        self.algorithm = _virtual(made, 4, ctypes.c_int32)

    def batch(self, *names):
        """Return the address of each input's batch; None if there are no more."""
        bindings = (ctypes.c_void_p * len(names))()
        given = (ctypes.c_char_p * len(names))(*[name.encode() for name in names])
        return list(bindings) if self._get_batch(bindings, given, len(names)) else None

    def read(self):
        """Return address and bytes of the cache, which TensorRT goes on reading there; None if there is none."""
        size = ctypes.c_size_t()
        address = self._read(ctypes.byref(size))
        return (address, size.value) if address else None

    def write(self, cache):
        """Give a cache in memory that is another's when the call returns."""
        memory = ctypes.create_string_buffer(cache, len(cache))
        self._write(memory, len(cache))
        ctypes.memset(memory, 0, len(cache))


def cpp_log(logger):
    """Return ILogger::log(severity, message) of a logger."""
    log = _virtual(logger, 0, None, ctypes.c_int32, ctypes.c_char_p)
    return lambda severity, message: log(int(severity), message.encode())


def cpp_report_layer_time(profiler):
    """Return IProfiler::reportLayerTime(name, milliseconds) of a profiler."""
    report = _virtual(profiler, 0, None, ctypes.c_char_p, ctypes.c_float)
    return lambda name, milliseconds: report(name.encode(), milliseconds)
