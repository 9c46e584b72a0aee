"""What the sampler is told of a trial, by how its job ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli.search_jobs import trials
from runner.core.causes import DIVERGED, GPU_OOM
from runner.core.job import Job, Plan, PlanKind
from runner.core.result import Result
from runner.core.state import COMPLETED, FAILED, INTERRUPTED, Finished, Outcome, Record
from runner.search.pruning import Rungs
from runner.search.space import COMPLETE, FAIL, PRUNED, RUNNING, Range, Search, Trial

SEARCH = Search({"lr": Range("log", (1e-4, 1.0))}, "val/loss")
ROWS = '{"iter": 1, "val/loss": 3.0}\n{"iter": 2, "val/loss": 2.5}\n{"iter": 3, "val/loss": NaN}\n'


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome(COMPLETED, 0), (COMPLETE, 0.5, None)),
        (Outcome(FAILED, 1, cause=GPU_OOM, cause_sure=True), (FAIL, None, None)),
        (Outcome(FAILED, 1, cause=DIVERGED, cause_sure=True), (PRUNED, 2.5, 2)),
        (Outcome(FAILED, 1, cause=DIVERGED, cause_sure=False), (FAIL, None, None)),
        (Outcome(INTERRUPTED, 130), (RUNNING, None, None)),
        (None, (RUNNING, None, None)),
    ],
    ids=["completed", "failed", "diverged", "perhaps diverged", "interrupted", "not started"],
)
def test_what_is_told_of_a_trial(tmp_path: Path, outcome: Outcome | None, told: tuple[object, ...]) -> None:
    job = Job("trial_0000", ("true",), tmp_path / "trial_0000", cwd=tmp_path, config={"lr": 0.1})
    job.out_dir.mkdir()
    (job.out_dir / "metrics.jsonl").write_text(ROWS)
    result = Result({"final_metrics": {"val/loss": 0.5}, "best_metrics": {}})
    record = Record(job) if outcome is None else Record(job, Finished(None, "", 1.0, outcome, result))
    plan = Plan("s", tmp_path, (job,), PlanKind("spec"), "")
    assert trials(plan, SEARCH, {job.name: record}, Rungs(SEARCH)) == [Trial(0, {"lr": 0.1}, *told)]
