"""What a need says, what it cannot say, and when a figure is said to hold a limit."""

from __future__ import annotations

import pytest

from edge.errors import InputError
from edge.leaderboard.leaderboard_record import MET, NOT_MET, NOT_SHOWN, UNKNOWN, UNMEASURED, BoardFigure
from edge.leaderboard.need import EXAMPLE, answer, joint_confidence, need_text, parse_need, verdict_of


def asked(text, *figure, **more):
    (demand,) = parse_need(text)
    return answer(demand, BoardFigure(*figure, **more))


def test_example_is_read_as_it_stands():
    need = parse_need(EXAMPLE)
    assert [demand.name for demand in need] == ["fps", "miou", "power", "p99", "iou(person)"]
    assert [demand.limit for demand in need] == [30, 65, 30, 50, 60]
    assert need_text(need) == EXAMPLE


@pytest.mark.parametrize(
    ("text", "means"),
    [
        (" FPS ≥ 30 ;p99≤50 ms ", "fps>=30, p99<=50"),
        ("iou( Traffic_Light )>60%", "iou(traffic light)>60"),
        ("miou(infrastructure)>=.5e", None),
        ("miou(infrastructure)>=50.5, p99.9<100", "miou(infrastructure)>=50.5, p99.9<100"),
        ("macs<=7 GMACs, params<=2", "multiply-adds<=7, parameters<=2"),
        ("iou(trunk, branch)>=1.5", "iou(trunk, branch)>=1.5"),
    ],
)
def test_spellings_of_a_need(text, means):
    if means is None:
        with pytest.raises(InputError):
            parse_need(text)
    else:
        assert need_text(parse_need(text)) == means


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected limits of figures"),
        (" , ", "expected limits of figures"),
        ("fast enough", "expected FIGURE>=NUMBER or FIGURE<=NUMBER"),
        (">=30", "expected FIGURE>=NUMBER"),
        ("fps=>30", "expected FIGURE>=NUMBER"),
        ("fps>=30<=60", "expected FIGURE>=NUMBER"),
        ("fps=30", "expected fps>=NUMBER: of fps the lowest value is limited"),
        ("fps<=30", "expected fps>=NUMBER"),
        ("p99>=50", "expected p99<=NUMBER: of p99 the highest value is limited"),
        ("fps>=nan", "with 'nan' for a number"),
        ("fps>=inf", "with 'inf' for a number"),
        ("fps>=-3", "with '-3' for a number"),
        ("fps>=", "with nothing for a number"),
        ("fps>=1_0", "in '_0'"),
        ("p99<=50 s", "in 's', expected ms"),
        ("power<=30000 mW", "in 'mW', expected W"),
        ("miou>=0.65", "which is 0.65 %, expected percent. Next: miou>=65"),
        ("miou>=101", "expected at most 100 %"),
        ("speed>=3", "'speed' is no figure, expected one of: miou, iou(CLASS), parameters"),
        ("p98<=3", "'p98' is no figure"),
        ("mious>=30", "Next: miou"),
        ("iou>=30", "expected iou(CLASS)"),
        ("iou()>=30", "expected iou(NAME) with both brackets"),
        ("iou(person>=30", "expected iou(NAME) with both brackets"),
        ("fps(person)>=30", "expected it without brackets"),
        ("fps>=30, fps>=40", "limits fps 2 times"),
    ],
)
def test_nonsense_is_one_line_that_says_what_was_expected(text, said):
    with pytest.raises(InputError) as caught:
        parse_need(text)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_unmeasured_figure_is_never_met():
    for text in ("fps>=0", "p99<=1000000", "iou(person)>=0"):
        given = asked(text, None, unknown="nobody measured it")
        assert (given.verdict, given.margin, given.confidence) == (UNMEASURED, None, None)
        assert given.reason == "nobody measured it"


def test_interval_has_to_lie_on_the_good_side_of_the_limit():
    assert asked("p99<=50", 40.0, 35.0, 45.0, 0.95).verdict == MET
    assert asked("p99<=50", 48.0, 45.0, 51.0, 0.95).verdict == NOT_SHOWN
    assert asked("p99<=50", 52.0, 49.0, 55.0, 0.95).verdict == NOT_SHOWN
    assert asked("p99<=50", 60.0, 55.0, 65.0, 0.95).verdict == NOT_MET
    assert asked("fps>=30", 33.0, 31.0, 35.0, 0.95).verdict == MET
    assert asked("fps>=30", 31.0, 29.0, 33.0, 0.95).verdict == NOT_SHOWN
    assert asked("fps>=30", 25.0, 24.0, 26.0, 0.95).verdict == NOT_MET
    assert "29.0 to 33.0" in asked("fps>=30", 31.0, 29.0, 33.0, 0.95).reason


def test_margin_is_positive_on_the_good_side_and_confidence_is_that_of_one_end():
    given = asked("p99<=50", 40.0, 35.0, 45.0, 0.95)
    assert (given.margin, given.margin_percent, given.least_margin) == (10.0, 20.0, 5.0)
    assert given.confidence == pytest.approx(0.975)
    assert asked("fps>=30", 24.0).margin == -6.0
    assert asked("p99<=50", 60.0, 55.0, 65.0, 0.9).confidence == pytest.approx(0.95)
    assert asked("p99<=0", 60.0).margin_percent is None


def test_single_value_is_compared_and_has_no_confidence_unless_it_is_counted():
    assert (asked("miou>=65", 65.0).verdict, asked("miou>=65", 65.0).confidence) == (MET, None)
    assert asked("miou>65", 65.0).verdict == NOT_MET
    assert asked("parameters<=2", 1.14, confidence=1.0).confidence == 1.0


def test_whole_need_is_met_by_all_demands_missed_by_one_and_else_unknown():
    met, missed = asked("fps>=30", 33.0, 31.0, 35.0, 0.95), asked("miou>=65", 60.0)
    unmeasured, unsure = asked("power<=30", None, unknown="x"), asked("p99<=50", 48.0, 45.0, 51.0, 0.95)
    assert verdict_of((met,)) == MET and verdict_of(()) == ""
    assert verdict_of((met, unmeasured)) == UNKNOWN == verdict_of((met, unsure))
    assert verdict_of((unmeasured, missed)) == NOT_MET


def test_confidence_of_all_demands_together_adds_what_each_may_be_wrong_by():
    met = asked("fps>=30", 33.0, 31.0, 35.0, 0.95)
    assert joint_confidence((met, met, asked("parameters<=2", 1.0, confidence=1.0))) == pytest.approx(0.95)
    assert joint_confidence((met, asked("miou>=65", 70.0))) is None
    assert joint_confidence((met, asked("p99<=50", None, unknown="x"))) is None
