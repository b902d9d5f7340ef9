"""Run graphs in the ONNX Runtime of the Python that runs this file: `python run_sessions.py FOLDER`.

For each FOLDER/NAME.onnx, whose first input is fed from FOLDER/NAME.npy, (frames, ...) of the input's shape, the first
outputs are written to FOLDER/NAME-VERSION.npy. Prints the version.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from edge.runtime.onnxruntime import import_onnxruntime, open_session


def main(folder: Path) -> None:
    version = import_onnxruntime().__version__
    for path in sorted(folder.glob("*.onnx")):
        session = open_session(path, threads=1)
        name = session.get_inputs()[0].name
        outputs = [session.run(None, {name: value})[0] for value in np.load(path.with_suffix(".npy"))]
        np.save(folder / f"{path.stem}-{version}.npy", np.stack(outputs))
    print(version)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
