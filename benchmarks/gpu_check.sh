#!/usr/bin/env bash
# Checks everything on the GPU of this machine and writes one JSON; see benchmarks/gpu_check.sh --help.
#   benchmarks/gpu_check.sh [--python PROGRAM] [OPTIONS]
# Without --python it is $SEGEDGE_PYTHON, .venv/bin/python of the checkout, or python3.
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

python=${SEGEDGE_PYTHON:-}
if [ "${1:-}" = "--python" ]; then
    if [ "$#" -lt 2 ]; then
        echo "error: --python needs a program. Next: benchmarks/gpu_check.sh --help" >&2
        exit 2
    fi
    python=$2
    shift 2
fi
if [ -z "$python" ]; then
    python=python3
    [ ! -x "$checkout/.venv/bin/python" ] || python=$checkout/.venv/bin/python
fi
if ! command -v "$python" >/dev/null; then
    echo "error: no Python found at $python. Next: sudo apt install python3, or --python PROGRAM" >&2
    exit 2
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))'; then
    echo "error: $python is older than Python 3.8. Next: --python PROGRAM of a newer one" >&2
    exit 2
fi
require() { # MODULE, PACKAGE OF PIP, PACKAGE OF APT
    "$python" -c "import $1" 2>/dev/null && return
    echo "error: $python lacks $1. Next: sudo apt install $3 on a Jetson, $python -m pip install $2 elsewhere" >&2
    exit 2
}
require numpy numpy python3-numpy
require cv2 opencv-python-headless python3-opencv
exec "$python" "$checkout/benchmarks/gpu_check" "$@"
