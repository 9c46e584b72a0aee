"""One bad folder of a job is an error of that job: the others run, and `--resume` works, also once it was corrected."""

from __future__ import annotations

import ctypes
import os
import shutil

import pytest

from tests.conftest import Workspace

TREE = ("--configs", "c/*.sh", "--command", "sh {config} {out_dir}")
KILL_SUPERVISOR = "kill -9 $PPID; sleep 30"


def three(work: Workspace, deed: str) -> None:
    """Jobs a, b and c; b does something once, and c runs after it."""
    work.write("c/a.sh", "exit 0")
    work.write("c/b.sh", f"test -e done && exit 0\ntouch done\n{deed}\n")
    work.write("c/c.sh", "exit 0")


def error_of(work: Workspace, name: str) -> str:
    """Why a job did not complete, as the summary tells; one line."""
    found = work.summary["results"][name]
    assert found["status"] == "error", found
    error: str = found["error"]
    assert "\n" not in error and "Traceback" not in error
    return error


def statuses(work: Workspace) -> dict[str, str]:
    return {name: result["status"] for name, result in work.summary["results"].items()}


@pytest.mark.slow
@pytest.mark.parametrize("end", ["exit 3", KILL_SUPERVISOR], ids=["fails", "supervisor-dies"])
@pytest.mark.parametrize(
    "deed",
    [
        "rm -f $1/supervisor.json; mkdir -p $1/supervisor.json/x",
        "mkdir -p $1/../.x.tmp/y $1/.x.tmp/y",
        "touch $1/attempt_1 $1/attempt_7",
        "mkdir -p $1/experiment_result.json/x",
        "rm $1/experiment_metadata.json; mkdir $1/experiment_metadata.json",
        "mkdir -p $1/metrics.jsonl $1/error.json $1/job.json $1/error_details.txt $1/parsed_metrics.jsonl",
    ],
)
def test_what_a_job_leaves_in_its_folder_stops_neither_the_others_nor_a_resume(
    work: Workspace, deed: str, end: str
) -> None:
    three(work, f"{deed}; {end}")
    ran = work.run(*TREE, code=1)
    assert "Traceback" not in ran.stderr
    assert {**statuses(work), "b": ""} == {"a": "completed", "b": "", "c": "completed"}
    assert statuses(work)["b"] in ("failed", "error")
    for command in ("status", "list", "table"):
        assert "Traceback" not in work.run(command, code=0).stderr
    work.run("--resume", code=0)
    assert set(statuses(work).values()) == {"completed"}
    assert list((work.batch / "b").glob("attempt_*")), "the files of the first attempt are kept"


@pytest.mark.slow
@pytest.mark.parametrize("end", ["exit 3", KILL_SUPERVISOR], ids=["fails", "supervisor-dies"])
def test_a_file_in_the_place_of_a_folder_is_an_error_of_that_job_until_it_is_removed(work: Workspace, end: str) -> None:
    three(work, f"mv $1 gone; touch $1; {end}")
    work.run(*TREE, code=1)
    assert {**statuses(work), "b": ""} == {"a": "completed", "b": "", "c": "completed"}
    again = work.run("--resume", code=1)
    assert "is not a folder" in error_of(work, "b")
    assert "Traceback" not in again.stderr
    assert "b" in work.run("status", code=0).stdout
    (work.batch / "b").unlink()
    work.run("--resume", code=0)


@pytest.mark.slow
def test_a_file_in_the_place_of_the_next_jobs_folder_is_an_error_of_that_job(work: Workspace) -> None:
    three(work, "touch $1/../c; exit 0")
    work.run(*TREE, code=1)
    assert statuses(work) == {"a": "completed", "b": "completed", "c": "error"}
    assert "c" in error_of(work, "c")
    work.run("--resume", code=1)
    (work.batch / "c").unlink()
    work.run("--resume", code=0)


def test_a_file_called_like_an_archive_is_archived_with_the_others(work: Workspace) -> None:
    three(work, "echo kept > $1/attempt_1; exit 3")
    work.run(*TREE, code=1)
    work.run("--resume", code=0)
    assert (work.batch / "b/attempt_1/attempt_1.1").read_text() == "kept\n"


def test_a_forged_number_does_not_replace_the_files_of_an_earlier_attempt(work: Workspace) -> None:
    three(work, "exit 3")
    work.run(*TREE, code=1)
    work.run("rerun", "b", code=0)
    first = (work.batch / "b/attempt_1/experiment_result.json").read_bytes()
    path = work.batch / "b/experiment_metadata.json"
    path.write_text(path.read_text().replace('"attempt": 2', '"attempt": 1'))
    work.run("rerun", "b", code=0)
    assert (work.batch / "b/attempt_1/experiment_result.json").read_bytes() == first
    assert (work.batch / "b/attempt_2/experiment_result.json").exists()


def test_a_completed_result_is_kept_where_its_attempt_cannot_be_archived(work: Workspace) -> None:
    three(work, "exit 0")
    work.run(*TREE, code=0)
    kept = (work.batch / "b/experiment_result.json").read_bytes()
    (work.batch / "b/attempt_1.1").symlink_to("attempt_1.1")
    archive = work.batch / "b/attempt_1"
    archive.mkdir()
    (archive / "combined.log").mkdir()
    ran = work.run("rerun", "b", "c", code=1)
    assert "b: error" in ran.stdout and "c: completed" in ran.stdout
    assert (work.batch / "b/experiment_result.json").read_bytes() == kept
    shutil.rmtree(archive)
    work.run("rerun", "b", code=0)


PR_CAPBSET_DROP, DAC_OVERRIDE, DAC_READ_SEARCH = 24, 1, 2


def modes_count() -> None:
    """Of a child of root's, before it is executed: it loses the right to read and write whatever the modes say."""
    libc = ctypes.CDLL(None)
    if os.geteuid() == 0 and any(
        libc.prctl(PR_CAPBSET_DROP, right, 0, 0, 0) for right in (DAC_OVERRIDE, DAC_READ_SEARCH)
    ):
        os._exit(99)


@pytest.mark.linux
@pytest.mark.slow
@pytest.mark.parametrize("end", ["exit 3", KILL_SUPERVISOR], ids=["fails", "supervisor-dies"])
@pytest.mark.parametrize("mode", ["000", "555", "444"])
@pytest.mark.parametrize("place", ["$1", "$1/.."])
def test_a_folder_that_a_job_has_closed_is_an_error_of_that_job_until_it_is_opened_again(
    work: Workspace, place: str, mode: str, end: str
) -> None:
    three(work, f"chmod {mode} {place}; {end}")
    batch = place == "$1/.."
    ran = work.run(*TREE, preexec_fn=modes_count)
    if ran.returncode == 99:
        pytest.skip("for root modes count only if it may give up a right")
    assert ran.returncode == 1 and "Traceback" not in ran.stderr, ran.stderr
    if not batch:
        assert {**statuses(work), "b": ""} == {"a": "completed", "b": "", "c": "completed"}
        assert "Traceback" not in work.run("--resume", preexec_fn=modes_count, code=1).stderr
        error_of(work, "b")
        work.run("list", preexec_fn=modes_count, code=0)
    root = next((work / "experiments").glob("experiment_*"))
    root.chmod(0o755)
    (root / "b").chmod(0o755)
    work.run("--resume", preexec_fn=modes_count, code=0)
    assert set(statuses(work).values()) == {"completed"}
