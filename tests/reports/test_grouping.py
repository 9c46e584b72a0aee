"""Jobs that differ in a seed alone, as one row."""

from __future__ import annotations

from typing import Any

import pytest

from runner.reports.grouping import Mean, flat, grouped
from runner.reports.table import Table, row


def rows(*jobs: tuple[dict[str, Any], dict[str, Any]], status: str = "completed") -> Table:
    made = Table(
        row(f"run_{number}", status, config, result, {"seconds": 2.0, "out_dir": f"/b/{number}"})
        for number, (config, result) in enumerate(jobs)
    )
    made.measured = frozenset(name for _, result in jobs for name in result)
    return made


def test_a_group_has_the_mean_and_the_deviation_of_a_sample() -> None:
    found = rows(
        ({"lr": 0.1, "seed": 0}, {"val/loss": 1.0}),
        ({"lr": 0.2, "seed": 0}, {"val/loss": 5.0}),
        ({"lr": 0.1, "seed": 1}, {"val/loss": 2.0}),
        ({"lr": 0.1, "seed": 2}, {"val/loss": 3.0}),
    )
    first, second = grouped(found, ["seed"]).rows
    assert (first["n"], first["lr"], first["val/loss"]) == (3, 0.1, Mean(2.0, pytest.approx(1.0)))
    assert (second["n"], second["lr"], second["val/loss"]) == (1, 0.2, Mean(5.0, None))
    assert flat(second) == {
        "n": 1,
        "lr": 0.2,
        "val/loss": 5.0,
        "val/loss/std": None,
        "seconds": 2.0,
        "seconds/std": None,
    }


def test_several_keys_and_missing_values() -> None:
    found = rows(({"seed": 0, "tag": "a"}, {"val/loss": 1.0}), ({"seed": 1, "tag": "b"}, {"acc": 0.5}))
    assert len(grouped(found, ["seed"]).rows) == 2
    (only,) = grouped(found, ["seed", "tag"]).rows
    assert (only["n"], only["val/loss"], only["acc"]) == (2, Mean(1.0, None), Mean(0.5, None))


def test_a_loss_that_is_nan_is_not_hidden() -> None:
    found = rows(({"seed": 0}, {"val/loss": 1.0}), ({"seed": 1}, {"val/loss": float("nan")}))
    (only,) = grouped(found, ["seed"]).rows
    assert only["val/loss"].mean != only["val/loss"].mean


def test_jobs_that_did_not_complete_do_not_count() -> None:
    found = rows(({"seed": 0}, {"val/loss": 1.0}), ({"seed": 1}, {"val/loss": 2.0}), status="failed")
    assert grouped(found, ["seed"]) == ([], 2)
