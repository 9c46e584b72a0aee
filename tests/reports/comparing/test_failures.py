"""What the jobs that failed have in common."""

from __future__ import annotations

import itertools
import random

import pytest
from scipy import stats

from runner.reports.comparing.compare import compare
from runner.reports.comparing.failures import chance
from runner.reports.table import Table
from tests.reports.comparing.rows import table

GRID = [{"lr": lr, "width": width, "seed": seed} for lr in (0.01, 0.1) for width in (1, 2) for seed in (0, 1)]


def said(found: Table) -> list[str]:
    return [finding.sentence() for finding in compare(found).failures]


def failing(which: list[int], causes: dict[int, str] | None = None, status: str = "failed") -> Table:
    found = table(*((config, 1.0) for config in GRID), status=dict.fromkeys(which, status))
    found.causes = {f"/b/{number}": cause for number, cause in (causes or {}).items()}
    return found


def test_the_setting_that_all_failures_have_is_a_finding() -> None:
    assert said(failing([4, 5, 6, 7])) == ["lr=0.1: 4 of 4 failed"]
    assert said(failing([4, 5, 6, 7], dict.fromkeys(range(8), "diverged"))) == ["lr=0.1: 4 of 4 diverged"]
    unsure = said(failing([4, 5, 6, 7], dict.fromkeys(range(8), "gpu_oom?")))
    assert unsure == ["lr=0.1: 4 of 4 probably ran out of GPU memory"]
    assert said(failing([4, 5, 6, 7], status="timeout")) == ["lr=0.1: 4 of 4 timed out"]


def test_several_ways_to_fail_are_counted() -> None:
    causes = {4: "diverged", 5: "diverged", 6: "gpu_oom", 7: "of a plugin"}
    (sentence,) = said(failing([4, 5, 6, 7], causes))
    assert sentence == "lr=0.1: 4 of 4 failed (2 diverged, 1 ran out of GPU memory, 1 failed)"


def test_two_settings_in_combination_are_a_finding_where_none_is_one_alone() -> None:
    assert said(failing([6, 7])) == ["lr=0.1 and width=2: 2 of 2 failed"]


def test_settings_that_vary_together_are_one_finding() -> None:
    configs = [({"lr": lr, "warmup": 10 * lr}, 1.0) for lr in (1, 2) for _ in range(4)]
    found = table(*configs, status=dict.fromkeys(range(4, 8), "killed"))
    assert said(found) == ["lr=2 and warmup=20: 4 of 4 were killed"]


def test_a_loss_that_is_not_finite_at_the_end_is_a_failure() -> None:
    found = table(*((config, float("nan") if config["lr"] == 0.1 else 1.0) for config in GRID))
    assert said(found) == ["lr=0.1: 4 of 4 diverged"]


def test_jobs_that_did_not_end_are_not_failures() -> None:
    assert said(failing([4, 5, 6, 7], status="interrupted")) == []
    assert said(failing([4, 5, 6, 7], status="pending")) == []


def test_failures_by_chance_are_not_findings() -> None:
    """In at least 95 of 100 sweeps whose jobs fail by chance, no setting is blamed."""
    quiet = 0
    cells = list(itertools.product([1, 2, 3], [1, 2], [1, 2], range(3)))
    for seed in range(100):
        drawing = random.Random(seed)
        status = {number: "failed" for number in range(len(cells)) if drawing.random() < 0.3}
        configs = [({"a": a, "b": b, "c": c, "seed": s}, 1.0) for a, b, c, s in cells]
        quiet += not said(table(*configs, status=status))
    assert quiet >= 95


@pytest.mark.parametrize(
    ("failed", "size", "bad", "number"), [(4, 4, 5, 16), (3, 4, 4, 12), (2, 9, 3, 40), (1, 2, 1, 9)]
)
def test_the_chance_is_that_of_fisher(failed: int, size: int, bad: int, number: int) -> None:
    cells = [[failed, size - failed], [bad - failed, number - size - bad + failed]]
    assert chance(failed, size, bad, number) == pytest.approx(stats.fisher_exact(cells, "greater").pvalue, abs=1e-9)


def test_no_more_failures_than_elsewhere_are_no_evidence() -> None:
    assert chance(1, 4, 4, 16) == 1.0 and chance(5000, 5001, 5000, 10_000) < 1e-9
