"""One supervisor from its request to its result, in a fork of the test: what it records, and tells its engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.core.result import Result
from runner.disk import layout
from runner.processes import process_tree
from runner.supervisor import __main__ as program
from runner.supervisor import watch
from runner.supervisor.messages import Ended, Event, Refused, Request, Started, read_event
from tests.conftest import alive, read, wait_until
from tests.faults import request

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a subreaper")


def changed(asked: Request, **changes: Any) -> Request:
    values = {name: getattr(asked, name) for name in asked.__slots__}
    return Request(**{**values, **changes})


def supervised(asked: Request, commands: bytes = b"", *, leave: bool = False) -> tuple[list[Event], int]:
    """The events of a supervisor, and its exit code. `leave`: the engine is gone as soon as the job has started."""
    (control, engine), (events, out) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(engine)
        os.close(events)
        os.dup2(control, 0)
        os.dup2(out, 1)
        code = 99
        try:
            code = program.main()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    os.close(control)
    os.close(out)
    os.write(engine, asked.to_line() + commands)
    with os.fdopen(events, "rb") as file:
        first = file.readline()
        if leave:
            os.close(engine)
        lines = [first, *file.read().splitlines()]
    if not leave:
        os.close(engine)
    return [read_event(line) for line in lines if line.strip()], os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_job_that_failed_is_recorded_with_all_that_it_left(tmp_path: Path) -> None:
    script = (
        "echo out; echo 'iter 5: loss 2.5'; echo 'error: no room' >&2; echo x > a/ckpt_1.pt;"
        'echo \'{"run_dir": "/elsewhere"}\' > a/job.json; exit 3'
    )
    asked = changed(
        request(tmp_path / "a", "sh", "-c", script), nonce="n", env={process_tree.MARK: "m"},
        metric_patterns=[r"iter (?P<iter>\d+): loss (?P<loss>\S+)"],
    )  # fmt: skip
    (started, ended), code = supervised(asked)
    assert code == 0 and isinstance(started, Started) and isinstance(ended, Ended) and ended.unwritten is None
    record = read(tmp_path / "a" / layout.RESULT)
    assert ended.result.to_json() == record and record["start_time"] == started.time
    known = {"status": "failed", "return_code": 3, "signal": None, "error": "exit code 3: error: no room", "nonce": "n",
             "final_metrics": {"iter": 5, "train/loss": 2.5}, "run_dir": "/elsewhere", "warnings": [],
             "final_checkpoint": f"{tmp_path}/a/ckpt_1.pt", "config_name": "a"}  # fmt: skip
    assert {name: record[name] for name in known} == known
    assert record["best_metrics"]["train/loss"]["value"] == 2.5 and set(record["resources"]) == {
        "cpu_seconds",
        "max_rss",
    }
    assert not {"command_signal", "log_errors", "unread_bytes", "gpu_memory_peak_mb"} & set(record)
    logs = [[line[24:] for line in (tmp_path / "a" / name).read_text().splitlines()] for name in layout.LOGS]
    assert logs[:2] == [["out", "iter 5: loss 2.5"], ["error: no room"]] and "[stderr] error: no room" in logs[2]
    assert not (tmp_path / "a" / layout.SUPERVISOR).exists() and not (tmp_path / "a" / layout.ERROR_DETAILS).exists()


def test_a_job_that_completed_has_no_error_and_its_leftovers_are_ended(tmp_path: Path) -> None:
    script = "setsid sleep 600 > /dev/null 2>&1 & echo $! > left; echo done"
    (_, ended), code = supervised(request(tmp_path / "a", "sh", "-c", script))
    assert code == 0 and isinstance(ended, Ended)
    assert (ended.result.status, ended.result.return_code, ended.result.error) == ("completed", 0, None)
    assert ended.result.nonce is None and ended.result.cause is None and ended.result.seconds < 600
    left = int((tmp_path / "left").read_text())
    wait_until(lambda: not alive(left), "what the job left has ended")


def test_a_traceback_is_kept_beside_the_result(tmp_path: Path) -> None:
    (_, ended), _ = supervised(request(tmp_path / "a", sys.executable, "-c", "raise ValueError('odd')"))
    assert isinstance(ended, Ended) and ended.result.error == "exit code 1: ValueError: odd"
    assert (tmp_path / "a" / layout.ERROR_DETAILS).read_text().endswith("ValueError: odd\n")


@pytest.mark.parametrize(("commands", "leave"), [(b"stop\n", False), (b"kill\n", False), (b"", True)])
def test_a_job_is_stopped_at_once_when_the_engine_asks_or_is_gone(tmp_path: Path, commands: bytes, leave: bool) -> None:
    (_, ended), code = supervised(request(tmp_path / "a", "sleep", "600"), commands, leave=leave)
    assert code == 0 and isinstance(ended, Ended) and ended.result.status == "interrupted"
    killed = commands == b"kill\n"
    assert ended.result.signal == ("SIGKILL" if killed else "SIGINT")
    assert ended.result.error == f"interrupted (ended by {ended.result.signal})" and ended.result.cause is None


def test_a_loss_that_is_not_finite_stops_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LEAVES_ITSELF", 0.1)
    monkeypatch.setattr(watch, "LONGEST_POLL", 50.0)
    script = 'for i in 1 2 3; do echo "{\\"iter\\": $i, \\"loss\\": NaN}" >> a/metrics.jsonl; done; exec sleep 600'
    (_, ended), _ = supervised(changed(request(tmp_path / "a", "sh", "-c", script), nan_patience=2))
    assert isinstance(ended, Ended) and (ended.result.status, ended.result.cause) == ("failed", "diverged")
    assert (ended.result.error or "").startswith("stopped by --on_nan stop: loss is NaN in 2 rows of metrics.jsonl")


def test_what_a_job_measures_before_its_reader_is_there_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LEAVES_ITSELF", 0.1)
    monkeypatch.setattr(watch, "LONGEST_POLL", 50.0)
    written = program.write_pid_records

    def late(*words: object) -> None:
        written(*words)  # type: ignore[arg-type]
        wait_until((tmp_path / "a" / "done").exists, "the job has written its metrics")

    monkeypatch.setattr(program, "write_pid_records", late)
    row = '{\\"iter\\": 1, \\"loss\\": NaN}'
    script = f'for i in 1 2; do echo "{row}" >> a/metrics.jsonl; done; touch a/done; exec sleep 600'
    (_, ended), _ = supervised(changed(request(tmp_path / "a", "sh", "-c", script), nan_patience=2))
    assert isinstance(ended, Ended) and (ended.result.status, ended.result.cause) == ("failed", "diverged")


def test_what_cannot_be_started_is_an_error_and_what_cannot_now_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ended,), code = supervised(request(tmp_path / "a", "/no/such/program"))
    assert code == 0 and isinstance(ended, Ended) and ended.result.status == "error"
    assert ended.result.error == "cannot start '/no/such/program': No such file or directory"
    assert "resources" not in ended.result.to_json() and ended.result.return_code is None

    def full(*words: object, **more: object) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(program.JobProcess, "check", full)
    (refused,), code = supervised(request(tmp_path / "b", "true"))
    assert code == 0 and isinstance(refused, Refused) and refused.number == 11
    assert refused.cause == "cannot start 'true': Resource temporarily unavailable"
    monkeypatch.setattr(program, "JobProcess", full)
    (refused,), code = supervised(request(tmp_path / "c", "true"))
    assert isinstance(refused, Refused) and refused.cause == "cannot start 'true': Resource temporarily unavailable"
    assert not (tmp_path / "b" / layout.RESULT).exists() and not (tmp_path / "c" / layout.RESULT).exists()


def test_an_end_that_cannot_be_written_or_explained_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "RECORD_RETRIES", 0.0)
    (tmp_path / "a" / layout.RESULT / "x").mkdir(parents=True)
    (_, ended), code = supervised(request(tmp_path / "a", "true"))
    assert (
        code == 1 and isinstance(ended, Ended) and (ended.unwritten or "").startswith(f"{tmp_path}/a/{layout.RESULT}: ")
    )
    assert (tmp_path / "a" / layout.SUPERVISOR).exists()
    from runner.supervisor import explanation

    def odd(*words: object) -> None:
        raise IndexError

    monkeypatch.setattr(explanation, "explained", odd)
    (_, ended), _ = supervised(request(tmp_path / "b", "false"))
    assert isinstance(ended, Ended) and ended.result.error == "exit code 1; its output cannot be explained (IndexError)"


def test_a_job_on_gpus_has_what_the_engine_saw_of_them(tmp_path: Path) -> None:
    script = 'echo \'{"attempt": 1, "gpu_memory_peak_mb": 7}\' > a/gpu_use.json'
    plain = request(tmp_path / "a", "sh", "-c", script)
    (_, ended), _ = supervised(changed(plain, result=Result({**plain.result.to_json(), "gpus": [{"index": 0}]})))
    assert isinstance(ended, Ended) and ended.result.to_json()["gpu_memory_peak_mb"] == 7


def test_a_command_that_a_signal_killed_and_a_signal_to_the_supervisor(tmp_path: Path) -> None:
    (_, ended), _ = supervised(request(tmp_path / "a", "sh", "-c", "exit 137"))
    assert isinstance(ended, Ended) and ended.result.command_signal == "SIGKILL"
    (_, ended), _ = supervised(request(tmp_path / "b", "sh", "-c", "kill -TERM $PPID; exec sleep 600"))
    assert isinstance(ended, Ended) and (ended.result.status, ended.result.signal) == ("interrupted", "SIGINT")
