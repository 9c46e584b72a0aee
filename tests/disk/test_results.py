"""Records of jobs and batches: what is written, and what is read from a folder in each state. No processes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.core.job import Attempt, Job
from runner.core.result import Result
from runner.core.state import (
    COMPLETED,
    ERROR,
    FAILED,
    LOST,
    PENDING,
    RUNNING,
    UNREADABLE,
    Finished,
    Outcome,
    Record,
    Running,
)
from runner.disk import layout, nonce, results, supervisor_file
from runner.disk.place import Place
from runner.disk.record_file import Unreadable
from runner.disk.results import Unfinished
from runner.disk.supervisor_file import SupervisorRecord
from runner.processes import process_id
from tests.conftest import read
from tests.engine.fakes import job

GONE = ["7", "1", process_id.own()[2]]


def supervised(one: Job, supervisor: list[str] = GONE, **more: Any) -> None:
    one.out_dir.mkdir(parents=True, exist_ok=True)
    record = {"supervisor": supervisor, "job": ["8", "2", "b"], "attempt": 3, "argv": ["x"], "started_at": "s", **more}
    supervisor_file.write(Place.of_job(one), SupervisorRecord.from_json(record))


def ended(one: Job, status: str = COMPLETED, **entries: Any) -> None:
    one.out_dir.mkdir(parents=True, exist_ok=True)
    found = Result({"status": status, "fingerprint": one.fingerprint, **entries})
    assert results.write_result(one, found) is None


# Batches


def test_a_batch_is_opened_once_and_is_the_latest(tmp_path: Path) -> None:
    root = tmp_path / "deep/base/one"
    results.open_batch(root)
    assert root.is_dir() and (root.parent / "latest").readlink() == Path("one")
    with pytest.raises(results.Taken):
        results.open_batch(root)
    results.open_batch(root.parent / "two")
    assert (root.parent / "latest").readlink() == Path("two") and len(list(root.parent.iterdir())) == 3
    (root.parent / f".latest.{os.getpid()}").write_text("of a crash")
    results.point_latest_to(root)
    assert (root.parent / "latest").readlink() == Path("one") and len(list(root.parent.iterdir())) == 3


def test_a_folder_at_the_name_of_a_link_stays(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    (tmp_path / "best/file").touch()
    results.link(tmp_path / "best", "run_1")
    assert not (tmp_path / "best").is_symlink() and [path.name for path in tmp_path.iterdir()] == ["best"]


def test_half_of_a_view_is_removed_when_an_output_root_is_opened(tmp_path: Path) -> None:
    root = tmp_path / "deep/root"
    results.open_root(root)
    results.write_view(root, "_views/a/summary.json", {"n": 1})
    results.write_view(root, "_views/table.csv", b"a,b")
    left = [root / "_views/.table.csv.7.tmp", root / "views/.table.csv.7.tmp"]
    left[1].parent.mkdir()
    for path in left:
        path.touch()
    (root / "_file").touch()
    results.open_root(root)
    assert [path.exists() for path in left] == [False, True] and (root / "_file").exists()
    assert read(root / "_views/a/summary.json") == {"n": 1} and (root / "_views/table.csv").read_bytes() == b"a,b"


def test_the_exit_code_of_a_run_is_kept_until_the_next_one_begins(tmp_path: Path) -> None:
    assert results.read_end(tmp_path) is None
    results.write_end(tmp_path, 255)
    assert results.read_end(tmp_path) == 255 and read(tmp_path / layout.END)["schema"] == 1
    results.remove_end(tmp_path)
    results.remove_end(tmp_path)
    assert not (tmp_path / layout.END).exists()
    for odd, found in (({"exit_code": 256}, None), ({"exit_code": -1}, None), ({}, None), ({"exit_code": 0}, 0)):
        (tmp_path / layout.END).write_text(json.dumps(odd))
        assert results.read_end(tmp_path) == found
    results.write_end(tmp_path / "gone", 0)  # a disk that fails
    results.remove_end(tmp_path / "gone")


# What is written of a job


def test_metadata_hold_the_plan_of_the_job_without_its_secrets(tmp_path: Path) -> None:
    one = replace(
        job("a", tmp_path), argv=("t", "--token", "Xy12Xy12Xy"), source=tmp_path / "c.py", volatile=("now",),
        config={"lr": 0.1, "api_key": "abc"}, overrides={"lr": "0.1"}, adjusted={"batch": (8, 4)},
    )  # fmt: skip
    found = results.metadata(Attempt(one, 2, one.argv, {"HF_TOKEN": "x", "A": "b"}, nonce="n"), {"host": "gpu1"})
    start = found.pop("start_time")
    assert start.startswith("20") and found == {
        "schema": 1, "config_name": "a", "config_path": f"{tmp_path}/c.py", "experiment_dir": f"{tmp_path}/a",
        "command": ["t", "--token", "***"], "attempt": 2, "working_dir": str(tmp_path), "overrides": {"lr": "0.1"},
        "config": {"lr": 0.1, "api_key": "***"}, "volatile": ["now"], "fingerprint": one.fingerprint,
        nonce.DIGEST: nonce.digest("n"), "environment": {"HF_TOKEN": "***", "A": "b"}, "adjusted": {"batch": [8, 4]},
        "host": "gpu1",
    }  # fmt: skip
    plain = results.metadata(Attempt(job("b", tmp_path), 1, ("true",), {}), {})
    assert plain["config_path"] is None and "adjusted" not in plain


def test_a_job_without_a_supervisor_is_recorded_as_an_error(tmp_path: Path) -> None:
    one = replace(job("a", tmp_path), source=tmp_path / "c.py")
    found = results.lost(Attempt(one, 2, ("t", "--token=Xy12Xy12Xy"), {}), "it died at --token=Xy12Xy12Xy", "then")
    known = found.to_json()
    end = known.pop("end_time")
    assert end.startswith("20") and known == {
        "schema": 1, "config_name": "a", "config_path": f"{tmp_path}/c.py", "experiment_dir": f"{tmp_path}/a",
        "log_files": {name: f"{tmp_path}/a/{name}.log" for name in ("stdout", "stderr", "combined")},
        "command": ["t", "--token=***"], "attempt": 2, "fingerprint": one.fingerprint, "status": ERROR,
        "return_code": None, "signal": None, "start_time": "then", "duration_seconds": 0.0,
        "error": "it died at --token=***", "final_checkpoint": None, "final_metrics": {}, "best_metrics": {},
        "warnings": [], "run_dir": None,
    }  # fmt: skip


def test_settings_other_than_planned_are_read_from_the_result_and_else_from_the_metadata(tmp_path: Path) -> None:
    one = job("a", tmp_path)
    assert results.adjusted(one) == {}
    one.out_dir.mkdir()
    (one.out_dir / layout.METADATA).write_text('{"adjusted": {"batch": [8, 4]}}')
    assert results.adjusted(one) == {"batch": (8, 4)}
    (one.out_dir / layout.RESULT).write_text('{"adjusted": {}}')
    assert results.adjusted(one) == {"batch": (8, 4)}
    (one.out_dir / layout.RESULT).write_text('{"adjusted": {"batch": [8, 2], "lr": [1, "x"]}}')
    assert results.adjusted(one) == {"batch": (8, 2)}


def test_a_result_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    one = job("a", tmp_path)
    assert results.write_result(one, Result({})) == f"{tmp_path}/a/{layout.RESULT}: No such file or directory"
    supervised(one, host="gpu9")
    assert results.write_result(one, Result({})) == f"{tmp_path}/a: the job runs on gpu9, which writes its result"
    assert not (one.out_dir / layout.RESULT).exists()


# What is read of a job


def test_the_record_of_a_result_holds_all_that_it_says(tmp_path: Path) -> None:
    one = job("a", tmp_path)
    result = Result({
        "status": FAILED, "return_code": 1, "signal": None, "error": "e", "command_signal": "SIGTERM", "cause": "oom",
        "start_time": "s", "end_time": "t", "duration_seconds": 2.5, "attempt": 4,
    })  # fmt: skip
    outcome = Outcome(FAILED, 1, None, "e", "SIGTERM", "oom", True)
    assert results.record(one, result) == Record(one, Finished("s", "t", 2.5, outcome, result), 4)
    bare = results.record(one, Result({"status": FAILED}))
    assert bare == Record(one, Finished(None, "", 0.0, Outcome(FAILED), Result({"status": FAILED})))


def test_a_job_is_done_once_it_completed_the_same_work(tmp_path: Path) -> None:
    one = job("a", tmp_path)
    assert results.finished(one) is None and results.read_record(one) == Record(one)
    ended(one, FAILED)
    assert results.finished(one) is None
    assert results.read_record(one).status == FAILED and results.read_record(one).cached
    ended(one)
    found = results.finished(one)
    assert found is not None and found.cached and found.status == COMPLETED
    other = replace(one, argv=("false",))
    assert results.finished(other) is None and results.read_record(other) == Record(other)
    (one.out_dir / layout.RESULT).write_text("[")
    assert results.finished(one) is None and results.read_record(one) == Record(one)
    assert isinstance(results.look(one.out_dir), Unreadable) and results.read_result(one) is None


def test_a_result_without_the_nonce_of_the_attempt_is_none(tmp_path: Path) -> None:
    one = job("a", tmp_path)
    ended(one, nonce="n")
    (one.out_dir / layout.METADATA).write_text(json.dumps({nonce.DIGEST: nonce.digest("n")}, indent=2))
    assert results.finished(one) is not None
    ended(one, nonce="other")
    assert results.look(one.out_dir) is None
    ended(one)
    assert results.look(one.out_dir) is None
    ended(one, ERROR)
    assert results.look(one.out_dir) is not None
    assert len({nonce.new(), nonce.new()}) == 2 and len(nonce.new()) == 32


def test_a_job_on_another_host_is_running_there_until_its_end_is_recorded(tmp_path: Path) -> None:
    one = job("a", tmp_path)
    assert results.runs_on_other_host(one) is None
    supervised(one)
    assert results.runs_on_other_host(one) is None and results.read_record(one) == Record(one)
    supervised(one, host="gpu9")
    found = results.read_record(one)
    assert found == Record(one, Running("s", 8, ("x",), "gpu9"), 3)
    path = f"{tmp_path}/a/{layout.SUPERVISOR}"
    assert results.running_elsewhere(found) == (
        f"a: running on gpu9, not started here; if it does not run there any more, delete {path}"
    )
    supervised(one, host="gpu9", job=None, started_at=None)
    assert results.read_record(one) == Record(one, Running("", 0, ("x",), "gpu9"), 3)
    ended(replace(one, out_dir=tmp_path / "b"))
    (tmp_path / "b" / layout.RESULT).rename(one.out_dir / layout.RESULT)
    assert results.runs_on_other_host(one) is None and results.read_record(one).status == COMPLETED
    assert results.running_elsewhere(Record(one)) is None
    assert results.running_elsewhere(Record(one, Running("", 1))) is None


def test_a_job_without_a_result_is_pending_lost_running_or_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = job("a", tmp_path)
    broken = Unreadable("experiment_result.json: is not JSON")
    assert results.unfinished(one.out_dir) == Unfinished(PENDING)
    assert results.unfinished(one.out_dir, broken) == Unfinished(UNREADABLE, error=broken.why)
    supervised(one)
    assert results.unfinished(one.out_dir) == Unfinished(LOST, 8, 3, "s")
    assert results.unfinished(one.out_dir, broken) == Unfinished(UNREADABLE, error=broken.why)
    supervised(one, host="gpu9")
    assert results.unfinished(one.out_dir, broken) == Unfinished(RUNNING, 8, 3, "s", "gpu9")
    supervised(one)
    monkeypatch.setattr(SupervisorRecord, "alive", True)
    assert results.unfinished(one.out_dir, broken) == Unfinished(RUNNING, 8, 3, "s")
    (one.out_dir / layout.SUPERVISOR).write_text("[")
    found = results.unfinished(one.out_dir)
    assert found.status == UNREADABLE and (found.error or "").startswith("supervisor.json: ")


def test_gpus_are_those_that_the_metadata_name(tmp_path: Path) -> None:
    assert results.assigned_gpus(tmp_path) == () and results.gpus_of({}) == {}
    entries = results.gpus_of({"gpus": [{"index": 2, "uuid": "GPU-x"}]})
    assert entries == {"assigned_gpus": [{"index": 2, "uuid": "GPU-x"}]}
    (tmp_path / layout.METADATA).write_text(json.dumps(entries))
    assert results.assigned_gpus(tmp_path) == ("2",)
