#!/usr/bin/env bash
# TensorFlow 2.21.0 (tf.data) on how many elements a pipeline reads ahead.
#
# Guess: map(num_parallel_calls=2).batch(4) has at most two results of the map and the one batch that is being gathered
# under way, so that its memory is fixed; prefetch(2) adds two batches.
# Behaviour: the map alone keeps to its two. With batch() behind it more wait the longer the pipeline runs: 4 to 8
# elements after the first batch, 24 to 60 after 4,000, whether prefetch() follows or not, with options.deterministic and
# without the optimisation inject_prefetch.
#
# Output seen (the figures of the second line vary):
#   map(2): 2 waiting after 1 taken, 2 after 4000
#   map(2).batch(4): 8 waiting after 1 taken, 60 after 4000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" tensorflow-cpu==2.21.0
cat >"$folder/see.py" <<'PY'
import time

import numpy as np
import tensorflow as tf


def waiting(batch, taken):
    """Elements that were made and not taken, after a number of elements or batches were taken as fast as they come."""
    made = [0]

    def make(_):
        made[0] += 1
        return np.zeros(3, np.uint8)

    dataset = tf.data.Dataset.range(10**9).map(lambda i: tf.numpy_function(make, [i], tf.uint8), num_parallel_calls=2)
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_optimization.inject_prefetch = False
    elements = iter((dataset.batch(batch) if batch else dataset).with_options(options))
    for _ in range(taken):
        next(elements)
    time.sleep(0.5)
    return made[0] - taken * max(batch, 1)


alone = waiting(0, 1), waiting(0, 4000)
batched = waiting(4, 1), waiting(4, 4000)
print(f"map(2): {alone[0]} waiting after 1 taken, {alone[1]} after 4000")
print(f"map(2).batch(4): {batched[0]} waiting after 1 taken, {batched[1]} after 4000")
assert max(alone) == 2 and batched[1] > 2 * batched[0]
PY
PYTHONPATH="$folder" TF_CPP_MIN_LOG_LEVEL=3 "${PYTHON:-python3}" "$folder/see.py"
