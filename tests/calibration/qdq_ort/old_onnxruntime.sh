#!/usr/bin/env bash
# Makes the environment in which test_onnxruntime_versions.py runs the ONNX Runtime of JetPack 5, once.
#   tests/calibration/qdq_ort/old_onnxruntime.sh [PYTHON]
# 1.19.2 is the last version for Python 3.8. Without a way to install it, it says so and leaves none; the tests are
# skipped then.
set -euo pipefail
cd "$(dirname "$0")/../../.."
python=${1:-.venv/bin/python}

version=1.19.2
folder=.venv-onnxruntime-$version
[ ! -e "$folder/installed" ] || exit 0
# A session needs NumPy alone; what else the package names serves its tools.
if "$python" -m venv --clear "$folder" &&
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        "onnxruntime==$version" numpy >"$folder/log" 2>&1 &&
    "$folder/bin/python" -c "import onnxruntime" >>"$folder/log" 2>&1; then
    touch "$folder/installed"
else
    echo "skipped: onnxruntime $version could not be installed: $(tail -1 "$folder/log" 2>/dev/null)"
    rm -rf "$folder"
fi
