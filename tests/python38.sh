#!/usr/bin/env bash
# Runs the tests of the device set on a real Python 3.8, the one of JetPack 5, where there is one.
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
    "$python38" -m venv --clear .venv38
    .venv38/bin/python -m pip install --quiet --disable-pip-version-check \
        'numpy>=1.19' 'opencv-python-headless>=4.5' 'onnxruntime>=1.16' 'onnx>=1.16' 'pytest>=8'
    touch .venv38/installed
fi
echo "device set on $(.venv38/bin/python --version)"
.venv38/bin/python -m pytest -q tests/edge tests/calibration tests/export
