"""The table of a sweep before it runs: what its runs differ in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runner.core.job import Job
from runner.reports import comparison


def job(number: int, **config: Any) -> Job:
    return Job(f"run_{number:03d}", ("true",), Path(f"/b/run_{number:03d}"), config, changes={"lr": (1, config["lr"])})


def test_only_what_differs_has_a_column_and_what_the_spec_sets_comes_first() -> None:
    jobs = [job(0, depth=1, lr=0.1, seed=0), job(1, depth=2, lr=0.2, seed=0)]
    assert comparison.planned(jobs) == ["run      lr   depth", "run_000  0.1  1", "run_001  0.2  2"]


def test_secrets_and_control_characters_do_not_reach_the_table() -> None:
    lines = comparison.planned([job(0, lr=1, hf_token="abc", note="a\x1b[31mb"), job(1, lr=1, note="c")])
    assert lines == ["run      hf_token   note", "run_000  ***        ab", "run_001  (not set)  c"]
