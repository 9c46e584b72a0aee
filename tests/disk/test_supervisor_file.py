"""supervisor.json as a value: its entries, and what is read from a file that a crash or a job left in its place."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.disk import supervisor_file
from runner.disk.place import Place
from runner.disk.supervisor_file import SupervisorRecord
from runner.processes import process_id
from tests.conftest import wait_until

RECORD: dict[str, Any] = {
    "schema": 1, "host": "gpu1", "pid_namespace": "pid:[7]",
    "supervisor": ["7", "1", "boot"], "job": ["8", "2", "boot"], "mark": "m", "attempt": 2, "argv": ["sh", "a.sh"],
    "keep_running": True, "started_at": "2026-01-01T00:00:00.000+00:00",
}  # fmt: skip


def test_a_record_survives_a_round_trip(tmp_path: Path) -> None:
    assert SupervisorRecord.from_json(RECORD).to_json() == RECORD
    supervisor_file.write(Place(tmp_path), SupervisorRecord.from_json(RECORD))
    found = supervisor_file.read(tmp_path)
    assert found is not None and found.to_json() == RECORD
    assert (found.supervisor_pid, found.job_pid) == (7, 8)


@pytest.fixture(scope="module")
def living() -> Iterator[Callable[..., list[str]]]:
    """Starts a process whose command ends with these words, and returns its pid record."""
    processes = []

    def start(*words: str) -> list[str]:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)", *words])
        processes.append(process)
        # The kernel tells of an exec before it knows the words of the new program.
        wait_until(lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes(), "its command can be read")
        return process_id.of_child(process.pid)

    yield start
    for process in processes:
        process.kill()
        process.wait()


PROGRAM = "/x/runner/supervisor/__main__.py"
HERE, NAMESPACE = socket.gethostname(), process_id.namespace()


@pytest.mark.linux
@pytest.mark.parametrize(
    ("changes", "elsewhere", "alive"),
    [
        ({"host": HERE, "pid_namespace": NAMESPACE}, False, True),
        ({"host": None, "pid_namespace": None}, False, True),  # of version 0.1.0
        ({"host": "gpu1"}, True, False),
        ({"host": HERE, "pid_namespace": "pid:[7]"}, True, False),
        ({"host": HERE, "pid_namespace": NAMESPACE, "mark": "another"}, False, False),
    ],
)
def test_a_process_is_alive_only_where_it_can_be_seen(
    living: Callable[..., list[str]], changes: dict[str, Any], elsewhere: bool, alive: bool
) -> None:
    found = SupervisorRecord.from_json({**RECORD, "supervisor": living(PROGRAM, "m", "/x/job"), **changes})
    assert (found.on_other_host, found.alive) == (elsewhere, alive)


@pytest.mark.linux
@pytest.mark.parametrize(
    ("words", "alive"),
    [
        ((PROGRAM, "m", "/x/job"), True),
        ((PROGRAM,), True),  # it was started by version 0.1.0
        ((PROGRAM, "n", "/x/job"), False),
        (("/x/main.py", "m", "/x/job"), False),
        ((), False),
    ],
)
def test_only_a_supervisor_is_one(living: Callable[..., list[str]], words: tuple[str, ...], alive: bool) -> None:
    place = {"host": HERE, "pid_namespace": NAMESPACE}
    pid, start, boot = living(*words)
    assert SupervisorRecord.from_json({**RECORD, **place, "supervisor": [pid, start, boot]}).alive == alive
    for other in ([pid, "1", boot], [pid, start, "another boot"]):
        assert not SupervisorRecord.from_json({**RECORD, **place, "supervisor": other}).alive


@pytest.mark.linux
def test_a_supervisor_runs_the_job_of_its_own_folder(living: Callable[..., list[str]], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    place = {"host": HERE, "pid_namespace": NAMESPACE}
    record = {**RECORD, **place, "supervisor": living(PROGRAM, "m", str(tmp_path / "a"))}
    found = SupervisorRecord.from_json(record)
    assert (found.runs(tmp_path / "a"), found.runs(tmp_path / "b")) == (True, False)
    (tmp_path / "a").rename(tmp_path / "moved")
    assert found.runs(tmp_path / "moved")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"text"', "{}", '{"supervisor": null}', '{"supervisor": []}', '{"supervisor": ["x"]}',
     '{"supervisor": 7}', '{"supervisor": ["7"], "job": 5}', '{"supervisor": ["7"], "attempt": [1]}', "[" * 100_000],
)  # fmt: skip
def test_what_is_not_a_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "supervisor.json").write_text(text)
    assert supervisor_file.read(tmp_path) is None


def test_a_pipe_in_its_place_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "supervisor.json")
    assert supervisor_file.read(tmp_path) is None


def test_a_record_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    supervisor_file.write(Place(tmp_path, "gone"), SupervisorRecord.from_json(RECORD))
    supervisor_file.remove(Place(tmp_path, "gone"))
    assert not (tmp_path / "gone").exists()


def test_only_what_is_needed_has_to_be_there() -> None:
    found = SupervisorRecord.from_json({"supervisor": ["7"]})
    assert (found.job_pid, found.mark, found.attempt, found.argv, found.keep_running) == (None, None, 1, (), False)
    assert json.dumps(found.to_json())


def test_a_supervisor_of_a_container_lives_as_long_as_it_holds_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = process_id.own()[2]
    record = {
        **RECORD,
        "host": HERE,
        "pid_namespace": "pid:[7]",
        "supervisor": ["7", "1", boot],
        "job": ["8", "2", boot],
    }
    place = Place.of(tmp_path)
    supervisor_file.write(place, SupervisorRecord.from_json(record))
    found = supervisor_file.read(tmp_path)
    assert found is not None and found.released and not found.on_other_host and found.where == HERE and not found.alive
    supervisor_file.write(place, SupervisorRecord.from_json({**record, "job": None}))
    waiting = supervisor_file.read(tmp_path)
    assert waiting is not None and waiting.on_other_host and waiting.where == f"{HERE} (another pid namespace)"
    elsewhere = SupervisorRecord.from_json({**record, "host": "gpu1"})
    elsewhere.released = True
    assert elsewhere.on_other_host and not elsewhere.in_other_namespace and elsewhere.where == "gpu1"
    supervisor_file.write(place, SupervisorRecord.from_json(record))
    opened: list[int] = []
    real = supervisor_file.open_file
    monkeypatch.setattr(supervisor_file, "open_file", lambda path: opened.append(real(path)) or opened[-1])
    supervisor_file.hold(tmp_path)
    monkeypatch.setattr(supervisor_file, "open_file", real)
    held = supervisor_file.read(tmp_path)
    assert held is not None and held.on_other_host and not held.released
    os.close(opened[0])
    assert not supervisor_file._is_held(tmp_path) and supervisor_file._is_held(tmp_path / "gone")
    supervisor_file.remove(place)
    assert not (tmp_path / "supervisor.json").exists()


def test_a_record_that_another_looks_at_is_held_a_moment_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor_file.write(Place.of(tmp_path), SupervisorRecord.from_json(RECORD))
    tries: list[int] = []

    def busy(descriptor: int, how: int) -> None:
        tries.append(how)
        raise BlockingIOError

    monkeypatch.setattr(supervisor_file.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(supervisor_file.fcntl, "flock", busy)
    supervisor_file.hold(tmp_path)
    assert tries == [supervisor_file.fcntl.LOCK_SH | supervisor_file.fcntl.LOCK_NB] * 10
