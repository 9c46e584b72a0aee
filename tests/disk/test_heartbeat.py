"""Signs of life of a runner on another host, whose lock the kernel here does not see. Another host is another name."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from runner.disk import atomic, heartbeat
from runner.disk.lock import Held, Lock, holder, was_left
from runner.disk.place import Place
from runner.engine.protocols import Lease, Wait
from runner.executors.under_lock import UnderLock
from runner.processes import process_id
from tests.engine.fakes import Clock, FakeExecutor, job

HERE = process_id.host()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock file on a disk over which flock reaches no other host."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    return tmp_path / ".lock"


def be(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_id, "host", lambda: host)


def grow_old(path: Path, seconds: float = heartbeat.EXPIRES + 60) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def let_pass(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while this machine is suspended, which is what time.monotonic does not count."""
    moment = heartbeat.moment() + seconds
    monkeypatch.setattr(time, "clock_gettime" if hasattr(time, "CLOCK_BOOTTIME") else "monotonic", lambda *_: moment)


def test_a_runner_that_gives_signs_of_life_is_left_alone_and_a_dead_one_is_followed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Lock(path)
    first.renew()
    be("login2", monkeypatch)
    with pytest.raises(Held, match=rf"^pid {os.getpid()} on {HERE} since .*; stop it there, or wait: its last sign of"):
        Lock(path, patience=0)
    grow_old(path, heartbeat.EXPIRES - 60)  # some signs that are late do not count
    assert (holder(str(path)) or {})["host"] == HERE
    grow_old(path)
    assert holder(str(path)) is None and was_left(str(path))
    second = Lock(path, patience=0)
    be(HERE, monkeypatch)
    assert (holder(str(path)) or {})["host"] == "login2"
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".lock"]
    first.release()
    assert (holder(str(path)) or {})["host"] == "login2", "it is not ours to release any more"
    be("login2", monkeypatch)
    second.release()
    assert path.read_bytes() == b""


def test_a_runner_that_was_suspended_for_too_long_starts_nothing_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = job("a")
    executor = UnderLock(FakeExecutor({}, 1, Clock({}), {}, {}), first := Lock(path))
    assert isinstance(executor.offer(one), Lease)
    grow_old(path)
    be("login2", monkeypatch)
    second = Lock(path, patience=0)
    be(HERE, monkeypatch)
    let_pass(heartbeat.EVERY + 1, monkeypatch)
    refused = executor.offer(one)
    assert isinstance(refused, Wait) and refused.over
    assert "gave no sign of life" in refused.reason and "on login2" in refused.reason
    first.rest()
    assert json.loads(path.read_bytes())["host"] == "login2"
    second.release()


def test_of_two_hosts_that_resume_in_the_same_moment_one_starts_jobs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Lock(path)
    path.write_bytes(b"")  # what the other one read just before
    be("login2", monkeypatch)
    second = Lock(path)
    assert isinstance(UnderLock(FakeExecutor({}, 1, Clock({}), {}, {}), second).offer(job("a")), Lease)
    be(HERE, monkeypatch)
    refused = UnderLock(FakeExecutor({}, 1, Clock({}), {}, {}), first).offer(job("a"))
    assert isinstance(refused, Wait) and refused.over and "on login2" in refused.reason
    first.release()
    second.release()


def test_who_gives_no_signs_of_life_never_counts_as_dead(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that still plans, a lock of the library, and one after the end of its jobs."""
    lock = Lock(path)
    for _ in range(2):
        grow_old(path)
        be("login2", monkeypatch)
        with pytest.raises(Held, match=r"if it does not run there any more, delete "):
            Lock(path, patience=0)
        be(HERE, monkeypatch)
        lock.renew()
        assert json.loads(path.read_bytes())[heartbeat.KEY] == heartbeat.EVERY
        lock.rest()
    lock.release()


def test_a_sign_of_life_is_given_now_and_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = Lock(path)
    lock.renew()
    grow_old(path)
    lock.renew()
    assert heartbeat.is_over(json.loads(path.read_bytes()), Place.of(path)), "the next one is not due yet"
    let_pass(heartbeat.EVERY + 1, monkeypatch)
    lock.renew()
    assert not heartbeat.is_over(json.loads(path.read_bytes()), Place.of(path))
    assert heartbeat.age(Place.of(path)) < heartbeat.EXPIRES
    lock.release()


def test_of_several_hosts_one_takes_over(tmp_path: Path) -> None:
    place, record = Place(tmp_path, ".lock"), {"pid": 7, "host": "gpu9", "since": "then", heartbeat.KEY: 30}
    mark = heartbeat.take_over(place, record)
    assert mark is not None and heartbeat.take_over(place, record) is None
    grow_old(Path(mark))  # its host died, too
    assert heartbeat.take_over(place, record) is None and heartbeat.take_over(place, record) is not None
    assert not heartbeat.is_over(record, place), "a lock that cannot be looked at is held"


def test_a_host_that_takes_over_and_is_done_does_not_disturb_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, record = Place(tmp_path, ".lock"), {"pid": 7, "host": "gpu9", "since": "then", heartbeat.KEY: 30}
    mark = heartbeat.take_over(place, record)
    assert mark is not None
    monkeypatch.setattr(atomic, "create", lambda *_: not mark.remove())  # it is there, and is removed at once
    assert heartbeat.take_over(place, record) is None
