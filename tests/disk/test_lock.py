"""The lock of a batch when its file is removed, when it is released at the wrong moment, when a stranger has it."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import stat
import threading
from pathlib import Path

import pytest

from runner.core.job import Job
from runner.disk import lock, lock_holders
from runner.disk.lock import Held, Lock, holder, runner
from runner.engine.protocols import Lease, Wait
from runner.executors.under_lock import UnderLock
from runner.processes import process_id
from tests.conftest import wait_until
from tests.engine.fakes import Clock, FakeExecutor, job

GONE = ["7", "1", process_id.own()[2]]


def test_a_lock_whose_file_was_removed_is_taken_again(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with Lock(path) as ours:
        path.unlink()
        ours.keep()
        with pytest.raises(Held, match=f"pid {os.getpid()} "):
            Lock(path, patience=0)
        assert (runner(str(path)) or {})["pid"] == os.getpid()
    assert holder(str(path)) is None and path.read_bytes() == b""


def test_a_lock_that_another_runner_took_is_not_ours_any_more(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with Lock(path) as ours:
        path.unlink()
        with Lock(path), pytest.raises(Held, match=f"pid {os.getpid()} "):
            ours.keep()
        ours.keep()  # the other one has ended


def test_a_batch_whose_folder_is_gone_has_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "batch"
    folder.mkdir()
    with Lock(folder / ".lock") as ours:
        folder.rename(tmp_path / "elsewhere")
        ours.keep()
        with pytest.raises(Held):
            Lock(tmp_path / "elsewhere" / ".lock", patience=0)


@pytest.mark.linux
def test_a_file_that_was_removed_before_it_was_locked_is_not_the_lock(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    first, locked = Lock(path), list[Lock]()
    inode = path.stat().st_ino
    waiting = threading.Thread(target=lambda: locked.append(Lock(path, patience=60)))
    waiting.start()
    wait_until(lambda: has_open(inode) > 1, "the second has opened the file")
    path.unlink()
    first.release()
    waiting.join()
    with locked[0], pytest.raises(Held):
        Lock(path, patience=0)


def has_open(inode: int) -> int:
    """How many descriptors of this process are those of a file."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            found += link.stat().st_ino == inode
        except OSError:  # that of the listing itself
            continue
    return found


@pytest.mark.linux
def test_a_lock_that_is_released_while_its_holder_is_looked_for_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "GLANCE", 60.0)
    path = tmp_path / ".lock"
    first, locked = Lock(path), list[Lock]()
    os.truncate(path, 0)  # as it is for a moment, before it is released
    inode = path.stat().st_ino
    second = threading.Thread(target=lambda: locked.append(Lock(path, patience=0)))
    second.start()
    wait_until(lambda: has_open(inode) > 1, "the second looks for the holder")
    first.release()
    second.join()
    locked[0].release()


def test_a_stranger_that_has_the_lock_is_not_a_runner(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.touch()
    with path.open() as reader:
        fcntl.flock(reader, fcntl.LOCK_EX)
        assert "stranger" in (holder(str(path)) or {}) and runner(str(path)) is None
        with pytest.raises(Held) as held:
            Lock(path, patience=0)
        assert held.value.holder["stranger"] == held.value.stranger


def test_no_job_is_started_once_another_runner_has_the_batch(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    one: Job = job("a")
    with Lock(path) as ours:
        executor = UnderLock(FakeExecutor({}, 1, Clock({}), {}, {}), ours)
        assert isinstance(executor.offer(one), Lease)
        path.unlink()
        with Lock(path):
            refused = executor.offer(one)
        assert isinstance(refused, Wait) and refused.over and "another runner (pid" in refused.reason
        assert isinstance(executor.offer(one), Wait)  # what the other one did is not known here


# Who holds a lock


def test_the_holder_of_a_lock_is_the_process_that_has_its_file_open(tmp_path: Path) -> None:
    path, own = tmp_path / ".lock", process_id.own()
    record = {"identity": own, "pid": os.getpid(), "pid_namespace": process_id.namespace()}
    path.touch()
    assert not lock_holders.is_holder(record, str(path))
    assert lock_holders.described(str(path)) == "a process that cannot be seen from here"
    with path.open("rb") as file:
        assert lock_holders.is_holder(record, str(path))
        for odd in ({"identity": GONE}, {"pid": 7}, {"identity": None}, {"identity": ["x"]}):
            assert not lock_holders.is_holder({**record, **odd}, str(path))
        assert lock_holders.is_holder({**record, "identity": GONE, "pid_namespace": "pid:[7]"}, str(path))
        fcntl.flock(file, fcntl.LOCK_EX)
        command = Path((process_id.command(os.getpid()) or ["?"])[0]).name
        user = pwd.getpwuid(os.getuid()).pw_name
        assert lock_holders.described(str(path)) == f"process {os.getpid()} of {user} ({command})"
    assert lock_holders.is_holder(record, str(tmp_path / "gone"))  # which cannot be known
    assert lock_holders._user(2**22 + 1) == "?"


def test_a_lock_of_another_host_counts_by_its_record(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    record = {"pid": 7, "host": "gpu9", "since": "then", "identity": ["7", "1", "b"]}
    assert lock.holder(str(path)) is None and not lock.was_left(str(path))
    path.write_text(json.dumps(record))
    assert lock.holder(str(path)) == record == lock.runner(str(path)) and not lock.was_left(str(path))
    with pytest.raises(
        lock.Held, match=r"^pid 7 on gpu9 since then; if it does not run there any more, delete "
    ) as held:
        lock.Lock(path, patience=0)
    assert held.value.holder == record and held.value.stranger is None
    assert lock.other_host(record) == "gpu9"
    here = {**record, "host": process_id.host(), "identity": process_id.own(), "pid": os.getpid()}
    assert lock.other_host(here) is None
    assert lock.other_host({**here, "pid_namespace": "pid:[7]"}) == f"{process_id.host()} (another pid namespace)"
    path.write_text(json.dumps(here))
    assert lock.holder(str(path)) is None and lock.was_left(str(path))
    for odd in ({"pid": 0}, {"host": 3}, {"since": None}, {"identity": ["x"]}, {"pid_namespace": 3}):
        path.write_text(json.dumps({**here, **odd}))
        assert not lock.was_left(str(path))
    ours = lock.Lock(path)
    found = lock.holder(str(path)) or {}
    assert (found["pid"], found["host"], found["identity"]) == (os.getpid(), process_id.host(), process_id.own())
    assert not lock.was_left(str(path)) and stat.S_IMODE(path.stat().st_mode) & 0o133 == 0
    ours.hand_over()
    ours.release()
    assert path.stat().st_size > 0 and lock.was_left(str(path))
    with lock.Lock(path):
        pass
    assert path.stat().st_size == 0 and not lock.was_left(str(path))


def test_a_stranger_that_has_the_lock_is_told_after_the_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = tmp_path / ".lock", [0.0]
    monkeypatch.setattr(lock.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    path.touch()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert lock.holder(str(path)) is None  # one that shares it only looks
        with pytest.raises(lock.Held, match=r"^process \d+ of .*, which is not a runner; end it to continue$") as held:
            lock.Lock(path, patience=0.5)
        assert held.value.stranger and 0.5 + lock.GLANCE <= now[0] < 0.6 + lock.GLANCE
        fcntl.flock(file, fcntl.LOCK_EX)
        now[0] = 0.0
        assert (lock.holder(str(path)) or {})["stranger"].startswith("process ") and 0.2 <= now[0] < 0.25
        now[0] = 0.0
        assert lock.runner(str(path)) is None and 2.0 <= now[0] < 2.05
