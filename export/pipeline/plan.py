"""The plan of a build: every decision that can be made before any work is done."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from calibration.images.manifest import TRAIN, CalibrationManifest
from calibration.qdq.quantization_config import INT8
from edge.artifacts import ARTIFACTS_ROOT, artifact_folder
from edge.card import engine_folder
from edge.console import Say
from edge.contract import OWN_CLASSES
from edge.datasets import default_data_dir, open_dataset
from edge.datasets.reference import dataset_reference, recorded_dataset
from edge.errors import GraphError, InputError
from edge.picture_check import checked_dataset
from edge.records import read_record
from export.adopt.adoption import adopt
from export.adopt.contract import read_foreign_contract
from export.backends.choice import choose_backend
from export.build_inputs import BuildInputs, choose_inputs
from export.pipeline.images import ImageSources
from export.pipeline.request import BuildRequest
from export.pipeline.tensorrt_options import check_tensorrt_options
from export.pipeline.user_images import split_pictures
from train.options import resolve_options
from train.tensorflow_import import has_tensorflow


@dataclass(frozen=True)
class BuildPlan:
    """A request whose open choices have all been decided.

    `plan_build` makes it. `build` takes from it the settings that each step needs, and a dry run prints it.

    Attributes:
        request: request of the user; its height and width are those of the network.
        backend: name of the backend, a key in export.backends.choice.BUILDERS.
        reason: reason why that backend was chosen, as part of a sentence.
        sources: weights, dataset and the folder of the dataset.
        artifact: folder of the artefact.
        output: folder of the engine.
    """

    request: BuildRequest
    backend: str
    reason: str
    sources: BuildInputs
    artifact: Path
    output: Path

    def images(self) -> ImageSources:
        """Return the sources of the images of the build."""
        return ImageSources(
            dataset=self.sources.reference.option,
            data_dir=self.sources.data_dir,
            pictures_path=self.request.images_path,
            height=self.request.height,
            width=self.request.width,
            accuracy_images=self.request.accuracy_images,
            skip_bad=self.request.skip_bad,
        )

    def scale_source(self) -> str | None:
        """Return the source of the scales of an int8 engine; None where TensorRT gets none of ours."""
        return self.request.scale_source(self.backend)


def plan_build(request: BuildRequest, say: Say = lambda line: None) -> BuildPlan:
    """Decide all that can be decided before any work; a given graph is adopted, since the rest follows its contract.

    Args:
        request: request of the user.
        say: function that is called with a line of text for each fact that the user has to know.

    Raises:
        BackendError: the requested backend cannot build on this machine.
        InputError: weights, dataset, pictures or manifest do not exist; or the user limits a class that is not there.
    """
    backend, reason = choose_backend(request.backend)
    check_tensorrt_options(request, backend)
    if request.images_path is not None:
        split_pictures(request.images_path, request.accuracy_images, request.skip_bad)
    if request.precision == INT8 and request.int8.manifest_path is not None:
        read_record(CalibrationManifest, request.int8.manifest_path)
    if request.onnx_path is not None:
        return _plan_adoption(request, backend, reason, say)
    resolve_options(request.model, request.options)
    sources = choose_inputs(
        request.model,
        request.dataset,
        request.data_dir,
        request.weights_path,
        (request.height, request.width) if request.is_size_given else None,
        request.options,
        random_weights=request.random_weights,
        can_export=has_tensorflow(),
    )
    request = dataclasses.replace(request, height=sources.size[0], width=sources.size[1])
    classes = sources.classes()
    if classes:
        request.int8.require_classes(tuple(each.name for each in classes))
    artifact = artifact_folder(request.model, sources.dataset, *sources.size, ARTIFACTS_ROOT, sources.options)
    return _checked(BuildPlan(request, backend, reason, sources, artifact, _output(request, artifact, backend)))


def _checked(plan: BuildPlan) -> BuildPlan:
    """Return the plan, once the images of its dataset are sound: a build would meet them minutes later.

    Raises:
        DatasetError: a split cannot be opened, or frames or label maps of it cannot be used.
    """
    request, sources = plan.request, plan.sources
    if sources.data_dir is None or request.images_path is not None:
        return plan
    plan.images().held_out()
    if request.precision == INT8 and request.int8.manifest_path is None:
        training = open_dataset(sources.reference.option, sources.data_dir, TRAIN, labelled=False)
        checked_dataset(training, needs_labels=False, skip_bad=request.skip_bad)
    return plan


def _plan_adoption(request: BuildRequest, backend: str, reason: str, say: Say) -> BuildPlan:
    size = (request.height, request.width) if request.is_size_given else None
    _check_data_dir(request)
    adoption = adopt(request.onnx_path, request.contract_path, ARTIFACTS_ROOT, size, request.data_dir, say)
    request.int8.require_classes(adoption.contract.class_names)
    contract, findings = adoption.contract, adoption.report.tensorrt_findings
    if findings and backend == "tensorrt":
        raise GraphError(f"TensorRT 8.5 does not run {request.onnx_path}: {'; '.join(findings[:3])}")
    for finding in findings:
        say(f"note: TensorRT would not run this graph: {finding}")
    reference = recorded_dataset(contract.dataset, contract.described)
    if request.dataset is not None:
        reference = dataset_reference(request.dataset)
    data_dir = request.data_dir
    if data_dir is None and reference.is_here and default_data_dir(reference.option).is_dir():
        data_dir = default_data_dir(reference.option)
    sources = BuildInputs(
        reference.name,
        data_dir if reference.is_here else None,
        None,
        {},
        (contract.height, contract.width),
        description_path=reference.path,
        recorded_classes=contract.classes,
        recorded_description=contract.described,
    )
    output = _output(request, adoption.folder, backend)
    request = dataclasses.replace(request, height=contract.height, width=contract.width)
    return _checked(BuildPlan(request, backend, reason, sources, adoption.folder, output))


def _check_data_dir(request: BuildRequest) -> None:
    """Refuse a folder of a dataset for a network whose classes are of no dataset: nothing would read it.

    Raises:
        ContractError: the contract is damaged.
        InputError: there is a folder, and neither request nor contract names its dataset.
    """
    if request.data_dir is None or request.dataset is not None:
        return
    if read_foreign_contract(request.contract_path).dataset == OWN_CLASSES:
        raise InputError(
            f"--data-dir {request.data_dir}: {request.contract_path} has classes of its own, so nothing says which "
            f"dataset lies there. Next: --images FOLDER for pictures, or --dataset beside --data-dir"
        )


def _output(request: BuildRequest, artifact: Path, backend: str) -> Path:
    """Return the folder of the engine; engines for batches lie beside the one for single frames."""
    folder = engine_folder(artifact, backend, request.precision)
    return request.output or folder.with_name(folder.name + request.engine.folder_suffix())
