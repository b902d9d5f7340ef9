"""Labelled scenes on disk, read without TensorFlow.

registry.py         the datasets that the project knows by name
opening.py          opens a split of one
dataset.py          the split: frames, and label maps as train ids
sample.py           one frame of it
layouts/            where the files of each dataset lie
label_values.py     what the values of a label map mean
"""

from __future__ import annotations

from edge.datasets.dataset import Dataset, size_difference, where_looked
from edge.datasets.opening import open_dataset
from edge.datasets.registry import DATA_ROOT_VARIABLE, LAYOUTS, SPLITS, Layout, class_table, default_data_dir
from edge.datasets.sample import LabelCoding, Sample

__all__ = [
    "DATA_ROOT_VARIABLE",
    "LAYOUTS",
    "SPLITS",
    "Dataset",
    "LabelCoding",
    "Layout",
    "Sample",
    "class_table",
    "default_data_dir",
    "open_dataset",
    "size_difference",
    "where_looked",
]
