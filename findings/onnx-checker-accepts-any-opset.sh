#!/usr/bin/env bash
# onnx 1.23.2, onnxruntime 1.32.0.
#
# Guess: onnx.checker.check_model refuses a model whose opset is newer than any that this onnx knows, as it refuses an
# IR version from the future.
# Behaviour: it refuses the IR version, and accepts any number as the opset, with full_check too: operators resolve to the
# newest definition that is known. ONNX Runtime refuses to load such a file. So "the checker passed" says nothing about the opset.
#
# Output seen:
#   newest opset known 28: accepted, full check accepted, loads in ONNX Runtime yes
#   opset 99: accepted, full check accepted, loads in ONNX Runtime no
#   IR version one above the newest: refused
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" \
    onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat >"$folder/see.py" <<'PY'
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper


def relu(opset, ir_version=8):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def checked(model, full):
    try:
        onnx.checker.check_model(model, full_check=full)
    except onnx.checker.ValidationError:
        return "refused"
    return "accepted"


def loads(model):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    except Exception:
        return "no"
    return "yes"


assert (onnx.__version__, ort.__version__) == ("1.23.2", "1.32.0")
newest = onnx.defs.onnx_opset_version()
for name, opset in ((f"newest opset known {newest}", newest), ("opset 99", 99)):
    model = relu(opset)
    print(f"{name}: {checked(model, False)}, full check {checked(model, True)}, loads in ONNX Runtime {loads(model)}")
print("IR version one above the newest:", checked(relu(17, onnx.IR_VERSION + 1), False))
PY
seen=$(PYTHONPATH=$folder ORT_DISABLE_TELEMETRY=1 "${PYTHON:-python3}" "$folder/see.py")
echo "$seen"
diff <(sed -n 's/^#   //p' "$0") <(echo "$seen")
