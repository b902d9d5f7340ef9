"""Labels by one look or by several."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import InputError
from edge.evaluation.labelling import Labeller, scaled_size, softmax, upsampled_rows
from edge.evaluation.looks import Looks
from edge.evaluation.networks import Network, check_classes, check_way
from edge.evaluation.windows import Window
from edge.postprocess import reference_labels


class Colours(Network):
    """A network whose logits are the colours of the frame at a fourth of its size: class 0 is red, 2 is blue."""

    size, class_names, coordinates, any_size, size_multiple = (16, 32), ("red", "green", "blue"), "half_pixel", True, 4

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def planes(self, frame_rgb: np.ndarray) -> np.ndarray:
        self.sizes.append(frame_rgb.shape[:2])
        return np.ascontiguousarray(frame_rgb[2::4, 2::4].transpose(2, 0, 1)).astype(np.float32) / 16


def frame(height: int, width: int) -> np.ndarray:
    """Return a frame whose left third is red, then green, then blue."""
    picture = np.zeros((height, width, 3), np.uint8)
    for channel in range(3):
        picture[:, channel * width // 3 : (channel + 1) * width // 3, channel] = 200
    return picture


def test_one_look_is_that_of_a_device():
    network = Colours()
    labels = Labeller(network, Looks())(frame(16, 32), 16, 32)
    assert np.array_equal(labels, reference_labels(network.planes(frame(16, 32)), 16, 32))


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners"])
def test_rows_of_upsampled_logits_have_the_labels_of_the_definition(coordinates):
    logits = np.random.default_rng(0).normal(size=(4, 5, 7)).astype(np.float32)
    parts = [upsampled_rows(logits, 23, 31, coordinates, slice(first, first + 8)) for first in (0, 8, 16)]
    labels = np.concatenate(parts, axis=1).argmax(0)
    assert np.array_equal(labels, reference_labels(logits, 23, 31, coordinates))


def test_probabilities_sum_to_1():
    logits = np.random.default_rng(1).normal(size=(4, 3, 3)).astype(np.float32) * 50
    assert softmax(logits).sum(0) == pytest.approx(np.ones((3, 3)), abs=1e-6)


def test_scales_and_mirrored_frames_are_looked_at_and_agree_on_what_is_clear():
    network = Colours()
    labels = Labeller(network, Looks((0.5, 1.0, 1.25), flip=True))(frame(32, 64), 32, 64)
    assert sorted(set(network.sizes)) == [(8, 16), (16, 32), (20, 40)] and len(network.sizes) == 6
    assert (labels[:, :16] == 0).all() and (labels[:, 26:38] == 1).all() and (labels[:, 48:] == 2).all()


def test_a_mirrored_frame_alone_gives_the_mirrored_labels():
    class Mirrored(Colours):
        def planes(self, frame_rgb):  # everything on its left half is class 0, whatever is there
            planes = np.zeros((3, 4, 8), np.float32)
            planes[0, :, :4] = 9.0
            planes[1, :, 4:] = 8.0
            return planes

    labels = Labeller(Mirrored(), Looks(flip=True))(frame(16, 32), 16, 32)
    # Mean of both: class 0 is the surer one on the left, and on the right in the mirrored frame.
    assert (labels == 0).all()


def test_windows_cover_a_frame_at_its_own_size():
    network = Colours()
    labels = Labeller(network, Looks(window=Window((16, 32))))(frame(40, 96), 40, 96)
    assert set(network.sizes) == {(16, 32)}
    assert (labels[:, :28] == 0).all() and (labels[:, 36:60] == 1).all() and (labels[:, 68:] == 2).all()


def test_a_frame_that_is_smaller_than_a_window_is_one_window():
    network = Colours()
    labels = Labeller(network, Looks(window=Window((32, 64))))(frame(12, 48), 12, 48)
    assert network.sizes == [(32, 64)] and labels.shape == (12, 48) and (labels[:, :12] == 0).all()


@pytest.mark.parametrize("height, width", [(16, 32), (17, 33), (40, 100), (5, 5)])
def test_windows_reach_every_pixel_and_none_beyond(height, width):
    covered = np.zeros((height, width), int)
    window = Window((16, 32), 0.25)
    for top, left in window.places(height, width):
        assert top + 16 <= max(height, 16) and left + 32 <= max(width, 32)
        covered[top : top + 16, left : left + 32] += 1
    assert covered.min() >= 1


def test_logits_that_are_not_finite_are_refused():
    class Broken(Colours):
        def planes(self, frame_rgb):
            return np.full((3, 4, 8), np.nan, np.float32)

    with pytest.raises(InputError, match="NaN"):
        Labeller(Broken(), Looks(flip=True))(frame(16, 32), 16, 32)


def test_sizes_are_multiples_of_what_a_network_takes():
    assert scaled_size((512, 1024), 0.75, 32) == (384, 768)
    assert scaled_size((16, 32), 0.1, 8) == (8, 8)


def test_a_network_of_a_fixed_size_takes_other_scales_in_windows_alone():
    network = Colours()
    network.any_size = False
    check_way(network, "engine", Looks())
    check_way(network, "engine", Looks((0.5, 1.0), window=Window((16, 32))))
    with pytest.raises(InputError, match=r"engine takes 16x32 alone, other scales .* --sliding-window 16x32"):
        check_way(network, "engine", Looks((0.5, 1.0)))
    with pytest.raises(InputError, match="--sliding-window is 8x8, engine takes 16x32 alone"):
        check_way(network, "engine", Looks(window=Window((8, 8))))


def test_windows_of_weights_are_multiples_of_what_the_model_takes():
    with pytest.raises(InputError, match=r"takes multiples of 4. Next: --sliding-window 8x12"):
        check_way(Colours(), "weights", Looks(window=Window((7, 13))))


def test_decisions_by_thresholds_have_no_mean_over_looks():
    class Contract:
        decision = "binary"
        gives_labels = False

        def decision_sentence(self):
            return "a threshold of 0.5"

    with pytest.raises(InputError, match=r"decides by a threshold of 0.5"):
        check_way(Colours(), "engine", Looks(flip=True), Contract())


def test_other_classes_are_named():
    with pytest.raises(InputError, match="class 1 is b there and c here"):
        check_classes(("a", "b"), ("a", "c"), "engine", "camvid")
    with pytest.raises(InputError, match="has 1 classes, camvid has 2: one has classes that the other lacks"):
        check_classes(("a",), ("a", "c"), "engine", "camvid")


def test_windows_that_overlap_count_once_beside_another_scale():
    class Sure(Colours):
        def planes(self, frame_rgb):  # surely class 0 at the first scale, then, less surely, class 1
            self.sizes.append(frame_rgb.shape[:2])
            planes = np.zeros((3, 4, 8), np.float32)
            planes[0 if len(self.sizes) == 1 else 1] = 4.0 if len(self.sizes) == 1 else 2.0
            return planes

    network = Sure()
    labels = Labeller(network, Looks((1.0, 1.5), window=Window((16, 32), 0.5)))(frame(16, 32), 16, 32)
    assert len(network.sizes) > 4 and (labels == 0).all()
