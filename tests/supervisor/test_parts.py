"""The other parts of a supervisor, each alone: starts, the spawner, the guard, the records at the end, the witness."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.core.result import Result
from runner.core.stopwatch import Stopwatch
from runner.disk import layout, supervisor_file
from runner.disk.place import Place
from runner.processes import process_id, process_tree
from runner.processes.ready import ready
from runner.supervisor import __main__ as program
from runner.supervisor import guard, spawn, spawner, witness
from tests.conftest import alive, wait_until
from tests.faults import request

# Starts


def test_a_process_is_started_in_a_session_of_its_own(tmp_path: Path) -> None:
    script = "echo $A $(pwd); echo err >&2; cat; exit 3"
    job = spawn.JobProcess()
    job.become(["sh", "-c", script], {"A": "x"}, str(tmp_path))
    job.check()
    ended = spawn.exit_descriptor(job.pid)
    assert os.getsid(job.pid) == job.pid
    assert ready(ended, 60)
    assert os.read(job.stdout, 1000) == f"x {tmp_path}\n".encode() and os.read(job.stderr, 1000) == b"err\n"
    assert os.read(job.stdout, 1) == os.read(job.stderr, 1) == b""
    assert os.waitstatus_to_exitcode(os.waitpid(job.pid, 0)[1]) == 3
    for argv, cwd, number, where in (
        (["/nonexistent"], "/", errno.ENOENT, ""),
        (["true"], "/nonexistent", errno.ENOENT, "/nonexistent"),
    ):
        job = spawn.JobProcess()
        job.become(argv, {}, cwd)
        with pytest.raises(OSError, match=where or "No such file") as refused:
            job.check()
        assert refused.value.errno == number and ("(/nonexistent)" in str(refused.value)) == bool(where)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a death signal")
def test_a_process_that_waits_for_its_job_does_not_outlive_its_supervisor() -> None:
    read, write = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        os.write(write, b"%d" % spawn.JobProcess().pid)
        os.read(read, 0)
        time.sleep(60)
        os._exit(0)
    waiting = int(os.read(read, 20))
    assert alive(waiting)
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    wait_until(lambda: not alive(waiting), "it has ended")


def test_a_process_that_was_killed_before_it_was_a_job_has_ended_by_that_signal() -> None:
    job = spawn.JobProcess()
    os.kill(job.pid, signal.SIGKILL)
    job.become(["true"], {}, "/")
    job.check()
    assert os.waitstatus_to_exitcode(os.waitpid(job.pid, 0)[1]) == -signal.SIGKILL


def test_an_exit_is_noticed_without_pidfds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    pid = os.posix_spawn("/bin/true", ["true"], {})
    ended = spawn.exit_descriptor(pid)
    assert ready(ended, 60) and os.waitpid(pid, 0)[1] == 0


def test_a_program_is_run_by_a_child_that_waits_for_it() -> None:
    def run() -> int:
        os.write(1, os.read(0, 9) + b" in session %d" % (os.getsid(0) == os.getpid()))
        return 7

    nothing = os.open(os.devnull, os.O_RDWR)
    maker = spawner.Spawner(os.dup(nothing), nothing, {"echo": ("/x/echo.py", run), "none": ("/x", lambda: None)})
    engine, ours = spawner.socketpair(spawner.AF_UNIX, spawner.SOCK_SEQPACKET)
    (given, giving), (output, out) = os.pipe(), os.pipe()
    os.write(giving, b"hi")

    def child() -> tuple[int, int, socket.socket]:
        maker.answer(engine, {"child": True})
        message, (descriptor, to_it) = spawner.received(ours)
        return json.loads(message)["pid"], descriptor, spawner.socket(fileno=to_it)

    pid, descriptor, to_it = child()
    spawner.send(to_it, ["echo", 2, "w"], [given, out])
    os.close(out)
    assert to_it.recv(9) == b"0" and ready(descriptor, 60)
    assert os.read(output, 99) == b"hi in session 1"
    maker.answer(engine, {"ended": pid})
    assert json.loads(spawner.received(ours)[0]) == {"code": 7}
    lacks_one, its_end, to_it = child()
    spawner.send(to_it, ["echo", 3], [given, nothing])
    assert to_it.recv(9) == b"%d" % errno.EMFILE and ready(its_end, 60)
    idle, end_of_idle, to_it = child()
    maker.answer(engine, {"forget": idle})
    to_it.close()
    assert ready(end_of_idle, 60)
    maker.answer(engine, {"forget": lacks_one})
    for gone in (idle, lacks_one):
        with pytest.raises(ChildProcessError):
            os.waitpid(gone, 0)
    assert spawner.exit_code(os.getpid()) is None
    for one in (nothing, given, giving, output, descriptor, its_end, end_of_idle):
        os.close(one)


def test_messages_of_the_spawner_carry_open_files(tmp_path: Path) -> None:
    one, other = spawner.socketpair(spawner.AF_UNIX, spawner.SOCK_SEQPACKET)
    (tmp_path / "f").write_text("x")
    with (tmp_path / "f").open() as file:
        spawner.send(one, {"a": 1}, [file.fileno()])
    message, files = spawner.received(other)
    assert json.loads(message) == {"a": 1} and os.read(files[0], 9) == b"x"
    spawner.send(one, [])
    assert spawner.received(other) == (b"[]", [])
    one.close()
    assert spawner.received(other) == (b"", [])


def test_the_guard_waits_for_one_of_the_supervisors(monkeypatch: pytest.MonkeyPatch, now: list[float]) -> None:
    read, write = os.pipe()
    real = os.read
    monkeypatch.setattr(guard.os, "read", lambda descriptor, size: real({0: read}[descriptor], 5))
    os.write(write, b"one\ntwo\nhalf")
    os.close(write)
    assert list(guard._lines()) == [b"one", b"two"]
    guard._wait_for_one([])
    assert now == [100.0]
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    guard._wait_for_one([[str(os.getpid())], [str(gone)]])
    assert now == [100.5]


# The end is recorded


def test_a_result_is_written_again_until_the_disk_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: list[float]
) -> None:
    folder, left = Place(tmp_path, "a"), [2]
    assert program.persist(folder, Result({"status": "failed"}), "") is None  # the folder was deleted
    assert json.loads((tmp_path / "a" / layout.RESULT).read_text()) == {"status": "failed"}
    assert [path.name for path in (tmp_path / "a").iterdir()] == [layout.RESULT]
    assert program.persist(folder, Result({}), "why\udce9") is None
    assert (tmp_path / "a" / layout.ERROR_DETAILS).read_text() == "why?"
    write = program.atomic.write_json

    def full(path: Any, record: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, record)

    monkeypatch.setattr(program.atomic, "write_json", full)
    now[0] = 0.0
    assert program.persist(folder, Result({}), "") is None and now[0] == 0.5
    left[0], now[0] = 10**6, 0.0
    cause = program.persist(folder, Result({}), "")
    assert cause == f"{tmp_path}/a/{layout.RESULT}: No space left on device" and now[0] == 3.25


def test_threads_are_started_again_where_there_is_no_room(now: list[float]) -> None:
    class Thread(threading.Thread):
        left = 3

        def start(self) -> None:
            self.left -= 1
            if self.left >= 0:
                raise RuntimeError("can't start new thread")

    program.start(Thread(), Thread())
    assert now[0] == pytest.approx(100.6)
    never = Thread()
    never.left = 10**6
    with pytest.raises(RuntimeError):
        program.start(never)
    assert 130.0 < now[0] - 0.6 < 130.3


def test_the_processes_of_a_job_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(tmp_path / "a", "t", "x")
    asked.env[process_tree.MARK] = "m"
    times = Stopwatch()
    program.write_pid_records(asked, os.getpid(), times)
    found = supervisor_file.read(tmp_path / "a")
    assert found is not None and found.supervisor == found.job == process_id.own()
    assert (found.mark, found.attempt, found.argv, found.keep_running) == ("m", 1, ("t", "x"), False)
    assert found.started_at == times.start and found.pid_namespace == process_id.namespace()


def test_what_a_job_left_behind_has_time_to_end(monkeypatch: pytest.MonkeyPatch, now: list[float]) -> None:
    sent: list[object] = []
    monkeypatch.setattr(process_tree, "descendants", lambda pid: [7])
    monkeypatch.setattr(process_tree, "send", lambda pids, number: sent.append((now[0], number)))
    monkeypatch.setattr(process_tree, "kill_below", lambda pid: sent.append((now[0], "kill")))
    gone: list[float] = [100.5]
    monkeypatch.setattr(program, "alone", lambda: now[0] > gone[0])

    class Done:
        done = True

    program.clean_up(Done())  # type: ignore[arg-type]
    assert sent == [] and 100.5 < now[0] < 100.6
    gone[0], now[0] = 1000.0, 100.0
    program.clean_up(Done())  # type: ignore[arg-type]
    assert sent[0] == (pytest.approx(101.0, abs=0.05), signal.SIGTERM)
    assert len(sent) >= 5 and [what for _, what in sent[1:]] == ["kill"] * (len(sent) - 1)  # type: ignore[misc]
    assert 102.0 <= now[0] < 102.3


def test_whether_we_are_alone_and_what_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_tree, "reap", lambda but: None)
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    assert not program.alone()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    used = program.used()
    known = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert set(used) == {"cpu_seconds", "max_rss"} and used["max_rss"] == known.ru_maxrss * 1024 > 1 << 19
    assert used["cpu_seconds"] == round(known.ru_utime + known.ru_stime, 2)
    assert isinstance(used["cpu_seconds"], float) and 0 <= used["cpu_seconds"] < 10**5


ODD = (
    '{"time": "2026-11-27", "pss": 5, "gpus": [{"uuid": "G", "utilization": "all", "memory": [1]}, 7, []]}\n'
    '{"time": 3, "rss": "much", "gpus": {"uuid": "G"}}\n[1]\n'
    '{"gpus": [{"uuid": "G", "memory": 9, "energy_mj": "x"}]}\n{"rs'
)


def test_totals_of_what_was_seen_are_in_the_result_whatever_the_file_is(tmp_path: Path) -> None:
    paths = layout.JobPaths(tmp_path)
    assert program.sampled(paths) == {}
    (tmp_path / layout.RESOURCES).write_text(ODD)
    assert program.sampled(paths) == {"max_memory": 5, "memory_how": "pss", "max_gpu_memory_bytes": 9}
    (tmp_path / layout.RESOURCES).unlink()
    os.mkfifo(tmp_path / layout.RESOURCES)
    assert program.sampled(paths) == {}


def test_a_start_that_the_system_has_no_room_for_is_left_to_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []
    monkeypatch.setattr(program, "notify", events.append)
    assert program.refuse(OSError(errno.EAGAIN, "again"), "why") == 0
    assert (events[0].number, events[0].cause) == (errno.EAGAIN, "why")
    assert program.refuse(OSError("odd"), "why") == 0 and events[1].number == 0


# What a job did when it was stopped


def test_a_witness_tells_of_each_process_and_its_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_tree, "descendants", lambda pid: [os.getpid(), 2**22 + 1])
    witness.write(Place(tmp_path), "timeout")
    text = (tmp_path / layout.WITNESS).read_text()
    lines = text.split("\n")
    assert lines[0].endswith(" timeout; its processes then:") and lines[1] == ""
    assert lines[2].startswith(f"process {os.getpid()} (") and ": State R (running), PPid " in lines[2]
    own = [line for line in lines[3:] if line.startswith(f"  thread {os.getpid()} (")]  # not the first: numbers wrap
    assert len(own) == 1 and "): waits for " in own[0]
    assert "process 4194305" not in text and "stacks of" not in text
    witness.write(Place(tmp_path / "gone"), "timeout")
    assert witness._read("/nonexistent") == "" and witness._file(2**22 + 1) is None and not witness._catches(2**22 + 1)


def test_a_process_whose_threads_cannot_be_listed_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(witness.os, "listdir", gone)
    text = witness._process(os.getpid())
    assert text.startswith(f"\nprocess {os.getpid()} (") and "thread " not in text
    assert witness._file(os.getpid()) is None


@pytest.mark.linux
def test_stacks_are_read_once_they_do_not_grow_any_more(now: list[float]) -> None:
    descriptor = os.memfd_create("x")
    assert witness._shown(descriptor, now[0] + 1.0) == "(nothing was shown in time)\n" and 101.0 <= now[0] < 101.1
    os.write(descriptor, b"stack\xff")
    now[0] = 200.0
    assert witness._shown(descriptor, 201.0) == "stack\ufffd" and now[0] == pytest.approx(200.05)
    os.close(descriptor)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_handler_for_the_signal_is_seen() -> None:
    before: Callable[..., Any] | int | None = signal.signal(signal.SIGUSR2, lambda *_: None)
    try:
        assert witness._catches(os.getpid())
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        assert not witness._catches(os.getpid())
    finally:
        signal.signal(signal.SIGUSR2, before)
