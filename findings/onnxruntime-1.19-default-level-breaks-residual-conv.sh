#!/usr/bin/env bash
# ONNX Runtime 1.19.2, the last one for Python 3.8 (JetPack 5), on x86-64; onnx 1.17.0, numpy 1.26.4.
#
# Guess: a graph that runs with optimisations off runs at the default level too.
# Behaviour: a FusedConv of com.microsoft with a residual input (what ORT_ENABLE_EXTENDED itself saves for
# Conv, Add, Relu) runs at ORT_DISABLE_ALL and ORT_ENABLE_EXTENDED. The default, ORT_ENABLE_ALL, lays the convolution out in
# blocks of 8 or 16 channels, forgets the residual where the channels are no multiple of a block, and each run then fails.
# With 32 channels all levels give the same. 1.32.0 does not do it.
#
# Output seen:
#   3 channels: ORT_DISABLE_ALL runs, ORT_ENABLE_EXTENDED runs, ORT_ENABLE_ALL fails
#   32 channels: ORT_DISABLE_ALL runs, ORT_ENABLE_EXTENDED runs, ORT_ENABLE_ALL runs
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" \
    onnxruntime==1.19.2 onnx==1.17.0 numpy==1.26.4
cat >"$folder/see.py" <<'PY'
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")


def residual_conv(channels):
    generator = np.random.default_rng(0)
    weight = numpy_helper.from_array(generator.normal(size=(channels, channels, 3, 3)).astype(np.float32), "w")
    bias = numpy_helper.from_array(np.zeros(channels, np.float32), "b")
    node = helper.make_node(
        "FusedConv", ["x", "w", "b", "x"], ["y"], domain="com.microsoft",
        activation="Relu", kernel_shape=[3, 3], pads=[1, 1, 1, 1],
    )  # fmt: skip
    shape = [1, channels, 6, 6]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([node], "residual", ends[:1], ends[1:], [weight, bias])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def outcome(model, level, channels):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    session = ort.InferenceSession(model, options, ["CPUExecutionProvider"])
    try:
        session.run(None, {"x": np.ones((1, channels, 6, 6), np.float32)})
    except Exception as error:
        assert "Compute output and sum shape must match" in str(error), error
        return "fails"
    return "runs"


assert ort.__version__ == "1.19.2", ort.__version__
for channels in (3, 32):
    model = residual_conv(channels)
    print(f"{channels} channels:", ", ".join(f"{level} {outcome(model, level, channels)}" for level in LEVELS))
PY
seen=$(PYTHONPATH=$folder "${PYTHON:-python3}" "$folder/see.py")
echo "$seen"
diff <(sed -n 's/^#   //p' "$0") <(echo "$seen")
