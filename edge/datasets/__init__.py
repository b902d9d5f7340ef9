"""Labelled scenes on disk, read without TensorFlow.

registry.py         the datasets that the project knows by name
opening.py          opens a split of one
dataset.py          the split: frames, and label maps as train ids
sample.py           one frame of it
layouts/            where the files of each dataset lie
label_values.py     what the values of a label map mean
label_files.py      files that hold label maps: pictures, or polygons (polygons/)
survey/             what a dataset holds, whole: python -m edge.datasets check
"""

from __future__ import annotations

from edge.datasets.dataset import Dataset, size_difference, where_looked
from edge.datasets.description.file import Description, is_description, read_description
from edge.datasets.opening import class_table, default_data_dir, open_dataset, recorded_name
from edge.datasets.option import add_dataset_option, dataset_name
from edge.datasets.registry import DATA_ROOT_VARIABLE, LAYOUTS, SPLITS, Layout
from edge.datasets.sample import LabelCoding, Sample

__all__ = [
    "DATA_ROOT_VARIABLE",
    "LAYOUTS",
    "SPLITS",
    "Dataset",
    "Description",
    "LabelCoding",
    "Layout",
    "Sample",
    "add_dataset_option",
    "class_table",
    "dataset_name",
    "default_data_dir",
    "is_description",
    "open_dataset",
    "read_description",
    "recorded_name",
    "size_difference",
    "where_looked",
]
