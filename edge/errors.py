"""Every error that segedge raises on purpose.

    SegEdgeError                      exit code 2
    +-- InputError                    what the user gave cannot be used
    |   +-- DatasetError              a dataset folder, an image or a label map
    |   +-- ImageError                an image that is missing or cannot be decoded
    |   +-- SizeError                 a height or width that a model cannot take
    |   +-- WeightsError              weights of another model, or damaged ones
    |   +-- ContractError             contract.json, card.json or another record is damaged or unknown
    |   +-- GraphError                an ONNX graph that is damaged or outside the contract
    |   +-- SourceError               a camera, stream or video that cannot be opened
    +-- MissingDependencyError        a package that this command needs is not installed
    +-- BackendError                  a runtime is not usable here, or failed at work
    |   +-- EngineMismatchError       an engine was built for another machine or from other files
    +-- ParityError                   two forms of one network disagree by more than the tolerance
    +-- AccuracyBudgetError           INT8 costs more accuracy than the user allowed (exit code 3)
    +-- StorageError                  a result could not be written (disk full, no permission)

A message says what, got, expected and next, in one line:

    contract of fast_scnn has 0 classes, expected 2 to 255
    CamVid folder not found: data/camvid. Next: --data-dir FOLDER, or git clone ... data/camvid

- What is wrong comes first, and where it is: a file, an option, a layer. It begins in lower case, unless with a name.
- What there is stands in "is", "has" or "got"; what there should be follows as ", expected ...".
- A reason follows behind a colon.
- A step that helps ends the message as ". Next: ..." and is a command, an option, or an imperative. A message has one
  such end or none.
- No period ends a message, so that a command can be copied whole.
- No prefix is part of a message: `edge.console` writes "error: ", "warning: " and "note: " before it. Warnings and
  notes follow the same rules.
"""

from __future__ import annotations

__all__ = [
    "AccuracyBudgetError",
    "BackendError",
    "ContractError",
    "DatasetError",
    "EngineMismatchError",
    "GraphError",
    "ImageError",
    "InputError",
    "MissingDependencyError",
    "ParityError",
    "SegEdgeError",
    "SizeError",
    "SourceError",
    "StorageError",
    "WeightsError",
]


class SegEdgeError(Exception):
    """Base of all errors of this project; `exit_code` is what a command returns for it."""

    exit_code = 2


class InputError(SegEdgeError):
    """What the user gave cannot be used."""


class DatasetError(InputError):
    """A dataset folder, or a pair of image and label map in it, is not as its layout demands."""


class ImageError(InputError):
    """An image is missing or cannot be decoded."""


class SizeError(InputError):
    """A model cannot take this height or width."""


class WeightsError(InputError):
    """Weights belong to another model, or their file is damaged."""


class ContractError(InputError):
    """A JSON record (contract, card, ranges, run) is damaged, or of an unknown schema."""


class GraphError(InputError):
    """An ONNX graph is damaged, or breaks the contract."""


class SourceError(InputError):
    """A camera, stream or video cannot be opened."""


class MissingDependencyError(SegEdgeError):
    """A package that this command needs is not installed; the message names the install command."""

    def __init__(self, package: str, purpose: str, install: str, state: str = "is not installed") -> None:
        super().__init__(f"{purpose} needs the package {package}, which {state}. Next: {install}")
        self.package = package


class BackendError(SegEdgeError):
    """A runtime cannot be used on this machine, or failed while it worked."""


class EngineMismatchError(BackendError):
    """An engine does not fit this machine, or its file is not the one that its card describes."""


class ParityError(SegEdgeError):
    """Two forms of one network (Keras and ONNX, float and engine) disagree by more than allowed."""


class AccuracyBudgetError(SegEdgeError):
    """INT8 costs more accuracy than the budget allows, whatever was tried."""

    exit_code = 3


class StorageError(SegEdgeError):
    """A result could not be written."""
