#!/usr/bin/env bash
# Runs the tests of the device runtime with the real pycuda, over a CUDA driver whose GPU is the host.
#   tests/host_cuda/run.sh [ARGUMENTS OF PYTEST]
#   tests/host_cuda/run.sh --prepare    builds the driver and pycuda, and runs nothing
# The variable JOBS says how many processes run tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${SEGEDGE_HOST_CUDA_PYTHON:-.venv/bin/python}

lacks=$(mktemp)
trap 'rm -f "$lacks"' EXIT
status=0
folders=$("$python" tests/host_cuda/build.py 2>"$lacks") || status=$?
if [ "$status" -eq 4 ]; then
    echo "skipped: the device runtime was not run over a host CUDA driver: $(tail -n 1 "$lacks")"
    exit 0
fi
cat "$lacks" >&2
[ "$status" -eq 0 ] || exit "$status"
{ read -r driver; read -r pycuda; } <<<"$folders"

[ "${1:-}" != --prepare ] || exit 0
[ "$#" -gt 0 ] || set -- -q tests/host_cuda ${JOBS:+-n "$JOBS" --dist loadfile}
export HOST_CUDA_LIBRARY="$driver/libcuda.so.1" HOST_CUDA_KERNELS="$driver/host_kernels.so"
echo "device runtime on pycuda over a host CUDA driver, $("$python" --version)"
PYTHONPATH="$pycuda${PYTHONPATH:+:$PYTHONPATH}" LD_PRELOAD="$HOST_CUDA_LIBRARY" exec "$python" -m pytest -m host_cuda "$@"
