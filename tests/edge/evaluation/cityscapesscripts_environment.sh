#!/usr/bin/env bash
# Makes the environment in which test_equal_to_cityscapesscripts.py runs the official evaluation, once.
#   tests/edge/evaluation/cityscapesscripts_environment.sh [PYTHON]
# NumPy 2.4 has no in1d, which the evaluation calls, and Pillow 13 no mode that instance maps are written in; so older
# ones are taken. What only its other tools need (matplotlib, requests) is left out. Without a way to install them it
# says so and leaves none; the test is skipped then.
set -euo pipefail
cd "$(dirname "$0")/../../.."
python=${1:-.venv/bin/python}

folder=.venv-cityscapesscripts-2.3.0
[ -e "$folder/installed" ] && exit 0
packages=(cityscapesscripts==2.3.0 "numpy>=1.19,<2.4" "pillow>=8,<13" "pyquaternion==0.9.9")
if "$python" -m venv --clear "$folder" &&
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "${packages[@]}" >"$folder/log" 2>&1; then
    touch "$folder/installed"
else
    echo "skipped: cityscapesScripts 2.3.0 could not be installed: $(tail -1 "$folder/log" 2>/dev/null)"
    rm -rf "$folder"
fi
