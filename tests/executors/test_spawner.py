"""The process that forks supervisors: what it starts is as if it were started as a program, and it may be killed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.executors import forks
from runner.executors.spawner import Child, Fork, Program, Spawner
from runner.processes import process_id, process_tree
from runner.supervisor.messages import KILL
from tests.conftest import PROJECT, Workspace, alive, kill, read, wait_until
from tests.faults import carrying, request
from tests.interrupted_batch import started, statuses, three_jobs

pytestmark = [pytest.mark.slow, pytest.mark.linux]  # elsewhere supervisors are not forked
#: Waits for a file `go` beside it, after it has said that it runs.
WAITS = "touch ready; while test ! -e go; do sleep 0.02; done"


@pytest.fixture
def starter() -> Iterator[Spawner]:
    """As an engine has it; what it started has ended with the test."""
    one = Spawner()
    yield one
    if one.process is not None:
        one.process.end()


def supervisor(starter: Spawner, folder: Path, *argv: str, files: tuple[int, ...] = ()) -> Child:
    """A supervisor that has got its request."""
    child = starter.start("supervisor", ("mark", str(folder / "job")), files)
    child.send(request(folder / "job", *argv).to_line())
    return child


def ended(child: Child, folder: Path) -> dict[str, object]:
    """The result, once the supervisor has left."""
    assert child.gone(30)
    child.close()
    child.forget()
    return read(folder / "job" / "experiment_result.json")


def pid_of(starter: Spawner) -> int:
    assert starter.process is not None
    return starter.process.pid


def parent(pid: int) -> int:
    return process_tree.parents()[pid]


def waiting(starter: Spawner) -> list[int]:
    """What was forked ahead: it has the words of the spawner until it has its own."""
    words = process_id.command(pid_of(starter))
    return [pid for pid in process_tree.descendants(pid_of(starter)) if process_id.command(pid) == words]


def in_the_table(pid: int) -> bool:
    """Also a process that has ended is there until it was waited for."""
    return Path(f"/proc/{pid}").exists()


def spawners(mark: str) -> list[int]:
    return [pid for pid in carrying(mark) if any("spawner.py" in word for word in process_id.command(pid) or ())]


def test_a_supervisor_that_was_forked_is_seen_as_if_it_had_been_started(starter: Spawner, tmp_path: Path) -> None:
    child = supervisor(starter, tmp_path, "sh", "-c", WAITS)
    wait_until((tmp_path / "ready").exists, "the job runs")
    assert isinstance(child, Fork)
    words = process_id.command(child.pid)
    program = str(PROJECT / "runner" / "supervisor" / "__main__.py")
    assert words == [sys.executable, "-I", "-S", program, "mark", str(tmp_path / "job")]
    assert os.getsid(child.pid) == child.pid
    assert parent(child.pid) == pid_of(starter) and parent(pid_of(starter)) == os.getpid()
    (tmp_path / "go").touch()
    assert ended(child, tmp_path)["status"] == "completed"


def test_a_job_inherits_no_open_files(starter: Spawner, tmp_path: Path) -> None:
    first = supervisor(starter, tmp_path / "a", "sh", "-c", WAITS)
    wait_until((tmp_path / "a" / "ready").exists, "the first job runs")
    listing = "import os; print(sorted(os.listdir('/dev/fd')))"
    second = supervisor(starter, tmp_path / "b", sys.executable, "-c", listing)
    ended(second, tmp_path / "b")
    printed = (tmp_path / "b" / "job" / "stdout.log").read_text()
    assert printed.endswith("['0', '1', '2', '3']\n"), "the last one is the folder that is listed"
    (tmp_path / "a" / "go").touch()
    ended(first, tmp_path / "a")


def test_a_lock_that_is_given_to_a_supervisor_is_held_as_long_as_it_lives(starter: Spawner, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        child = supervisor(starter, tmp_path, "sh", "-c", WAITS, files=(lock.fileno(),))
    wait_until((tmp_path / "ready").exists, "the job runs")
    with path.open() as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (tmp_path / "go").touch()
        ended(child, tmp_path)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_changed_in_the_environment_reaches_a_supervisor(
    starter: Spawner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(supervisor(starter, tmp_path / "a", "true"), tmp_path / "a")
    monkeypatch.setenv("CHANGED", "since the spawner was started")
    child = supervisor(starter, tmp_path / "b", "sh", "-c", "echo $CHANGED")
    assert isinstance(child, Program)
    ended(child, tmp_path / "b")
    assert "since the spawner was started" in (tmp_path / "b" / "job" / "stdout.log").read_text()
    monkeypatch.delenv("CHANGED")
    again = supervisor(starter, tmp_path / "c", "true")
    assert isinstance(again, Fork)
    ended(again, tmp_path / "c")
    assert starter.remark() == ""


def test_the_end_of_a_supervisor_is_known_as_that_of_a_program_is(starter: Spawner, tmp_path: Path) -> None:
    child = supervisor(starter, tmp_path, "sleep", "60")
    wait_until(lambda: process_tree.descendants(child.pid), "the job runs")
    child.kill()
    assert child.gone(30) and child.exit_code() == -signal.SIGKILL
    child.close()
    child.forget()
    wrong = starter.start("supervisor", ("mark", str(tmp_path)))
    wrong.send(b"this is not a request\n")
    assert wrong.gone(30) and wrong.exit_code() == 1
    assert b"JSONDecodeError" in os.read(wrong.fileno(), 1 << 16)
    wrong.close()
    wrong.forget()


def test_one_that_gets_no_request_has_done_nothing(starter: Spawner, tmp_path: Path) -> None:
    child = starter.start("supervisor", ("mark", str(tmp_path / "job")))
    child.close()
    assert child.gone(30) and child.exit_code() == 0 and not list(tmp_path.iterdir())
    child.forget()


def test_what_the_spawner_forked_outlives_it(starter: Spawner, tmp_path: Path) -> None:
    child = supervisor(starter, tmp_path, "sh", "-c", WAITS)
    wait_until((tmp_path / "ready").exists, "the job runs")
    os.kill(pid_of(starter), signal.SIGKILL)
    wait_until(lambda: not alive(pid_of(starter)), "the spawner is gone")
    assert not child.gone()
    ahead = supervisor(starter, tmp_path / "a", "true")
    assert isinstance(ahead, Fork) and ended(ahead, tmp_path / "a")["status"] == "completed"
    assert ahead.exit_code() is None and starter.remark() == ""
    other = supervisor(starter, tmp_path / "b", "true")
    assert isinstance(other, Program) and ended(other, tmp_path / "b")["status"] == "completed"
    assert "supervisors cannot be forked" in starter.remark() and starter.remark() == ""
    child.send(KILL + b"\n")
    assert ended(child, tmp_path)["status"] == "interrupted" and child.exit_code() is None


def test_a_spawner_that_does_not_answer_is_killed(
    starter: Spawner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = starter.start("supervisor", ("mark", str(tmp_path)))
    pid = pid_of(starter)
    monkeypatch.setattr(forks, "ANSWERS_WITHIN", 0.5)
    wait_until(lambda: waiting(starter), "one is forked ahead")
    os.kill(pid, signal.SIGSTOP)
    ahead = supervisor(starter, tmp_path / "a", "true")
    assert isinstance(ahead, Fork) and ended(ahead, tmp_path / "a")["status"] == "completed"
    child = supervisor(starter, tmp_path / "b", "true")
    assert isinstance(child, Program) and ended(child, tmp_path / "b")["status"] == "completed"
    assert not alive(pid)
    first.close()
    assert first.gone(30)
    first.forget()


def test_a_child_that_was_killed_while_it_waited_is_replaced(starter: Spawner, tmp_path: Path) -> None:
    ended(supervisor(starter, tmp_path / "a", "true"), tmp_path / "a")
    (ahead,) = wait_until(lambda: waiting(starter), "one is forked ahead")
    os.kill(ahead, signal.SIGKILL)
    child = supervisor(starter, tmp_path / "b", "true")
    assert isinstance(child, Fork) and child.pid != ahead
    assert ended(child, tmp_path / "b")["status"] == "completed"


def test_an_answer_that_came_too_late_is_not_taken_for_another_one(
    starter: Spawner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = supervisor(starter, tmp_path / "a", "sleep", "60")
    wait_until(lambda: waiting(starter), "one is forked ahead")
    pid = pid_of(starter)
    child.kill()
    assert child.gone(30)
    monkeypatch.setattr(forks, "ANSWERS_WITHIN", 0.5)
    os.kill(pid, signal.SIGSTOP)
    assert child.exit_code() is None
    os.kill(pid, signal.SIGCONT)
    child.close()
    child.forget()
    ahead = supervisor(starter, tmp_path / "b", "true")
    other = supervisor(starter, tmp_path / "c", "true")
    assert ended(ahead, tmp_path / "b")["status"] == ended(other, tmp_path / "c")["status"] == "completed"
    assert isinstance(other, Program) and "cannot be forked" in starter.remark()


def test_a_child_that_waits_belongs_to_its_engine_alone(starter: Spawner, tmp_path: Path) -> None:
    ended(supervisor(starter, tmp_path / "a", "true"), tmp_path / "a")
    ended(supervisor(starter, tmp_path / "b", "true"), tmp_path / "b")
    (ahead,) = wait_until(lambda: waiting(starter), "one is forked ahead")
    assert starter.process is not None
    starter.process.exit_code(ahead)  # reads what was answered before
    with subprocess.Popen(["sleep", "60"], close_fds=False) as other:
        files = [str(path.readlink()) for path in Path(f"/proc/{other.pid}/fd").iterdir()]
        other.kill()
    assert not [file for file in files if file.startswith(("socket:", "anon_inode:[pidfd]"))]
    starter.process.end()
    assert not in_the_table(ahead)


def test_a_process_that_was_forgotten_before_its_end_leaves_the_process_table(starter: Spawner, tmp_path: Path) -> None:
    child = supervisor(starter, tmp_path, "sh", "-c", WAITS)
    wait_until((tmp_path / "ready").exists, "the job runs")
    assert starter.process is not None
    starter.process.forget(child.pid)
    (tmp_path / "go").touch()
    assert child.gone(30) and in_the_table(child.pid)
    ended(supervisor(starter, tmp_path / "b", "true"), tmp_path / "b")
    wait_until(lambda: not in_the_table(child.pid), "it was waited for with the next message")
    child.close()


def test_what_fails_while_a_child_begins_ends_that_child_alone(starter: Spawner, tmp_path: Path) -> None:
    ended(supervisor(starter, tmp_path / "a", "true"), tmp_path / "a")
    (ahead,) = wait_until(lambda: waiting(starter), "one is forked ahead")

    def failing() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        starter.start("supervisor", ("mark", str(tmp_path)), meanwhile=failing)
    child = supervisor(starter, tmp_path / "b", "true")
    assert isinstance(child, Fork) and not in_the_table(ahead)
    ended(child, tmp_path / "b")
    assert starter.remark() == ""


def test_without_a_free_descriptor_nothing_is_lost(starter: Spawner, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="open files"):
        starter.start("supervisor", ("mark", str(tmp_path)), tuple([0] * 100))
    ended(supervisor(starter, tmp_path, "true"), tmp_path)
    assert starter.remark() == ""


@pytest.mark.parametrize("victim", ["the spawner", "the spawner, then the supervisor"])
def test_a_batch_goes_on_without_its_spawner(work: Workspace, victim: str) -> None:
    mark = uuid.uuid4().hex
    work.write("c/d.sh", "echo d >> done")
    three_jobs(work)
    process = started(work, mark=mark)
    for pid in spawners(mark):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not spawners(mark), "the spawner is gone")
    if victim == "the spawner":
        (work / "go").touch()
    else:
        os.kill(int(read(work.batch / "b" / "supervisor.json")["supervisor"][0]), signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    second = "completed" if victim == "the spawner" else "error"
    assert statuses(work) == ["completed", second, "completed", "completed"], err
    assert out.count("supervisors cannot be forked (") == 1 and (work / "done").read_text() == "a\nc\nd\n"
    if second == "error":
        assert "died (its exit code is not known)" in work.result("b")["error"]
    wait_until(lambda: not carrying(mark), "nothing is left")


@pytest.mark.parametrize("keep", [(), ("--keep_running",)], ids=["", "keep_running"])
def test_the_spawner_ends_with_its_engine(work: Workspace, keep: tuple[str, ...]) -> None:
    mark = uuid.uuid4().hex
    process = started(three_jobs(work), *keep, mark=mark)
    assert spawners(mark)
    kill(process)
    wait_until(lambda: not spawners(mark), "the spawner is gone")
    supervisor_pid = int(read(work.batch / "b" / "supervisor.json")["supervisor"][0]) if keep else 0
    assert not keep or alive(supervisor_pid)
    (work / "go").touch()
    wait_until(lambda: not carrying(mark), "nothing is left")


def test_a_program_that_replaces_its_words_is_seen_by_them(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.append({str(PROJECT)!r}); from runner.processes import command_line\n"
        "command_line.replace(['one', 'two words', sys.argv[1]]); print(1, flush=True); input()"
    )
    name = "an ümlaut"
    command = [sys.executable, "-c", script, name, " " * 500]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        assert process_id.command(process.pid) == ["one", "two words", name]
        process.stdin.close()


def test_words_without_room_are_refused() -> None:
    script = (
        f"import sys, json; sys.path.append({str(PROJECT)!r}); from runner.processes import command_line\n"
        "try: command_line.replace(['x' * 100_000])\nexcept OSError as error: print(json.dumps(str(error)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "has no room" in json.loads(done.stdout)
