#!/usr/bin/env bash
# Runs the tests of the device set on a real Python 3.8, the one of JetPack 5, where there is one.
#   tests/python38.sh
#   tests/python38.sh --prepare    makes the environment, and runs nothing
# The variable JOBS says how many processes run tests.
#
# What depends on the version is run: the syntax and the imports of every module, and what each does with the standard
# library and NumPy of that Python. The marker `any_python` leaves out a test if one of these holds, and if other tests
# on 3.8 run the same functions of the device set:
#   - it compiles C++ or CUDA with the machine's compilers, or runs many shapes through what was compiled;
#   - it starts a command in a process of its own that another test runs in the process of the tests;
#   - it repeats the arithmetic of a graph or a drawing at more sizes, seeds or forms than the first.
# Of a test that runs with many parameters the first form is run (`--forms 1`); FORMS=1000 runs all.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python38() {
    local candidate
    for candidate in "${SEGEDGE_PYTHON38:-}" python3.8 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.8*/bin/python \
        /root/.pyenv/versions/3.8*/bin/python /opt/python3.8/bin/python; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 8))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

python38=$(find_python38)
if [ -z "$python38" ]; then
    echo "skipped: the device set was not tested on Python 3.8, since none is installed (set SEGEDGE_PYTHON38)"
    exit 0
fi
if [ ! -f .venv38/installed ] || [ setup.cfg -nt .venv38/installed ]; then
    ./.ci/make-environment .venv38 "$python38" \
        'numpy>=1.19' 'opencv-python-headless>=4.5' 'onnxruntime>=1.16' 'onnx>=1.16' 'pytest>=8' 'pytest-xdist>=3'
    touch .venv38/installed
fi
[ "${1:-}" != --prepare ] || exit 0
echo "device set on $(.venv38/bin/python --version)"
.venv38/bin/python -m pytest -q --leave-out any_python --forms "${FORMS:-1}" ${JOBS:+-n "$JOBS" --dist loadfile} \
    tests/edge tests/calibration tests/export tests/test_house.py -k "not test_house or bare_machine"
