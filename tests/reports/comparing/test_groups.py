"""Groups without the seed, their order, and which of them can be told apart."""

from __future__ import annotations

import random
import statistics
from typing import Any

import numpy as np
import pytest
from scipy import stats

from runner.reports.comparing.compare import Unknown, compare
from runner.reports.comparing.groups import Group, groups, is_seed
from runner.reports.comparing.ranking import probability, ranked, ties
from tests.reports.comparing.rows import grid, noise, table

THREE = [2.0, 2.5, 3.1]


def group(values: list[float], seeds: list[int] | None = None) -> Group:
    names = [str(seed) for seed in seeds or range(len(values))]
    return Group({}, tuple(f"run_{seed}" for seed in names), tuple(values), tuple(names))


def test_a_group_is_what_differs_in_the_seed_alone() -> None:
    jobs = [({"lr": lr, "seed": seed, "same": 4}, lr + THREE[seed]) for lr in (0.1, 0.2) for seed in range(3)]
    first, second = groups(table(*jobs), "val/loss", ["seed"])
    assert (first.settings, second.settings) == ({"lr": 0.1}, {"lr": 0.2})
    assert first.runs == ("run_0", "run_1", "run_2") and first.n == 3
    values = [0.1 + value for value in THREE]
    assert first.mean == pytest.approx(np.mean(values), abs=1e-9) and first.median == pytest.approx(np.median(values))
    lo, hi = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert first.interval == (pytest.approx(lo, abs=1e-9), pytest.approx(hi, abs=1e-9))
    assert first.to_json()["lo"] == pytest.approx(lo)


def test_failures_are_counted_and_their_values_are_not() -> None:
    jobs = [({"seed": seed}, float(seed)) for seed in range(5)]
    found = table(*jobs, ({"seed": 5}, float("nan")), status={0: "failed", 1: "timeout", 2: "running"})
    (only,) = groups(found, "val/loss", ["seed"])
    assert (only.n, only.failed, only.unfinished, only.no_value) == (2, 2, 1, 1)
    assert only.mean == 3.5 and only.interval is None and len(only.runs) == 6


@pytest.mark.parametrize("key", ["seed", "data.seed", "torch_seed", "randomSeed", "random_state"])
def test_seeds_are_found_by_their_names(key: str) -> None:
    assert is_seed(key)


@pytest.mark.parametrize("key", ["seeds_per_job", "lr", "seedling.lr"])
def test_other_settings_are_not_seeds(key: str) -> None:
    assert not is_seed(key)


def test_the_best_is_first_and_a_group_without_a_value_last() -> None:
    found = [group([]), group([3.0]), group([1.0]), group([2.0])]
    assert [one.mean for one in ranked(found, "min")] == [1.0, 2.0, 3.0, None]
    assert [one.mean for one in ranked(found, "max")] == [3.0, 2.0, 1.0, None]


def test_groups_are_told_apart_by_welch_and_pairs_by_the_paired_test() -> None:
    drawing = random.Random(3)
    one, other = [[drawing.gauss(middle, 0.5) for _ in range(7)] for middle in (0, 1)]
    unpaired = probability(group(one), group(other, list(range(10, 17))))
    assert unpaired == pytest.approx(stats.ttest_ind(one, other, equal_var=False).pvalue, abs=1e-9)
    paired = probability(group(one), group(other))
    assert paired == pytest.approx(stats.ttest_rel(one, other).pvalue, abs=1e-9)
    backwards = probability(group(one), group(other[::-1], list(range(7))[::-1]))
    assert backwards == pytest.approx(paired, abs=1e-9)


def test_a_group_of_two_is_never_told_apart() -> None:
    first, second, third = ties([group([1.0, 1.1, 1.05]), group([1.0, 1.2, 1.1]), group([9.0, 9.1]), group([9.0] * 1)])
    assert (first.too_few, second, third) == (False, (2, True), (3, True))
    assert ties([group([1.0, 1.1, 1.05]), group([9.0, 9.1, 9.05])]) == []


def test_values_without_any_spread_differ_if_they_differ() -> None:
    assert ties([group([1.0] * 3), group([2.0] * 3)]) == []
    assert [tie.place for tie in ties([group([1.0] * 3), group([1.0] * 3)])] == [1]


@pytest.mark.parametrize("seeds", [3, 5])
def test_noise_is_not_distinguishable_from_noise(seeds: int) -> None:
    """In at least 95 of 100 sweeps in which nothing matters, no group is said to differ from the best."""
    quiet = 0
    for seed in range(100):
        found = compare(grid(noise(seed), seeds, lr=[0.1, 0.2, 0.3], width=[1, 2, 3]))
        quiet += len(found.ties) == 8
    assert quiet >= 95


def test_a_difference_that_is_there_is_seen() -> None:
    seen = 0
    for seed in range(20):
        drawing = random.Random(seed)
        found = compare(grid(lambda lr, draw=drawing: lr + draw.gauss(0, 0.1), 5, lr=[0, 1, 2]))
        seen += not found.ties and found.groups[0].settings == {"lr": 0}
    assert seen >= 19


ODD: list[Any] = [[1, 2], {"a": [1]}, None, "x", 1.5, True, {}]


def test_settings_of_any_kind_are_compared() -> None:
    found = compare(table(*(({"odd": value, "seed": seed}, 1.0) for value in ODD for seed in (1, 2))))
    assert len(found.groups) == len(ODD) and found.importance.refused == "all values are equal"


def test_several_settings_can_be_averaged_over_instead_of_the_seed() -> None:
    rows = table(*(({"lr": lr, "tag": tag, "seed": 1}, lr) for lr in (1, 2) for tag in "ab"))
    assert [one.n for one in rows.groups(over=["tag"])] == [2, 2]
    assert [one.n for one in rows.groups(over=[])] == [1, 1, 1, 1]
    assert [one.mean for one in rows.groups(goal="max", over=["tag"])] == [2, 1]
    assert statistics.mean(rows.groups(over=["tag", "lr"])[0].values) == 1.5


def test_what_cannot_be_compared_is_said() -> None:
    rows = table(({"lr": 1}, 1.0), ({"lr": 2}, 2.0), metric="throughput")
    assert compare(rows).metric is None and compare(rows).groups[0].n == 0
    for options, what in (({"metric": "throughput"}, "goal"), ({"metric": "x"}, "metric"), ({"over": ["x"]}, "over")):
        with pytest.raises(Unknown) as caught:
            compare(rows, **options)  # type: ignore[arg-type]
        assert caught.value.what == what
    assert compare(rows, "throughput", "max").groups[0].settings == {"lr": 2}


def test_every_job_failed() -> None:
    found = compare(table(*(({"seed": seed}, None) for seed in range(4)), status=dict.fromkeys(range(4), "failed")))
    (only,) = found.groups
    assert (only.n, only.failed, only.mean) == (0, 4, None)
    assert [finding.sentence() for finding in found.failures] == ["all jobs: 4 of 4 failed"]
