"""The dataset description: data and classes of one's own, or several datasets joined, in a file instead of code.

    {
      "name": "yard",
      "classes": [{"name": "rail", "ids": [1]}, {"name": "trackbed", "ids": [2]}, {"name": "other", "ids": [0]}],
      "splits": {
        "train": {"images": "train/frames", "labels": "train/masks"},
        "val": {"list": "val.txt"}
      }
    }

It is typed by hand, so every field is checked, an unknown one is refused with the name that it was probably meant to
have, and an error is one line: the file, the field, what it is and what is expected. docs/own-data.md is its page.

    file.py         reads a description
    fields.py       reads typed fields
    classes.py      its classes, as a class table
    sources.py      where the frames of its splits lie, as the file says it
    listing.py      the frames that are there, from folder_listing.py, list_listing.py and joint_listing.py
    class_map.py    label maps of another dataset in the classes of this one
"""
