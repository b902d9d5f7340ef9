from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import shlex

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper, numpy_helper

import edge.synthetic
import export.adopt.adoption as adoption_module
from calibration.ranges.collector import activation_tensors
from edge.card import build_command
from edge.contract import CONTRACT_FILE, GRAPH_FILE, OWN_CLASSES, read_contract
from edge.errors import ContractError, ParityError
from edge.labels import CAMVID
from edge.postprocess import upsample_argmax
from edge.provenance import GIVEN, RANDOM
from edge.records import write_record
from edge.runtime.onnxruntime import OnnxRuntimeRunner, open_session
from edge.segmenter import Segmenter
from export.adopt.adoption import ADOPTION_FILE, AdoptionReport, adopt, read_adoption
from tests.export.foreign_graphs import CLASSES, CONTRACT, HEIGHT, MEAN, STD, WIDTH, Drawing, street_network

LOGIT_TOLERANCE = 1e-5
"""As a share of the range of the logits: folding and normalising round float32 differently, about 1e-7 each."""

draw_scene = functools.lru_cache(maxsize=None)(edge.synthetic.draw_scene)
"""Drawing the scenes of each comparison takes longer than the comparison."""

FRAMES = [draw_scene(11, index, HEIGHT, WIDTH).frame_rgb for index in range(2)]


@pytest.fixture(autouse=True)
def scenes_drawn_once(monkeypatch):
    monkeypatch.setattr(edge.synthetic, "draw_scene", draw_scene)


@pytest.fixture
def guest(tmp_path):
    """Return a function that writes a graph and its contract, and gives their paths."""

    def write(model, **fields):
        graph, contract = tmp_path / "guest.onnx", tmp_path / "guest.json"
        onnx.save(model, str(graph))
        contract.write_text(json.dumps({name: value for name, value in {**CONTRACT, **fields}.items() if value != ""}))
        return graph, contract

    return write


@pytest.fixture
def adopted(guest, tmp_path):
    """Return a function that writes a graph and its contract and adopts it."""

    def make(model, asked=None, **fields):
        return adopt(*guest(model, **fields), tmp_path / "artifacts", asked)

    return make


def by_hand(model, frame_rgb, order="rgb", mean=MEAN, std=STD, scale=255):
    """Run a user's graph as its owner would: normalise with NumPy, channels in the given order."""
    frame = frame_rgb if order == "rgb" else frame_rgb[:, :, ::-1]
    normal = (frame.astype(np.float64) / scale - np.array(mean)) / np.array(std)
    tensor = np.ascontiguousarray(normal.transpose(2, 0, 1)[None], np.float32)
    (name,) = (value.name for value in model.graph.input)
    return open_session(model.SerializeToString()).run(None, {name: tensor})[0]


def labels_of(adoption, frame_rgb):
    with OnnxRuntimeRunner(adoption.folder / GRAPH_FILE, adoption.contract) as runner:
        return Segmenter(runner, "rgb")(frame_rgb, HEIGHT, WIDTH).labels.copy()


def logits_of(adoption, frame_rgb):
    return open_session(adoption.folder / GRAPH_FILE).run(["logits"], {"frame": frame_rgb[None]})[0]


def graph_of(adoption):
    return onnx.load(str(adoption.folder / GRAPH_FILE)).graph


def operators(adoption):
    return [node.op_type for node in graph_of(adoption).node]


def assert_same_logits(actual, expected):
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= LOGIT_TOLERANCE * np.ptp(expected)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("constants_are_nodes", [True, False])
@pytest.mark.any_python
def test_adopted_graph_gives_the_logits_of_the_given_one(adopted, order, constants_are_nodes):
    model = street_network("logits", constants_are_nodes=constants_are_nodes)
    adoption = adopted(model, channel_order=order, coordinates="half_pixel")
    for frame in FRAMES:
        assert_same_logits(logits_of(adoption, frame), by_hand(model, frame, order))
    # The test would not see an order of colours that does nothing.
    other = by_hand(model, FRAMES[0], "bgr" if order == "rgb" else "rgb")
    assert np.abs(logits_of(adoption, FRAMES[0]) - other).max() > 1e-2 * np.ptp(other)


@pytest.mark.parametrize("end", ["resize", "softmax"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "pytorch_half_pixel", "align_corners"])
def test_upsampling_at_the_end_is_cut_off_and_labels_stay(adopted, end, coordinates):
    model = street_network(end, coordinates)
    adoption = adopted(model)
    rule = "align_corners" if coordinates == "align_corners" else "half_pixel"
    assert (adoption.contract.stride, adoption.contract.coordinates) == (4, rule)
    assert not {"Resize", "Softmax"} & set(operators(adoption))
    for frame in FRAMES:
        expected = by_hand(model, frame)[0].argmax(0)
        assert len(np.unique(expected)) > 3
        assert np.mean(labels_of(adoption, frame) == expected) >= 0.9999  # near ties alone may differ
    assert any("upsampling by 4" in change and "net/full" in change for change in adoption.report.changes)


@pytest.mark.parametrize("changes", [{"coordinates": "asymmetric"}, {"mode": "nearest"}, {"mode": "cubic"}])
def test_upsampling_that_post_processing_does_not_do_stays_in_the_graph(adopted, changes):
    model = street_network()
    resize = model.graph.node[-1]
    for attribute in list(resize.attribute):
        if attribute.name == "mode" and "mode" in changes:
            attribute.s = changes["mode"].encode()
        if attribute.name == "coordinate_transformation_mode" and "coordinates" in changes:
            attribute.s = changes["coordinates"].encode()
    adoption = adopted(model)
    assert adoption.contract.stride == 1
    assert "Resize" in operators(adoption)
    assert_same_logits(logits_of(adoption, FRAMES[0]), by_hand(model, FRAMES[0]))


@pytest.mark.parametrize(("scale", "is_cut"), [(4.0, True), (4.03, False)])
def test_upsampling_by_a_scale_is_cut_off_if_the_scale_is_the_quotient_of_the_sizes(adopted, scale, is_cut):
    model = street_network("logits")
    model.graph.initializer.append(numpy_helper.from_array(np.float32([1, 1, scale, scale]), "scales"))
    model.graph.node.append(helper.make_node("Resize", ["logits4", "", "scales"], ["full"], mode="linear"))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("full", TensorProto.FLOAT, (1, CLASSES, "h", "w")))
    adoption = adopted(model)
    assert adoption.contract.stride == (4 if is_cut else 1)
    expected = by_hand(model, FRAMES[0])[0].argmax(0)
    assert np.mean(labels_of(adoption, FRAMES[0]) == expected) >= 0.9999


def test_softmax_at_a_stride_stays_since_shares_and_logits_upsample_differently(adopted):
    model = street_network("logits")
    model.graph.node.append(helper.make_node("Softmax", ["logits4"], ["shares"], axis=1))
    model.graph.output[0].name = "shares"
    adoption = adopted(model, coordinates="half_pixel")
    assert operators(adoption)[-1] == "Softmax"
    assert_same_logits(logits_of(adoption, FRAMES[0]), by_hand(model, FRAMES[0]))


def test_graph_of_free_size_takes_the_size_that_is_asked_for(adopted):
    model = street_network(free_size=True)
    adoption = adopted(model, (HEIGHT * 2, WIDTH))
    contract = adoption.contract
    assert (contract.height, contract.width, contract.stride) == (HEIGHT * 2, WIDTH, 4)
    assert adoption.folder.name == f"guest-camvid-{HEIGHT * 2}x{WIDTH}"
    frame = draw_scene(11, 0, HEIGHT * 2, WIDTH).frame_rgb
    expected = by_hand(model, frame)[0].argmax(0)
    actual = upsample_argmax(logits_of(adoption, frame), HEIGHT * 2, WIDTH, contract.coordinates)
    assert np.mean(actual == expected) >= 0.9999
    assert not {"Shape", "Slice", "Constant"} & set(operators(adoption))


def test_size_of_the_contract_is_used_and_the_one_asked_for_goes_before_it(adopted):
    model = street_network("logits", free_size=True)
    fields = {"size": f"{HEIGHT}x{WIDTH}", "coordinates": "half_pixel"}
    assert adopted(model, **fields).contract.height == HEIGHT
    assert adopted(model, (HEIGHT * 2, WIDTH), **fields).contract.height == HEIGHT * 2


def test_size_that_streets_are_not_drawn_at_is_compared_on_resized_scenes(adopted):
    adoption = adopted(street_network(free_size=True), (32, 48))
    assert (adoption.contract.height, adoption.contract.width) == (32, 48)
    assert adoption.report.image_count == 4


@pytest.mark.parametrize("opset", [11, 12])
def test_old_opset_is_converted(adopted, opset):
    model = street_network(opset=opset, constants_are_nodes=False)
    adoption = adopted(model)
    assert adoption.contract.opset == 17
    assert np.mean(labels_of(adoption, FRAMES[0]) == by_hand(model, FRAMES[0])[0].argmax(0)) >= 0.9999


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_upsampling_of_an_old_opset_keeps_its_meaning(adopted, mode):
    drawing = Drawing()
    generator = np.random.default_rng(4)
    weight = drawing.constant("weight", generator.normal(0, 1, (CLASSES, 3, 4, 4)).astype(np.float32))
    drawing.node("Conv", ["x", weight], "strided", strides=[4, 4])
    drawing.node("Upsample", ["strided", drawing.constant("scales", np.float32([1, 1, 4, 4]))], "full", mode=mode)
    shapes = (
        {"x": ((1, 3, HEIGHT, WIDTH), TensorProto.FLOAT)},
        {"full": ((1, CLASSES, HEIGHT, WIDTH), TensorProto.FLOAT)},
    )
    model = drawing.model(*shapes, opset=9)
    adoption = adopted(model)
    assert adoption.contract.stride == 1
    assert_same_logits(logits_of(adoption, FRAMES[0]), by_hand(model, FRAMES[0]))


@pytest.mark.parametrize("opset", [13, 16, 18])
def test_opset_that_has_what_int8_needs_is_kept(adopted, opset):
    assert adopted(street_network(opset=opset)).contract.opset == opset


def test_frame_is_cast_normalised_and_transposed_in_front_as_in_our_own_exports(adopted):
    adoption = adopted(street_network())
    first = list(graph_of(adoption).node)[:5]
    assert [node.op_type for node in first] == ["Cast", "Mul", "Add", "Transpose", "Conv"]
    assert [node.output[0] for node in first[:3]] == ["frame/Cast", "normalise/Mul", "normalise/Add"]
    # What comes before the transpose is not part of the network, and nobody asks for its range.
    tensors = activation_tensors(onnx.load(str(adoption.folder / GRAPH_FILE)))
    assert tensors[0] == first[3].output[0]
    assert not {"frame/Cast", "normalise/Mul", "normalise/Add"} & set(tensors)


def test_pixels_that_need_no_normalisation_get_none(adopted):
    model = street_network()
    adoption = adopted(model, mean=[0, 0, 0], std=[1, 1, 1], scale=1)
    assert operators(adoption)[:3] == ["Cast", "Transpose", "Conv"]
    expected = by_hand(model, FRAMES[0], mean=(0, 0, 0), std=(1, 1, 1), scale=1)[0].argmax(0)
    assert np.mean(labels_of(adoption, FRAMES[0]) == expected) >= 0.9999


def test_other_order_of_channels_is_that_of_the_first_weights(adopted):
    adoption = adopted(street_network(), channel_order="bgr", mean=list(MEAN[::-1]), std=list(STD[::-1]))
    assert "Gather" not in operators(adoption)


def test_other_order_of_channels_is_a_gather_where_something_else_reads_the_input(adopted):
    model = street_network("logits", stem=lambda drawing, x: drawing.node("Sigmoid", [x], "squashed"))
    adoption = adopted(model, channel_order="bgr", coordinates="half_pixel")
    assert operators(adoption)[3:5] == ["Transpose", "Gather"]
    assert_same_logits(logits_of(adoption, FRAMES[0]), by_hand(model, FRAMES[0], "bgr"))


def test_batch_norm_goes_into_its_convolution_but_not_where_two_read_that(adopted):
    adoption = adopted(street_network("logits"), coordinates="half_pixel")
    left = [node.name for node in graph_of(adoption).node if node.op_type == "BatchNormalization"]
    assert left == ["net/side_bn"]
    assert "3 BatchNormalization folded into their convolutions" in adoption.report.changes
    assert not {"Identity", "Dropout", "Constant"} & set(operators(adoption))


def test_nodes_keep_their_names_and_tensors_are_named_after_them(adopted):
    graph = graph_of(adopted(street_network()))
    names = [node.name for node in graph.node]
    assert names[4:6] == ["net/stem", "net/stem_relu"]
    assert len(set(names)) == len(names)
    assert [node.output[0] for node in graph.node] == [*names[:-1], "logits"]
    assert {"net/stem/weight", "net/stem/bias"} <= {tensor.name for tensor in graph.initializer}


def test_nodes_without_names_are_named_after_their_weights(adopted):
    graph = graph_of(adopted(street_network(names=False, constants_are_nodes=False)))
    assert [node.name for node in graph.node][4:8] == ["stem/Conv", "stem_bn/Relu", "deep/Conv", "deep_bn/Relu"]


def test_given_files_are_not_changed(guest, tmp_path):
    paths = guest(street_network(constants_are_nodes=False, opset=12), channel_order="bgr")
    before = [path.read_bytes() for path in paths]
    adopt(*paths, tmp_path / "artifacts")
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "guest.json", "guest.onnx"]


def test_folder_holds_graph_contract_and_report_that_name_each_other(adopted):
    adoption = adopted(street_network(), weights="checkpoint 12 of June")
    assert sorted(path.name for path in adoption.folder.iterdir()) == [ADOPTION_FILE, CONTRACT_FILE, GRAPH_FILE]
    contract = read_contract(adoption.folder)
    assert contract == adoption.contract
    assert read_adoption(adoption.folder, contract) == adoption.report
    assert contract.class_names == CAMVID.class_names
    assert contract.weights.kind == GIVEN
    assert contract.weights.sentence() == "weights given with the graph: checkpoint 12 of June"
    assert adoption.report.tensorrt_findings == ()
    assert (adoption.report.images_from, adoption.report.image_count) == ("synthetic scenes", 4)
    assert adoption.report.sentence().startswith("parity with the given graph on 4 images of synthetic scenes: ")


def test_untrained_weights_behave_like_random_ones(adopted):
    weights = adopted(street_network(), trained=False).contract.weights
    assert weights.kind == RANDOM
    assert "only the speed" in weights.sentence()


def test_classes_of_no_known_dataset_are_the_contracts(adopted):
    names = [f"class {index}" for index in range(CLASSES)]
    adoption = adopted(street_network(), dataset="", class_names=names)
    assert (adoption.contract.dataset, adoption.contract.class_names) == (OWN_CLASSES, tuple(names))
    assert adoption.folder.name == f"guest-own-{HEIGHT}x{WIDTH}"


def test_commands_of_an_adopted_graph_name_its_files(guest, tmp_path):
    graph, contract_path = guest(street_network())
    renamed = graph.rename(tmp_path / "my net.onnx")
    contract = adopt(renamed, contract_path, tmp_path / "artifacts").contract
    words = shlex.split(build_command(contract, "--int8"))
    files = ["--onnx", str(renamed), "--contract", str(contract_path)]
    assert words == ["python", "export/build_engine.py", *files, "--size", f"{HEIGHT}x{WIDTH}", "--int8"]
    assert shlex.split(contract.export_command()) == words[:-1]


def test_unchanged_files_are_adopted_once(guest, tmp_path):
    paths = guest(street_network())
    first = adopt(*paths, tmp_path / "artifacts")
    stamp = (first.folder / GRAPH_FILE).stat().st_mtime_ns
    again = adopt(*paths, tmp_path / "artifacts")
    assert (first.is_new, again.is_new) == (True, False)
    assert (again.contract, again.report) == (first.contract, first.report)
    assert (again.folder / GRAPH_FILE).stat().st_mtime_ns == stamp


def test_the_same_files_elsewhere_are_not_adopted_again_but_named_anew(guest, tmp_path):
    graph, contract = guest(street_network())
    first = adopt(graph, contract, tmp_path / "artifacts")
    moved = graph.rename(tmp_path / "moved.onnx")
    again = adopt(moved, contract, tmp_path / "artifacts")
    assert not again.is_new
    assert read_contract(again.folder).adopted_from == (str(moved), str(contract))
    assert again.contract.graph_sha256 == first.contract.graph_sha256


def test_changed_graph_or_contract_is_adopted_anew(guest, tmp_path):
    first = adopt(*guest(street_network()), tmp_path / "artifacts")
    other = adopt(*guest(street_network(), channel_order="bgr"), tmp_path / "artifacts")
    model = street_network()
    model.graph.node[0].attribute[0].t.CopyFrom(numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "stem"))
    third = adopt(*guest(model, channel_order="bgr"), tmp_path / "artifacts")
    assert first.folder == other.folder == third.folder
    assert other.is_new and third.is_new
    assert len({one.contract.source_sha256 for one in (first, other, third)}) == 3


def test_adoption_by_other_code_is_made_anew_with_one_line(guest, tmp_path, monkeypatch):
    paths, lines = guest(street_network()), []
    first = adopt(*paths, tmp_path / "artifacts")
    monkeypatch.setattr(adoption_module, "code_digest", lambda *roots: "5" * 64)
    again = adopt(*paths, tmp_path / "artifacts", say=lines.append)
    assert again.is_new and again.report.code_sha256 == "5" * 64
    assert again.contract.graph_sha256 == first.contract.graph_sha256
    here = first.report.code_sha256[:12]
    assert f"adopted anew: model.onnx is of other code: got {here}, expected 555555555555" in lines
    assert not adopt(*paths, tmp_path / "artifacts").is_new


def test_adoption_of_another_contract_is_made_anew_with_one_line(guest, tmp_path):
    lines = []
    adopt(*guest(street_network()), tmp_path / "artifacts")
    adopt(*guest(street_network(), channel_order="bgr"), tmp_path / "artifacts", say=lines.append)
    assert "adopted anew: model.onnx is of another graph or contract" in lines


def test_report_of_an_adoption_without_its_code_is_read_and_made_anew(guest, tmp_path):
    paths, lines = guest(street_network()), []
    first = adopt(*paths, tmp_path / "artifacts")
    content = json.loads((first.folder / ADOPTION_FILE).read_text())
    del content["code_sha256"]
    (first.folder / ADOPTION_FILE).write_text(json.dumps(content))
    write_record(first.folder / CONTRACT_FILE, dataclasses.replace(first.contract, source_sha256="4" * 64))
    assert adopt(*paths, tmp_path / "artifacts", say=lines.append).is_new
    assert any(line.startswith("adopted anew: model.onnx is of other code: got unknown, expected") for line in lines)


@pytest.mark.parametrize("name", [GRAPH_FILE, ADOPTION_FILE, CONTRACT_FILE])
def test_damaged_folder_is_made_again(guest, tmp_path, name):
    paths = guest(street_network())
    first = adopt(*paths, tmp_path / "artifacts")
    data = (first.folder / name).read_bytes()
    (first.folder / name).write_bytes(data[: len(data) // 2])
    assert adopt(*paths, tmp_path / "artifacts").is_new
    assert (first.folder / name).read_bytes() == data


def test_folder_of_an_export_is_not_overwritten(guest, tmp_path, make_engine):
    paths = guest(street_network())
    first = adopt(*paths, tmp_path / "artifacts")
    exported = make_engine("other").parents[1]
    for path in first.folder.iterdir():
        path.unlink()
    for name in (GRAPH_FILE, CONTRACT_FILE):
        (first.folder / name).write_bytes((exported / name).read_bytes())
    with pytest.raises(ContractError, match=r"holds tiny with trained weights of runs/tiny, .* another name"):
        adopt(*paths, tmp_path / "artifacts")


def test_weights_beside_the_graph_are_read_and_belong_to_what_is_hashed(tmp_path):
    model = street_network(constants_are_nodes=False)
    graph, contract = tmp_path / "guest.onnx", tmp_path / "guest.json"
    contract.write_text(json.dumps(CONTRACT))
    onnx.save(model, str(graph), save_as_external_data=True, location="guest.weights", size_threshold=0)
    adoption = adopt(graph, contract, tmp_path / "artifacts")
    expected = by_hand(street_network(constants_are_nodes=False), FRAMES[0])[0].argmax(0)
    assert np.mean(labels_of(adoption, FRAMES[0]) == expected) >= 0.9999
    assert (adoption.folder / GRAPH_FILE).stat().st_size > (tmp_path / "guest.weights").stat().st_size
    data = bytearray((tmp_path / "guest.weights").read_bytes())
    data[2] ^= 0x40  # the largest bit of the first weight's fraction
    (tmp_path / "guest.weights").write_bytes(bytes(data))
    assert adopt(graph, contract, tmp_path / "artifacts").is_new


def test_any_tensor_of_the_graph_can_be_the_logits(adopted):
    model = street_network("argmax")
    adoption = adopted(model, output_name="full")
    assert (adoption.contract.stride, operators(adoption)[-1]) == (4, "Conv")
    assert np.mean(labels_of(adoption, FRAMES[0]) == by_hand(model, FRAMES[0])[0]) >= 0.9999


def test_other_outputs_and_what_only_they_need_are_dropped(adopted):
    model = street_network("logits")
    model.graph.node.append(helper.make_node("Sigmoid", ["joined"], ["auxiliary"], name="net/auxiliary"))
    model.graph.output.append(helper.make_tensor_value_info("auxiliary", TensorProto.FLOAT, [1, 14, 16, 32]))
    adoption = adopted(model, output_name="logits4", coordinates="half_pixel")
    assert "Sigmoid" not in operators(adoption)
    assert [value.name for value in graph_of(adoption).output] == ["logits"]


def test_images_of_the_contracts_dataset_are_compared_where_there_are_some(guest, tmp_path, make_camvid):
    adoption = adopt(*guest(street_network()), tmp_path / "artifacts", data_dir=make_camvid())
    assert (adoption.report.images_from, adoption.report.image_count) == ("camvid val", 3)


def test_operator_that_tensorrt_lacks_is_a_finding_and_no_error(adopted):
    model = street_network("logits")
    model.graph.node.append(helper.make_node("Mish", ["logits4"], ["soft"], name="net/mish"))
    model.graph.output[0].name = "soft"
    model.opset_import[0].version = 18
    adoption = adopted(model, coordinates="half_pixel")
    assert any("net/mish: TensorRT 8.5 has no Mish" in line for line in adoption.report.tensorrt_findings)
    assert any("opset is 18" in line for line in adoption.report.tensorrt_findings)
    assert_same_logits(logits_of(adoption, FRAMES[0]), by_hand(model, FRAMES[0]))


def test_operator_of_another_domain_is_a_finding_and_no_error(adopted):
    model = street_network("logits")
    model.graph.node.append(
        helper.make_node("FastGelu", ["logits4"], ["soft"], name="net/gelu", domain="com.microsoft")
    )
    model.graph.output[0].name = "soft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    adoption = adopted(model, coordinates="half_pixel")
    assert any("is of domain 'com.microsoft'" in line for line in adoption.report.tensorrt_findings)
    assert_same_logits(logits_of(adoption, FRAMES[0]), by_hand(model, FRAMES[0]))


def test_graph_that_draws_random_numbers_is_refused_by_the_comparison(guest, tmp_path):
    model = street_network("logits")
    model.graph.node.extend(
        [
            helper.make_node("RandomNormalLike", ["logits4"], ["noise"], name="net/noise"),
            helper.make_node("Add", ["logits4", "noise"], ["noisy"], name="net/noisy"),
        ]
    )
    model.graph.output[0].name = "noisy"
    with pytest.raises(ParityError, match=r"the adopted graph is not the given one: logit error .*Next: "):
        adopt(*guest(model, coordinates="half_pixel"), tmp_path / "artifacts")
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize(
    "changes", [{"logit_error": 2e-4}, {"label_agreement": 0.9998}, {"logit_error": float("nan")}], ids=str
)
def test_report_over_its_tolerance_is_refused(changes):
    report = AdoptionReport("0" * 64, 4, "synthetic scenes", 1e-6, 1.0, 10.0)
    report.check()
    with pytest.raises(ParityError, match="is not the given one"):
        dataclasses.replace(report, **changes).check()


def test_two_adoptions_of_one_graph_are_the_same_bytes(guest, tmp_path):
    paths = guest(street_network(constants_are_nodes=False))
    made = [adopt(*paths, tmp_path / root).folder / GRAPH_FILE for root in ("one", "two")]
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in made}) == 1


def test_names_of_a_graph_that_are_ours_do_not_clash(adopted):
    generator = np.random.default_rng(1)
    drawing = Drawing()
    weight = drawing.constant("planes/Transpose", generator.normal(0, 1, (CLASSES, 3, 4, 4)).astype(np.float32))
    drawing.nodes.append(helper.make_node("Conv", ["logits", weight], ["frame"], name="frame/Cast", strides=[4, 4]))
    drawing.nodes.append(helper.make_node("Relu", ["frame"], ["normalise/Mul"], name="frame/Cast"))
    shape = (1, CLASSES, HEIGHT // 4, WIDTH // 4)
    model = drawing.model(
        {"logits": ((1, 3, HEIGHT, WIDTH), TensorProto.FLOAT)}, {"normalise/Mul": (shape, TensorProto.FLOAT)}
    )
    adoption = adopted(model, coordinates="half_pixel")
    model.graph.node[1].name = "another"  # ONNX Runtime takes no two nodes of one name
    names = [node.name for node in graph_of(adoption).node]
    assert len(set(names)) == len(names)
    assert_same_logits(logits_of(adoption, FRAMES[0]), by_hand(model, FRAMES[0]))
