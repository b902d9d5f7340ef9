from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import edge.segmenter as segmenter_module
from edge.contract import CENTRE_HEATMAP, OFFSETS, UNCERTAINTY, OutputTensor
from edge.errors import BackendError, InputError
from edge.postprocess import reference_labels
from edge.preprocess import prepare_rgb
from edge.runtime import open_engine
from edge.runtime.base import Runner
from edge.segmenter import MAX_SIZES, STAGES, Segmenter, uncertainty_output

PANOPTIC = (OutputTensor("centre", 1, CENTRE_HEATMAP), OutputTensor("offset", 2, OFFSETS, "positions"))
ENTROPY = OutputTensor("entropy", 1, UNCERTAINTY, "nats", float(np.log(11)))
VARIANCE = OutputTensor("variance", 1, UNCERTAINTY)


class BlockRunner(Runner):
    """Scores class c by how near the blocks' mean colour is to a colour of its own; other outputs are constant."""

    backend = "blocks"

    def describe(self):
        return {"version": "1", "device": "cpu"}

    def _activate_impl(self):
        self.colours = np.random.default_rng(0).integers(0, 256, (self.contract.output_shape[1], 3))

    def _deactivate_impl(self):
        pass

    def _infer_impl(self, frame):
        _, _, rows, columns = self.contract.output_shape
        blocks = frame[0].reshape(rows, self.contract.stride, columns, self.contract.stride, 3).mean((1, 3))
        distance = np.abs(blocks[None] - self.colours[:, None, None]).sum(-1)
        outputs = {self.contract.output_name: (-distance[None]).astype(np.float32)}
        for number, output in enumerate(self.contract.extra_outputs, start=1):
            outputs[output.name] = np.full((1, output.channels, rows, columns), number, np.float32)
        return outputs


SIZES = [(None, None), (16, 32), (20, 44), (64, 128), (5, 3), (33, 57)]


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("order", ["bgr", "rgb"])
def test_labels_are_those_of_the_three_steps_by_hand(contract, frame_rgb, size, order, coordinates):
    contract = dataclasses.replace(contract, coordinates=coordinates)
    frame = frame_rgb if order == "rgb" else np.ascontiguousarray(frame_rgb[..., ::-1])
    with BlockRunner(contract) as runner:
        labels = Segmenter(runner, order)(frame, *size).labels
        logits = runner.infer(prepare_rgb(frame_rgb, contract.height, contract.width))
    wanted = (size[0] or contract.height, size[1] or contract.width)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, reference_labels(logits, *wanted, coordinates))
    assert len(np.unique(labels)) > 2


def test_labels_of_a_real_engine_are_those_of_the_three_steps(make_engine, frame_rgb):
    runner, card = open_engine(make_engine())
    with runner:
        labels = Segmenter(runner, "rgb").label_frame(frame_rgb, 20, 44)
        logits = runner.infer(prepare_rgb(frame_rgb, card.contract.height, card.contract.width))
    np.testing.assert_array_equal(labels, reference_labels(logits, 20, 44))


def test_uncertainty_of_a_real_engine_comes_with_the_labels(make_engine, frame_rgb):
    runner, card = open_engine(make_engine(extra_outputs=(*PANOPTIC, ENTROPY)))
    with runner:
        segmentation = Segmenter(runner, "rgb")(frame_rgb, 20, 44)
        outputs = runner.infer_all(prepare_rgb(frame_rgb, card.contract.height, card.contract.width))
    assert segmentation.uncertainty.shape == (4, 8)
    assert segmentation.uncertainty.dtype == np.float32
    assert segmentation.uncertainty.max() > 0.1
    np.testing.assert_array_equal(segmentation.uncertainty, outputs["entropy"][0])
    np.testing.assert_array_equal(segmentation.labels, reference_labels(outputs["logits"], 20, 44))


@pytest.mark.parametrize(
    ("outputs", "wanted"),
    [
        ((), None),
        (PANOPTIC, None),
        ((ENTROPY,), ENTROPY),
        ((*PANOPTIC, VARIANCE, ENTROPY), VARIANCE),
    ],
)
def test_uncertainty_is_the_first_output_of_that_kind(contract, frame_rgb, outputs, wanted):
    contract = dataclasses.replace(contract, extra_outputs=outputs)
    assert uncertainty_output(contract) is wanted
    with BlockRunner(contract) as runner:
        segmentation = Segmenter(runner)(frame_rgb)
    if wanted is None:
        assert segmentation.uncertainty is None
    else:
        assert (segmentation.uncertainty == 1 + outputs.index(wanted)).all()


def test_engine_of_a_batch_is_refused_in_one_line_with_the_command_for_single_frames(contract):
    contract = dataclasses.replace(contract, batch=4, options={"depth": 101})
    with BlockRunner(contract) as runner, pytest.raises(InputError) as caught:
        Segmenter(runner)
    assert str(caught.value) == (
        "tiny engine takes batches of 4 frames, frames of a source come one by one and need a batch of 1. "
        "Next: python export/build_engine.py --model tiny --dataset camvid --size 16x32 --option depth=101"
    )


class Clock:
    def __init__(self, times):
        self.times = iter(times)

    def perf_counter_ns(self):
        return next(self.times)


def test_stage_times_add_up_to_the_whole(contract, frame_rgb, monkeypatch):
    with BlockRunner(contract) as runner:
        segment = Segmenter(runner)
        monkeypatch.setattr(segmenter_module, "time", Clock([1000, 1007, 1107, 1120]))
        segmentation = segment(frame_rgb)
    assert tuple(segmentation.stage_ns) == STAGES
    assert segmentation.stage_ns == {"preprocess": 7, "inference": 100, "postprocess": 13}
    assert segmentation.total_ns == 120


def test_each_stage_is_charged_for_its_own_work(contract, frame_rgb, monkeypatch):
    clock = Clock([])
    now = [0]
    clock.perf_counter_ns = lambda: now[0]
    monkeypatch.setattr(segmenter_module, "time", clock)

    def slow(function, cost):
        def call(*arguments):
            now[0] += cost
            return function(*arguments)

        return call

    with BlockRunner(contract) as runner:
        segment = Segmenter(runner)
        segment(frame_rgb)
        segment._prepare = slow(segment._prepare, 5)
        runner.infer_all = slow(runner.infer_all, 70)
        ((size, (upsampler, labels)),) = segment._upsamplers.items()
        segment._upsamplers[size] = (slow(upsampler, 900), labels)
        assert segment(frame_rgb).stage_ns == {"preprocess": 5, "inference": 70, "postprocess": 900}


def test_a_folder_of_many_sizes_does_not_fill_the_memory(contract, frame_rgb):
    with BlockRunner(contract) as runner:
        segment = Segmenter(runner, "rgb")
        logits = runner.infer(prepare_rgb(frame_rgb, contract.height, contract.width))
        for height in (*range(8, 30), 8):
            np.testing.assert_array_equal(segment(frame_rgb, height, 20).labels, reference_labels(logits, height, 20))
        assert len(segment._upsamplers) == MAX_SIZES


def test_runner_that_is_not_active_is_refused(contract, frame_rgb):
    with pytest.raises(BackendError, match="blocks runner of tiny is not active"):
        Segmenter(BlockRunner(contract))(frame_rgb)


def test_frame_of_another_form_is_refused(contract):
    with BlockRunner(contract) as runner, pytest.raises(InputError, match="frame is"):
        Segmenter(runner)(np.zeros((4, 4), np.uint8))
