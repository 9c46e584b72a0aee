"""The mean of curves of a group: what counts where, and where a band can be drawn."""

from __future__ import annotations

from runner.reports import bands
from runner.reports.bands import COLUMNS
from runner.reports.series import Segment, Series


def line(end: int, value: float) -> Series:
    return Series((Segment(tuple((float(x), value) for x in range(end + 1))),))


def test_a_curve_counts_as_far_as_it_goes() -> None:
    found = bands.places([line(100, 1.0), line(100, 2.0), line(50, 6.0)])
    assert len(found) == COLUMNS and (found[0].x, found[-1].x) == (0.0, 100.0)
    assert found[0][1:] == (3, 3.0, 1.0, 6.0) and found[-1][1:] == (2, 1.5, 1.0, 2.0)
    assert found[0].has_band and not found[-1].has_band
    fewer = bands.from_where_fewer(found)
    assert found[fewer - 1].x <= 50 < found[fewer].x
    assert {place.n for place in found[:fewer]} == {3} and {place.n for place in found[fewer:]} == {2}


def test_curves_that_all_reach_the_end_are_whole_and_none_are_nothing() -> None:
    found = bands.places([line(10, 1.0), line(10, 3.0)])
    assert bands.from_where_fewer(found) == COLUMNS and not any(place.has_band for place in found)
    assert bands.places([]) == [] == bands.places([Series(())]) and bands.from_where_fewer([]) == 0
