from __future__ import annotations

import pytest

from edge.console import CommandParser
from edge.datasets import LAYOUTS, add_dataset_option


@pytest.fixture
def parser():
    parser = CommandParser(prog="try")
    add_dataset_option(parser, "what it is tried on", default="camvid")
    return parser


@pytest.mark.parametrize("dataset", [*LAYOUTS, "yard.json", "data/yard/set.json"])
def test_names_and_descriptions_are_taken_as_they_are_typed(parser, dataset):
    assert parser.parse_args(["--dataset", dataset]).dataset == dataset
    assert parser.parse_args([]).dataset == "camvid"


@pytest.mark.parametrize("text", ["kitti", "", "data/yard", "yard.JSN"])
def test_what_is_neither_is_refused_with_both_forms(parser, capsys, text):
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--dataset", text])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"got '{text}', expected one of: cityscapes, " in told and "a dataset description: FILE.json" in told


def test_help_names_every_dataset(parser):
    told = " ".join(parser.format_help().replace("-\n", "-").split())
    assert all(name in told.replace("- ", "-") for name in LAYOUTS)
