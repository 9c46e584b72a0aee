"""The torture bench, in small: it finds no fault of the runner, and it can find one."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT

sys.path.insert(0, str(PROJECT / "bench"))

from torture import durability
from torture.defects import DEFECTS, Defect
from torture.gpu_job import started
from torture.self_test import check_that_it_applies
from torture.witness import FAULTS, Witness


def bench(folder: Path, *arguments: str) -> str:
    """The program's output; its folders lie in `folder`."""
    command = [sys.executable, str(PROJECT / "bench" / "torture.py"), "--dir", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert not list(folder.iterdir())
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "also", [["--double", "--freeze"], ["--double", "--kill_spawner"], ["--keep_running"]], ids=" ".join
)
def test_kills_and_resumes_lose_nothing(tmp_path: Path, also: list[str]) -> None:
    words = [line.split() for line in bench(tmp_path, "--kills", "4", "--seed", "7", *also).splitlines()]
    assert next(int(line[1]) for line in words if line[:1] == ["kills"]) >= 4
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
    (job / "mark_m1").write_text("")
    tell(tmp_path, "begin", step=0)
    tell(tmp_path, "end", code=0)
    watching = Witness(tmp_path)
    watching.look()
    return watching


def tell(folder: Path, event: str, **more: object) -> None:
    line = {"event": event, "name": "a", "pid": 1, "start": "1", "mark": "m1", "at": time.monotonic(), **more}
    with (folder / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps(line) + "\n")


def again(witness: Witness) -> None:
    """Another attempt begins, and leaves a file of its own."""
    assert witness.batch is not None
    tell(witness.folder, "begin", step=0, mark="m2", pid=2)
    (witness.batch / "a/mark_m2").write_text("")


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
    again(witness)
    assert found(witness) == {"run again"}


def test_a_completed_attempt_that_was_archived_ran_again(witness: Witness) -> None:
    assert witness.batch is not None
    aside = witness.batch / "a/attempt_1"
    aside.mkdir()
    for name in ("experiment_result.json", "experiment_metadata.json"):
        (aside / name).write_bytes((witness.batch / "a" / name).read_bytes())
    assert found(witness) == {"run again"}


def test_an_attempt_whose_files_are_gone_was_not_kept(witness: Witness) -> None:
    tell(witness.folder, "begin", step=0, mark="m2", at=0.0)
    assert found(witness) == {"not kept"}


def test_a_job_that_begins_although_an_earlier_attempt_lives_on_is_started_again(witness: Witness) -> None:
    witness.completed.clear()
    witness.journal.write_text("")
    tell(witness.folder, "begin", step=0)
    witness.note_living({1: "1"})
    again(witness)
    tell(witness.folder, "end", code=0)
    assert "started again" in found(witness)


def test_a_job_that_begins_after_an_earlier_attempt_has_ended_is_not(witness: Witness) -> None:
    witness.note_living({1: "1"})
    again(witness)
    assert "started again" not in found(witness)


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


BELOW = "/b/experiments"
COMPLETE = """\
1 write(5</b/experiments/x/a/.experiment_result.json.1.tmp>, ""..., 9) = 9
1 fsync(5</b/experiments/x/a/.experiment_result.json.1.tmp>) = 0
1 rename("/b/experiments/x/a/.experiment_result.json.1.tmp", "/b/experiments/x/a/experiment_result.json") = 0
1 fsync(5</b/experiments/x/a>) = 0
"""
OTHERS = "".join(
    COMPLETE.replace("experiment_result.json", name)
    for name in ("plan.json", "experiment_metadata.json", "experiment_summary.json")
)
WRITE, SYNC, RENAME, SYNC_FOLDER = COMPLETE.splitlines(keepends=True)


def broken_by(*lines: str) -> set[str]:
    """What is said of a trace."""
    return set(durability.broken_rules(durability.calls("".join(lines) + OTHERS), Path(BELOW)))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((WRITE, SYNC, RENAME, SYNC_FOLDER), None),
        ((WRITE, RENAME, SYNC_FOLDER), "renamed before it was synced"),
        ((WRITE, RENAME, SYNC, SYNC_FOLDER), "renamed before it was synced"),
        ((WRITE, SYNC, WRITE, RENAME, SYNC_FOLDER), "renamed before it was synced"),
        ((WRITE, SYNC.replace("= 0", "= -1 EIO (Input/output error)"), RENAME, SYNC_FOLDER), "before it was synced"),
        ((WRITE, SYNC, SYNC_FOLDER, RENAME), "its folder was not synced"),
        ((WRITE, SYNC, RENAME, SYNC_FOLDER.replace("/a>", ">")), "its folder was not synced"),
        ((WRITE.replace(".experiment_result.json.1.tmp", "experiment_result.json"),), "written in place"),
        ((), "no rename was seen"),
    ],
)  # fmt: skip
def test_a_record_that_a_loss_of_power_could_damage_is_not_durable(lines: tuple[str, ...], said: str | None) -> None:
    found = broken_by(*lines)
    assert not found if said is None else any(said in sentence for sentence in found)


def test_a_trace_in_which_calls_overlap_and_folders_are_open_is_read_as_well() -> None:
    half = SYNC.partition(") = 0")[0]
    open_folder = '1 renameat2(6</b/experiments/x/a>, ".experiment_result.json.1.tmp", 6</b/experiments/x/a>, '
    lines = (
        WRITE, f"{half} <unfinished ...>\n", '2 write(1</b/log>, ""..., 3) = 3\n', "1 <... fsync resumed>) = 0\n",
        f'{open_folder}"experiment_result.json", 0) = 0\n', SYNC_FOLDER,
    )  # fmt: skip
    assert broken_by(*lines) == set()


@pytest.mark.slow
def test_the_records_of_a_batch_are_durable_and_would_be_accused_if_not(tmp_path: Path) -> None:
    if not durability.available():
        pytest.skip("strace is not installed")
    output = bench(tmp_path, "--self-test", "unsynced-records", "unsynced-folders")
    assert output.count("not durable") == 2


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_applies_to_the_runner_as_it_is(defect: Defect) -> None:
    check_that_it_applies(defect)
    ast.parse(textwrap.dedent(defect.code))
    assert {*defect.accused} <= FAULTS.keys()


def test_a_defect_that_does_not_apply_any_more_is_an_error() -> None:
    with pytest.raises(SystemExit, match=r"does not apply to runner/disk/lock.py any more: .*seize"):
        check_that_it_applies(Defect("x", "", "runner/disk/lock.py", ("Lock.seize",), "", ()))


@pytest.mark.slow
def test_a_broken_copy_of_the_runner_is_accused(tmp_path: Path) -> None:
    assert "MISSED" not in bench(tmp_path, "--self-test", "attempts-deleted")


@pytest.mark.slow
def test_two_batches_that_share_gpus_never_have_one_at_once(tmp_path: Path) -> None:
    output = bench(tmp_path, "--gpus", "3", "--kills", "5", "--seed", "3")
    words = [line.split() for line in output.splitlines()]
    for kind in ("overlaps", "leases left", "processes left", "other faults"):
        assert [*kind.split(), "0"] in words, output


def test_a_claim_of_a_gpu_that_a_living_job_has_is_an_overlap(tmp_path: Path) -> None:
    """The job itself says so; with locks it never comes to this."""
    (tmp_path / "journal").touch()
    (tmp_path / "c").mkdir()
    environment = {"TORTURE_JOURNAL": str(tmp_path / "journal"), "CUDA_VISIBLE_DEVICES": "GPU-0,GPU-1"}
    command = [sys.executable, "-I", "-S", str(PROJECT / "bench/torture/gpu_job.py")]
    subprocess.run([*command, "00_one.py", "."], env=environment, check=True)
    line = {"event": "claim", "gpus": ["GPU-1"], "pid": os.getpid(), "start": started(os.getpid())}
    with (tmp_path / "journal").open("a") as journal:
        journal.write(json.dumps(line) + "\n")
    subprocess.run([*command, "00_one.py", "."], env=environment, check=True)
    events = [json.loads(text) for text in (tmp_path / "journal").read_text().splitlines()]
    assert [event["event"] for event in events] == ["claim", "end", "claim", "claim", "overlap", "end"]
    assert events[4]["gpus"] == ["GPU-1"] and events[4]["other"] == os.getpid()
