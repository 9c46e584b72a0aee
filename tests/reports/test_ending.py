"""What is printed when a batch has ended: one table, the best job, and in full what went wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.result import Result
from runner.core.state import Finished, Outcome, Record
from runner.core.text import width_of
from runner.reports import comparison, terminal
from runner.reports import ending as report
from runner.reports.columns import Column

SPEC = PlanKind("spec", listing="comparison")


def job(number: int, **config: Any) -> Job:
    name = f"run_{number:03d}"
    changes = {"lr": (1, config["lr"])} if "lr" in config else {}
    return Job(name, ("train", name), Path("/b") / name, config, changes=changes, rerun=("again", name))


def ended(
    job: Job, status: str = "completed", error: str | None = None, *, best: Any = None, **metrics: float
) -> Record:
    result = {"final_metrics": {name.replace("_", "/"): value for name, value in metrics.items()}}
    result |= {"best_metrics": best} if best else {}
    return Record(job, Finished(None, "", 1.0, Outcome(status, error=error), Result(result)))


def plan_of(records: list[Record], kind: PlanKind = SPEC) -> Plan:
    return Plan("p", Path("/b"), tuple(record.job for record in records), kind, "")


def table(records: list[Record], width: int | None = None, rows: int | None = None) -> list[str]:
    return report.ending(plan_of(records), records, width, rows, settings(records))


def settings(records: list[Record]) -> list[Column]:
    return comparison.varied([record.job for record in records])


def best_jobs(records: list[Record]) -> list[str]:
    return report.best_jobs(records, settings(records))


def test_runs_are_shown_with_their_metrics_or_how_they_ended_and_the_best_is_marked() -> None:
    records = [
        ended(job(0, lr=1), val_loss=2.0, val_accuracy=0.5),
        ended(job(1, lr=2), "failed", val_loss=0.1, val_accuracy=0.9),
        ended(job(2, lr=3), val_loss=1.0, val_accuracy=0.7),
        Record(job(3, lr=4)),
    ]
    assert table(records) == [
        "   run      lr  state        val/loss  val/accuracy   time",
        "✓  run_000  1   completed      2.0000        0.5000  1.0 s",
        "✗  run_001  2   failed         0.1000        0.9000  1.0 s",
        "★  run_002  3   completed      1.0000        0.7000  1.0 s",
        "-  run_003  4   not started",
    ]
    assert best_jobs(records) == ["lowest val/loss: run_002, 1.0000 (lr 3)"]


def test_the_best_values_are_a_column_where_they_are_not_the_last_ones() -> None:
    records = [
        ended(job(0, lr=0), best={"val/loss": {"value": 0.5, "iter": 20, "better": "min"}}, val_loss=2.0),
        ended(job(1, lr=1), best={"val/loss": {"value": 1.0, "iter": 9, "better": "min"}}, val_loss=1.0),
        ended(job(2, lr=2), val_loss=math.nan),
    ]
    assert table(records) == [
        "   run      lr  state      val/loss  best val/loss   time",
        "★  run_000  0   completed    2.0000         0.5000  1.0 s",
        "✓  run_001  1   completed    1.0000         1.0000  1.0 s",
        "✓  run_002  2   completed       nan                 1.0 s",
    ]
    assert best_jobs(records) == [
        "lowest val/loss: run_001, 1.0000 (lr 1)",
        "lowest val/loss at any time: run_000, 0.5000 (lr 0)",
    ]


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("val_accuracy", "highest val/accuracy: run_001, 0.9000"),
        ("test_f1", "highest test/f1: run_001, 0.9000"),
        ("train_loss", "lowest train/loss: run_000, 0.1000"),
    ],
)
def test_other_metrics_compare_as_their_name_says(metric: str, said: str) -> None:
    records = [ended(job(0, lr=1), **{metric: 0.1}), ended(job(1, lr=2), **{metric: 0.9})]
    (line,) = best_jobs(records)
    assert line.startswith(said)


def test_jobs_that_measure_nothing_have_no_columns_for_it_and_none_is_best() -> None:
    records = [ended(job(0, lr=1)), ended(job(1, lr=2))]
    assert table(records)[0].split() == ["run", "lr", "state", "time"]
    assert best_jobs(records) == [] == best_jobs([ended(job(0, lr=1), val_loss=1.0)])


def test_successes_are_folded_where_they_do_not_fit_and_the_best_stay() -> None:
    records = [ended(job(number, lr=number), val_loss=100.0 - number) for number in range(60)]
    records[3] = ended(job(3, lr=3), "failed", "exit code 1")
    lines = table(records, 80, 10)
    assert [line.split()[1] for line in lines[1:-1]] == [f"run_{number:03d}" for number in range(51, 60)]
    assert lines[-1].startswith("and 51 jobs more (50 completed, 1 failed); all of them: ")
    assert len(table(records)) == 41  # a file has more room


@pytest.mark.parametrize("width", [120, 80, 50, 40])
def test_the_table_fits_its_screen(width: int) -> None:
    names = [f"gpt_small_rope_lr0.0{number}_wd0.1_seed{number}" for number in range(1, 9)]
    jobs = [Job(name, (), Path("/b") / name, {"lr": name, "depth": name[-1]}) for name in names]
    records = [ended(one, val_loss=2.0 + number) for number, one in enumerate(jobs)]
    lines = report.ending(plan_of(records, PlanKind("files")), records, width, None, settings(records))
    assert all(width_of(line) <= width for line in lines)
    assert "val/loss" in lines[0] and len({line.split()[1] for line in lines[1:]}) == 8


def test_failures_come_last_and_in_full() -> None:
    records = [
        ended(job(0, lr=1), "failed", "exit code 1: KeyError: 'tokens'"),
        *(ended(job(number, lr=number), val_loss=float(number)) for number in range(1, 30)),
    ]
    plan = plan_of(records)
    lines = terminal.report(plan, records, 60.0, None, width=80, height=24).splitlines()
    assert len(lines) <= 24
    failed = lines.index("✗ run_000: failed in 1.0 s: exit code 1: KeyError: 'tokens'")
    assert [line.split()[0] for line in lines[failed + 1 : failed + 4]] == ["ran", "logs", "again"]
    assert "train run_000" in lines[failed + 1]
    assert lines[failed + 4].startswith("lowest val/loss: run_001") and "29 completed, 1 failed" in lines[failed + 5]
    assert all("run_0" not in line for line in lines[failed + 5 :])


def test_a_job_that_completed_earlier_has_its_loss() -> None:
    record = ended(job(0, lr=1), val_loss=2.5)
    kept = Record(record.job, record.state, cached=True)
    assert terminal.headline(kept) == "run_000: completed earlier, val loss 2.5000"
