"""The course of a metric: segments, gaps, and the reduction to what a width can show."""

from __future__ import annotations

import math
from array import array

from hypothesis import given
from hypothesis import strategies as st

from runner.reports import series, tracks
from runner.reports.series import Segment, Series

NAN = float("nan")


def test_metrics_of_other_rows_are_absent_and_not_gaps() -> None:
    found = series.read([{"iter": 0, "a": 1.0}, {"iter": 1, "b": 2.0}, {"iter": 2, "a": 3.0}])
    assert found["a"].kept == [(0, 1.0), (2, 3.0)] and found["b"].kept == [(1, 2.0)]


def test_a_resume_begins_a_segment_and_the_newer_one_counts() -> None:
    steps = [0, 10, 20, 30, 20, 30, 40]
    found = series.read({"iter": step, "loss": float(number)} for number, step in enumerate(steps))["loss"]
    assert len(found.segments) == 2
    assert found.kept == [(0, 0), (10, 1), (20, 4), (30, 5), (40, 6)]
    assert found.segments[0].replaced == ((10, 1), (20, 2), (30, 3))
    assert found.segments[1].replaced == ()


def test_three_starts_do_not_draw_anything_twice() -> None:
    found = series.read({"iter": step, "loss": 1.0} for step in [0, 10, 20, 30, 10, 20, 5, 6])["loss"]
    assert [x for x, _ in found.kept] == [0, 5, 6]


def test_the_later_of_equal_steps_counts() -> None:
    found = series.read([{"iter": 1, "loss": 1.0}, {"iter": 1, "loss": 2.0}])["loss"]
    assert found.kept == [(1, 2.0)] and len(found.segments) == 1


def test_rows_without_a_step_have_their_epoch_or_their_number() -> None:
    assert series.read([{"epoch": 0.5, "loss": 1.0}])["loss"].kept == [(0.5, 1.0)]
    assert series.read([{"loss": 1.0}, {"loss": 2.0}])["loss"].kept == [(0, 1.0), (1, 2.0)]


def test_what_is_not_finite_is_marked_and_ends_a_piece() -> None:
    nulls = [{"iter": 1, "loss": None, "nonfinite": {"loss": "inf"}}]
    found = series.read([{"iter": 0, "loss": 1.0}, *nulls, {"iter": 2, "loss": 2.0}])["loss"]
    assert found.nonfinite == [(1, math.inf)] and found.finite == [(0, 1.0), (2, 2.0)]
    assert list(series.pieces(found.kept)) == [[(0, 1.0)], [(2, 2.0)]]


def test_very_many_gaps_do_not_make_very_many_pieces() -> None:
    points = [(float(step), NAN if step % 2 else 1.0) for step in range(1000)]
    assert len(list(series.pieces(points))) == 1


values = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(st.lists(values, min_size=1, max_size=500), st.integers(1, 40))
def test_the_extremes_of_every_column_are_kept(found: list[float], columns: int) -> None:
    points = [(float(step), value) for step, value in enumerate(found)]
    high = float(len(points) - 1)
    xs, ys = (array("d", column) for column in zip(*points, strict=True))
    made = [points[at] for at in tracks.extremes(xs, ys, 0, len(points), 0.0, high, columns)]
    width = high / columns or 1.0

    def extremes(some: list[series.Point]) -> dict[int, tuple[float, float]]:
        parts: dict[int, list[float]] = {}
        for x, y in some:
            parts.setdefault(min(int(x / width), columns - 1), []).append(y)
        return {column: (min(ys), max(ys)) for column, ys in parts.items()}

    assert extremes(made) == extremes(points)
    assert made[0] == points[0] and made[-1] == points[-1] and len(made) <= 2 * columns + 2
    assert [x for x, _ in made] == sorted({x for x, _ in made})


def test_quantiles_do_not_continue_a_series_behind_its_end() -> None:
    short, long = (Series((Segment(tuple((float(x), y) for x in range(end))),)) for end, y in ((3, 0.0), (5, 10.0)))
    found = series.quantiles([short, long], 0.0, 4.0, 5, (0.0, 0.5, 1.0))
    assert found[0] == (0.0, [0.0, 5.0, 10.0]) and found[-1] == (4.0, [10.0, 10.0, 10.0])
    assert series.quantiles([], 0.0, 1.0, 5, (0.5,)) == []
