"""Images are chosen for what they add to classes, places and light; always the same ones, in any order of input."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import numpy as np
import pytest

from calibration.images.coverage import ImageStatistics, brightness_bins, choose_images, spread_evenly

PIXELS = 1000


def image(name, group="a", luma=100, **pixels):
    classes = tuple(pixels.get(key, 0) for key in ("road", "car", "train")) if pixels else None
    return ImageStatistics(name, group, luma, classes, PIXELS if pixels else 0)


def random_split(seed, count=120, classes=7, groups=4):
    """Images of a drive: most classes nearly everywhere, some in a few images alone."""
    rng = np.random.default_rng(seed)
    facts = []
    for index in range(count):
        shares = rng.dirichlet(2.0 ** -np.arange(classes))
        shares[rng.random(classes) < np.linspace(0.0, 0.9, classes)] = 0.0
        pixels = tuple(int(value) for value in shares * PIXELS)
        group = f"city{index * groups // count}"
        facts.append(ImageStatistics(f"{index:05d}", group, int(rng.integers(40, 160)), pixels, PIXELS))
    return facts


def class_totals(facts, indices):
    return np.sum([facts[index].class_pixels for index in indices], axis=0)


def score(facts, indices):
    """The score that the module documents, written down from its text."""
    shares = np.array([np.array(one.class_pixels) / one.pixel_count for one in facts])
    average = shares.mean(0)
    total = shares[indices].sum(0)
    parts = [np.mean([math.log(1 + total[c] / average[c]) for c in range(len(average)) if average[c]])]
    places = Counter()
    stretches = []
    sizes = Counter(one.group for one in facts)
    for one in sorted(facts, key=lambda one: one.name):
        parts_of_group = min(16, sizes[one.group])
        stretches.append((one.name, (one.group, places[one.group] * parts_of_group // sizes[one.group])))
        places[one.group] += 1
    stretch_of = dict(stretches)
    for keys in ([one.group for one in facts], [stretch_of[one.name] for one in facts], brightness_bins(facts)):
        counts, bins = Counter(keys[index] for index in indices), len(set(keys))
        parts.append(np.mean([math.log(1 + bins * counts[key]) for key in set(keys)]))
    return sum(parts)


def test_every_step_takes_the_largest_gain_of_the_documented_score():
    facts = random_split(0, count=40)
    chosen = choose_images(facts, 6)
    for step in range(6):
        others = [index for index in range(len(facts)) if index not in chosen[:step]]
        best = max(score(facts, [*chosen[:step], index]) for index in others)
        # The score is a sum of about ten logarithms in float64, and gains are rounded to nine decimals.
        assert score(facts, chosen[: step + 1]) == pytest.approx(best, abs=2e-9)


def test_only_image_of_a_rare_class_is_chosen():
    facts = [image(f"{index:03d}", road=900, car=50) for index in range(99)]
    facts.insert(41, image("041a", road=900, car=50, train=5))
    assert 41 in choose_images(facts, 4)


def test_rarest_class_gets_more_pixels_than_by_an_even_spread():
    for seed in range(5):
        facts = random_split(seed)
        covered = class_totals(facts, choose_images(facts, 16))
        even = class_totals(facts, spread_evenly([one.group for one in facts], 16))
        assert covered.min() > even.min()


def test_second_image_shows_what_the_first_did_not():
    facts = [image("a", road=10, car=900), image("b", road=20, car=890), image("c", road=900, car=10)]
    assert {facts[index].name for index in choose_images(facts, 2)} >= {"c"}


def test_every_group_and_light_is_covered_without_label_maps():
    rng = np.random.default_rng(2)
    sizes = {"berlin": 80, "bonn": 3, "ulm": 40}
    facts = [
        image(f"{group}_{index:03d}", group, int(rng.integers(30, 200)))
        for group, size in sizes.items()
        for index in range(size)
    ]
    chosen = choose_images(facts, 9)
    assert set(Counter(facts[index].group for index in chosen)) == set(sizes)
    lights = brightness_bins(facts)
    counts = Counter(lights[index] for index in chosen)
    assert set(counts) == {"dark", "middle", "bright"}
    assert min(counts.values()) >= 2


def test_neighbouring_frames_are_not_chosen_together():
    facts = [image(f"{index:03d}", road=500, car=300) for index in range(160)]
    places = sorted(choose_images(facts, 16))
    assert [place // 10 for place in places] == list(range(16))


def test_images_without_label_maps_count_beside_those_with():
    facts = [image(f"{index:03d}", group="labelled", road=900) for index in range(8)]
    facts += [image(f"x{index:03d}", group="bare") for index in range(8)]
    groups = Counter(facts[index].group for index in choose_images(facts, 4))
    assert set(groups) == {"labelled", "bare"}


def test_labels_that_are_all_ignored_are_no_reason_to_fail():
    facts = [ImageStatistics(f"{index}", "a", 10 * index, (0, 0), PIXELS) for index in range(5)]
    assert len(choose_images(facts, 3)) == 3


@pytest.mark.parametrize("count", [1, 7, 40])
def test_order_of_input_does_not_matter(count):
    facts = random_split(3)
    expected = [facts[index].name for index in choose_images(facts, count)]
    for seed in range(4):
        shuffled = [facts[index] for index in np.random.default_rng(seed).permutation(len(facts))]
        assert [shuffled[index].name for index in choose_images(shuffled, count)] == expected


def test_noise_of_another_machines_arithmetic_does_not_matter(monkeypatch):
    # Most images are equal in everything, so that noise would decide, were it compared.
    facts = random_split(4) + [image(f"x{index:03d}", "twins", road=500, car=300) for index in range(80)]
    facts = [dataclasses.replace(one, class_pixels=(*one.class_pixels, 0, 0, 0, 0)[:7]) for one in facts]
    expected = choose_images(facts, 60)
    rng = np.random.default_rng(0)
    exact = np.log1p
    # 8 units in the last place is more than vectorised logarithms differ by.
    monkeypatch.setattr(np, "log1p", lambda x: exact(x) * (1 + rng.integers(-8, 9, np.shape(x)) * 2.0**-53))
    assert choose_images(facts, 60) == expected


def test_of_equal_images_the_first_by_name_is_chosen():
    facts = [image(name, road=500) for name in ("c", "a", "b")]
    assert facts[choose_images(facts, 1)[0]].name == "a"


def test_smaller_choice_is_part_of_a_larger_one():
    facts = random_split(5)
    assert choose_images(facts, 30)[:8] == choose_images(facts, 8)


@pytest.mark.parametrize(("size", "count", "expected"), [(5, 64, 5), (5, 5, 5), (5, 2, 2), (0, 4, 0)])
def test_choice_has_as_many_different_images_as_wanted_and_there(size, count, expected):
    facts = [image(f"{index}", road=100 + index) for index in range(size)]
    chosen = choose_images(facts, count)
    assert len(chosen) == len(set(chosen)) == expected


def test_light_is_the_third_of_the_split():
    facts = [image(f"{luma}", luma=luma) for luma in (90, 10, 50, 20, 60, 80)]
    assert brightness_bins(facts) == ["bright", "dark", "middle", "dark", "middle", "bright"]


def test_equally_bright_images_share_a_light():
    assert brightness_bins([image(f"{index}", luma=7) for index in range(4)]) == ["middle"] * 4
    assert brightness_bins([image(f"{index}", luma=luma) for index, luma in enumerate((1, 1, 1, 5))])[3] == "bright"


def test_even_spread_gives_each_group_as_many():
    groups = ["berlin"] * 100 + ["bonn"] * 10 + ["ulm"] * 50
    assert Counter(groups[index] for index in spread_evenly(groups, 12)) == {"berlin": 4, "bonn": 4, "ulm": 4}


def test_small_group_gives_all_and_the_others_share_the_rest():
    groups = ["berlin"] * 100 + ["bonn"] * 2 + ["ulm"] * 50
    assert Counter(groups[index] for index in spread_evenly(groups, 20)) == {"berlin": 9, "bonn": 2, "ulm": 9}


def test_even_spread_is_even_within_a_group():
    assert spread_evenly(["berlin"] * 100, 4) == [0, 25, 50, 75]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 159, 160, 500])
def test_even_spread_has_the_wanted_number_of_different_frames(count):
    indices = spread_evenly(["berlin"] * 100 + ["bonn"] * 10 + ["ulm"] * 50, count)
    assert len(set(indices)) == len(indices) == min(count, 160)
    assert indices == sorted(indices)
