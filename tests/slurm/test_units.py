"""What Slurm's programs print, read without any process."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.result import Result
from runner.disk import results
from runner.disk.layout import RESULT
from runner.executors import slurm_check
from runner.executors.slurm_handle import Followed
from runner.executors.slurm_submit import excluding
from runner.planners.registry import KINDS
from runner.slurm import commands, request, states
from runner.slurm.environment import of_submission, without_slurm
from runner.slurm.script import job_name
from runner.slurm.states import Listed, TaskState
from runner.slurm.submissions import Submission

SHOWN = """\
JobId=13 ArrayJobId=12 ArrayTaskId=0 JobName=a JobState=x
   UserId=root(0) GroupId=root(0) MCS_label=N/A
   JobState=COMPLETED Reason=None Dependency=(null)
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0 DerivedExitCode=9:9
   AllocNode:Sid=host:7 ReqNodeList=(null) ExcNodeList=n9 NodeList=n1
   TRES=cpu=1,node=1 Command=/a/submit_1.sh

JobId=12 ArrayJobId=12 ArrayTaskId=2,4-8:2%3 JobName=a
   JobState=PENDING Reason=Priority ExitCode=0:0
   NodeList=(null)

JobId=20 JobName=alone
   JobState=FAILED ExitCode=7:9 NodeList=n[2-3]

slurm_load_jobs: a line that is no job
"""


def test_lines_of_squeue_are_read_and_odd_ones_left_out() -> None:
    text = "\n".join([
        "12_3|RUNNING|overnight-1|None|n1", "12_[0-1,7%4]|PENDING|overnight-1|Priority|(Priority)",
        "13_[0-6:3,20,...]|PENDING|(null)|a|b|c", "14|COMPLETING||None|n[1-2]",
        "", "slurm_load_jobs error: Unable to contact", "15_1|RUNNING|few", "16+0|RUNNING|a|b|c",
        "17_[5:0]|PENDING|a|b|c",
    ])  # fmt: skip
    found = states.listed(text)
    assert [(one.slurm_id, one.state) for one in found] == [
        ("12_3", "RUNNING"), ("12_0", "PENDING"), ("12_1", "PENDING"), ("12_7", "PENDING"),
        ("13_0", "PENDING"), ("13_3", "PENDING"), ("13_6", "PENDING"), ("13_20", "PENDING"), ("14", "COMPLETING"),
    ]  # fmt: skip
    assert found[0] == Listed("12_3", "RUNNING", "overnight-1", "None", "n1") and found[4].nodes == "b|c"
    assert [one.waits for one in found[:2]] == [False, True]


def test_states_of_the_controller_have_the_ids_of_tasks() -> None:
    waits = TaskState("PENDING", 0, 0, "")
    assert states.states_in(SHOWN) == {
        "12_0": TaskState("COMPLETED", 0, 0, "n1"),
        "12_2": waits, "12_4": waits, "12_6": waits, "12_8": waits,
        "20": TaskState("FAILED", 7, 9, "n[2-3]"),
    }  # fmt: skip
    assert states.states_in("") == {}


def test_the_accounting_tells_ends_only() -> None:
    lines = [
        "JobID|State|ExitCode|NodeList", "12_0|CANCELLED by 1000|0:15|n1", "12_1|RUNNING|0:0|n2",
        "12_[2-3]|PENDING|0:0|None assigned", "12_4|NODE_FAIL|1:0|n3|more", "12_5|FAILED", "12_6| |0:0|n1",
        "sacct: error", "", "12_7|OUT_OF_MEMORY|odd|n1",
    ]  # fmt: skip
    assert states.ended_in("\n".join(lines)) == {
        "12_0": TaskState("CANCELLED", 0, 15, "n1"),
        "12_4": TaskState("NODE_FAIL", 1, 0, "n3"),
        "12_7": TaskState("OUT_OF_MEMORY", 0, 0, "n1"),
    }


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Priority", ": others have a higher priority"),
        ("QOSMaxJobsPerUserLimit", ": a limit of your account (QOSMaxJobsPerUserLimit)"),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-2]", ": nodes that it asks for are not available"),
        ("NewInSlurm99", ": NewInSlurm99"),
        ("None", ""),
        ("", ""),
    ],
)
def test_why_a_job_waits(reason: str, words: str) -> None:
    assert states.waits(Listed("1_0", "PENDING", "", reason, "")) == f"waits in the queue{words}"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (None, "job 1_0 is gone, Slurm does not know it any more, and it left no result; see l"),
        (TaskState("NODE_FAIL", 0, 0, ""), "the node (not known) failed (Slurm's job 1_0)"),
        (TaskState("OUT_OF_MEMORY", 0, 9, "n1"), "Slurm ended job 1_0 on n1: more memory was used"),
        (TaskState("CANCELLED", 0, 15, ""), "job 1_0 was cancelled"),
        (TaskState("BOOT_FAIL", 1, 0, "n2"), "Slurm's job 1_0 ended as BOOT_FAIL on n2 with exit code 1; see l"),
    ],
)  # fmt: skip
def test_why_a_job_left_no_result(state: TaskState | None, words: str) -> None:
    assert states.sentence(state, "1_0", "l").startswith(words)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400), ("1:30", 90), ("4:00:00", 14400), ("2-0", 172800), ("0-4", 14400), ("1-2:03", 93780),
        ("1-02:03:04", 93784), (" 5 ", 300), ("0", None), ("0:0", None), ("", None), ("4h", None), ("1:2:3:4", None),
        ("1-", None), ("-5", None), ("UNLIMITED", None), ("1.5", None),
    ],
)  # fmt: skip
def test_time_limits_as_slurm_writes_them(text: str, seconds: float | None) -> None:
    assert request.limit_of(text) == seconds


def test_a_time_limit_may_be_none_but_not_anything() -> None:
    assert [request.problems(None, RunOptions(slurm_time=text)) for text in ("0", "UNLIMITED", "1-0")] == [[], [], []]
    assert "write minutes, H:M:S or D-H" in request.problems(None, RunOptions(slurm_time="4h"))[0]


def test_the_signal_comes_early_enough_and_at_most_at_half_of_a_short_limit() -> None:
    options = RunOptions(grace=(30.0, 10.0, 5.0))
    assert [request.notice(options, limit) for limit in (None, 3600.0, 100.0)] == [120, 120, 50]
    assert request.notice(RunOptions(grace=(300.0, 10.0, 5.0)), None) == 375


def test_ids_are_one_word_for_each_array() -> None:
    ids = ["12_7", "13_0", "12_0", "12_2", "12_1", "20", "12_2", "odd_x"]
    words = commands.compressed(ids)
    assert words == ["20", "odd_x", "12_[0-2,7]", "13_[0]"]
    lines = "".join(f"{word}|PENDING|a|b|c\n" for word in words)
    assert {one.slurm_id for one in states.listed(lines)} == {*ids} - {"odd_x"}


@pytest.mark.parametrize(
    ("text", "found"),
    [("12\n", "12"), ("12;cluster\n", "12"), ("Your quota: 7 hours\n12\n", "12"), ("", ""), ("queued", "")],
)
def test_the_id_that_sbatch_prints(text: str, found: str) -> None:
    assert commands.submitted_id(text) == found


def test_the_error_of_a_program_is_its_last_line() -> None:
    text = "sbatch: a note\nsbatch: error: Batch job submission failed: Invalid partition\n\n"
    assert commands.Answer(1, "", text).why == "Batch job submission failed: Invalid partition"
    assert commands.Answer(3, "", "").why == "exit code 3"


def test_nodes_of_the_user_and_bad_ones_are_left_out_together() -> None:
    assert excluding(["--mem=1G", "--exclude=n[1-3]"], ["n7", "n9"]) == ("--mem=1G", "--exclude=n[1-3],n7,n9")
    assert excluding([], ["n7"]) == ("--exclude=n7",)
    assert job_name("a b/c,d.1+2") == "a_b_c_d.1+2"


def test_the_environment_of_an_outer_job_is_left_behind() -> None:
    outer = {"SLURM_CPU_BIND": "x", "SLURM_CONF": "c", "SBATCH_MEM": "1", "PMIX_RANK": "0", "HOME": "/h", "KEY": "k"}
    assert without_slurm(outer) == {"SLURM_CONF": "c", "HOME": "/h", "KEY": "k"}
    assert of_submission(outer, []) == {"SLURM_CONF": "c", "HOME": "/h"}
    assert of_submission(outer, ["KEY"]) == {"SLURM_CONF": "c", "HOME": "/h", "KEY": "k"}


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "COMPLETING"])
def test_a_job_that_squeue_left_out_is_not_lost_while_the_controller_has_it(tmp_path: Path, state: str) -> None:
    job = Job("a", ("true",), tmp_path / "a")
    job.out_dir.mkdir()
    handle = Followed(job, RunOptions(), patience=0.0)
    handle.bind(Submission(1, ("a",), "12"), 0)
    handle.look({}, tmp_path)
    assert handle.is_overdue
    handle.settle(TaskState(state, 0, 0, "n1"), tmp_path)
    assert not handle.done() and not handle.is_overdue
    handle.look({}, tmp_path)
    assert handle.is_overdue
    handle.settle(None, tmp_path)
    assert handle.done() and json.loads((job.out_dir / RESULT).read_bytes())["status"] == "error"


@pytest.mark.parametrize(
    ("jobs", "seconds", "apart", "pilots", "words"),
    [
        (60, 20.0, 3, 0, "Slurm started 20 jobs a minute of 20.0 s each; --slurm_pilots K"),
        (60, 20.0, 0, 0, "Slurm started 60 jobs a minute"),
        (60, 20.0, 7, 0, None),
        (60, 3600.0, 0, 0, None),
        (49, 20.0, 3, 0, None),
        (60, 20.0, 3, 2, None),
    ],
)
def test_many_short_jobs_are_for_pilots(
    tmp_path: Path, jobs: int, seconds: float, apart: int, pilots: int, words: str | None
) -> None:
    made = [Job(f"j{n}", ("true",), tmp_path / f"j{n}") for n in range(jobs)]
    options = RunOptions(executor="slurm", slurm_pilots=pilots)
    plan = Plan("x", tmp_path, tuple(made), KINDS.get("files"), "", options=options)
    first = datetime(2026, 11, 27, tzinfo=UTC)
    records = [
        results.record(one, Result({"status": "completed", "duration_seconds": seconds, "start_time": start}))
        for one, start in zip(
            made, ((first + timedelta(seconds=apart * n)).isoformat() for n in range(jobs)), strict=True
        )
    ]
    found = slurm_check.advice(plan, records)
    assert found is None if words is None else found is not None and found.startswith(words)
