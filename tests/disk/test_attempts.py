"""The next attempt in a job's folder: its number, its command, and which files are archived. No processes."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.core.job import Attempt, Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.result import Result
from runner.core.state import COMPLETED, ERROR, FAILED, Finished
from runner.disk import attempts, layout, results, supervisor_file
from runner.disk.place import Place
from runner.disk.supervisor_file import SupervisorRecord
from runner.processes import process_id, process_tree
from tests.conftest import read
from tests.engine.fakes import job

RESUME = ("--resume_from={checkpoint}",)


def put(folder: Path, **files: str) -> None:
    """Files by their names; `__` stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def finish(done: Attempt | Job, status: str, **entries: Any) -> None:
    """A result as the supervisor of the attempt writes it."""
    of = done if isinstance(done, Job) else done.job
    nonce = {} if isinstance(done, Job) else {"nonce": done.nonce}
    number = {} if isinstance(done, Job) else {"attempt": done.number}
    found = Result({"status": status, "fingerprint": of.fingerprint, **number, **nonce, **entries})
    assert results.write_result(of, found) is None


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_attempts_are_numbered_and_the_runners_files_of_earlier_ones_archived(tmp_path: Path) -> None:
    one = replace(job("a", tmp_path), resume_args=RESUME)
    assert attempts.last(one) == 0
    first = attempts.begin(one, {"host": "gpu1"}, {"CUDA_VISIBLE_DEVICES": "1"}, mark="m")
    assert (first.number, first.note, first.argv) == (1, "", ("true",)) and attempts.last(one) == 1
    assert first.env == {
        "CUDA_VISIBLE_DEVICES": "1", process_tree.MARK: "m", process_tree.FOLDER: str(one.out_dir),
    }  # fmt: skip
    record = read(one.out_dir / layout.METADATA)
    assert record["attempt"] == 1 and record["host"] == "gpu1" and record["environment"][process_tree.MARK] == "m"
    put(one.out_dir, stdout__log="1", weights="w", ckpt_1__pt="x")
    finish(first, FAILED)
    second = attempts.begin(one, {}, {})
    assert (second.number, second.note) == (2, "")
    assert second.argv == ("true", f"--resume_from={one.out_dir}/ckpt_1.pt")
    assert names_in(one.out_dir) == {"weights", "ckpt_1.pt", "attempt_1", layout.METADATA}
    assert names_in(one.out_dir / "attempt_1") == {"stdout.log", layout.METADATA, layout.RESULT}
    assert attempts.last(one) == 2 and first.nonce != second.nonce
    assert first.env[process_tree.MARK] != second.env[process_tree.MARK]


def test_without_a_checkpoint_everything_is_archived_and_that_is_said(tmp_path: Path) -> None:
    one = replace(job("a", tmp_path), resume_args=RESUME)
    put(attempts.begin(one, {}, {}).job.out_dir, weights="w")
    second = attempts.begin(one, {}, {})
    assert second.note == attempts.NO_CHECKPOINT and second.argv == ("true",)
    assert names_in(one.out_dir) == {"attempt_1", layout.METADATA}
    assert names_in(one.out_dir / "attempt_1") == {"weights", layout.METADATA}
    assert attempts.begin(replace(one, resume_args=()), {}, {}).note == ""  # one that cannot continue


def test_only_patterns_that_were_given_name_checkpoints(tmp_path: Path) -> None:
    one = replace(job("a", tmp_path), resume_args=RESUME)
    attempts.begin(one, {}, {})
    put(one.out_dir, ckpt_1__pt="x", my__state="x")
    assert attempts.begin(one, {}, {}, ("*.state",)).argv == ("true", f"--resume_from={one.out_dir}/my.state")


def test_a_completed_job_is_run_from_its_beginning_without_a_note(tmp_path: Path) -> None:
    one = replace(job("a", tmp_path), resume_args=RESUME)
    assert not attempts.continues(one)
    first = attempts.begin(one, {}, {})
    assert attempts.continues(one) and not attempts.continues(job("a", tmp_path))
    put(one.out_dir, ckpt_1__pt="x")
    finish(first, FAILED)
    assert attempts.continues(one)
    attempts.archive_completed(one)
    assert attempts.last(one) == 1 and not (one.out_dir / "attempt_1").exists()
    finish(first, COMPLETED)
    assert not attempts.continues(one)
    attempts.archive_completed(one)
    assert names_in(one.out_dir) == {"attempt_1"} and "ckpt_1.pt" in names_in(one.out_dir / "attempt_1")
    assert attempts.last(one) == 1
    second = attempts.begin(one, {}, {})
    assert (second.number, second.argv, second.note) == (2, ("true",), "")
    assert attempts.begin(one, {}, {}).note == attempts.NO_CHECKPOINT


def test_an_attempt_that_was_taken_back_does_not_count(tmp_path: Path) -> None:
    first = attempts.begin(job("a", tmp_path), {}, {})
    attempts.take_back(first)
    attempts.take_back(first)
    assert attempts.last(first.job) == 0 and attempts.begin(first.job, {}, {}).number == 1


@pytest.mark.parametrize(
    ("current", "archived", "last"),
    [
        ({}, (), 0), ({}, (1, 4), 4), ({"metadata": 3}, (1,), 3), ({"metadata": 3}, (1, 5), 5),
        ({"result": 2}, (), 2), ({"metadata": 2, "result": 7}, (), 2), ({"metadata": "odd"}, (), 1),
        ({"metadata": "odd"}, (3,), 4), ({"metadata": "odd", "result": 6}, (), 6), ({"metadata": 0}, (), 1),
    ],
)  # fmt: skip
def test_the_last_attempt_is_that_of_the_records_or_of_the_archives(
    tmp_path: Path, current: dict[str, object], archived: tuple[int, ...], last: int
) -> None:
    one = job("a", tmp_path)
    one.out_dir.mkdir()
    for name, number in current.items():
        (one.out_dir / f"experiment_{name}.json").write_text(json.dumps({"attempt": number, "status": "failed"}))
    for number in archived:
        (one.out_dir / f"attempt_{number}").mkdir()
    put(one.out_dir, attempt_9="a file", attempt_x="")
    (one.out_dir / "attempt_y").mkdir()
    assert attempts.last(one) == last


def test_an_archive_that_was_cut_short_is_continued_and_a_complete_one_is_kept(tmp_path: Path) -> None:
    one = job("a", tmp_path)
    put(one.out_dir, experiment_metadata__json='{"attempt": 1}', stderr__log="2")
    put(one.out_dir / "attempt_1", stdout__log="1")
    attempts.archive_attempt(one, whole=True)
    assert names_in(one.out_dir / "attempt_1") == {"stdout.log", "stderr.log", layout.METADATA}
    put(one.out_dir, experiment_metadata__json='{"attempt": 1}', stdout__log="other")
    assert attempts.last(one) == 2
    attempts.archive_attempt(one, whole=True)
    assert (one.out_dir / "attempt_1/stdout.log").read_text() == "1"
    assert (one.out_dir / "attempt_2/stdout.log").read_text() == "other"


def test_what_a_job_put_at_the_name_of_an_archive_is_archived_too(tmp_path: Path) -> None:
    one = job("a", tmp_path)
    put(one.out_dir, experiment_metadata__json="{}", attempt_1="a file", attempt_1__1="another")
    attempts.archive_attempt(one, whole=True)
    assert (one.out_dir / "attempt_1/attempt_1.2").read_text() == "a file"
    assert (one.out_dir / "attempt_1/attempt_1.1").read_text() == "another"
    precious = tmp_path / "precious"
    precious.mkdir()
    put(one.out_dir, experiment_metadata__json='{"attempt": 2}')
    (one.out_dir / "attempt_2").symlink_to(precious)
    attempts.archive_attempt(one, whole=True)
    assert names_in(precious) == set() and names_in(one.out_dir / "attempt_2") == {layout.METADATA}


def test_only_the_runners_files_are_archived_beside_a_checkpoint(tmp_path: Path) -> None:
    one = job("a", tmp_path)
    ours = {*layout.RUNNER_OWNED, layout.RESOLVED, "stdout.log.part_2", "config_used.py", "config_used.yaml"}
    mine = {"metrics.jsonl", "model.pt", "stdout.log.old", "config_used_too.py"}
    one.out_dir.mkdir()
    for name in ours | mine:
        (one.out_dir / name).write_text("{}")
    attempts.archive_attempt(one, whole=False)
    assert names_in(one.out_dir / "attempt_1") == ours and names_in(one.out_dir) == {"attempt_1", *mine}
    attempts.archive_attempt(one, whole=False)
    assert names_in(one.out_dir) == {"attempt_1", *mine}


def test_files_of_another_program_are_archived_once_and_those_of_a_job_are_not(tmp_path: Path) -> None:
    one = replace(job("a", tmp_path), files={"config_used.py": b"x"})
    attempts.archive_foreign_files(one)
    assert not one.out_dir.exists()
    put(one.out_dir, config_used__py="x")
    attempts.archive_foreign_files(one)
    assert names_in(one.out_dir) == {"config_used.py"}
    put(one.out_dir, theirs="x")
    (one.out_dir / "attempt_2").mkdir()
    attempts.archive_foreign_files(one)
    assert names_in(one.out_dir) == {"config_used.py", "attempt_2", "attempt_3"}
    assert names_in(one.out_dir / "attempt_3") == {"theirs"}
    put(one.out_dir, experiment_metadata__json="{}", own="x")
    attempts.archive_foreign_files(one)
    assert {"own", layout.METADATA} <= names_in(one.out_dir)


# The command


def configured(root: Path, **more: Any) -> Job:
    source = root / "c.py"
    source.write_text("lr = 1")
    argv = ("python", "t.py", "c.py", "--c=c.py")
    return replace(
        job("a", root), argv=argv, source=source, source_argument="c.py", snapshot="config_used.py",
        files={"config_used.py": b"lr = 1"}, copy_words={3: "--c=copy"}, **more,
    )  # fmt: skip


def test_a_config_is_used_itself_until_it_is_edited(tmp_path: Path) -> None:
    one = configured(tmp_path)
    assert attempts.command(one, None) == one.argv
    assert attempts.config_argument(Attempt(one, 1, one.argv, {})) == "c.py"
    (tmp_path / "c.py").write_text("lr = 2")
    copied = ("python", "t.py", str(one.out_dir / "config_used.py"), "--c=copy")
    assert attempts.command(one, None) == copied
    assert attempts.config_argument(Attempt(one, 1, copied, {})) == copied[2]
    assert attempts.config_argument(Attempt(one, 1, ("python", "t.py"), {})) is None
    (tmp_path / "c.py").unlink()
    assert attempts.command(one, None) == copied
    resuming = replace(one, resume_args=("--from={checkpoint}", "--in={out_dir}"))
    assert attempts.command(resuming, "/x/ckpt.pt") == (*copied, "--from=/x/ckpt.pt", f"--in={one.out_dir}")


def test_a_config_whose_base_was_edited_is_replaced_by_its_values(tmp_path: Path) -> None:
    base = tmp_path / "base.py"
    base.write_text("a = 1")
    one = configured(tmp_path, bases={base: b"a = 1"})
    whole = replace(one, files={**one.files, layout.RESOLVED: b"lr: 1"})
    assert attempts.command(whole, None) == one.argv
    base.write_text("a = 2")
    assert attempts.command(whole, None)[2] == str(one.out_dir / layout.RESOLVED)
    assert attempts.command(replace(one, snapshot=None), None) == one.argv
    base.write_text("a = 1")
    assert attempts.command(replace(whole, runs_resolved=True), None)[2] == str(one.out_dir / layout.RESOLVED)


# What cannot be started, and what a crash left


def test_a_job_that_cannot_be_started_has_a_record_and_a_result(tmp_path: Path) -> None:
    one = job("a", tmp_path)
    one.out_dir.mkdir()
    found = attempts.not_started(one, OSError(errno.EMFILE, "Too many open files", "/x"))
    assert isinstance(found.state, Finished) and found.state.outcome.error == (
        "cannot be started: Too many open files (/x)"
    )
    assert found.status == ERROR and found.attempt == 1 and read(one.out_dir / layout.RESULT)["status"] == ERROR
    again = attempts.not_started(one, ValueError("odd"))
    assert isinstance(again.state, Finished)
    assert again.state.outcome.error == f"cannot be started: odd ({one.out_dir})" and again.attempt == 2
    assert "Too many open files" in read(one.out_dir / layout.RESULT)["error"]  # no earlier result is lost


HERE = process_id.own()
GONE = ["7", "1", HERE[2]]


def supervised(one: Job, supervisor: list[str], **more: Any) -> None:
    one.out_dir.mkdir(exist_ok=True)
    record = {"supervisor": supervisor, "job": None, "mark": "m", "attempt": 1, **more}
    supervisor_file.write(Place.of_job(one), SupervisorRecord.from_json(record))


def test_a_job_that_runs_on_another_host_is_neither_begun_nor_cleaned_up(tmp_path: Path) -> None:
    one = job("a", tmp_path)
    supervised(one, GONE, host="gpu9")
    with pytest.raises(OSError, match="the job runs on gpu9") as refused:
        attempts.begin(one, {}, {})
    assert refused.value.errno == errno.EBUSY and names_in(one.out_dir) == {layout.SUPERVISOR}
    attempts.clean_up_batch(Plan("p", tmp_path, (one,), PlanKind("files"), ""))
    assert names_in(one.out_dir) == {layout.SUPERVISOR}


def test_what_a_crash_left_in_a_batch_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[str, Path]] = []
    monkeypatch.setattr(process_tree, "kill_marked", lambda mark, folder: killed.append((mark, folder)))
    lost, odd, unmarked, done = (job(name, tmp_path) for name in ("lost", "odd", "unmarked", "done"))
    supervised(lost, GONE)
    supervised(unmarked, GONE, mark=None)
    supervised(done, GONE)
    finish(done, FAILED)
    put(odd.out_dir, supervisor__json="[")
    half = (".plan.json.7.tmp", "lost/.experiment_result.json.7.tmp")
    for name in half:
        (tmp_path / name).write_text("{")
    attempts.clean_up_batch(Plan("p", tmp_path, (lost, odd, unmarked, done), PlanKind("files"), ""))
    assert not any((tmp_path / name).exists() for name in half)
    assert not list(tmp_path.rglob(layout.SUPERVISOR))
    assert killed == [("m", lost.out_dir), ("m", done.out_dir)]


def test_processes_of_an_attempt_whose_end_was_not_recorded_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[str] = []
    monkeypatch.setattr(process_tree, "kill_marked", lambda mark, folder: killed.append(mark))
    first = attempts.begin(job("a", tmp_path), {}, {}, mark="first")
    assert killed == []
    (first.job.out_dir / f".{layout.RESULT}.7.tmp").write_text("{")
    attempts.clean_up(first.job)
    assert killed == ["first"] and names_in(first.job.out_dir) == {layout.METADATA}
    finish(first, FAILED)
    attempts.clean_up(first.job)
    assert killed == ["first"]
    (first.job.out_dir / layout.RESULT).unlink()
    put(first.job.out_dir, experiment_metadata__json=json.dumps({"environment": {process_tree.MARK: "a\0b"}}))
    attempts.clean_up(first.job)
    assert killed == ["first"]


def test_a_supervisor_that_recorded_the_end_may_clean_up_for_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looks = [0.0], [0]

    def alive(record: SupervisorRecord) -> bool:
        looks[0] += 1
        return looks[0] < 4

    monkeypatch.setattr(SupervisorRecord, "alive", property(alive))
    monkeypatch.setattr(attempts.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(attempts.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    one = job("a", tmp_path)
    supervised(one, GONE, mark=None)
    finish(one, FAILED)
    plan = Plan("p", tmp_path, (one,), PlanKind("files"), "")
    attempts.clean_up_batch(plan)
    assert now[0] == pytest.approx(0.06) and not (one.out_dir / layout.SUPERVISOR).exists()
    supervised(one, GONE)
    looks[0] = -10_000
    attempts.clean_up_batch(plan)  # one that lives on is left alone
    assert 5.0 <= now[0] - 0.06 < 5.1 and (one.out_dir / layout.SUPERVISOR).exists()
    (one.out_dir / layout.RESULT).unlink()
    before = now[0]
    attempts.clean_up_batch(plan)
    assert now[0] == before


def test_the_folder_of_a_job_is_made_with_those_above_it(tmp_path: Path) -> None:
    one = job("trees/x/a", tmp_path)
    attempts.begin(replace(one, files={"in/config.yaml".rpartition("/")[2]: b"1"}), {}, {})
    assert (tmp_path / "trees/x/a/config.yaml").read_bytes() == b"1"
