"""Which columns and which jobs the live table shows, and with which signs."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.state import COMPLETED, FAILED, Finished, Outcome, Record, Running
from runner.core.text import width_of
from runner.engine.events import BatchStarted, JobEnded, JobProgressed, JobStarted
from runner.engine.progress import Progress
from runner.observers import live_table
from runner.observers.batch_state import BatchState
from runner.observers.signs import bar, shows_unicode
from runner.reports.columns import lines
from tests.conftest import Workspace
from tests.terminals import on_a_terminal


def sweep_of(number: int) -> BatchState:
    """A sweep whose first run is half done."""
    jobs = tuple(
        Job(f"run_{at:03d}", ("true",), Path(f"/b/{at}"), {"learning_rate": 0.1 * at, "seed": at, "max_iters": 60})
        for at in range(number)
    )
    state = BatchState(lambda: 0.0)
    state.apply(BatchStarted(Plan("p", Path("/b"), jobs, PlanKind("spec", listing="comparison"), "")))
    state.apply(JobStarted(Record(jobs[0], Running("", 1))))
    state.apply(JobProgressed(jobs[0], Progress(30, 60, 2.5, 2.6, 3.0)))
    return state


@pytest.mark.parametrize(
    ("width", "there", "left_out"),
    [
        (140, {"run", "learning_rate", "seed", "loss", "val loss", "speed", "elapsed", "ETA"}, set()),
        (100, {"run", "learning_rate", "seed", "loss", "val loss", "ETA"}, {"speed", "elapsed"}),
        (68, {"seed", "state", "iter", "loss"}, {"run", "speed", "val loss"}),
        (40, {"run", "state", "iter", "loss"}, {"seed", "ETA"}),
    ],
)
def test_a_sweep_shows_what_its_runs_differ_in(width: int, there: set[str], left_out: set[str]) -> None:
    state = sweep_of(3)
    fitted = live_table.table(state, list(state.records), width)
    headings = {column.heading for column in fitted.columns}
    assert there <= headings and not left_out & headings
    assert all(width_of(line) <= width for line in lines(fitted.columns))


@pytest.mark.parametrize("width", [80, 120])
def test_the_gpus_of_jobs_are_a_column_where_a_batch_divides_them(width: int) -> None:
    state = sweep_of(3)
    assert "GPU" not in {column.heading for column in live_table.table(state, list(state.records), width).columns}
    job = state.records["run_001"].job
    state.apply(JobStarted(Record(job, Running("", 2, gpus=("2", "0:1")))))
    fitted = live_table.table(state, list(state.records), width)
    (column,) = (column for column in fitted.columns if column.heading == "GPU")
    assert list(column.cells) == ["", "2,0:1", ""] and all(width_of(line) <= width for line in lines(fitted.columns))


def test_columns_do_not_move_when_the_first_iteration_comes() -> None:
    state = sweep_of(3)
    names = list(state.records)
    headings = [column.heading for column in live_table.table(state, names, 100).columns]
    state.progress.clear()
    assert [column.heading for column in live_table.table(state, names, 100).columns] == headings
    assert live_table.fractions(state, names) == [None, None, None]


def test_too_many_jobs_leave_those_that_run_or_failed_and_the_others_are_counted() -> None:
    state = sweep_of(50)
    jobs = state.plan.jobs
    for at in range(1, 40):
        outcome = Outcome(FAILED if at == 5 else COMPLETED)
        state.apply(JobEnded(Record(jobs[at], Finished(None, "", 10.0, outcome))))
    names = live_table.visible(state, 5)
    assert names == ["run_000", "run_005", "run_037", "run_038", "run_039"]
    hidden = [record for name, record in state.records.items() if name not in names]
    assert live_table.caption(state, hidden).startswith("39 of 50 jobs ended (1 not completed), 0 ms, about ")
    assert live_table.caption(state, hidden).endswith("; not shown: 35 completed, 10 pending")


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.0, "──────────"), (0.5, "━━━━━─────"), (0.55, "━━━━━╸────"), (1.0, "━━━━━━━━━━"), (7.0, "━━━━━━━━━━")],
)
def test_bars(fraction: float, expected: str) -> None:
    assert "".join(bar(fraction, 10)) == expected


def test_signs_are_those_that_the_stream_and_the_terminal_can_show() -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    def on(encoding: str, **environ: str) -> bool:
        return shows_unicode(Terminal(io.BytesIO(), encoding), environ)

    assert on("utf-8") and on("utf-8", LANG="C.UTF-8") and on("utf-8", LC_ALL="", LANG="de_DE.UTF-8")
    assert not on("utf-8", LC_ALL="C") and not on("utf-8", LANG="POSIX") and not on("latin-1")
    assert not on("utf-8", LC_ALL="C", LANG="de_DE.UTF-8")
    assert shows_unicode(io.TextIOWrapper(io.BytesIO(), "utf-8"), {"LC_ALL": "C"})  # a file is not a terminal


def test_a_terminal_of_ascii_gets_ascii_alone(work: Workspace) -> None:
    loop = "for i in range(9): print(f'iter {i}: loss 2.5', flush=True); time.sleep(0.1)"
    work.write("train.py", f"import time\n{loop}\n")
    for name in "ab":
        work.write(f"c/{name}.py", "max_iters = 10")
    arguments = ("--configs", "c/*.py", "--train_script", "train.py")
    written = on_a_terminal(work, *arguments, LC_ALL="C", NO_COLOR="1")
    assert written.isascii() and re.search(r"#+-+", written)
    assert re.search(r"^(\x1b\[1m)?[+*]  a ", written, re.MULTILINE)
    assert not re.search(r"\x1b\[(3|4|9)\d", written)


def test_something_is_on_the_screen_at_once_and_does_not_stay(work: Workspace) -> None:
    work.write("a.py", "")
    written = on_a_terminal(work, "--configs", "a.py", "--command", "true {config}", "--dry-run")
    assert written.startswith("reading the configs ...\r\x1b[K1 job would run")
    refused = on_a_terminal(work, "--configs", "b.py", "--command", "true {config}")
    assert re.match(r"reading the configs \.\.\.\r\x1b\[K\S+: .*b\.py", refused)
    assert "reading" not in work.run("--configs", "a.py", "--command", "true {config}", code=0).stderr
