"""The table of a sweep: what its runs differ in, and what came of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from runner.core.job import Job
from runner.core.result import Result
from runner.core.state import Finished, Outcome, Record
from runner.reports import comparison


def job(number: int, **config: Any) -> Job:
    return Job(f"run_{number:03d}", ("true",), Path(f"/b/run_{number:03d}"), config, changes={"lr": (1, config["lr"])})


def ended(job: Job, status: str = "completed", **metrics: float) -> Record:
    return Record(job, Finished(None, "", 1.0, Outcome(status), Result({"final_metrics": metrics})))


def test_only_what_differs_has_a_column_and_what_the_spec_sets_comes_first() -> None:
    jobs = [job(0, depth=1, lr=0.1, seed=0), job(1, depth=2, lr=0.2, seed=0)]
    assert comparison.planned(jobs) == ["run      lr   depth", "run_000  0.1  1", "run_001  0.2  2"]


def test_secrets_and_control_characters_do_not_reach_the_table() -> None:
    lines = comparison.planned([job(0, lr=1, hf_token="abc", note="a\x1b[31mb"), job(1, lr=1, note="c")])
    assert lines == ["run      hf_token   note", "run_000  ***        ab", "run_001  (not set)  c"]


def test_runs_are_shown_with_their_metrics_or_why_they_have_none_and_the_best_is_named() -> None:
    records = [
        ended(job(0, lr=1), **{"val/loss": 2.0, "val/accuracy": 0.5}),
        ended(job(1, lr=2), "failed", **{"val/loss": 0.1, "val/accuracy": 0.9}),
        ended(job(2, lr=3), **{"val/loss": 1.0, "val/accuracy": 0.7}),
        Record(job(3, lr=4)),
    ]
    assert comparison.outcomes(records) == [
        "run      lr  val/loss  val/accuracy",
        "run_000  1   2.0000    0.5000",
        "run_001  2                           failed",
        "run_002  3   1.0000    0.7000",
        "run_003  4                           pending",
        "lowest val/loss: run_002, 1.0000",
    ]


def test_the_best_values_are_columns_where_they_are_not_the_last_ones() -> None:
    best = {"val/loss": {"value": 0.5, "iter": 20, "better": "min"}}
    entries = [
        {"final_metrics": {"val/loss": 2.0}, "best_metrics": best},
        {"final_metrics": {"val/loss": 1.0}, "best_metrics": {"val/loss": {"value": 1.0, "iter": 9, "better": "min"}}},
        {"final_metrics": {"val/loss": math.nan}, "warnings": ["val loss is NaN since iteration 40"]},
    ]
    records = [
        Record(job(number, lr=number), Finished(None, "", 1.0, Outcome("completed"), Result(entry)))
        for number, entry in enumerate(entries)
    ]
    assert comparison.outcomes(records) == [
        "run      lr  val/loss  best val/loss",
        "run_000  0   2.0000    0.5000",
        "run_001  1   1.0000    1.0000",
        "run_002  2   nan                      warning: val loss is NaN since iteration 40",
        "lowest val/loss: run_001, 1.0000",
        "lowest best val/loss: run_000, 0.5000",
    ]


def test_jobs_that_measure_nothing_have_no_columns_for_it() -> None:
    lines = comparison.outcomes([ended(job(0, lr=1)), ended(job(1, lr=2))])
    assert lines == ["run      lr", "run_000  1", "run_001  2"]


def test_a_long_sweep_is_cut_short_on_the_screen_but_the_best_is_still_found() -> None:
    records = [ended(job(number, lr=number), **{"val/loss": 100.0 - number}) for number in range(60)]
    lines = comparison.outcomes(records)
    assert lines[-2:] == ["and 20 runs more, in experiment.json", "lowest val/loss: run_059, 41.0000"]
    assert len(lines) == 1 + 40 + 2
