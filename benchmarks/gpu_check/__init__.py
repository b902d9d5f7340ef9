"""Everything that a machine with a first GPU is checked for; benchmarks/gpu_check.sh is the way in."""
