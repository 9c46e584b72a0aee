"""Student's t, F and the interval of a mean, against scipy."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats

from runner.reports.comparing import student


@pytest.mark.parametrize("freedom", [1, 2, 3.7, 9, 40, 999])
@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.01, 1e-5])
def test_t_is_that_of_scipy(freedom: float, alpha: float) -> None:
    limit = student.t_limit(alpha, freedom)
    assert limit == pytest.approx(stats.t.isf(alpha / 2, freedom), rel=1e-9)
    assert student.t_probability(-limit, freedom) == pytest.approx(alpha, rel=1e-9)


@pytest.mark.parametrize(("between", "within"), [(1, 1), (1, 8), (3, 6), (4, 95), (20, 979)])
@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.01, 1e-5])
def test_f_is_that_of_scipy(between: float, within: float, alpha: float) -> None:
    assert student.f_limit(alpha, between, within) == pytest.approx(stats.f.isf(alpha, between, within), rel=1e-9)
    assert student.f_probability(2.5, between, within) == pytest.approx(stats.f.sf(2.5, between, within), abs=1e-12)


@pytest.mark.parametrize("number", [3, 4, 5, 50])
def test_the_interval_is_that_of_scipy(number: int) -> None:
    drawing = random.Random(number)
    values = [drawing.gauss(3, 2) for _ in range(number)]
    lo, hi = stats.t.interval(0.95, number - 1, np.mean(values), stats.sem(values))
    found = student.interval(values)
    assert found == (pytest.approx(lo, abs=1e-9), pytest.approx(hi, abs=1e-9))


def test_two_values_have_no_interval_and_neither_have_values_too_large_for_one() -> None:
    assert student.interval([1.0, 2.0]) is None
    assert student.interval([1e300, -1e300, 1e299]) is None
    assert student.interval([2.0, 2.0, 2.0]) == (2.0, 2.0)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "covers"), [(3, 0.76), (5, 0.84)])
def test_a_bootstrap_would_be_too_narrow(number: int, covers: float) -> None:
    """Why it is not used: docs/comparison.md has these numbers."""
    drawing = np.random.default_rng(0)
    by_bootstrap = by_t = 0
    for values in drawing.normal(size=(2000, number)):
        means = values[drawing.integers(0, number, (1000, number))].mean(axis=1)
        lo, hi = np.percentile(means, [2.5, 97.5])
        by_bootstrap += bool(lo <= 0 <= hi)
        found = student.interval(values.tolist())
        by_t += found is not None and found.lo <= 0 <= found.hi
    assert by_bootstrap / 2000 == pytest.approx(covers, abs=0.02) and by_t / 2000 == pytest.approx(0.95, abs=0.02)


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    drawing = random.Random(1)
    for number in (3, 5):
        drawn = [student.interval([drawing.gauss(0, 1) for _ in range(number)]) for _ in range(400)]
        covered = sum(found is not None and found.lo <= 0 <= found.hi for found in drawn)
        assert 0.92 <= covered / 400 <= 0.98
    assert math.isclose(student.LEVEL, 0.95)
