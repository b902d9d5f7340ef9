#!/usr/bin/env bash
# cityscapesScripts 2.3.0, NumPy 2.4.6 and 2.3.5, Pillow 13.0.0.
#
# Guess: a package without upper bounds on NumPy and Pillow runs with what pip installs today, a prediction and its truth
# on the command line are evaluated, and the pixel accuracy that can be switched on is one of the evaluated pixels.
# Behaviour: with NumPy 2.4 the default evaluation ends with AttributeError (in1d), and with Pillow 13 no instance map is
# written (mode I as PNG). One pair of paths is passed over: the loop over arguments begins at four of them, and the scores
# of nothing are printed with exit code 0. A predicted id over 33 ends with IndexError. evalPixelAccuracy counts the pixels
# that are ignored, and calls wrong ones correct: 8 pixels, of which 2 are ignored, all predicted right, are counted as
# 2 "not ignored", 0 "correct".
#
# Output seen:
#   NumPy 2.4.6: AttributeError
#   Pillow 13.0.0, instance map: OSError cannot write mode I as PNG
#   one pair on the command line: exit code 0, pairs evaluated 0
#   predicted id 40: IndexError
#   pixel accuracy: not ignored 2, correct 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for numpy in 2.4.6 2.3.5; do
    "${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder/$numpy" \
        cityscapesscripts==2.3.0 pyquaternion==0.9.9 pillow==13.0.0 "numpy==$numpy"
done
cat >"$folder/see.py" <<'PY'
import os
import sys

import numpy as np
import PIL
from PIL import Image

folder, what = sys.argv[1:3]
sys.argv = sys.argv[:1]
os.environ["CITYSCAPES_EXPORT_DIR"] = folder
import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as official

truth, predicted = os.path.join(folder, "gt_labelIds.png"), os.path.join(folder, "pred.png")
labels = np.array([[7, 7, 7, 11], [11, 11, 0, 0]], np.uint8)
Image.fromarray(labels).save(truth)
Image.fromarray(labels.astype(np.uint16)).save(truth.replace("labelIds", "instanceIds"))
other = labels.copy()
if what == "id":
    other[0, 0] = 40
Image.fromarray(other).save(predicted)
official.args.quiet, official.args.JSONOutput = True, False
if what == "accuracy":
    official.args.evalPixelAccuracy, official.args.evalInstLevelScore = True, False
    official.np.in1d = lambda values, of, invert=False: np.isin(values, of, invert=invert).ravel()
    (counted,) = official.evaluateImgLists([predicted], [truth], official.args)["perImageScores"].values()
    print(f"pixel accuracy: not ignored {counted['nbNotIgnoredPixels']}, correct {counted['nbCorrectPixels']}")
elif what == "instances":
    try:
        Image.new("I", (4, 2)).save(predicted)
    except OSError as error:
        print(f"Pillow {PIL.__version__}, instance map: OSError {error}")
elif what == "numpy":
    try:
        official.evaluateImgLists([predicted], [truth], official.args)
    except AttributeError:
        print(f"NumPy {np.__version__}: AttributeError")
else:
    try:
        official.evaluateImgLists([predicted], [truth], official.args)
    except IndexError:
        print("predicted id 40: IndexError")
PY
see() { PYTHONPATH=$folder/$1 "${PYTHON:-python3}" -W ignore "$folder/see.py" "$folder" "$2"; }
seen=$(
    see 2.4.6 numpy
    see 2.4.6 instances
    output=$(cd "$folder" && CITYSCAPES_EXPORT_DIR=$folder PYTHONPATH=$folder/2.3.5 "${PYTHON:-python3}" -W ignore -m \
        cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling gt_labelIds.png pred.png)
    echo "one pair on the command line: exit code $?, pairs evaluated $(sed -n 's/Evaluating \([0-9]*\) pairs.*/\1/p' <<<"$output")"
    see 2.3.5 id
    see 2.4.6 accuracy
)
echo "$seen"
diff <(sed -n 's/^#   //p' "$0") <(echo "$seen")
