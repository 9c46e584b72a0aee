"""The pure functions of a supervisor, table by table: what an end means, what is told of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from runner.core.result import Result
from runner.disk import layout
from runner.supervisor import (
    exit_codes,
    explanation,
    out_of_memory,
    outcome,
)
from runner.supervisor.messages import Ended, Refused, Request, Started, read_event
from runner.supervisor.out_of_memory import KillCounters
from runner.supervisor.outcome import Ending, ending
from tests.faults import request

HEAD = ["Traceback (most recent call last):", '  File "t.py", line 1, in f', "    g()"]


# Ends


@pytest.mark.parametrize(
    ("status", "because", "expected"),
    [
        (0, None, ("completed", 0, None, None)), (1 << 8, None, ("failed", 1, None, None)),
        (9, None, ("killed", None, "SIGKILL", None)), (1, None, ("killed", None, "SIGHUP", None)),
        (0, "timeout", ("timeout", 0, None, None)),
        (137 << 8, None, ("failed", 137, None, "SIGKILL")), (137 << 8, "timeout", ("timeout", 137, None, None)),
        (50, None, ("killed", None, "signal 50", None)), (None, None, ("error", None, None, None)),
        (None, "stalled", ("stalled", None, None, None)), (1 << 8, "diverged", ("failed", 1, None, None)),
    ],
)  # fmt: skip
def test_a_wait_status_is_an_end(status: int | None, because: str | None, expected: tuple[object, ...]) -> None:
    found = ending(status, because)
    assert (found.status, found.return_code, found.signal, found.command_signal) == expected
    assert found.diverged == (because == "diverged")


def test_an_end_is_one_sentence(tmp_path: Path) -> None:
    asked = request(tmp_path / "a", "t", timeout=90.0, stall_timeout=2.5)
    ends = [
        (Ending("completed", 0), None), (Ending("error"), None), (Ending("diverged", 1), "stopped by --on_nan stop"),
        (Ending("timeout"), "stopped after 90 s, the limit of --timeout"),
        (Ending("stalled"), "stopped after 2.5 s without output or metrics, the limit of --stall_timeout"),
        (Ending("interrupted", 0), "interrupted"),
        (Ending("interrupted", None, "SIGTERM"), "interrupted (ended by SIGTERM)"),
        (Ending("killed", None, "SIGKILL"), "killed by SIGKILL (not sent by this runner)"),
        (Ending("killed", None, "SIGTERM"), "killed by SIGTERM (not sent by this runner)"),
        (Ending("killed", None, "SIGSEGV"), "killed by SIGSEGV"), (Ending("failed", 3), "exit code 3"),
        (Ending("failed", 143), "exit code 143: its command was killed by SIGTERM"),
    ]  # fmt: skip
    assert [outcome.cause(end, asked) for end, _ in ends] == [sentence for _, sentence in ends]
    assert outcome.cause(Ending("failed", 3), asked, "held") == "exit code 3; held"
    assert outcome.cause(Ending("error"), asked, "held") == "held"


def test_the_last_value_of_each_metric_counts(tmp_path: Path) -> None:
    path = tmp_path / layout.METRICS
    deep, deeper = ("[" * levels + "]" * levels for levels in (64, 65))
    path.write_text(
        '{"a": 1, "b": 2}\n[1]\n{"torn": \n{"a": 3, "huge": 9223372036854775808, "large": 9223372036854775807}\n'
        f'{{"deep": {deep}, "deeper": {deeper}, "nonfinite": {{"a": "NaN"}}, "s": "x"}}\n{{"last": 1'
    )
    found = outcome.final_metrics(str(path))
    assert set(found) == {"a", "b", "large", "deep", "s"} and (found["a"], found["b"]) == (3, 2)
    path.write_text('{"nonfinite": 1}\n')
    assert outcome.final_metrics(str(path)) == {"nonfinite": 1} and outcome.final_metrics("/gone") == {}


def test_a_job_may_report_another_folder(tmp_path: Path) -> None:
    paths = layout.JobPaths(tmp_path)
    assert outcome.run_dir(paths) is None
    for text, found in (('{"run_dir": "/x"}', "/x"), ('{"run_dir": 3}', None), ("[", None)):
        (tmp_path / layout.JOB_REPORT).write_text(text)
        assert outcome.run_dir(paths) == found


def test_exit_codes_name_signals_that_end_a_program() -> None:
    assert [exit_codes.signal_behind(code) for code in (0, 128, 129, 137, 143, 145, 255)] == [
        None, None, "SIGHUP", "SIGKILL", "SIGTERM", None, None
    ]  # fmt: skip
    assert exit_codes.not_started(127, ["a: command not found", "b: not found", "x"]) == "command not found: b"
    assert exit_codes.not_started(126, ["x: Permission denied"]) == "not executable: x"
    assert exit_codes.not_started(125, ["x: Permission denied"]) == exit_codes.not_started(127, ["x"]) == ""


# Messages


def test_requests_and_events_survive_the_pipe(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "argv": ["a"], "env": {"A": "b"}, "cwd": "/c", "out_dir": "/r/t/a", "timeout": 1.5, "stall_timeout": None,
        "keep_running": True, "grace": [1, 2, 3], "log_timestamps": "all", "formats": ["m:f"], "path": ["/p"],
        "metric_patterns": ["x"], "checkpoints": ["*.pt"], "config": "c", "own": ["o"], "script": "s", "root": "/r",
        "not_secret": ["n"], "nonce": "q", "nan_patience": 2, "max_log_mb": 1.0, "causes": "f",
    }  # fmt: skip
    asked = Request(**values, result=Result({"attempt": 2}))
    again = Request.from_line(asked.to_line())
    assert {name: getattr(again, name) for name in values} == values and again.result == Result({"attempt": 2})
    plain = request(tmp_path / "b", "x")
    assert (plain.checkpoints, plain.own, plain.not_secret, plain.nonce, plain.causes) == ([], [], [], "", "")
    assert (plain.config, plain.script, plain.nan_patience, plain.max_log_mb) == (None, None, 0, None)
    assert again.place.root == "/r" and again.place.names == ("t", "a")
    assert Request.from_line(request(tmp_path / "a", "x").to_line()).root == str(tmp_path)
    started, refused = read_event(Started(7, "now").to_line()), read_event(Refused(11, "no room").to_line())
    ended = read_event(Ended(Result({"status": "failed"}), "full").to_line())
    assert isinstance(started, Started) and (started.pid, started.time) == (7, "now")
    assert isinstance(refused, Refused) and (refused.number, refused.cause) == (11, "no room")
    assert isinstance(ended, Ended) and (ended.result.status, ended.unwritten) == ("failed", "full")


# Memory


def test_a_counter_that_rose_is_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, vmstat, groups = tmp_path / "own", tmp_path / "vmstat", tmp_path / "groups"
    for name in ("VMSTAT", "CGROUPS", "OWN"):
        monkeypatch.setattr(out_of_memory, name, str({"VMSTAT": vmstat, "CGROUPS": groups, "OWN": own}[name]))
    assert out_of_memory.cgroup_files() == [] and KillCounters().risen() is None
    own.write_text("0::/a/b\n5:cpu,memory:/c\n6:cpu:/d\n")
    files = [groups / "a/b/memory.events", groups / "memory/c/memory.oom_control"]
    assert out_of_memory.cgroup_files() == list(map(str, files))
    for path in files:
        path.parent.mkdir(parents=True)
        path.write_text("oom 9\noom_kill 2\noom_kill_disable 0\n")
    vmstat.write_text("oom_kill 5\n")
    counters = KillCounters()
    assert counters.risen() is None
    vmstat.write_text("oom_kill 6\n")
    assert counters.risen() == f"oom_kill in {vmstat} rose from 5 to 6"
    files[1].write_text("oom_kill 3\n")
    assert counters.risen() == f"oom_kill in {files[1]} rose from 2 to 3"
    files[1].write_text("odd")
    vmstat.unlink()
    assert counters.risen() is None


def test_words_about_memory_count_in_the_last_lines(tmp_path: Path) -> None:
    lines = ["Out of memory", "x", "MemoryError", "y"]
    assert [out_of_memory.printed(lines, most) for most in (9, 4, 2, 1, 0)] == [2, 2, 2, None, None]
    assert out_of_memory.printed(lines[:2], 2) == 0 and out_of_memory.printed(lines[:2], 1) is None


def test_processes_of_a_job_are_killed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score = tmp_path / "score"
    monkeypatch.setattr(out_of_memory, "SCORE", str(score))
    out_of_memory.be_killed_first()
    for before, after in (("0\n", "300"), ("299\n", "300\n"[:3]), ("300\n", "300\n"), ("900\n", "900\n"), ("x", "x")):
        score.write_text(before)
        out_of_memory.be_killed_first()
        assert score.read_text().startswith(after)


# Explanations


def explained(folder: Path, end: Ending, stderr: str = "", stdout: str = "", **more: Any) -> tuple[Result, str]:
    asked = request(folder / "a", "t", timeout=9.0)
    for name, text in ((layout.STDERR, stderr), (layout.STDOUT, stdout)):
        (folder / "a" / name).write_text("".join(f"{line}\n" for line in text.split("\n") if text))
    for name, text in more.items():
        (folder / "a" / f"{name}.json").write_text(text)
    return explanation.explained(end, asked, KillCounters(), Result({"error": outcome.cause(end, asked)}))


AT = "2026-11-26 02:00:0{}.000 "


def test_an_explanation_has_a_sentence_a_cause_and_its_evidence(tmp_path: Path) -> None:
    trace = "\n".join(AT.format(1) + line for line in (*HEAD, "ValueError: bad 7"))
    result, details = explained(tmp_path, Ending("failed", 1), trace)
    assert result.error == "exit code 1: ValueError: bad 7" and details.endswith("ValueError: bad 7\n")
    offset = trace.encode().index(AT.format(1).encode() + b"ValueError")
    assert result.cause == "code" and result.cause_sure
    assert result.cause_evidence == {"line": "ValueError: bad 7", "file": "stderr.log", "offset": offset}
    assert result.failure_signature == "ValueError: bad N (t.py:1 in f)"
    result, _ = explained(tmp_path, Ending("timeout"), stdout=AT.format(1) + "working")
    assert (
        result.error == "stopped after 9 s, the limit of --timeout; its last output: working" and result.cause is None
    )
    result, details = explained(
        tmp_path, Ending("interrupted", 1), trace.replace("ValueError: bad 7", "KeyboardInterrupt")
    )
    assert result.error == "interrupted" and details == "" and result.cause is None
    result, _ = explained(tmp_path, Ending("failed", 1), error='{"type": "Odd", "message": "at 5", "traceback": "tb"}')
    assert result.error == "exit code 1: Odd: at 5" and result.cause == "code"
    assert result.cause_evidence == {"line": "Odd: at 5", "file": "error.json", "offset": None}


def test_a_training_that_worked_on_did_not_die_of_what_it_logged(tmp_path: Path) -> None:
    def error(later: str) -> str:
        trace = "\n".join(AT.format(1) + line for line in (*HEAD, "ValueError: bad"))
        return explained(tmp_path, Ending("failed", 1), trace, later + "iter 5: loss 2.0")[0].error or ""

    assert error(AT.format(3)) == "exit code 1" and error(AT.format(2)).endswith("bad")
    assert error("2026-11-26 02:01:00.000 ") == error("2026-11-26 03:00:00.000 ") == "exit code 1"
    assert error("2026-11-26 01:59:59.000 ").endswith("bad") and error("not a time, of 24 by.. ").endswith("bad")
    seconds = [explanation._second(f"2026-11-26 {time} x".encode()) for time in ("02:03:04.500", "23:59:59.999", "odd")]
    assert seconds == [7384.5, pytest.approx(86399.999), 0.0]


def test_a_signal_is_explained_by_what_the_kernel_counted_or_the_job_printed(tmp_path: Path) -> None:
    killed = Ending("killed", None, "SIGKILL")
    result, _ = explained(tmp_path, killed, AT.format(1) + "slurmstepd: oom_kill event")
    assert result.error == "killed by SIGKILL (not sent by this runner): memory ran out: slurmstepd: oom_kill event"
    assert (result.cause, result.cause_sure) == ("host_oom", False) and result.cause_evidence["offset"] == 0
    result, _ = explained(tmp_path, killed, AT.format(1) + "CUDA out of memory")
    assert result.cause == "unknown"
    result, _ = explained(tmp_path, Ending("killed", None, "SIGUSR1"), AT.format(1) + "error: x")
    assert (result.cause, result.cause_sure) == ("unknown", False)
    assert explanation._only_names("SIGKILL", "Killed") and not explanation._only_names("SIGKILL", "killed it")
    assert explanation._only_names("SIGSEGV", f"{signal.strsignal(signal.SIGSEGV)} (core dumped)")
    result, _ = explained(tmp_path, Ending("failed", 137), AT.format(1) + "Killed")
    assert result.error == "exit code 137: its command was killed by SIGKILL"


def test_secrets_in_what_a_job_printed_are_hidden(tmp_path: Path) -> None:
    line = AT.format(1) + "error: bad --api_key=Xy12Xy12Xy"
    result, _ = explained(tmp_path, Ending("failed", 1), line)
    assert "Xy12" not in str(result.to_json()) and result.cause_evidence["line"] == "error: bad --api_key=***"
    assert os.fspath(tmp_path) not in (result.failure_signature or "")
