import numpy as np
import pytest

from kxchange.validation.measure import compare_masks, distance, root_mean_square
from kxchange.validation.verdict import Verdict, judge_ratio, worst

NAN, INF = float("nan"), float("inf")


def test_distance_by_hand():
    found = distance(np.array([1.0, 2.0, 5.0]), np.array([1.0, 2.0, 1.0]))
    assert found.maximum == 4.0
    assert found.rmse == pytest.approx((16 / 3) ** 0.5)
    assert found.scale == pytest.approx(2**0.5)
    assert found.worst == (2,)
    assert found.values == (5.0, 1.0)


def test_shapes_and_kinds_must_agree():
    assert distance(np.zeros(2), np.zeros(3)).structure == "shape [2] where [3] is right"
    assert "dtype" in distance(np.zeros(2, np.int64), np.zeros(2)).structure


@pytest.mark.parametrize(
    ("value", "truth", "words"),
    [
        ([NAN], [1.0], "NaN at 1 positions where the truth has 0"),
        ([1.0], [NAN], "NaN at 0 positions where the truth has 1"),
        ([INF], [-INF], "+Inf"),
        ([NAN, 1.0], [1.0, NAN], "NaN"),
    ],
)
def test_a_nan_never_passes_for_a_number(value, truth, words):
    assert words in distance(np.array(value), np.array(truth)).masks


def test_equal_masks_are_no_difference():
    array = np.array([NAN, INF, -INF, 3.0])
    assert compare_masks(array, array) == ""
    assert distance(array, array).rmse == 0.0


def test_integers_count_mismatches():
    found = distance(np.array([1, 2, 3]), np.array([1, 5, 3]))
    assert found.mismatches == 1


def test_empty_scalar_bool_and_complex():
    assert distance(np.zeros((0, 3)), np.zeros((0, 3))).rmse == 0.0
    assert distance(np.float64(2.0)[None][0:1].reshape(()), np.array(1.0)).maximum == 1.0
    assert distance(np.array([True]), np.array([False])).mismatches == 1
    assert distance(np.array([1 + 1j]), np.array([1 + 2j])).maximum == 1.0


def test_root_mean_square_does_not_overflow():
    assert root_mean_square(np.array([1e200, 1e200])) == pytest.approx(1e200)


def test_verdicts_combine():
    assert worst([Verdict.SAME, Verdict.UNVERIFIED]) is Verdict.SAME
    assert worst([Verdict.SAME, Verdict.WRONG, Verdict.SUSPECT]) is Verdict.WRONG
    assert worst([Verdict.UNVERIFIED]) is Verdict.UNVERIFIED
    assert judge_ratio(1.0, 1.0) is Verdict.SAME
    assert judge_ratio(3.5, 1.0) is Verdict.SUSPECT
    assert judge_ratio(1.0, 9.0) is Verdict.SUSPECT
    assert judge_ratio(50.0, 1.0) is Verdict.WRONG
    assert judge_ratio(NAN, 1.0) is Verdict.WRONG
