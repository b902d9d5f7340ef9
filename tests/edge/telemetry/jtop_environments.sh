#!/usr/bin/env bash
# Makes the environments in which test_jtop_service.py runs the real jtop, one for each version of jetson-stats, once.
#   tests/edge/telemetry/jtop_environments.sh [PYTHON]
# Without a way to install them it says so and leaves none; the tests are skipped then.
set -euo pipefail
cd "$(dirname "$0")/../../.."
python=${1:-.venv/bin/python}

for version in 4.3.2 7.2.2; do
    folder=.venv-jtop-$version
    [ -e "$folder/installed" ] && continue
    if "$python" -m venv --clear "$folder" &&
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "jetson-stats==$version" >"$folder/log" 2>&1; then
        touch "$folder/installed"
    else
        echo "skipped: jetson-stats $version could not be installed: $(tail -1 "$folder/log" 2>/dev/null)"
        rm -rf "$folder"
    fi
done
