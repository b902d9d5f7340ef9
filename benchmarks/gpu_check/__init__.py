"""A check of everything that needs a GPU, for the first run on a machine; it is started by benchmarks/gpu_check.sh."""
