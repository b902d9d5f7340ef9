from __future__ import annotations

import pytest

from edge import errors

TREE = {
    "SegEdgeError": "Exception",
    "InputError": "SegEdgeError",
    "DatasetError": "InputError",
    "ImageError": "InputError",
    "SizeError": "InputError",
    "WeightsError": "InputError",
    "ContractError": "InputError",
    "GraphError": "InputError",
    "SourceError": "InputError",
    "MissingDependencyError": "SegEdgeError",
    "BackendError": "SegEdgeError",
    "EngineMismatchError": "BackendError",
    "ParityError": "SegEdgeError",
    "AccuracyBudgetError": "SegEdgeError",
    "StorageError": "SegEdgeError",
}


def test_exported_errors_are_the_known_ones():
    assert set(errors.__all__) == set(TREE)
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert defined == set(TREE)


@pytest.mark.parametrize(("name", "parent"), TREE.items())
def test_error_has_its_place_in_the_tree(name, parent):
    (base,) = getattr(errors, name).__bases__
    assert base.__name__ == parent


def test_docstring_draws_the_whole_tree():
    drawn = {word for word in errors.__doc__.split() if word.endswith("Error")}
    assert drawn == set(TREE)


@pytest.mark.parametrize("name", sorted(set(TREE) - {"AccuracyBudgetError"}))
def test_every_other_error_ends_a_command_with_exit_code_2(name):
    assert getattr(errors, name).exit_code == 2


def test_missed_accuracy_budget_has_an_exit_code_of_its_own():
    assert errors.AccuracyBudgetError.exit_code == 3


def test_missing_dependency_names_package_purpose_and_install_command():
    error = errors.MissingDependencyError("pycuda", "running TensorRT", "pip install pycuda")
    assert error.package == "pycuda"
    assert str(error) == "running TensorRT needs the package pycuda, which is not installed. Next: pip install pycuda"
