"""What mattered: exact parts for full grids, ranks otherwise, against numpy and scipy and on truths that are known."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from scipy import stats

from runner.reports.comparing import forest
from runner.reports.comparing.compare import compare
from runner.reports.comparing.importance import Importance, Part, importance
from runner.reports.comparing.levels import levels, ranks
from tests.reports.comparing.rows import grid, noise


def parts(found: Importance) -> dict[tuple[str, ...], Part]:
    return {part.keys: part for part in found.parts}


def explained(columns: list[np.ndarray[Any, Any]], values: np.ndarray[Any, Any]) -> float:
    """The part of the variance that a linear fit to these columns of 0 and 1 explains."""
    design = np.column_stack([np.ones(len(values)), *columns])
    fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return 1 - float(((values - fitted) ** 2).sum() / ((values - values.mean()) ** 2).sum())


def indicators(cells: list[Any]) -> list[np.ndarray[Any, Any]]:
    return [np.array([cell == one for cell in cells], float) for one in sorted(set(cells))]


def test_the_parts_of_a_full_grid_are_those_of_a_least_squares_fit() -> None:
    drawing = random.Random(2)
    rows = grid(lambda a, b, c: a * b + c + drawing.gauss(0, 0.5), 2, a=[0, 1, 2], b=[0, 1], c=[0, 1, 2])
    found = compare(rows).importance
    values = np.array([row["val/loss"] for row in rows])
    known = parts(found)
    alone = {key: explained(indicators([row[key] for row in rows]), values) for key in "abc"}
    for key in "abc":
        assert known[(key,)].share == pytest.approx(alone[key], abs=1e-9)
    both = explained(indicators([(row["a"], row["b"]) for row in rows]), values)
    assert known[("a", "b")].share == pytest.approx(both - alone["a"] - alone["b"], abs=1e-9)
    assert found.method == "grid" and found.unexplained is not None
    assert sum(part.share for part in found.parts) + found.unexplained == pytest.approx(1, abs=1e-9)


def test_the_limit_of_noise_is_that_of_the_f_test() -> None:
    drawing = random.Random(4)
    rows = grid(lambda a, b: a + drawing.gauss(0, 0.5), 4, a=[0, 1, 2], b=[0, 1])
    found = compare(rows).importance
    freedom = 24 - 1 - 2 - 1 - 2
    assert found.unexplained is not None
    limit = stats.f.isf(0.01 / 3, 2, freedom) * 2 / freedom * found.unexplained
    assert parts(found)[("a",)].noise == pytest.approx(limit, rel=1e-9)


def test_an_interaction_is_found_where_no_setting_matters_for_itself() -> None:
    drawing = random.Random(5)
    rows = grid(lambda a, b, c: (a == b) + drawing.gauss(0, 0.1), 3, a=[0, 1], b=[0, 1], c=[0, 1])
    known = parts(compare(rows).importance)
    assert known[("a", "b")].matters and known[("a", "b")].share > 0.9
    assert not any(part.matters for keys, part in known.items() if keys != ("a", "b"))


def test_a_grid_of_two_settings_run_once_cannot_tell_interaction_from_noise() -> None:
    found = compare(grid(lambda a, b: a + 0.01 * b, 1, a=range(5), b=[0, 1])).importance
    known = parts(found)
    assert known[("a", "b")].noise is None and not known[("a", "b")].matters and known[("a",)].matters


@pytest.mark.parametrize("settings", [{"a": [0, 1, 2], "b": [0, 1], "c": [0, 1]}, {"a": range(5), "b": range(4)}])
def test_noise_does_not_matter_in_a_grid(settings: dict[str, Any]) -> None:
    """In at least 95 of 100 grids in which nothing matters, no setting explains more than noise is said to."""
    quiet = sum(
        not any(part.matters for part in compare(grid(noise(seed), 2, **settings)).importance.parts)
        for seed in range(100)
    )
    assert quiet >= 95


def search(seed: int, number: int, truth: Any) -> tuple[list[dict[str, Any]], list[float]]:
    """A random search over a rate, a width, a word and a switch."""
    drawing = random.Random(seed)
    rows = [
        {
            "lr": 10 ** drawing.uniform(-5, -1),
            "width": drawing.choice([16, 32, 64]),
            "act": drawing.choice(["relu", "gelu"]),
            "bias": drawing.choice([True, False]),
        }
        for _ in range(number)
    ]
    return rows, [truth(row, drawing) for row in rows]


KEYS = ("lr", "width", "act", "bias")


@pytest.mark.slow
@pytest.mark.parametrize("number", [12, 60])
def test_noise_does_not_matter_in_a_random_search(number: int) -> None:
    quiet = 0
    for seed in range(100):
        rows, values = search(seed, number, lambda row, draw: draw.gauss(0, 1))
        quiet += not any(part.matters for part in importance(rows, values, KEYS).parts)
    assert quiet >= 95


def test_the_setting_that_matters_is_found_also_where_the_middle_is_best() -> None:
    for seed in range(10):
        rows, values = search(seed, 80, lambda row, draw: (math.log10(row["lr"]) + 3) ** 2 + draw.gauss(0, 0.3))
        found = importance(rows, values, KEYS)
        first, *others = found.parts
        assert first.keys == ("lr",) and first.matters and not any(part.matters for part in others)
        assert first.lo is not None and first.hi is not None and first.lo < first.share < first.hi
        assert found.r2 is not None and found.r2 > 0.5


def test_the_part_of_ranks_is_that_of_kruskal_and_wallis() -> None:
    rows, values = search(1, 50, lambda row, draw: row["width"] + draw.gauss(0, 20))
    part = parts(importance(rows, values, KEYS))[("width",)]
    by_width = [[value for row, value in zip(rows, values, strict=True) if row["width"] == it] for it in (16, 32, 64)]
    assert part.share == pytest.approx(stats.kruskal(*by_width).statistic / 49, abs=1e-9)


@pytest.mark.slow
def test_the_interval_of_a_part_holds_the_part_of_many_more_jobs() -> None:
    def truth(row: dict[str, Any], draw: random.Random) -> float:
        return row["width"] / 16 + draw.gauss(0, 1)

    rows, values = search(1000, 20_000, truth)
    by_width = [[value for row, value in zip(rows, values, strict=True) if row["width"] == it] for it in (16, 32, 64)]
    real = stats.kruskal(*by_width).statistic / (len(rows) - 1)
    held = 0
    for seed in range(50):
        part = parts(importance(*search(seed, 60, truth), ["width"]))[("width",)]
        held += part.lo is not None and part.hi is not None and part.lo <= real <= part.hi
    assert held >= 43


def test_fewer_than_ten_jobs_are_refused() -> None:
    rows = grid(lambda a: a, 3, a=[0, 1, 2])
    found = compare(rows).importance
    assert found.refused is not None and "9 completed jobs are too few" in found.refused and not found.parts


def test_settings_that_vary_together_are_named() -> None:
    rows = [{"lr": lr, "warmup": lr * 100, "b": b, "seed": s} for lr in (1, 2, 3) for b in (0, 1) for s in range(2)]
    found = importance(rows, [row["lr"] + 0.01 * row["seed"] for row in rows], ["lr", "warmup", "b"])
    assert found.confounded == (("lr", "warmup"),) and found.method == "grid"
    assert found.parts[0].keys == ("lr", "warmup") and found.parts[0].kind == "together"
    drawing = random.Random(1)
    rates = [drawing.random() for _ in range(30)]
    free = [{"lr": rate, "decay": -rate, "other": drawing.random()} for rate in rates]
    assert importance(free, rates, ["lr", "decay", "other"]).confounded == (("lr", "decay"),)


def test_a_text_that_names_each_job_is_not_ranked() -> None:
    rows = [{"tag": f"run {number}", "lr": number % 3} for number in range(12)]
    found = importance(rows, [float(number) for number in range(12)], ["tag", "lr"])
    assert found.not_ranked == ("tag",) and [part.keys for part in found.parts] == [("lr",)]


@pytest.mark.slow
def test_noise_is_not_predicted() -> None:
    predicted = 0
    for seed in range(40):
        rows, values = search(seed, 40, lambda row, draw: draw.gauss(0, 1))
        found = importance(rows, values, KEYS)
        predicted += found.r2 is not None and found.r2 >= 0.3
    assert predicted == 0


def test_numbers_become_ranges_of_about_as_many_jobs() -> None:
    rows = [{"lr": 10.0**-number} for number in range(20)]
    found = levels(rows, "lr")
    assert [len(rows) for rows in found.members()] == [5, 5, 5, 5]
    assert found.labels[-1] == "1e-04 to 1" or found.labels[-1] == "0.0001 to 1"


def test_ranks_are_those_of_scipy() -> None:
    values = [3.0, 1.0, 3.0, 2.0, 1.0, 1.0, 9.0]
    assert ranks(values) == list(stats.rankdata(values))


def test_a_forest_is_the_same_each_time() -> None:
    rows, values = search(1, 40, lambda row, draw: row["lr"])
    known = [levels(rows, key) for key in KEYS]
    assert forest.r2(known, values) == forest.r2(known, values)


@pytest.mark.slow
def test_ten_thousand_jobs_are_compared() -> None:
    drawing = random.Random(1)
    jobs = [{f"key{key}": drawing.choice([1, 2, 3]) for key in range(20)} for _ in range(10_000)]
    found = importance(jobs, [job["key3"] + drawing.gauss(0, 1) for job in jobs], list(jobs[0]))
    assert found.parts[0].keys == ("key3",)  # within the time of a test; what is quadratic would take hours
