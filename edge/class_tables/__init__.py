"""Class tables as data: names, ids, colours, categories and groups of each dataset's classes, one JSON file a dataset.

    name           name of the table
    source         where ids, names and colours are written down
    licence        what the definitions, and pictures of the dataset, may be used for
    classes        classes that some label set evaluates, in the order of their ids:
                       name, ids, colors (of label maps), palette (where it is not the first of colors), painted (over
                       pictures), category, groups, instances (whether label maps tell objects apart),
                       mean_instance_pixels (size of an object, over the training split), other_names
    ignored        classes that no label set evaluates: name, ids, colors, category, instances, mean_instance_pixels,
                       other_names
    label_sets     name of a set -> names of the classes that are evaluated, in the order of their train ids; the first
                       set is the dataset's own; without it all classes are evaluated

What a table becomes is in edge/labels.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parent


def read_class_list(name: str) -> dict[str, Any]:
    """Return the content of the file of a dataset's classes.

    Args:
        name: Name of the table, such as "cityscapes".
    """
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
