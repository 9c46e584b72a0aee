"""Which trials are pruned and promoted: compared with tables that were worked out by hand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from runner.search.pruning import (
    COMPLETED,
    CONTINUE,
    FAILED,
    PASSED,
    PROMOTE,
    STOP,
    STOPPED,
    Event,
    Rungs,
    levels,
    repeated,
)
from runner.search.space import Range, Search

RANGES = {"lr": Range("log", (1e-5, 1e-1))}


def search(**changes: Any) -> Search:
    given = {"pruner": "asha", "min_resource": 10.0, "max_resource": 90.0, "reduction_factor": 3, **changes}
    return Search(RANGES, "loss", **given)


def told(rungs: Rungs, trial: int, level: float, value: float) -> str:
    event = rungs.arrival(trial, level, value)
    rungs.add(event)
    return event.decision


def test_the_levels_of_asha_grow_by_the_factor_and_those_of_median_are_even() -> None:
    assert list(levels(search())) == [10, 30]
    assert list(levels(search(max_resource=91.0))) == [10, 30, 90]
    assert list(levels(search(pruner="median", max_resource=45.0))) == [10, 20, 30, 40]
    assert list(levels(search(pruner="none"))) == []


#: Nine trials get to 10 one after another. With a factor of 3 the best third goes on, of fewer than three the best one.
AT_TEN = [(0, 0.9, "continue"), (1, 0.8, "continue"), (2, 0.85, "stop"), (3, 0.5, "continue"), (4, 0.7, "stop"),
          (5, 0.6, "continue"), (6, 0.95, "stop"), (7, 0.55, "continue"), (8, 0.58, "continue")]  # fmt: skip


@pytest.mark.parametrize("goal", ["min", "max"])
def test_asha_that_stops_decides_as_the_table_by_hand(goal: str) -> None:
    rungs = Rungs(search(goal=goal))
    sign = 1 if goal == "min" else -1
    for trial, value, decision in AT_TEN:
        assert told(rungs, trial, 10, sign * value) == decision, trial
    # At 30 the first one goes on, the worse second one stops, and a better third one goes on.
    assert [told(rungs, trial, 30, sign * value) for trial, value in ((0, 0.6), (1, 0.7), (3, 0.4))] == [
        CONTINUE, STOP, CONTINUE
    ]  # fmt: skip
    assert rungs.promotion() is None
    assert rungs.table() == [
        {"resource": 10, "trials": 9, "stopped": 3, "best": sign * 0.5},
        {"resource": 30, "trials": 3, "stopped": 1, "best": sign * 0.4},
    ]


def test_asha_that_promotes_decides_as_the_table_by_hand() -> None:
    rungs = Rungs(search(promote=True))
    assert [told(rungs, trial, 10, value) for trial, value in ((0, 0.9), (1, 0.8))] == [STOP, STOP]
    assert rungs.promotion() is None  # a third of two is none
    assert told(rungs, 2, 10, 0.85) == STOP
    assert promoted(rungs) == (1, 10)  # 0.8 is the best of three
    assert rungs.promotion() is None and rungs.to_start() == [1]
    assert told(rungs, 3, 10, 0.5) == CONTINUE  # the best of four need not stop first
    assert told(rungs, 4, 10, 0.7) == STOP
    assert told(rungs, 5, 10, 0.6) == CONTINUE  # of six the best two go on
    assert [told(rungs, trial, 30, value) for trial, value in ((1, 0.6), (3, 0.4), (5, 0.5))] == [STOP, STOP, STOP]
    rungs.add(Event(1, STOPPED, used=31.0))
    assert rungs.to_start() == []
    assert promoted(rungs) == (3, 30)  # the best of three at 30, before anything at 10
    assert rungs.promotion() is None
    assert [told(rungs, trial, 10, value) for trial, value in ((6, 0.95), (7, 0.99), (8, 0.98))] == [STOP] * 3
    assert promoted(rungs) == (4, 10)  # of nine the best three: 3 and 5 went on, 4 is the third
    assert rungs.promotion() is None


def promoted(rungs: Rungs) -> tuple[int, float | None]:
    event = rungs.promotion()
    assert event is not None
    rungs.add(event)
    return event.trial, event.level


def test_median_stops_what_is_worse_than_the_median_of_five_that_completed() -> None:
    rungs = Rungs(search(pruner="median"))
    for trial, value in enumerate((0.1, 0.2, 0.3, 0.4, 0.5)):
        assert told(rungs, trial, 10, value) == CONTINUE
        if trial < 4:
            rungs.add(Event(trial, COMPLETED, value=value, used=90.0))
    assert told(rungs, 5, 10, 0.9) == CONTINUE  # four have completed
    rungs.add(Event(4, COMPLETED, value=0.5, used=90.0))
    assert [told(rungs, trial, 10, value) for trial, value in ((6, 0.31), (7, 0.3), (8, 0.05))] == [
        STOP, CONTINUE, CONTINUE
    ]  # fmt: skip
    assert told(rungs, 7, 20, 0.9) == CONTINUE  # nobody to compare with


def test_a_trial_that_failed_is_not_compared_and_one_that_had_ended_is() -> None:
    rungs = Rungs(search())
    told(rungs, 0, 10, 0.1)
    rungs.add(Event(0, FAILED, used=20.0))
    assert told(rungs, 1, 10, 0.5) == CONTINUE
    rungs.add(Event(2, PASSED, 10, 0.3))
    assert told(rungs, 3, 10, 0.4) == STOP
    rungs.add(Event(0, CONTINUE, 10, 0.1))  # it is run again
    assert told(rungs, 4, 10, 0.2) == STOP


def test_not_all_are_pruned_nor_the_best() -> None:
    rungs = Rungs(search())
    for trial, value in ((0, 0.1), (1, 0.5), (2, 0.4)):
        told(rungs, trial, 10, value)
    assert rungs.stopped_at(1) and rungs.stopped_at(2)
    rungs.add(Event(0, FAILED))
    rescue = rungs.rescue()
    assert rescue == Event(2, PROMOTE, 10, 0.4)
    rungs.add(rescue)
    assert rungs.to_start() == [2] and told(rungs, 2, 30, 0.4) == CONTINUE
    rungs.add(Event(2, COMPLETED, value=0.35, used=90.0))
    assert rungs.rescue() is None  # 1 is worse than what completed
    rungs.add(Event(3, PASSED, 10, 0.2))
    assert told(rungs, 4, 10, 0.3) == STOP
    rungs.add(Event(3, FAILED))
    assert rungs.rescue() == Event(4, PROMOTE, 10, 0.3)


@pytest.mark.parametrize("promote", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_a_search_of_random_curves_ends_never_prunes_the_best_and_each_decision_can_be_repeated(
    seed: int, *, promote: bool
) -> None:
    entry = search(promote=promote)
    rungs = simulated(entry, seed, trials=20)
    best = {trial: min(values[trial] for values in rungs.values.values() if trial in values) for trial in range(20)
            if trial not in rungs.failed}  # fmt: skip
    if best:
        assert min(best, key=lambda trial: best[trial]) in rungs.completed
    recorded = [Event.from_json(event.to_json()) for event in rungs.events]
    assert repeated(entry, recorded) == []
    turned = [replace(event, decision=STOP) if event.decision == CONTINUE else event for event in recorded]
    assert repeated(entry, turned) != []
    # Cut short anywhere, the rest follows from what was recorded.
    assert simulated(entry, seed, trials=20, done=recorded[: len(recorded) // 2]).completed == rungs.completed


def simulated(entry: Search, seed: int, trials: int, done: Sequence[Event] = ()) -> Rungs:
    """A search with one worker of trials with falling curves, one in six of which fails."""
    rungs = Rungs(entry, done)
    ended = {event.trial for event in rungs.events if event.decision in (COMPLETED, FAILED, STOPPED)}
    waiting = [trial for trial in range(trials) if trial not in ended]
    again = rungs.to_start()
    while True:
        event = rungs.promotion()
        if not again and event is None and not waiting:
            event = rungs.rescue()
        if again:
            trial = again.pop()
        elif event is not None:
            rungs.add(event)
            trial = event.trial
        elif waiting:
            trial = waiting.pop(0)
        else:
            return rungs
        run(rungs, trial, seed)


def run(rungs: Rungs, trial: int, seed: int) -> None:
    source = random.Random(f"{seed} {trial}")
    start, fails = source.uniform(0.2, 1), source.random() < 1 / 6
    while (level := rungs.next_level(trial)) is not None and not rungs.stopped_at(trial):
        rungs.add(rungs.arrival(trial, level, start * (1 - level / 200)))
    if rungs.stopped_at(trial):
        rungs.add(Event(trial, STOPPED))
    else:
        rungs.add(Event(trial, FAILED) if fails else Event(trial, COMPLETED, value=start * 0.5))
