"""A curve as a few signs."""

from __future__ import annotations

import math

from runner.reports.sparkline import sparkline


def test_the_lowest_and_the_highest_value_have_the_lowest_and_the_highest_sign() -> None:
    points = [(float(step), float(8 - step)) for step in range(8)]
    assert sparkline(points, 8) == "█▇▆▅▄▃▂▁" and sparkline(points, 8, ascii_only=True) == "#*+=~-._"


def test_a_long_curve_has_one_sign_for_each_part() -> None:
    assert sparkline([(float(step), float(step)) for step in range(1000)], 4) == "▃▄▆█"


def test_a_part_without_a_value_is_a_blank_and_one_that_is_not_finite_an_x() -> None:
    assert sparkline([(0, 1.0), (1, 2.0), (3, math.nan), (4, 1.0)], 4) == "▁█ ▁"
    assert sparkline([(0, 1.0), (1, 2.0), (2, math.nan)], 3) == "▁█x"


def test_odd_curves() -> None:
    assert sparkline([]) == "" and sparkline([(0, math.inf)]) == "x" and sparkline([(5, 1.0)]) == "▁"
    assert sparkline([(0, -1.7e308), (1, 1.7e308)], 2) == "▁█"
