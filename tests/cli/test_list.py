"""`list`: how old a batch is, how long it ran, and its best value; one line each, in a pipe and on a terminal."""

from __future__ import annotations

import json
import re
import sys

import pytest

from tests.cli.measured_batch import COMMAND, job, measured
from tests.conftest import RUN_EXPERIMENTS, Workspace, wait_until
from tests.interrupted_batch import GRACE, WAITING
from tests.terminals import Terminal


def test_a_line_has_the_age_the_duration_and_the_best_value(work: Workspace) -> None:
    measured(work)
    (line,) = work.run("list", code=0).stdout.splitlines()
    assert re.fullmatch(
        rf"{work.batch.name}  ended  \d+ s ago  [\d.]+ m?s  val/loss 1.0000 \(2_good\)  2 completed, 1 failed", line
    )
    (batch,) = json.loads(work.run("list", "--json", code=0).stdout)
    assert batch["best"] == {"metric": "val/loss", "value": 1.0, "job": "2_good", "better": "min"}
    seconds = sum(job["duration_seconds"] for job in batch["jobs"].values())
    assert batch["duration_seconds"] == pytest.approx(seconds, abs=0.1)
    assert list(batch)[:5] == ["name", "experiment_dir", "created_at", "state", "runner"]


def test_a_larger_accuracy_is_better_and_a_batch_without_metrics_has_no_best(work: Workspace) -> None:
    work.write("c/a.sh", "echo 'epoch 1: accuracy: 0.7'")
    work.write("c/b.sh", "echo 'epoch 1: accuracy: 0.9'")
    work.write("d/a.sh", "true")
    work.run("--configs", "c/*.sh", *COMMAND, "--name", "some", code=0)
    work.run("--configs", "d/*.sh", *COMMAND, "--name", "none", code=0)
    none, some = work.run("list", code=0).stdout.splitlines()
    assert "accuracy 0.9000 (b)" in some and none.endswith("1 completed") and "(" not in none


def test_the_best_value_is_not_that_of_a_job_that_failed(work: Workspace) -> None:
    work.write("c/a.sh", job(2))
    work.write("c/b.sh", job(1, end="exit 3"))
    done = work.run("--configs", "c/*.sh", *COMMAND, code=1)
    assert re.search(r"^✗ +b +failed +1\.0000", done.stdout, re.MULTILINE)  # its value is shown, and not compared
    assert "val/loss 2.0000 (a)" in work.run("list", code=0).stdout


def test_a_pause_between_two_runs_does_not_count_as_duration(work: Workspace) -> None:
    measured(work)
    path = work.batch / "1_poor/experiment_result.json"
    path.write_text(re.sub(r'_time": "\d{4}', '_time": "2020', path.read_text()))  # it ran years before the others
    (batch,) = json.loads(work.run("list", "--json", code=0).stdout)
    assert batch["duration_seconds"] < 60


def test_a_batch_that_runs_has_a_duration(work: Workspace) -> None:
    work.write("a.sh", job(1, end=WAITING))
    process = work.start("--configs", "a.sh", *COMMAND, *GRACE, "--detach")
    process.communicate(timeout=30)
    try:
        wait_until((work.batch / "a/ckpt_1.pt").exists, "the job runs")
        (batch,) = json.loads(work.run("list", "--json", code=0).stdout)
        assert batch["state"] == "running" and batch["duration_seconds"] > 0
    finally:
        (work / "go").touch()
        work.run("wait", code=0)


@pytest.mark.parametrize("columns", [80, 50, 120])
def test_a_line_fits_the_terminal(work: Workspace, columns: int) -> None:
    measured(work)
    work.run("note", "latest", "a note that is longer than " + "most " * 20, code=0)
    command = f"stty cols {columns}; unset COLUMNS; exec {sys.executable} {RUN_EXPERIMENTS} list"
    terminal = Terminal(work.folder, ["bash", "-c", command])
    try:
        text = terminal.expect(r"\n", "the line").rstrip()
        assert terminal.process.wait(30) == 0
    finally:
        terminal.process.kill()
    assert len(text) <= columns
    if columns >= 80:
        assert "ended" in text and " s ago" in text and "loss 1" in text and "2 completed, 1 failed"[:12] in text
        assert text.split("  ")[0].endswith(work.batch.name[-6:])  # the end tells batches apart
