"""What follows from the end of a job: another try, or the end of a batch whose command line is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.core.causes import CODE, COMMAND_LINE, CONFIG, GPU_OOM, IMPORT
from runner.core.job import Job
from runner.core.options import RunOptions
from runner.core.result import Result
from runner.core.state import COMPLETED, FAILED, Finished, Outcome, Record
from runner.engine.policy import delay_after, fails_for_all, uncounted

ROOT = Path("/project/b")


def job(name: str, *words: str) -> Job:
    """A job whose command has {config}, {out_dir} and {name} in the place of its own."""
    values = {"{config}": f"c/{name}.py", "{out_dir}": f"b/{name}", "{name}": name}
    argv = []
    for word in words:
        for placeholder, value in values.items():
            word = word.replace(placeholder, value)
        argv.append(word)
    source = Path(f"/project/c/{name}.py")
    return Job(name, tuple(argv), ROOT / name, source=source, source_argument=f"c/{name}.py", cwd=Path("/project"))


def ended(job: Job, status: str = FAILED, cause: str | None = None, *, cached: bool = False) -> Record:
    return Record(job, Finished(None, "", 1.0, Outcome(status, cause=cause)), cached=cached)


SCRIPT = ("python", "t.py", "{config}", "--out_dir={out_dir}", "--lr=1")


@pytest.mark.parametrize(
    ("words", "all_fail"),
    [
        (SCRIPT, True),
        (("./t.sh", "{config}", "/project/{out_dir}"), True),
        (("python", "-m", "pkg.train", "--cfg={config}", "--name={name}"), True),
        (("torchrun", "--nproc_per_node=2", "t.py", "{config}"), True),
        (("python", "{config}", "--out_dir={out_dir}"), False),  # each is a program of its own
        (("sh", "-e", "{config}"), False),
        (("/opt/bin/python3.11", "-u", "{config}", "--lr=1"), False),
        (("torchrun", "--nproc_per_node=2", "{config}"), False),
        (("{config}", "--lr=1"), False),
    ],
)
def test_a_refused_command_line_is_that_of_all_jobs_unless_each_is_a_program(
    words: tuple[str, ...], all_fail: bool
) -> None:
    jobs = [job(name, *words) for name in ("a", "b", "c")]
    failed = ended(jobs[0], cause=COMMAND_LINE)
    assert fails_for_all(failed, [failed, Record(jobs[1]), Record(jobs[2])]) is all_fail
    assert fails_for_all(ended(jobs[0]), [Record(jobs[1])]) is False  # it failed for another reason


@pytest.mark.parametrize(
    ("entries", "again"),
    [
        ({"cause": GPU_OOM, "gpu_jobs_at_once": 2}, True),
        ({"cause": GPU_OOM, "gpu_jobs_at_once": 1}, False),
        ({"cause": GPU_OOM}, False),
        ({"cause": CODE, "gpu_jobs_at_once": 2}, False),
        ({"cause": GPU_OOM, "gpu_jobs_at_once": "many"}, False),
    ],
)
def test_memory_that_ran_out_beside_other_jobs_says_nothing_about_this_one(
    entries: dict[str, object], *, again: bool
) -> None:
    record = Record(job("a", *SCRIPT), Finished(None, "", 1.0, Outcome(FAILED, 1), Result(entries)))
    assert bool(uncounted(record)) is again and not uncounted(Record(job("a", *SCRIPT)))


def test_jobs_with_another_command_line_may_still_succeed() -> None:
    failed = ended(job("a", *SCRIPT), cause=COMMAND_LINE)
    assert not fails_for_all(failed, [failed, Record(job("b", "python", "other.py", "{config}"))])


def test_a_job_that_completed_shows_that_the_command_line_is_accepted() -> None:
    failed, other = ended(job("a", *SCRIPT), cause=COMMAND_LINE), job("b", *SCRIPT)
    assert not fails_for_all(failed, [failed, ended(other, COMPLETED)])
    assert fails_for_all(failed, [failed, ended(other, COMPLETED, cached=True)])  # before the script was edited


@pytest.mark.parametrize(
    ("retry_on", "outcome", "again"),
    [
        (("signal",), Outcome(FAILED, 137, command_signal="SIGKILL"), True),
        (("failed",), Outcome(FAILED, 137, command_signal="SIGKILL"), True),
        (("signal",), Outcome(FAILED, 1), False),
        (("timeout",), Outcome(FAILED, 143, command_signal="SIGTERM"), False),
        (("failed", "signal"), Outcome(FAILED, 2, cause=COMMAND_LINE, cause_sure=True), False),
        (("failed",), Outcome(FAILED, 1, cause=IMPORT, cause_sure=True), False),
        (("failed",), Outcome(FAILED, 1, cause=CONFIG, cause_sure=True), False),
        (("failed",), Outcome(FAILED, 1, cause=CONFIG), True),  # perhaps it was another one
        (("failed",), Outcome(FAILED, 1, cause=CODE, cause_sure=True), True),
        (("signal",), Outcome("killed", signal="SIGKILL"), True),
    ],
)
def test_what_is_tried_again(retry_on: tuple[str, ...], outcome: Outcome, again: bool) -> None:
    options = RunOptions(retries=1, retry_on=retry_on)
    assert (delay_after(options, outcome, 1, adopted=False) is not None) is again
    assert delay_after(options, outcome, 2, adopted=False) is None
