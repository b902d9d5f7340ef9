"""Who takes the training steps of benchmarks/training_step.py: this project, the project as it was, and PyTorch.

Each runs in a process of its own (`worker.py`), with the same batch and the same number of threads.
"""
