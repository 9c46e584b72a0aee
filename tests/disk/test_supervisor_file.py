"""supervisor.json as a value: its entries, and what is read from a file that a crash or a job left in its place."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from runner.disk import supervisor_file
from runner.disk.place import Place
from runner.disk.supervisor_file import SupervisorRecord
from runner.processes import process_id

OWN = process_id.own()
RECORD: dict[str, Any] = {
    "schema": 1, "host": "gpu1", "supervisor": ["7", "1", "boot"], "job": ["8", "2", "boot"], "mark": "m", "attempt": 2,
    "argv": ["sh", "a.sh"], "keep_running": True, "started_at": "2026-01-01T00:00:00.000+00:00",
}  # fmt: skip


def test_a_record_survives_a_round_trip(tmp_path: Path) -> None:
    assert SupervisorRecord.from_json(RECORD).to_json() == RECORD
    supervisor_file.write(Place(tmp_path), SupervisorRecord.from_json(RECORD))
    found = supervisor_file.read(tmp_path)
    assert found is not None and found.to_json() == RECORD
    assert (found.supervisor_pid, found.job_pid) == (7, 8)


@pytest.mark.parametrize(
    ("changes", "elsewhere", "alive"),
    [
        ({"host": socket.gethostname(), "supervisor": OWN}, False, True),
        ({"host": None, "supervisor": OWN}, False, True),  # of version 0.1.0
        ({"host": "gpu1", "supervisor": OWN}, True, False),
        ({"host": socket.gethostname(), "supervisor": [OWN[0], "1", OWN[2]]}, False, False),
        ({"host": socket.gethostname(), "supervisor": [*OWN[:2], "another boot"]}, False, False),
    ],
)
def test_a_process_is_alive_only_on_its_own_host(changes: dict[str, Any], elsewhere: bool, alive: bool) -> None:
    found = SupervisorRecord.from_json({**RECORD, **changes})
    assert (found.on_other_host, found.alive) == (elsewhere, alive)


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
