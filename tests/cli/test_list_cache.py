"""What `list` keeps of ended batches is never shown once a record of them has changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.measured_batch import COMMAND
from tests.conftest import Workspace

KEPT = "9 completed"  # what no record says


def listed(work: Workspace) -> str:
    return work.run("list", code=0).stdout


@pytest.fixture
def kept(work: Workspace) -> Path:
    """A batch that has ended; `list` has kept it, and shows KEPT while it believes what it kept."""
    work.write("c/a.sh", "echo 'val loss: 2.5'")
    work.write("c/b.sh", "exit 0")
    work.run("--configs", "c/*.sh", *COMMAND, code=0)
    assert "2 completed" in listed(work)
    path = work.batch.parent / ".list_cache.json"
    path.write_text(path.read_text().replace("2 completed", KEPT))
    assert KEPT in listed(work)
    return work.batch


def written_again(batch: Path) -> None:
    path = batch / "a/experiment_result.json"
    new = path.with_name("new")
    new.write_bytes(path.read_bytes())
    new.replace(path)


def edited_without_a_trace(batch: Path) -> None:
    """In place, with the size and the time of modification that the file had."""
    path = batch / "a/experiment_result.json"
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"attempt": 1', b'"attempt": 2'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def without_a_result(batch: Path) -> None:
    (batch / "b/experiment_result.json").unlink()


def other_metadata(batch: Path) -> None:
    """The metadata say which result is the supervisor's."""
    path = batch / "b/experiment_metadata.json"
    path.write_text(path.read_text().replace('"nonce_sha256": "', '"nonce_sha256": "0'))


def another_plan(batch: Path) -> None:
    path = batch / "plan.json"
    path.write_text(path.read_text() + "\n")


@pytest.mark.parametrize(
    "change", [written_again, edited_without_a_trace, without_a_result, other_metadata, another_plan]
)
def test_a_record_that_changed_is_read(work: Workspace, kept: Path, change: Callable[[Path], None]) -> None:
    change(kept)
    assert KEPT not in listed(work)


def test_a_job_that_runs_again_is_shown(work: Workspace, kept: Path) -> None:
    work.run("rerun", "latest", "a", code=0)
    assert KEPT not in listed(work)


def test_the_note_and_the_state_are_those_of_now(work: Workspace, kept: Path) -> None:
    work.run("note", "latest", "better", code=0)
    (kept / ".lock").write_text(json.dumps({"pid": 1, "host": "far", "since": "2026-11-20", "pid_namespace": "x"}))
    line = listed(work)
    assert KEPT in line and "running" in line and "better" in line


def test_what_cannot_be_read_is_made_again(work: Workspace, kept: Path) -> None:
    path = kept.parent / ".list_cache.json"
    for content in ("{", '{"schema": 1, "batches": 3}', path.read_text().replace('"counts"', '"other"')):
        path.write_text(content)
        assert "2 completed" in listed(work)


def test_a_base_that_was_moved_is_read(work: Workspace, kept: Path) -> None:
    moved = kept.parent.rename(work / "moved")
    assert "2 completed" in work.run("list", "--base_out_dir", str(moved), code=0).stdout


def test_a_batch_that_did_not_end_is_read_each_time(work: Workspace) -> None:
    work.write("c/a.sh", "exit 0")
    work.run("--configs", "c/*.sh", *COMMAND, code=0)
    (work.batch / "a/experiment_result.json").unlink()
    assert "1 pending" in listed(work) and not (work.batch.parent / ".list_cache.json").exists()
