"""The torture bench, in small: it finds no fault of the runner, and it can find one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT

sys.path.insert(0, str(PROJECT / "bench"))

from witness import FAULTS, Witness


def bench(folder: Path, *arguments: str) -> str:
    """The program's output; its folders lie in `folder`."""
    command = [sys.executable, str(PROJECT / "bench" / "torture.py"), "--dir", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert not list(folder.iterdir())
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("also", [[], ["--double", "--freeze"], ["--keep_running"]], ids=" ".join)
def test_eight_kills_and_resumes_lose_nothing(tmp_path: Path, also: list[str]) -> None:
    words = [line.split() for line in bench(tmp_path, "--kills", "8", "--seed", "7", *also).splitlines()]
    assert next(int(line[1]) for line in words if line[:1] == ["kills"]) >= 8
    for kind in FAULTS:
        assert [line for line in words if line[: len(kind.split()) + 1] == [*kind.split(), "0"]], kind


def test_the_engine_holds_no_more_after_forty_jobs_than_after_ten(tmp_path: Path) -> None:
    assert "GREW" not in bench(tmp_path, "--soak", "40")


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    """Of a batch with one job, `a`, that has completed as attempt 1."""
    job = tmp_path / "experiments/experiment_1/a"
    job.mkdir(parents=True)
    entry = {"status": "completed"}
    counts = {"total_experiments": 1, "completed": 1, "failed": 0, "errors": 0, "interrupted": 0, "pending": 0}
    files = {
        "plan.json": {},
        "experiment_summary.json": {**counts, "results": {"a": entry}},
        "a/experiment_result.json": entry,
        "a/experiment_metadata.json": {"environment": {"RUNNER_JOB_ID": "m1"}},
    }
    for name, record in files.items():
        (job.parent / name).write_text(json.dumps(record))
    tell(tmp_path, "begin", step=0)
    tell(tmp_path, "end", code=0)
    watching = Witness(tmp_path)
    watching.look()
    return watching


def tell(folder: Path, event: str, **more: object) -> None:
    line = {"event": event, "name": "a", "pid": 1, "start": "1", "mark": "m1", "at": time.monotonic(), **more}
    with (folder / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps(line) + "\n")


def found(witness: Witness) -> set[str]:
    witness.check({"a": "completed"})
    return set(witness.faults)


def test_a_correct_batch_has_no_fault(witness: Witness) -> None:
    assert found(witness) == set()


def test_a_result_that_vanishes_is_lost(witness: Witness) -> None:
    assert witness.batch is not None
    (witness.batch / "a/experiment_result.json").unlink()
    assert "lost" in found(witness)


def test_half_a_record_is_unparsable(witness: Witness) -> None:
    assert witness.batch is not None
    (witness.batch / "a/supervisor.json").write_text('{"schema": ')
    assert found(witness) == {"unparsable"}


def test_a_job_that_begins_after_its_success_was_on_disk_ran_again(witness: Witness) -> None:
    tell(witness.folder, "begin", step=0, mark="m2")
    assert found(witness) == {"run again"}


def test_a_completed_attempt_that_was_archived_ran_again(witness: Witness) -> None:
    assert witness.batch is not None
    aside = witness.batch / "a/attempt_1"
    aside.mkdir()
    for name in ("experiment_result.json", "experiment_metadata.json"):
        (aside / name).write_bytes((witness.batch / "a" / name).read_bytes())
    assert found(witness) == {"run again"}


def test_two_attempts_at_once_overlap(witness: Witness) -> None:
    tell(witness.folder, "overlap", other=2)
    assert found(witness) == {"overlapping"}


def test_completed_without_an_end_is_wrong(witness: Witness) -> None:
    witness.journal.write_text("")
    tell(witness.folder, "saved")
    assert found(witness) == {"wrong"}


def test_a_checkpoint_that_is_not_resumed_from_is_wrong(witness: Witness) -> None:
    witness.completed.clear()
    tell(witness.folder, "checkpoint", step=4)
    tell(witness.folder, "begin", step=0)
    assert "wrong" in found(witness)


def test_a_temporary_file_that_stays_is_left_over(witness: Witness) -> None:
    assert witness.batch is not None
    (witness.batch / "a/.experiment_result.json.1.tmp").write_text("{")
    assert found(witness) == {"left over"}
