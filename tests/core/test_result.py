"""experiment_result.json as a value, and the fingerprint of a job."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.core import job as job_module
from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.result import Result
from tests.conftest import PROJECT

STORED = PROJECT / "tests" / "data"


def test_results_of_every_released_version_survive_a_round_trip() -> None:
    paths = [STORED / "experiment_result_schema_1.json", *STORED.glob("0.1.0/**/experiment_result.json")]
    assert len(paths) > 10
    for path in paths:
        record = json.loads(path.read_bytes())
        assert Result.from_json(record).to_json() == record
        assert list(Result.from_json(record).to_json()) == list(record)


def test_entries_of_a_newer_version_are_kept() -> None:
    result = Result.from_json({"status": "completed", "carbon_grams": 3}).updated(error=None)
    assert result.to_json() == {"status": "completed", "carbon_grams": 3, "error": None}


@pytest.mark.parametrize("record", [{}, {"status": None}, {"status": 3}, {"state": "completed"}])
def test_a_record_without_a_status_is_not_a_result(record: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="status"):
        Result.from_json(record)


def test_a_result_that_lacks_entries_keeps_what_is_known() -> None:
    result = Result.from_json({"status": "failed", "final_metrics": None, "attempt": None})
    assert (result.attempt, result.seconds, result.final_metrics, result.command) == (1, 0.0, {}, ())
    assert (result.return_code, result.signal, result.error, result.run_dir) == (None, None, None, None)


def test_a_changed_result_leaves_the_old_one_as_it_was() -> None:
    before = Result({"status": "completed"})
    assert before.updated(status="error") == Result({"status": "error"}) != before
    before.to_json()["status"] = "failed"
    assert before.status == "completed"


def test_a_fingerprint_is_computed_once_and_only_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    computed: list[object] = []
    real = job_module.fingerprint
    monkeypatch.setattr(job_module, "fingerprint", lambda value: computed.append(value) or real(value))
    jobs = tuple(Job(f"j{number}", ("true",), tmp_path / f"j{number}") for number in range(100))
    Plan("p", tmp_path, jobs, PlanKind("files"), "2026-01-01")
    assert computed == []
    first = jobs[0].fingerprint
    assert jobs[0].fingerprint == first and len(computed) == 1
    assert replace(jobs[0], config={"x": 1}).fingerprint != first and len(computed) == 2
    assert replace(jobs[0], disk_bytes=1).fingerprint == first
    assert jobs[0] == Job("j0", ("true",), tmp_path / "j0", cwd=jobs[0].cwd)
