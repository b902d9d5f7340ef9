"""Native kernels for the processor: C++ sources, compiled on the machine that runs them."""
