#!/usr/bin/env bash
# OpenCV 5.0.0 (opencv-python-headless 5.0.0.93, numpy 2.4.6) on TIFF files.
#
# Guess: IMREAD_UNCHANGED gives the stored pixels, and IMREAD_IGNORE_ORIENTATION leaves a picture as it lies in the
# file, as OpenCV's documentation of the flags says.
# Behaviour: neither holds for TIFF. A file with orientation 6 comes turned under both flags, and colours of a file with
# unassociated alpha come multiplied by it, also under IMREAD_UNCHANGED. So a label map or a frame of a TIFF cannot be
# read "as it is" by these flags alone.
#
# Output seen:
#   4x6 stored, orientation 6, IMREAD_UNCHANGED: 6x4
#   4x6 stored, orientation 6, IMREAD_COLOR | IMREAD_IGNORE_ORIENTATION: 6x4
#   value 200 with alpha 128, IMREAD_UNCHANGED: 100
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" \
    opencv-python-headless==5.0.0.93 numpy==2.4.6
cat >"$folder/see.py" <<'PY'
import struct

import cv2
import numpy as np


def tiff(pixels, orientation):
    """One strip, no compression, little-endian; a fourth channel is unassociated alpha."""
    height, width, channels = pixels.shape
    tags = [
        (256, "I", [width]), (257, "I", [height]), (258, "H", [8] * channels), (259, "H", [1]), (262, "H", [2]),
        (273, "I", [8]), (274, "H", [orientation]), (277, "H", [channels]), (278, "I", [height]),
        (279, "I", [pixels.size]),
    ]  # fmt: skip
    if channels == 4:
        tags.append((338, "H", [2]))
    start = 8 + pixels.size
    behind = start + 2 + 12 * len(tags) + 4
    directory, values = struct.pack("<H", len(tags)), b""
    for tag, kind, numbers in tags:
        packed = struct.pack(f"<{len(numbers)}{kind}", *numbers)
        head = struct.pack("<HHI", tag, {"H": 3, "I": 4}[kind], len(numbers))
        if len(packed) <= 4:
            directory += head + packed.ljust(4, b"\0")
        else:
            directory += head + struct.pack("<I", behind + len(values))
            values += packed
    return struct.pack("<2sHI", b"II", 42, start) + pixels.tobytes() + directory + bytes(4) + values


def read(pixels, orientation, flags):
    return cv2.imdecode(np.frombuffer(tiff(pixels, orientation), np.uint8), flags)


def size(picture):
    return f"{picture.shape[0]}x{picture.shape[1]}"


frame = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
clear = np.full((2, 2, 4), 200, np.uint8)
clear[..., 3] = 128
assert cv2.__version__ == "5.0.0", cv2.__version__
print("4x6 stored, orientation 6, IMREAD_UNCHANGED:", size(read(frame, 6, cv2.IMREAD_UNCHANGED)))
ignoring = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
print("4x6 stored, orientation 6, IMREAD_COLOR | IMREAD_IGNORE_ORIENTATION:", size(read(frame, 6, ignoring)))
print("value 200 with alpha 128, IMREAD_UNCHANGED:", int(read(clear, 1, cv2.IMREAD_UNCHANGED)[0, 0, 0]))
PY
seen=$(PYTHONPATH=$folder "${PYTHON:-python3}" "$folder/see.py")
echo "$seen"
diff <(sed -n 's/^#   //p' "$0") <(echo "$seen")
