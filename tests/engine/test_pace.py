"""The speed of a job, of which the time that remains is computed."""

from __future__ import annotations

import pickle

import pytest

from runner.engine.pace import Pace


def pace_of(*seen: tuple[float, int]) -> Pace:
    pace = Pace()
    for moment, iteration in seen:
        pace.add(moment, iteration)
    return pace


def test_one_position_is_no_speed_and_neither_are_two_at_once() -> None:
    assert Pace().speed is None and pace_of((5, 10)).speed is None
    assert pace_of((5.0, 10), (5.25, 20)).speed is None


def test_the_start_does_not_count() -> None:
    """The first iteration waited for a compiler for 100 s."""
    assert pace_of((0, 0), (100, 1), (101, 2), (102, 3)).speed == pytest.approx(1.0)


def test_an_earlier_speed_does_not_count() -> None:
    slow = [(float(moment), moment // 10) for moment in range(0, 100, 10)]
    quick = [(100.0 + moment, 10 + 5 * moment) for moment in range(120)]
    assert pace_of(*slow, *quick).speed == pytest.approx(5.0)


def test_a_pause_in_a_long_training_does_not_move_the_speed_much() -> None:
    """An evaluation of a minute after an hour of an iteration a second."""
    seen = [(float(moment), moment) for moment in range(3600)]
    assert pace_of(*seen, (3660.0, 3600)).speed == pytest.approx(1.0, rel=0.06)


def test_a_job_that_is_looked_at_often_keeps_few_positions() -> None:
    pace = pace_of(*((moment / 4, moment * 3) for moment in range(4 * 3600)))
    assert pace.speed == pytest.approx(12.0)
    assert len(pickle.dumps(pace)) < 10_000  # it runs for days
