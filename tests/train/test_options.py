"""Options of the architectures: what a user may type, what is refused and how, and what shapes the weights."""

from __future__ import annotations

import inspect

import pytest

from edge.artifacts import spell_option
from edge.errors import InputError
from train.models import MODELS
from train.options import (
    MODEL_NAMES,
    OPTIONS,
    Option,
    changed_options,
    check_model_name,
    parse_assignments,
    refuse_export_options,
    resolve_options,
    training_options,
)

EVERY_OPTION = [(model, name) for model, options in OPTIONS.items() for name in options]


def refusal(call, *arguments) -> str:
    """Return the message of a refused call, which has one line."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


# The table


def test_every_architecture_has_its_options():
    assert set(OPTIONS) == set(MODELS) == set(MODEL_NAMES)
    assert list(MODEL_NAMES) == sorted(MODEL_NAMES)


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_options_are_the_keywords_of_build_with_the_same_defaults(model):
    parameters = list(inspect.signature(MODELS[model].build).parameters.values())
    assert [parameter.name for parameter in parameters[:3]] == ["height", "width", "class_count"]
    keywords = {parameter.name: parameter.default for parameter in parameters[3:]}
    if MODELS[model].pooling_indices:
        assert keywords.pop("given_pooling_indices") is False  # no option: the export alone asks for it
    assert keywords == {name: option.default for name, option in OPTIONS[model].items()}
    assert {name: type(default) for name, default in keywords.items()} == {
        name: type(option.default) for name, option in OPTIONS[model].items()
    }


@pytest.mark.parametrize(("model", "name"), EVERY_OPTION)
def test_default_is_a_value_that_the_option_can_take(model, name):
    option = OPTIONS[model][name]
    assert option.parse(name, option.default) == option.default
    assert option.help and "\n" not in option.help
    if option.choices:
        assert option.default in option.choices
        assert {type(choice) for choice in option.choices} == {type(option.default)}
        assert len(set(option.choices)) == len(option.choices) > 1


@pytest.mark.parametrize(("model", "name"), EVERY_OPTION)
def test_text_of_a_value_is_read_back_as_the_value(model, name):
    option = OPTIONS[model][name]
    for value in (option.default, *option.choices):
        parsed = option.parse(name, spell_option(value))
        assert (parsed, type(parsed)) == (value, type(value))


# Values


@pytest.mark.parametrize(
    ("default", "choices", "text", "value"),
    [
        (False, (False, True), "true", True),
        (False, (False, True), "TRUE", True),
        (True, (True, False), "False", False),
        (50, (50, 101), "101", 101),
        (0.1, (), "0.25", 0.25),
        (0.1, (), "1", 1.0),
        (0.1, (), 1, 1.0),
        ("a", ("a", "b"), "b", "b"),
    ],
)
def test_value_has_the_type_of_the_option(default, choices, text, value):
    parsed = Option(default, choices, "help").parse("name", text)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("default", "choices", "given", "wanted"),
    [
        (False, (False, True), "yes", "false, true"),
        (False, (False, True), 1, "false, true"),
        (50, (50, 101), "34", "50, 101"),
        (50, (50, 101), "50.0", "50, 101"),
        (50, (50, 101), True, "50, 101"),
        (50, (50, 101), None, "50, 101"),
        ("a", ("a", "b"), "A", "a, b"),
        (0, (), "-1", "a whole number of at least 0"),
        (0, (), "1.5", "a whole number of at least 0"),
        (0, (), 1.5, "a whole number of at least 0"),
        (0, (), "many", "a whole number of at least 0"),
        (0.1, (), "nan", "a number of at least 0"),
        (0.1, (), "inf", "a number of at least 0"),
        (0.1, (), True, "a number of at least 0"),
    ],
)
def test_value_that_an_option_cannot_take_is_refused_with_those_it_can(default, choices, given, wanted):
    message = refusal(Option(default, choices, "help").parse, "thing", given)
    assert message == f"option thing is '{spell_option(given)}', expected {wanted}"


def test_number_is_held_to_its_bounds():
    option = Option(0.5, (), "help", least=0.25, most=1)
    assert [option.parse("rate", value) for value in ("0.25", 1, 0.7)] == [0.25, 1.0, 0.7]
    for value in ("0.2", "1.01", "inf", "nan"):
        assert refusal(option.parse, "rate", value).endswith("expected a number from 0.25 to 1")


def test_rate_of_dropout_ends_at_one():
    assert refusal(resolve_options, "fast_scnn", {"dropout": "1.5"}).endswith("expected a number from 0 to 1")


def test_network_without_any_channels_is_refused():
    assert "expected a whole number from 1 to 1024" in refusal(resolve_options, "unet", {"base_width": "0"})


# Sets of options


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_without_any_given_every_option_has_its_default(model):
    defaults = {name: option.default for name, option in OPTIONS[model].items()}
    assert resolve_options(model, {}) == training_options(model, {}) == defaults
    assert changed_options(model, {}) == changed_options(model, defaults) == {}


def test_given_options_are_resolved_among_the_others():
    resolved = resolve_options("deeplabv3plus", {"depth": "50", "output_stride": 8})
    assert list(resolved) == list(OPTIONS["deeplabv3plus"])
    assert (resolved["depth"], resolved["output_stride"], resolved["decoder_convs"]) == (50, 8, 2)
    assert resolve_options("deeplabv3plus", resolved) == resolved


def test_changed_options_are_those_that_differ_from_their_defaults():
    assert changed_options("deeplabv3plus", {"depth": "101", "output_stride": "8"}) == {"output_stride": 8}
    assert changed_options("fast_scnn", {"dropout": 0.1, "separable_relu": "true"}) == {"separable_relu": True}


def test_options_of_training_are_those_that_shape_the_weights():
    given = {"classifier": "norm_relu", "monte_carlo": 8, "uncertainty": "variance"}
    trained = training_options("bayesian_segnet", given)
    assert trained == resolve_options("bayesian_segnet", {"classifier": "norm_relu"})
    free = {(model, name) for model, name in EVERY_OPTION if not OPTIONS[model][name].shapes_weights}
    assert free == {("bayesian_segnet", "monte_carlo"), ("bayesian_segnet", "uncertainty")}


@pytest.mark.parametrize("resolve", [resolve_options, changed_options, training_options])
def test_unknown_option_is_refused_with_the_known_ones(resolve):
    message = refusal(resolve, "unet", {"depth": 50})
    assert message == "unet has no option 'depth', expected one of: batch_norm, base_width, normalisation"


@pytest.mark.parametrize("resolve", [resolve_options, changed_options, training_options])
def test_unknown_architecture_is_refused_with_the_known_ones(resolve):
    assert refusal(resolve, "segnet", {}).endswith(f"expected one of: {', '.join(MODEL_NAMES)}")
    assert refusal(check_model_name, "segnet").startswith("model is 'segnet'")


# What a user types


def test_assignments_are_names_and_texts():
    assert parse_assignments([]) == {}
    assert parse_assignments(["depth=101", "head=a=b"]) == {"depth": "101", "head": "a=b"}


@pytest.mark.parametrize("text", ["depth", "depth=", "=101", "=", "", "depth 101"])
def test_text_that_is_no_assignment_is_refused(text):
    assert refusal(parse_assignments, [text]) == f"--option is '{text}', expected NAME=VALUE, such as depth=101"


def test_option_that_is_given_twice_is_refused():
    assert refusal(parse_assignments, ["depth=50", "head=psp", "depth=101"]) == "--option depth is given twice"


def test_what_is_set_at_export_is_refused_where_weights_are_made():
    refuse_export_options("bayesian_segnet", {"classifier": "plain"})
    with pytest.raises(InputError, match=r"option monte_carlo of bayesian_segnet .* export/build_engine\.py"):
        refuse_export_options("bayesian_segnet", {"monte_carlo": "8"})
