"""Whole frames through a TensorRT engine and the kernels around it, on stand-ins that compute in host memory."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import edge.runtime.tensorrt as runtime_module
from edge.contract import UNCERTAINTY, OutputTensor
from edge.errors import BackendError, InputError
from edge.runtime.lane import Blend, LaneRequest
from edge.runtime.onnxruntime import OnnxRuntimeRunner
from edge.segmenter import Segmenter
from edge.stream.overlay import OverlayPainter
from export.graph.float_input import with_float_input
from tests.edge.runtime import tensorrt_stand_in as stand_in
from tests.edge.runtime.cuda.host_gpu import compile_kernels
from tests.edge.runtime.device_engine import FRAMES, HERE, write_runner

ENTROPY = OutputTensor("entropy", 1, UNCERTAINTY, "nats")
PALETTE = np.array([[128, 64, 128], [70, 130, 180], [0, 0, 142]], np.uint8)
ON_GPU = {"copy", "upload", "preprocess", "inference", "postprocess", "download"}


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    return compile_kernels(tmp_path_factory.mktemp("lane-kernels"))


@pytest.fixture(params=["8.5.3.1", "11.4.0.106"])
def version(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["discrete", "integrated"])
def gpu(monkeypatch, version, kernels, request):
    monkeypatch.setattr(runtime_module, "this_machine", lambda: HERE)
    monkeypatch.setattr(runtime_module, "load_image", lambda compute_capability: b"code")
    runtime_module.message_logger.cache_clear()
    ledger = stand_in.install(monkeypatch, version)
    ledger.kernels, ledger.is_integrated = kernels, request.param
    yield ledger
    runtime_module.message_logger.cache_clear()
    assert ledger.live == {}
    assert ledger.misuses == []
    assert all(stack == [] for stack in ledger.stacks.values())


@pytest.fixture
def runner(gpu, version, tmp_path):
    return write_runner(tmp_path, version)


@pytest.fixture
def reference(runner, tmp_path):
    """Labels as the host makes them of the same graph."""
    path = tmp_path / "model.onnx"
    path.write_bytes(stand_in.tiny_graph())
    with OnnxRuntimeRunner(path, runner.contract, threads=1) as host:
        yield lambda frame, height, width, order="bgr": Segmenter(host, order)(frame, height, width).labels.copy()


@pytest.mark.parametrize("order", ["bgr", "rgb"])
@pytest.mark.parametrize("size", [(20, 44), (8, 16), (33, 7)], ids=str)
def test_labels_are_those_of_the_host_to_the_last_pixel(runner, reference, order, size):
    with runner:
        segmenter = Segmenter(runner, order)
        for frame in FRAMES:
            labels = segmenter(frame, *size).labels
            assert labels.dtype == np.uint8
            np.testing.assert_array_equal(labels, reference(frame, *size, order))
    assert len(np.unique(reference(FRAMES[0], 20, 44))) > 1


def test_nv12_frame_is_what_the_host_makes_of_it(runner, reference):
    nv12 = np.random.default_rng(3).integers(0, 256, (30, 44), np.uint8)
    rgb = cv2.cvtColor(nv12, cv2.COLOR_YUV2RGB_NV12)
    with runner:
        np.testing.assert_array_equal(Segmenter(runner, "nv12")(nv12, 20, 44).labels, reference(rgb, 20, 44, "rgb"))
    np.testing.assert_array_equal(reference(nv12, 20, 44, "nv12"), reference(rgb, 20, 44, "rgb"))


def test_frames_that_are_views_with_gaps_are_taken_as_they_look(runner, reference):
    view = np.repeat(FRAMES[0], 2, axis=1)[:, ::2]
    assert not view.flags.c_contiguous
    with runner:
        np.testing.assert_array_equal(Segmenter(runner)(view, 20, 44).labels, reference(FRAMES[0], 20, 44))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_frames_under_way_come_back_in_order(runner, reference, depth):
    with runner:
        segmenter = Segmenter(runner, "bgr", depth)
        results, order = [], [*FRAMES, *FRAMES[::-1]]
        for frame in order:
            if segmenter.is_full:
                results.append(segmenter.collect().labels.copy())
            segmenter.submit(frame, 20, 44)
        assert segmenter.under_way == depth
        results += [segmenter.collect().labels.copy() for _ in range(segmenter.under_way)]
    for frame, labels in zip(order, results):
        np.testing.assert_array_equal(labels, reference(frame, 20, 44))
    assert len(results) == len(order)


def test_more_frames_than_slots_and_none_at_all_are_errors_that_lose_nothing(runner, reference):
    with runner:
        segmenter = Segmenter(runner, "bgr", 2)
        segmenter.submit(FRAMES[0], 20, 44)
        segmenter.submit(FRAMES[1], 20, 44)
        with pytest.raises(BackendError, match="2 frames are under way"):
            segmenter.submit(FRAMES[2], 20, 44)
        with pytest.raises(BackendError, match="collect them first"):
            segmenter(FRAMES[2], 20, 44)
        np.testing.assert_array_equal(segmenter.collect().labels, reference(FRAMES[0], 20, 44))
        np.testing.assert_array_equal(segmenter.collect().labels, reference(FRAMES[1], 20, 44))
        with pytest.raises(BackendError, match="no frame is under way"):
            segmenter.collect()


def test_stages_are_those_of_the_device_and_copies_are_none_where_memory_is_mapped(gpu, runner):
    with runner:
        segmentation = Segmenter(runner)(FRAMES[0], 20, 44)
        described = runner.describe()
    wanted = ON_GPU - {"upload", "download"} if gpu.is_integrated else ON_GPU
    assert set(segmentation.stage_ns) == wanted
    assert all(duration > 0 for duration in segmentation.stage_ns.values())
    assert segmentation.total_ns > 0
    assert described["memory"] == ("mapped" if gpu.is_integrated else "copied")
    # The stand-in for pycuda has no driver behind it: the frames go call by call, and the record says why.
    assert described["cuda_graph"].startswith("no: libcuda cannot be loaded")


def test_mapped_memory_is_never_copied(gpu, runner):
    with runner:
        segmenter = Segmenter(runner)
        segmenter(FRAMES[0], 20, 44)
        gpu.calls.clear()
        segmenter(FRAMES[1], 20, 44)
    copies = [call for call in gpu.calls if "memcpy" in call]
    assert len(copies) == (0 if gpu.is_integrated else 3)  # the frame; labels and the word about logits


def test_no_memory_is_taken_per_frame(gpu, runner):
    with runner:
        segmenter = Segmenter(runner, "bgr", 2)
        segmenter(FRAMES[0], 20, 44)
        alive = dict(gpu.live)
        for frame in FRAMES:
            segmenter(frame, 20, 44)
        assert gpu.live == alive


def test_blended_picture_is_the_painter_s(runner):
    painter = OverlayPainter(("road", "sky", "car"), PALETTE, 0.55, legend=False)
    with runner:
        segmentation = Segmenter(runner, "bgr", blend=Blend(PALETTE, 0.55))(FRAMES[0], 20, 44)
        painted = painter.paint(FRAMES[0], segmentation.labels)
        # At most one level: see edge.runtime.cuda.launches.paint.
        assert np.abs(segmentation.picture.astype(int) - painted).max() <= 1
        assert (segmentation.picture != FRAMES[0]).any()


def test_blend_with_labels_of_another_size_is_refused(runner):
    with runner, pytest.raises(InputError, match="labels of the frame's size"):
        Segmenter(runner, blend=Blend(PALETTE, 0.5))(FRAMES[0], 8, 16)


def test_uncertainty_comes_with_the_labels_and_other_outputs_stay_on_the_gpu(gpu, version, tmp_path):
    pairs = (("centre", 1), ("entropy", 1))
    outputs = (OutputTensor("centre", 1, "centre heat map"), ENTROPY)
    runner = write_runner(tmp_path, version, {"extra_outputs": outputs}, extra_outputs=pairs)
    with runner:
        frame = FRAMES[0][:8, :16]
        segmenter = Segmenter(runner, "rgb")
        uncertainty = segmenter(frame).uncertainty.copy()
        np.testing.assert_array_equal(uncertainty, runner.infer_all(frame[None])["entropy"][0])
        gpu.calls.clear()
        segmenter(frame)
        assert gpu.calls.count("pycuda.driver.memcpy_dtoh_async") == (0 if gpu.is_integrated else 3)


def test_float_input_of_implicit_int8_gets_the_same_numbers(gpu, version, tmp_path, reference):
    runner = write_runner(tmp_path, version, graph=with_float_input(stand_in.tiny_graph()))
    with runner:
        assert runner.input_dtype == np.float32
        np.testing.assert_array_equal(Segmenter(runner)(FRAMES[0], 20, 44).labels, reference(FRAMES[0], 20, 44))


def test_logits_and_labels_may_be_asked_for_in_turn(runner, reference):
    with runner:
        segmenter = Segmenter(runner, "rgb")
        small = FRAMES[0][:8, :16]
        first = runner.infer(small[None]).copy()
        labels = segmenter(FRAMES[0], 20, 44).labels.copy()
        np.testing.assert_array_equal(runner.infer(small[None]), first)
        np.testing.assert_array_equal(labels, reference(FRAMES[0], 20, 44, "rgb"))


@pytest.mark.parametrize("depth", [1, 2])
def test_logits_that_are_not_finite_are_an_error_of_their_frame_alone(gpu, version, tmp_path, depth):
    """A network that divides by the blue of the first pixel."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_model_from_string(stand_in.tiny_graph())
    graph = model.graph
    graph.node[-1].output[0] = "sums plus"
    for name in ("starts", "ends", "axes"):
        values = {"starts": [0, 0, 2], "ends": [1, 1, 3], "axes": [1, 2, 3]}[name]
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    graph.node.append(helper.make_node("Slice", ["pixels", "starts", "ends", "axes"], ["blue"]))
    graph.node.append(helper.make_node("Div", ["sums plus", "blue"], ["logits"]))
    runner = write_runner(tmp_path, version, graph=model.SerializeToString())
    good = np.full((8, 16, 3), 9, np.uint8)
    bad = good * np.uint8(0)
    with runner:
        segmenter = Segmenter(runner, "rgb", depth)
        for frame in (good, bad, good, bad, bad, good):
            segmenter.submit(frame)
            if frame is bad:
                with pytest.raises(InputError, match="not finite"):
                    segmenter.collect()
            else:
                assert segmenter.collect().labels.shape == (8, 16)


def test_folder_of_many_sizes_holds_memory_for_few(gpu, runner, reference):
    with runner:
        segmenter = Segmenter(runner)
        for height in range(10, 20):
            np.testing.assert_array_equal(segmenter(FRAMES[0], height, 9).labels, reference(FRAMES[0], height, 9))
        assert len(runner._lanes) == 4


def test_without_a_cuda_compiler_the_host_does_what_is_around_the_network(gpu, runner, reference, monkeypatch):
    def none(compute_capability):
        raise BackendError("CUDA kernels need a compiler, and neither nvcc nor NVRTC was found")

    monkeypatch.setattr(runtime_module, "load_image", none)
    with runner:
        segmenter = Segmenter(runner, "bgr", 2)
        segmentation = segmenter(FRAMES[0], 20, 44)
        np.testing.assert_array_equal(segmentation.labels, reference(FRAMES[0], 20, 44))
        assert segmenter.depth == 1
        assert set(segmentation.stage_ns) == {"preprocess", "inference", "postprocess"}
        assert runner.describe()["kernels"].startswith("no: CUDA kernels need a compiler")


@pytest.mark.parametrize(
    "frame", [FRAMES[0][..., :2], FRAMES[0].astype(np.float32), np.zeros((0, 4, 3), np.uint8)], ids=["2", "float", "0"]
)
def test_what_is_no_frame_is_refused_in_one_line(runner, frame):
    with runner, pytest.raises(InputError, match=r"expected \(height, width, 3\) uint8"):
        Segmenter(runner)(frame, 20, 44)


OPENING = (
    "Context.push",
    "pycuda.driver.module_from_buffer",
    "Module.get_function",
    "pycuda.driver.mem_alloc",
    "pycuda.driver.pagelocked_empty",
    "pycuda.driver.memcpy_htod",
    "pycuda.driver.Event",
    "Event.record",
    "segedge_prepare_interleaved",
    "segedge_label_nodes",
    "segedge_label_pixels",
    "Event.synchronize",
    "IExecutionContext.set_tensor_address",
    "IExecutionContext.execute_async_v3",
)
FRAME = (
    "Context.push",
    "Event.record",
    "Event.synchronize",
    "Event.time_till",
    "segedge_prepare_interleaved",
    "segedge_label_nodes",
    "segedge_label_pixels",
    "IExecutionContext.execute_async_v3",
)
RETURNS_FALSE = ("IExecutionContext.set_tensor_address", "IExecutionContext.execute_async_v3")


def fault_of(name):
    return False if name in RETURNS_FALSE else stand_in.CudaError


@pytest.mark.parametrize("name", OPENING)
def test_lane_that_cannot_be_opened_names_the_call_and_gives_everything_back(gpu, runner, name):
    with runner:
        alive = dict(gpu.live)
        gpu.faults[name] = fault_of(name)
        with pytest.raises(BackendError, match=name) as kept:
            Segmenter(runner)(FRAMES[0], 20, 44)
        assert gpu.live == alive
        gpu.faults.clear()
        Segmenter(runner)(FRAMES[0], 20, 44)
    assert "\n" not in str(kept.value)


@pytest.mark.parametrize("name", FRAME)
def test_frame_that_fails_names_the_call_and_the_runner_still_closes(gpu, runner, name):
    with runner:
        segmenter = Segmenter(runner)
        segmenter(FRAMES[0], 20, 44)
        gpu.faults[name] = fault_of(name)
        with pytest.raises(BackendError, match=name) as kept:
            segmenter(FRAMES[1], 20, 44)
        gpu.faults.clear()
    assert "\n" not in str(kept.value)


def test_lane_closed_twice_and_runner_after_it_are_harmless(gpu, runner):
    with runner:
        lane = runner.open_lane(LaneRequest(FRAMES[0].shape, "bgr", 20, 44))
        lane.close()
        lane.close()
        assert runner._lanes == []
        with pytest.raises(BackendError, match="the lane is closed"):
            lane.submit(FRAMES[0])


def test_interrupted_frame_does_not_give_its_labels_to_the_next(runner, reference, monkeypatch):
    with runner:
        segmenter = Segmenter(runner, "bgr", 2)
        segmenter(FRAMES[0], 20, 44)
        (lane,) = runner._lanes
        submit = lane.submit

        def interrupted(frame):
            submit(frame)
            raise KeyboardInterrupt

        monkeypatch.setattr(lane, "submit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            segmenter(FRAMES[0], 20, 44)
        assert runner._lanes == []
        np.testing.assert_array_equal(segmenter(FRAMES[1], 20, 44).labels, reference(FRAMES[1], 20, 44))


def test_closed_segmenter_gives_the_memory_of_its_frames_back(gpu, runner):
    with runner:
        alive = dict(gpu.live)
        with Segmenter(runner) as segmenter:
            segmenter(FRAMES[0], 20, 44)
            assert len(gpu.live) > len(alive)
        assert gpu.live == alive


def test_mapping_can_be_turned_off_to_measure_both(gpu, runner, reference, monkeypatch):
    monkeypatch.setenv("SEGEDGE_CUDA_MEMORY", "copied")
    with runner:
        labels = Segmenter(runner)(FRAMES[0], 20, 44).labels.copy()
        assert runner.describe()["memory"] == "copied"
    np.testing.assert_array_equal(labels, reference(FRAMES[0], 20, 44))


def test_engine_with_a_batch_profile_is_profiled_though_a_profile_serves_one_at_a_time(gpu, version, tmp_path):
    runner = write_runner(tmp_path, version, batch="frames")
    runner = type(runner)(runner._path, dataclasses.replace(runner._card, batch_profile=(1, 2, 3)))
    frames = np.ascontiguousarray(FRAMES[:2, :8, :16])
    with runner:
        before = runner.infer(frames).copy()
        assert len(runner.profile(frames, 2)) == 5
        np.testing.assert_array_equal(runner.infer(frames), before)
        gpu.faults["EngineInspector.get_engine_information"] = stand_in.CudaError
        with pytest.raises(BackendError, match="EngineInspector"):
            runner.profile(frames, 2)
        gpu.faults.clear()
        np.testing.assert_array_equal(runner.infer(frames), before)


def test_frames_of_an_engine_that_takes_several_are_not_recorded(gpu, version, tmp_path):
    for changes, reason in (({"batch_profile": (1, 2, 3)}, "several numbers of frames"), ({"dla_core": 0}, "DLA")):
        runner = write_runner(tmp_path, version)
        assert runner.graph_problem is None
        assert reason in type(runner)(runner._path, dataclasses.replace(runner._card, **changes)).graph_problem


@pytest.mark.parametrize(
    ("changes", "is_right"),
    [
        ({}, True),
        ({"board": "NVIDIA Jetson AGX Orin"}, True),
        ({"board": "NVIDIA Jetson Orin Nano"}, False),
        ({"architecture": "x86_64"}, False),
    ],
)
def test_engine_of_another_module_with_a_gpu_of_the_same_name_does_not_fit(runner, changes, is_right):
    built_on = dataclasses.replace(HERE, board="NVIDIA Jetson AGX Orin")
    for is_portable in (False, True):
        card = dataclasses.replace(runner._card, machine=built_on, is_hardware_compatible=is_portable)
        here = dataclasses.replace(HERE, **changes)
        # Hardware compatibility is not for Jetsons, nor across architectures.
        assert type(runner)(runner._path, card)._fits_gpu(here) == is_right


def test_profile_engine_takes_any_batch_within_it(gpu, version, tmp_path):
    runner = write_runner(tmp_path, version, batch="frames")
    object.__setattr__(runner._card, "batch_profile", (1, 2, 3))
    runner = type(runner)(runner._path, runner._card)
    alone = write_runner(tmp_path / "one", version)
    frames = np.ascontiguousarray(FRAMES[:4, :8, :16])
    with runner, alone:
        single = [alone.infer(frame[None]).copy() for frame in frames]
        for count in (3, 1, 2):
            logits = runner.infer(frames[:count])
            assert logits.shape == ((3, 2, 4) if count == 1 else (count, 3, 2, 4))
            np.testing.assert_allclose(logits.reshape(count, 3, 2, 4), single[:count], rtol=1e-6)
        with pytest.raises(InputError, match=r"takes \(1 to 3, 8, 16, 3\) uint8"):
            runner.infer(frames)
        assert Segmenter(runner)(FRAMES[0], 20, 44).labels.shape == (20, 44)
        del logits


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"backend_version": "8.6.0"}, {"8.6.1"}),
        ({"backend_version": "10.0.1"}, {"10.3.0"}),
        ({"backend_version": "10.9.0"}, set()),
    ],
)
def test_version_compatible_engine_loads_in_later_versions_of_its_major_one(gpu, runner, changes, fits, version):
    card = dataclasses.replace(runner._card, is_version_compatible=True, **changes)
    stranger = type(runner)(runner._path, card)
    for here in ("8.5.3.1", "8.6.1", "10.3.0", "11.4.0.106"):
        assert stranger._fits_version(here) == (here in fits)


@pytest.mark.parametrize(("capability", "fits"), [("8.0", True), ("9.0", True), ("11.0", True), ("7.5", False)])
def test_hardware_compatible_engine_loads_on_any_gpu_from_ampere_on(runner, capability, fits):
    card = dataclasses.replace(runner._card, is_hardware_compatible=True)
    there = dataclasses.replace(HERE, gpu="another", compute_capability=capability)
    assert type(runner)(runner._path, card)._fits_gpu(there) == fits
    assert not runner._fits_gpu(there)
