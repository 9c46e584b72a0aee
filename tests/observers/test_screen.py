"""What a person sees: a table on a terminal, plain lines elsewhere, and no control characters from anybody."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.state import COMPLETED, Finished, Outcome, Record, Running
from runner.core.text import duration, plain
from runner.engine.events import (
    BatchEnded,
    BatchStarted,
    JobEnded,
    JobProgressed,
    JobStarted,
    JobWaiting,
    Tick,
)
from runner.engine.progress import Follower, Progress
from runner.observers.live import Screen
from runner.observers.plain import Lines
from runner.observers.registry import ObserverContext, make_observers, terminal_observer
from runner.reports import terminal
from tests.conftest import RUN_EXPERIMENTS, Workspace
from tests.terminals import on_a_terminal

TRAIN = """\
import time
for i in range(31):
    print(f'iter {i}: loss {3 - i / 20:.4f}, time 30.00ms, mfu 1.00%', flush=True)
    if i % 10 == 0: print(f'step {i}: train loss 2.5000, val loss {2.6 - i / 100:.4f}, lr 1e-3', flush=True)
    time.sleep(0.04)
"""


def frames(written: str) -> list[list[str]]:
    """Each drawing of the table as its rows, without colours."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    return [part.splitlines() for part in re.split(r"(?=job +state +iter)", text)[1:]]


def test_a_terminal_gets_a_live_table(work: Workspace) -> None:
    work.write("train.py", TRAIN)
    work.write("c/a.py", "max_iters = 30")
    work.write("c/b.py", "max_iters = 30")
    began = time.monotonic()
    written = on_a_terminal(work, "--configs", "c/*.py", "--train_script", "train.py")
    seconds = time.monotonic() - began
    drawn = frames(written)
    assert 3 <= len(drawn) <= 4 * seconds + 3  # at most four refreshes a second
    rows = [row for frame in drawn for row in frame]
    assert any(re.search(r"a +running +\d+/30 +[━╸]+─+ +2\.\d+ +2\.\d+ +[\d.]+ it/s", row) for row in rows)
    assert any(re.search(r"b +pending", row) for row in rows)
    assert any("to go" in row for row in rows)
    assert re.search(r"★  a .*completed", written) and "lowest val/loss: a, 2.3000" in written


def test_the_table_never_has_more_rows_than_the_screen(work: Workspace) -> None:
    work.write("job.py", "import time; time.sleep(0.1)")
    for number in range(30):
        work.write(f"c/{number}.py", "")
    written = on_a_terminal(work, "--configs", "c/*.py", "--train_script", "job.py", rows=12)
    drawn = frames(written)
    assert drawn and all(
        sum(bool(re.match(r"\d+ +(pend|run|comp)", row)) for row in frame[:13]) <= 8 for frame in drawn
    )


@pytest.mark.parametrize(("columns", "kept"), [(110, "speed"), (80, "loss"), (40, "iter")])
def test_a_narrow_screen_keeps_what_matters(work: Workspace, columns: int, kept: str) -> None:
    work.write("train.py", TRAIN)
    work.write(f"c/{'long_name_' * 5}.py", "max_iters = 30")
    written = on_a_terminal(work, "--configs", "c/*.py", "--train_script", "train.py", columns=columns, rows=12)
    rows = [row for frame in frames(written) for row in frame]
    assert any(kept in row for row in rows)
    assert any(re.match(r"long.*running +\d+/30", row) for row in rows)
    assert all(len(row) <= columns for frame in frames(written) for row in frame[:2])


def test_a_stream_that_cannot_show_a_sign_shows_the_rest(work: Workspace) -> None:
    work.write("job.py", "")
    work.write("a.py", "")
    done = work.run("--configs", "a.py", "--train_script", "job.py", env={"PYTHONIOENCODING": "ascii"}, code=0)
    assert "a: completed" in done.stdout.splitlines()[-3] and "Summary:" in done.stdout


@pytest.mark.parametrize("reader", ["head -n 1", "true"])
def test_a_dry_run_into_a_closed_pipe_is_quiet(work: Workspace, reader: str) -> None:
    for number in range(100):
        work.write(f"c/{number}.py", "")
    work.write("job.py", "")
    line = f"{sys.executable} {RUN_EXPERIMENTS} --configs 'c/*.py' --train_script job.py --dry-run | {reader}"
    done = subprocess.run(["bash", "-c", line], cwd=work.folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "odd", ["iter 5: loss 2.31.", f"iter {9**50}: loss 1", "step 1: loss nan, inf", "iter 5: loss ---"]
)
def test_odd_lines_of_a_job_never_end_the_batch(work: Workspace, odd: str) -> None:
    work.write("c/a.sh", f"echo '{odd}'; sleep 0.4")
    work.write("c/b.sh", "exit 0")
    work.run("--configs", "c/*.sh", "--command", "sh {config}", code=0)
    assert work.summary["completed"] == 2


@pytest.mark.parametrize(
    "row", ["[" * 100_000, '{"iter": ' + "9" * 5000 + "}", '{"iter": 1, "val/loss": 1' + "0" * 400 + "}", "[1]", "{"]
)
def test_odd_metrics_and_explanations_never_end_the_batch(work: Workspace, row: str) -> None:
    work.write("row", row + "\n")
    work.write("c/a.sh", "cp row $2/metrics.jsonl; cp row $2/error.json; sleep 0.4; exit 1")
    work.write("c/b.sh", "exit 0")
    work.run("--configs", "c/*.sh", "--command", "sh {config} --out {out_dir}", code=1)
    assert [work.summary["results"][name]["status"] for name in "ab"] == ["failed", "completed"]


def test_no_color_is_respected(work: Workspace) -> None:
    work.write("job.py", "raise SystemExit(1)")
    work.write("a.py", "")
    colour = re.compile(r"\x1b\[(3|4|9)\d")
    assert colour.search(on_a_terminal(work, "--configs", "a.py", "--train_script", "job.py"))
    assert not colour.search(on_a_terminal(work, "--configs", "a.py", "--train_script", "job.py", NO_COLOR="1"))


def test_control_characters_of_names_and_output_never_reach_the_terminal(work: Workspace) -> None:
    work.write("job.py", "import sys; sys.exit('\\x1b]0;owned\\x07\\x1b[2Jboom\\x9b31m')")
    work.write("c/a\x1b[31mred.py", "")
    done = work.run("--configs", "c/*.py", "--train_script", "job.py", code=1)
    assert "boom" in done.stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stdout)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", work.master_log())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\x1b[31mb\x1b[0m", "ab"), ("x\ny\tz", "x y z"), ("\x1b]0;title\x07name", "name"),
     ("café 中", "café 中"),
     ("user\u202egnp.exe", "user gnp.exe"), ("\ud800", "?")],
)  # fmt: skip
def test_plain_text(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0004, "0 ms"), (0.85, "850 ms"), (12.34, "12.3 s"), (59.97, "1 min 00 s"), (245, "4 min 05 s"),
     (3599.6, "1 h 00 min"),
     (12_000, "3 h 20 min"), (187_200, "2 d 04 h")],
)  # fmt: skip
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def plan_of(folder: Path, *names: str) -> Plan:
    jobs = tuple(Job(name, ("true",), folder / name, config={"max_iters": 100}) for name in names)
    return Plan("p", folder, jobs, PlanKind("files"), "2026-11-20T00:00:00+00:00")


def test_without_a_terminal_there_is_a_line_an_event_and_a_heartbeat(tmp_path: Path) -> None:
    stream, now = io.StringIO(), [0.0]
    lines = Lines(stream, clock=lambda: now[0])
    plan = plan_of(tmp_path, "a")
    lines(BatchStarted(plan))
    lines(JobStarted(Record(plan.jobs[0], Running("now", 1))))
    lines(JobProgressed(plan.jobs[0], Progress(30, 100, 2.5, 2.6, 10.0)))
    lines(Tick())
    assert "running for" not in stream.getvalue()
    now[0] = 61.0
    lines(Tick())
    lines(Tick())
    beats = [line for line in stream.getvalue().splitlines() if "running for" in line]
    assert len(beats) == 1
    assert beats[0].endswith("iter 30/100, loss 2.5000, val 2.6000, 10 it/s, ETA 7.0 s")


def test_a_heartbeat_explains_the_silence(tmp_path: Path) -> None:
    stream, now = io.StringIO(), [0.0]
    lines = Lines(stream, clock=lambda: now[0])
    plan = plan_of(tmp_path, "a", "b")
    lines(BatchStarted(plan))
    for job in plan.jobs:
        lines(JobStarted(Record(job, Running("now", 1))))
    lines(JobProgressed(plan.jobs[1], Progress(100, 100, 2.5, phase="evaluating")))
    now[0] = 61.0
    lines(Tick())
    beats = [line for line in stream.getvalue().splitlines() if "running for" in line]
    assert beats == [
        "a: running for 1 min 01 s, starting",
        "b: running for 1 min 01 s, evaluating, iter 100/100, loss 2.5000",
    ]


def test_the_table_knows_when_the_batch_will_be_done(tmp_path: Path) -> None:
    screen = Screen(io.StringIO(), clock=lambda: 0.0)
    plan = plan_of(tmp_path, "a", "b", "c", "d")
    screen(BatchStarted(plan))
    screen(JobStarted(Record(plan.jobs[0], Running("now", 1))))
    screen(JobEnded(Record(plan.jobs[0], Finished(None, "", 10.0, Outcome(COMPLETED, 0)))))
    screen(JobStarted(Record(plan.jobs[1], Running("now", 1))))
    screen(JobProgressed(plan.jobs[1], Progress(50, 100, speed=5.0)))
    # b: 50 iterations at 5 a second are 10 s; c and d take 10 s each, as a took and b will.
    assert screen.state.remaining() == pytest.approx(30.0)
    screen(BatchEnded([]))


def test_a_job_that_is_tried_again_counts_once(work: Workspace) -> None:
    work.write("c/a.sh", "echo x >> tries; test $(wc -l < tries) -ge 3")
    work.write("c/b.sh", "exit 0")
    arguments = ("--configs", "c/*.sh", "--command", "sh {config}", "--retries", "2", "--retry_delay", "0.01")
    out = work.run(*arguments, code=0).stdout
    assert re.findall(r"^\[\d/2\] \w: \w+ in", out, re.MULTILINE) == ["[1/2] b: completed in", "[2/2] a: completed in"]
    assert len(re.findall("^a: failed in", out, re.MULTILINE)) == 2


class Terminal(io.StringIO):
    """A terminal that remembers what is drawn on it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [False, True])
def test_the_reason_why_a_job_waits_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    for name, value in {"TERM": "xterm", "COLUMNS": "110", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    stream = Terminal() if terminal else io.StringIO()
    observer = make_observers([terminal_observer(ObserverContext(stream))], ObserverContext(stream))[0]
    plan = plan_of(tmp_path, "a", "b")
    reason = JobWaiting(plan.jobs[0], "no GPU with 20 GiB is free")
    for event in (BatchStarted(plan), reason, Tick(), JobWaiting(plan.jobs[0], "")):
        observer(event)
    written = stream.getvalue()
    observer(BatchEnded([]))
    assert written.count("a: waiting: no GPU with 20 GiB is free") == 1
    rows = [row.strip() for frame in frames(written) for row in frame]
    assert any(re.match("a +waiting: no GPU with 20 GiB is free$", row) for row in rows) == terminal
    assert any(re.match("b +pending$", row) for row in rows) == terminal


def test_progress_is_read_from_metrics_if_there_are_any(tmp_path: Path) -> None:
    job = Job("a", ("true",), tmp_path, config={"max_iters": 50})
    follower = Follower(job)
    (tmp_path / "parsed_metrics.jsonl").write_text('{"iter": 7, "train/loss": 9.0}\n')
    follower.advance()
    assert follower.progress == Progress(7, 50, 9.0)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"iter": 10, "train/loss": 2.5}\n{"iter": 10, "val/loss": 2.25, "max_iters": 60}\n{"iter": 1')
    follower.advance()
    assert follower.progress == Progress(10, 60, 2.5, 2.25)
    with (tmp_path / "parsed_metrics.jsonl").open("a") as file:
        file.write('{"iter": 8, "train/loss": 8.0}\n')
    (tmp_path / "combined.log").write_text("2026-11-20T21:44:55.123 [stdout] iter 8: loss 8.0, time 1ms\n")
    assert follower.advance() == ["iter 8: loss 8.0, time 1ms"]
    assert follower.progress == Progress(10, 60, 2.5, 2.25)  # what was measured is better than what was printed


@pytest.mark.parametrize("name", ["parsed_metrics.jsonl", "metrics.jsonl"])
def test_a_loss_that_is_null_is_not_a_number(tmp_path: Path, name: str) -> None:
    follower = Follower(Job("a", ("true",), tmp_path))
    (tmp_path / name).write_text('{"iter": 7, "train/loss": 9.0}\n')
    follower.advance()
    assert follower.progress.finite
    with (tmp_path / name).open("a") as file:
        file.write('{"iter": 8, "train/loss": null}\n')
    follower.advance()
    assert repr(follower.progress) == repr(Progress(8, None, float("nan"))) and not follower.progress.finite


def test_a_log_that_grows_faster_than_it_can_be_read_is_skipped_to_its_end(tmp_path: Path) -> None:
    follower = Follower(Job("a", ("true",), tmp_path))
    (tmp_path / "combined.log").write_text("".join(f"[stdout] iter {n}: loss 1.0, x\n" for n in range(200_000)))
    rows = "".join(f'{{"iter": {n}, "train/loss": 1.0}}\n' for n in range(200_000))
    (tmp_path / "parsed_metrics.jsonl").write_text(rows)
    assert len(follower.advance()) < 5000
    assert follower.progress.iteration == 199_999


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        ("interrupted", "interrupted", ""),
        ("interrupted", "interrupted (ended by SIGINT)", "(ended by SIGINT)"),
        ("failed", "exit code 1: no luck", "exit code 1: no luck"),
        ("completed", None, ""),
    ],
)
def test_a_status_is_not_printed_twice(status: str, error: str | None, expected: str) -> None:
    assert terminal.why(status, error) == expected
