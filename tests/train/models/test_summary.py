"""The command `python -m train.models --summary`: its rows, its three forms, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest

from train.models import MODELS, model_spec
from train.models.__main__ import choose_variants, main
from train.models.base import inference_model
from train.models.graph_statistics import count_model
from train.models.published import CLASS_COUNT, HEIGHT, PUBLISHED, WIDTH, published_figures
from train.options import changed_options

CLASSIFIER = 2_049_000
"""Weights of ResNet's ImageNet classifier: 1000 x 2048, and 1000 biases."""

ENCODING = 2 * 128 * 256 * 512 * 32
"""Multiply-adds of EncNet's two products at 1024x2048: positions x channels x codewords."""


def run(capsys, *arguments: str) -> str:
    assert main(["--summary", *arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def small():
    return MODELS["fast_scnn"].build(64, 96, 5)


SMALL = ("--model", "fast_scnn", "--size", "64x96", "--classes", "5")


# Rows


def test_every_architecture_is_there_with_its_defaults_and_its_published_variants():
    variants = choose_variants(None, {})
    assert [name for name, options in variants if not options] == list(MODELS)
    chosen = {(name, frozenset(options.items())) for name, options in variants}
    assert set(PUBLISHED) <= chosen
    assert len(chosen) == len(variants) == len(set(PUBLISHED) | {(name, frozenset()) for name in MODELS})


def test_options_choose_one_network():
    assert choose_variants("fastfcn", {"depth": "101", "head": "encnet"}) == [("fastfcn", {"depth": 101})]
    assert ("fastfcn", {"depth": 101}) in choose_variants("fastfcn", {})
    assert {name for name, _ in choose_variants("fastfcn", {})} == {"fastfcn"}


@pytest.mark.parametrize("variant", PUBLISHED, ids=lambda variant: f"{variant[0]} {dict(sorted(variant[1]))}")
def test_published_variants_are_options_that_differ_from_the_defaults(variant):
    model, options = variant
    assert changed_options(model, dict(options)) == dict(options)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.long
def test_every_architecture_can_be_counted(name):
    spec = model_spec(name)
    counted = count_model(spec, 64, 128, 3, {})
    logits = counted.outputs[0]
    assert logits.name == "logits"
    assert logits.native_stride == spec.stride
    assert min(counted.multiply_adds, logits.receptive_field_height) > 0
    assert [output.name for output in counted.outputs[1:]] == [output.name for output in spec.extra_outputs(3, {})]


def test_samples_of_a_bayesian_network_are_all_counted():
    once, three = (
        count_model(model_spec("bayesian_segnet"), 64, 64, 3, {"monte_carlo": samples}) for samples in (1, 3)
    )
    assert [output.name for output in three.outputs] == ["logits", "uncertainty"]
    # What lies in front of the first dropout is computed once.
    assert once.multiply_adds < three.multiply_adds < 3 * once.multiply_adds
    assert once.parameters == three.parameters


# Against public implementations, whose figures were counted with other tools


@pytest.mark.parametrize(
    ("name", "options", "more_parameters", "more_multiply_adds"),
    [
        ("unet", {"batch_norm": True}, 0, 0),
        ("deeplabv3plus", {"decoder_convs": 1, "depth": 50}, 0, 0),
        ("fastfcn", {}, CLASSIFIER, -ENCODING),
        ("fastfcn", {"head": "psp"}, CLASSIFIER, 0),
        ("fastfcn", {"head": "deeplab"}, CLASSIFIER, 0),
        # a scale and an offset of 256 channels in each of two pyramids
        ("panoptic_deeplab", {}, -2 * 2 * 256, 0),
    ],
)
@pytest.mark.long
def test_public_implementation_has_the_same_size(name, options, more_parameters, more_multiply_adds):
    counted = count_model(model_spec(name), HEIGHT, WIDTH, CLASS_COUNT, options)
    published = published_figures(name, options, HEIGHT, WIDTH, CLASS_COUNT)
    assert published.parameters.value == counted.parameters + more_parameters
    assert published.multiply_adds.value == counted.multiply_adds + more_multiply_adds


def test_bayesian_segnet_is_the_public_one_but_for_biases_and_the_last_normalisation():
    counted = count_model(model_spec("bayesian_segnet"), HEIGHT, WIDTH, CLASS_COUNT, {})
    published = published_figures("bayesian_segnet", {}, HEIGHT, WIDTH, CLASS_COUNT)
    assert published.multiply_adds.value == counted.multiply_adds
    biases = counted.normalisation_statistics // 2  # one for each normalised channel, as means are
    assert published.parameters.value == counted.parameters + biases + 2 * CLASS_COUNT


def test_figures_are_published_for_one_size_and_its_classes():
    assert published_figures("fastfcn", {"depth": 101}, HEIGHT, WIDTH, CLASS_COUNT) is not None
    assert published_figures("fastfcn", {"depth": 101}, 512, 1024, CLASS_COUNT) is None
    assert published_figures("fastfcn", {"depth": 101}, HEIGHT, WIDTH, 11) is None
    assert published_figures("fastfcn", {"depth": 101, "stem": "plain"}, HEIGHT, WIDTH, CLASS_COUNT) is None


# Forms


def test_json_is_a_list_of_records_with_the_networks_own_counts(capsys, small):
    (record,) = json.loads(run(capsys, *SMALL, "--json"))
    network = inference_model(small)

    def count(weights):
        return sum(int(keras.ops.size(weight)) for weight in weights)

    assert (record["model"], record["options"], record["published"]) == ("fast_scnn", {}, None)
    assert (record["height"], record["width"], record["class_count"]) == (64, 96, 5)
    assert record["parameters"] == count(network.trainable_weights)
    assert record["normalisation_statistics"] == count(network.non_trainable_weights)
    assert record["training_only_parameters"] == count(small.trainable_weights) - count(network.trainable_weights)
    assert record["native_stride"] == 8
    assert record["sees_whole_frame"] is True
    assert record["receptive_field_height"] == record["outputs"][0]["receptive_field_height"] > 64
    assert record["multiply_adds"] > record["convolution_parameters"] > 0


@pytest.mark.slow
def test_work_grows_with_the_frame_and_weights_do_not(capsys):
    small, large = (
        json.loads(run(capsys, "--model", "unet", "--size", size, "--json"))[0] for size in ("64x64", "128x192")
    )
    assert large["multiply_adds"] == 6 * small["multiply_adds"]
    assert large["parameters"] == small["parameters"]


def test_table_is_aligned_and_says_what_was_counted(capsys):
    text = run(capsys, "--model", "panoptic_deeplab", "--size", "64x128", "--option", "pooling_norm=false")
    heading, rule, *rows = text.split("\n\n")[0].splitlines()
    assert [row.split()[0] for row in rows] == ["Panoptic-DeepLab", "centre", "offset"]
    assert "pooling_norm=false" in rows[0]
    starts = [index for index in range(1, len(rule)) if rule[index - 1 : index + 1] == " -"]
    for row in rows:
        assert all(row[start - 1 : start] in (" ", "") for start in starts)
    column = heading.index("output")
    assert [row[column:].split()[:2] for row in rows] == [["logits", "4"], ["centre", "4"], ["offset", "4"]]
    assert "frames of 64x128 and 19 classes" in text


def test_markdown_has_published_figures_with_numbered_sources(capsys):
    lines = run(capsys, "--model", "fast_scnn", "--markdown").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert table[0].endswith("| published |")
    assert table[1] == "| --- | --- " + 5 * "| ---: " + "| --- | ---: | --- | --- |"
    assert "| 1.11 M [1], 6.7 G [2] |" in table[2]
    assert "1. arXiv 1902.04502" in lines
    assert any(line.startswith("2. github.com/Tramac/Fast-SCNN-pytorch") for line in lines)


def test_markdown_at_another_size_has_no_published_figures(capsys):
    text = run(capsys, *SMALL, "--markdown")
    assert "arXiv" not in text and "github.com" not in text
    assert text.count("Fast-SCNN") == 1


# Refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--option", "depth=101"), "--option depth needs an architecture. Next: --model NAME"),
        (("--model", "unet", "--option", "depth=101"), "unet has no option 'depth', expected one of"),
        (("--model", "fastfcn", "--option", "depth=34"), "option depth is '34', expected 50, 101"),
        (("--model", "fastfcn", "--option", "depth"), "--option is 'depth', expected NAME=VALUE"),
        (("--model", "fast_scnn", "--size", "100x100"), "multiples of"),
    ],
)
def test_what_cannot_be_counted_is_one_line_and_code_2(capsys, one_line, arguments, message):
    assert main(["--summary", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in one_line(printed.err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "required: --summary"),
        (("--summary", "--model", "yolo"), "invalid choice: 'yolo'"),
        (("--summary", "--json", "--markdown"), "not allowed with argument --json"),
        (("--summary", "--size", "64"), "size is '64', expected HEIGHTxWIDTH"),
    ],
)
def test_wrong_usage_is_code_2(capsys, one_line, arguments, message):
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 2
    assert message in one_line(capsys.readouterr().err)


@pytest.mark.slow
def test_stdout_of_the_command_is_json_alone(run_python):
    result = run_python("-W", "error", "-m", "train.models", "--summary", *SMALL, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)[0]["title"] == "Fast-SCNN"
    assert "1/1 network" in result.stderr


@pytest.mark.slow
def test_page_of_the_models_holds_the_table_that_the_command_prints(capsys):
    page = (Path(__file__).resolve().parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    held = page[page.index("<!-- summary -->\n") + len("<!-- summary -->\n") : page.index("<!-- /summary -->")]
    assert held.strip() == run(capsys, "--markdown").strip()
