"""docs/models.md and its pictures say what train/options.py, the specs and the Keras graphs say."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from edge.artifacts import spell_option
from train.checkpoint_import import CHECKPOINT_FAMILIES, families_of
from train.options import MODEL_NAMES, OPTIONS, Option, resolve_options
from train.tensorflow_import import import_tensorflow

pytestmark = pytest.mark.usefixtures("quick_weights")

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "models.md").read_text(encoding="utf-8")

# Advance of a character in em, as DejaVu has it, the widest of the fonts that the pictures ask for: exact for
# its monospaced font, the average of the texts here for the bold and the regular one.
EM = {"t": 0.6, "l": 0.55, "f": 0.602}


def _load_scripts():
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("draw_models"), importlib.import_module("block_diagram")
    finally:
        sys.path.remove(str(DOCS))


SCRIPT, DIAGRAM = _load_scripts()
PICTURES = {picture.model: picture for picture in SCRIPT.PICTURES}


@pytest.fixture(params=MODEL_NAMES)
def picture(request):
    return PICTURES[request.param]


@pytest.fixture(scope="module", params=MODEL_NAMES)
def drawn_model(request):
    """A picture, and the network that it is of."""
    import_tensorflow("the network of a picture", "pip install -e '.[train]'")
    from train.models import model_spec

    picture = PICTURES[request.param]
    size = (DIAGRAM.HEIGHT, DIAGRAM.WIDTH)
    return picture, model_spec(picture.model).build(*size, DIAGRAM.CLASS_COUNT, **dict(picture.options))


# The files


def test_committed_picture_is_what_the_script_draws(picture):
    committed = (SCRIPT.FOLDER / f"{picture.model}.svg").read_text(encoding="utf-8")
    assert committed == DIAGRAM.draw(picture), "Next: python docs/draw_models.py"


def test_no_picture_is_left_over():
    assert {path.stem for path in SCRIPT.FOLDER.iterdir()} == set(PICTURES) == set(MODEL_NAMES)


def test_script_writes_all_pictures_from_any_folder(run_python, tmp_path):
    script = "import pathlib, runpy, sys; sys.path.insert(0, sys.argv[1]); import draw_models as script\n"
    script += "script.FOLDER = pathlib.Path('drawn'); script.main()"
    result = run_python("-c", script, DOCS, cwd=str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {f"{model}.svg" for model in MODEL_NAMES}


def test_picture_is_one_file_that_loads_nothing(picture):
    text = DIAGRAM.draw(picture)
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
        "svg",
        "title",
        "defs",
        "marker",
        "style",
        "rect",
        "polygon",
        "path",
        "text",
    }
    assert re.findall(r"url\(([^)]*)\)", text) == ["#tip"]
    assert not re.search(r"@import|@font-face|href", text)


# The layout


def test_text_stays_within_its_block(picture):
    for block in picture.blocks:
        for style, line in [("t", block.title), *block.lines]:
            size = DIAGRAM.TITLE_PX if style == "t" else DIAGRAM.LINE_PX
            assert 10 + len(line) * EM[style] * size <= block.width - 4, f"'{line}' leaves block {block.key}"


def test_blocks_lie_beside_each_other_on_the_picture(picture):
    for index, block in enumerate(picture.blocks):
        assert block.x >= 0 and block.x + block.width <= DIAGRAM.PICTURE_WIDTH
        for other in picture.blocks[index + 1 :]:
            apart = (
                block.x + block.width < other.x
                or other.x + other.width < block.x
                or block.top + block.height < other.top
                or other.top + other.height < block.top
            )
            assert apart, f"{block.key} lies on {other.key}"


def test_arrows_run_beside_the_blocks(picture):
    for route in picture.routes():
        for (x0, y0), (x1, y1) in zip(route.corners, route.corners[1:]):
            assert x0 == x1 or y0 == y1, f"{route} has a slanting piece"
            for block in picture.blocks:
                crosses = (
                    max(x0, x1) > block.x + 1
                    and min(x0, x1) < block.x + block.width - 1
                    and max(y0, y1) > block.top + 1
                    and min(y0, y1) < block.top + block.height - 1
                )
                assert not crosses, f"{route.source} -> {route.target} runs through {block.key}"


# The network


def _shape_of(block, model):
    if block.layer is None:
        return model.output[block.key].shape
    output = model.get_layer(block.layer).output
    return (output[0] if isinstance(output, (list, tuple)) else output).shape


def test_channels_and_strides_are_those_of_the_network(drawn_model):
    picture, model = drawn_model
    for block in picture.blocks:
        if block.channels is None:
            continue
        size = () if block.stride is None else (DIAGRAM.HEIGHT // block.stride, DIAGRAM.WIDTH // block.stride)
        assert _shape_of(block, model)[1:] == (*size, block.channels), block.key
        if block.join:
            assert model.get_layer(block.join).output.shape[-1] == block.joined, block.key


def test_what_is_drawn_as_sampled_is_what_each_sample_computes():
    import_tensorflow("the network of a picture", "pip install -e '.[train]'")
    from train.models import model_spec

    picture = PICTURES["bayesian_segnet"]
    # A number of samples that no other axis has, at a size that is built at once.
    model = model_spec(picture.model).build(32, 64, 5, monte_carlo=7)
    for block in picture.blocks:
        if block.layer == "statistics" or block.layer is None:
            continue
        # What lies between two dropouts has the batch of the noise that it comes from.
        assert _shape_of(block, model)[0] == (7 if block.sampled else 1), block.key


def _sources(model, layer, drawn):
    """Return which of the drawn layers a layer reads, through others that are not drawn."""
    parents = {}
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            names = {tensor._keras_history.operation.name for tensor in node.input_tensors}
            parents.setdefault(node.operation.name, set()).update(names)
    found, waiting, seen = set(), list(parents.get(layer, ())), set()
    while waiting:
        name = waiting.pop()
        if name in drawn:
            found.add(name)
        elif name not in seen:
            seen.add(name)
            waiting += parents.get(name, ())
    return found


def test_arrows_are_the_data_flow_of_the_network(drawn_model):
    picture, model = drawn_model
    layers = {block.key: block.layer for block in picture.blocks}
    drawn = {layer for layer in layers.values() if layer}
    assert len(drawn) == sum(layer is not None for layer in layers.values()), "two blocks end with one layer"
    for key, layer in layers.items():
        into = {layers[route.source] for route in picture.routes() if route.target == key}
        wanted = {"statistics"} if layer is None else _sources(model, layer, drawn)
        assert into == wanted, f"arrows into {key}"


def test_every_output_is_drawn_and_training_heads_are_dashed(drawn_model):
    from train.models import model_spec

    picture, model = drawn_model
    spec = model_spec(picture.model)
    kinds = {block.key: block.kind for block in picture.blocks}
    outputs = set(model.output) - set(spec.pooling_indices)
    assert {key for key, kind in kinds.items() if kind in (DIAGRAM.ENDS, DIAGRAM.TRAINING)} - {"frame"} == outputs
    assert {key for key, kind in kinds.items() if kind == DIAGRAM.TRAINING} == set(spec.auxiliary_weights)


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_options_of_a_picture_exist(model):
    resolve_options(model, dict(PICTURES[model].options))


# The page


def section(heading: str) -> str:
    """Text of docs/models.md below a heading."""
    start = PAGE.index(f"\n## {heading}\n")
    end = PAGE.find("\n## ", start + 1)
    return PAGE[start : end if end > 0 else len(PAGE)]


def rows_of(heading: str, column: str) -> list[tuple[str, list[str]]]:
    """Rows of the table below a heading whose first column is that: what the first cell names, and the others."""
    lines = section(heading).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"| {column} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split(" | "))
        rows.append((re.match(r"\s*`([^`]+)`", name)[1], cells))
    return rows


def _choices(option: Option) -> str:
    if option.choices:
        return ", ".join(f"`{spell_option(choice)}`" for choice in option.choices)
    kind = "whole number" if isinstance(option.default, int) else "number"
    return f"{kind}, {option.least:g} to {option.most:g}" if option.most < 1e9 else f"{kind}, at least {option.least:g}"


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_page_has_every_option_with_its_default_and_choices(model):
    rows = dict(rows_of(model, "option"))
    wanted = {name: [f"`{spell_option(option.default)}`", _choices(option)] for name, option in OPTIONS[model].items()}
    assert {name: cells[:2] for name, cells in rows.items()} == wanted
    for name, (*_, meaning) in rows.items():
        assert meaning.endswith("free at export") != OPTIONS[model][name].shapes_weights, name


def test_page_has_every_output_with_its_stride_and_kind(drawn_model):
    from train.models import model_spec

    picture, model = drawn_model
    spec = model_spec(picture.model)
    rows = dict(rows_of(picture.model, "output"))
    assert set(rows) == set(model.output) - set(spec.pooling_indices)
    for name, (channels, stride, _) in rows.items():
        shape = model.output[name].shape
        assert shape[-1] == (DIAGRAM.CLASS_COUNT if channels == "classes" else int(channels)), name
        assert (stride == "none") == (len(shape) == 2), name
        assert stride == "none" or shape[1:3] == (DIAGRAM.HEIGHT // int(stride), DIAGRAM.WIDTH // int(stride)), name
    kinds = {"logits": "logits"}
    kinds.update({name: f"training only, loss weight {weight:g}" for name, weight in spec.auxiliary_weights.items()})
    kinds.update({output.name: output.kind for output in spec.extra_outputs(5, dict(picture.options))})
    assert all(kind.startswith(kinds[name]) for name, (_, _, kind) in rows.items())


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_page_has_paper_picture_and_sizes_of_every_model(model):
    from train.models import model_spec

    spec = model_spec(model)
    text = section(model)
    assert f"](https://arxiv.org/abs/{spec.paper.partition(' ')[2]})" in text
    assert f"![Data flow of {spec.title}](models/{model}.svg)" in text
    assert f"Sizes: multiples of {spec.size_multiple}." in text
    assert "\nDeviations from the paper" in text
    overview = next(line for line in PAGE.splitlines() if line.startswith(f"| [`{model}`](#{model}) |"))
    cells = [cell.strip() for cell in overview.split("|")]
    assert cells[2:5] == [spec.title, str(spec.stride), f"multiples of {spec.size_multiple}"]


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_page_has_every_source_of_weights(model):
    assert {name for name, _ in rows_of(model, "import")} == set(families_of(model))
    for name in families_of(model):
        # The whole networks' repositories are linked once, in the table of all sources.
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` | "))
        assert (
            not CHECKPOINT_FAMILIES[name].has_classifier
            or f"](https://github.com/{CHECKPOINT_FAMILIES[name].title}) | `{model}`, whole |" in row
        )


def _resnet(prefix: str) -> tuple[str, ...]:
    return tuple(f"{prefix}layer3.{block}.conv1.weight" for block in range(6))


_KERAS_RESNET = ("conv1_conv/kernel", *(f"conv4_block{block}_1_conv/kernel" for block in range(1, 7)))


@pytest.mark.parametrize(
    ("model", "source", "tensors"),
    [
        ("unet", "pytorch-unet", ("outc.conv.weight", "up1.up.weight")),
        ("bayesian_segnet", "pytorch-semseg", ("up1.conv2.cbr_unit.0.weight",)),
        ("bayesian_segnet", "torchvision", ("features.0.weight",)),
        ("bayesian_segnet", "keras-applications", ("block1_conv1/kernel",)),
        ("deeplabv3plus", "deeplabv3plus-pytorch", ("classifier.classifier.3.weight", *_resnet("backbone."))),
        ("deeplabv3plus", "torchvision", _resnet("")),
        ("deeplabv3plus", "keras-applications", _KERAS_RESNET),
        ("fast_scnn", "fast-scnn-pytorch", ("classifier.conv.1.weight",)),
        ("fastfcn", "fastfcn", ("jpu.conv5.0.weight", "head.conv6.1.weight", *_resnet("pretrained."))),
        ("fastfcn", "torchvision", _resnet("")),
        ("fastfcn", "keras-applications", _KERAS_RESNET),
        (
            "panoptic_deeplab",
            "panoptic-deeplab",
            ("decoder.semantic_head.classifier.semantic.1.weight", *_resnet("backbone.")),
        ),
        ("panoptic_deeplab", "torchvision", _resnet("")),
        ("panoptic_deeplab", "keras-applications", _KERAS_RESNET),
        ("panoptic_deeplab", "keras-applications", ("expanded_conv_depthwise/depthwise_kernel",)),
    ],
)
def test_page_has_the_options_that_an_import_sets(model, source, tensors):
    from train.checkpoint_import.mappings import ASSUMED_OPTIONS, make_mapping

    # A plan is made from the names of the tensors and the shape of the classifier.
    checkpoint = dict.fromkeys(tensors, np.zeros((19, 1, 1, 1), np.float32))
    suggested = ASSUMED_OPTIONS.get(source, {})
    wanted = {**make_mapping(source, model, checkpoint, resolve_options(model, suggested)).options, **suggested}
    found = []
    for name, (*_, cell) in rows_of(model, "import"):
        told = dict(re.findall(r"([a-z_]+)=(\w+)", cell))
        # What differs from checkpoint to checkpoint is named without a value.
        by_tensors = {option for option in re.findall(r"`([a-z_]+)`", cell) if option in wanted}
        if name == source:
            found.append({**{option: spell_option(wanted[option]) for option in by_tensors}, **told})
    assert {option: spell_option(value) for option, value in wanted.items()} in found


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_options_that_the_page_names_can_be_set(model):
    values = {name: set(map(spell_option, option.choices)) for name, option in OPTIONS[model].items()}
    named = re.findall(r"([a-z_]+)=(\w+)", section(model))
    assert named
    for name, value in named:
        if name == "monte_carlo":
            continue
        assert name in values, f"{name} is no option of {model}"
        assert not values[name] or value in values[name], f"{name}={value}"


def test_normalisations_on_the_page_are_those_of_the_code():
    from train.models.base import NORMALIZATIONS

    rows = dict(rows_of("Options", "value"))
    assert set(rows) == set(NORMALIZATIONS)
    for name, parts in rows.items():
        for cells, numbers in zip(parts, NORMALIZATIONS[name]):
            values = [float(cell) for cell in cells.split(",")]
            assert (values * 3 if len(values) == 1 else values) == list(numbers), name
