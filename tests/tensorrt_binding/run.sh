#!/usr/bin/env bash
# Runs our classes on the Python binding of TensorRT 8.5.3.1, which is JetPack 5's generation; no GPU is needed.
#   tests/tensorrt_binding/run.sh [ARGUMENTS OF PYTEST]
# Its environment is made once: 1.7 GB to download, 3 GB on the disk.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=8.5.3.1
folder=.venv-tensorrt-$version
needed_gib=6 # the wheels lie beside what is unpacked from them until the end

skip() {
    echo "skipped: our classes were not run on TensorRT $version: $1"
    exit 0
}

# The wheels of 8.5.3.1 end with Python 3.10; the others that the project needs start with 3.8.
find_python() {
    local candidate versions=${PYENV_ROOT:-$HOME/.pyenv}/versions
    local is_taken='import sys; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 10))'
    for candidate in "${SEGEDGE_TENSORRT_PYTHON:-}" python3.8 "$versions"/3.8*/bin/python \
        python3.9 "$versions"/3.9*/bin/python python3.10 "$versions"/3.10*/bin/python; do
        if [ -n "$candidate" ] && "$candidate" -c "$is_taken" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

if [ ! -f "$folder/installed" ]; then
    machine="$(uname -s) on $(uname -m)"
    [ "$machine" = "Linux on x86_64" ] || skip "its wheels are for Linux on x86_64, this is $machine"
    python=$(find_python)
    [ -n "$python" ] || skip "no Python 3.8 to 3.10 is installed (set SEGEDGE_TENSORRT_PYTHON)"
    free_gib=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1048576))
    [ "$free_gib" -ge "$needed_gib" ] || skip "$free_gib GiB of the disk are free, $needed_gib are needed"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    echo "install TensorRT $version into $folder (1.7 GB, once)" >&2
    # The binding loads cuBLAS and cuDNN when it is imported; its own requirement would take a cuDNN 9.
    if ! { "$python" -m venv --clear "$folder" && "$folder/bin/python" -m pip install --quiet --no-cache-dir \
        --disable-pip-version-check "tensorrt==$version" nvidia-cublas-cu11 'nvidia-cudnn-cu11<9' \
        'numpy>=1.19' 'opencv-python-headless>=4.5' 'onnx>=1.16' 'onnxruntime>=1.16' 'pytest>=8'; } >"$log" 2>&1; then
        rm -rf "$folder"
        skip "it cannot be installed: $(tail -n 1 "$log")"
    fi
    touch "$folder/installed"
fi

[ "$#" -gt 0 ] || set -- -q tests/tensorrt_binding
# What holds without a GPU is to hold on a machine that has one, too.
export CUDA_VISIBLE_DEVICES=
says='import platform, tensorrt; print("TensorRT", tensorrt.__version__, "on Python", platform.python_version())'
"$folder/bin/python" -c "$says"
exec "$folder/bin/python" -m pytest -m tensorrt_binding "$@"
