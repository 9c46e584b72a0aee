"""The lock of a batch when its file is removed, when it is released at the wrong moment, when a stranger has it."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from runner.core.job import Job
from runner.disk import lock
from runner.disk.lock import Held, Lock, holder, runner
from runner.engine.protocols import Lease, Wait
from runner.executors.under_lock import UnderLock
from tests.conftest import wait_until
from tests.engine.fakes import Clock, FakeExecutor, job


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
