"""The atomic writer: what a crash or a loss of power leaves, shown by the order of the calls that reach the disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.core.job import Plan
from runner.core.plan_kind import PlanKind
from runner.core.result import Result
from runner.disk import atomic, attempts, layout, plan_file, results
from runner.disk.labels import Labels, change
from tests.engine.fakes import job


class DiskCalls:
    """Records the calls that decide what is on a disk after a loss of power, and passes them on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        for name in ("write", "fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._of_descriptor(name, getattr(os, name)))
        for name in ("rename", "replace"):
            monkeypatch.setattr(os, name, self._of_paths(getattr(os, name)))

    def _of_descriptor(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(descriptor: int, *more: Any) -> Any:
            target = Path(f"/proc/self/fd/{descriptor}").readlink()
            self._add(f"{name} {'folder ' if target.is_dir() else ''}{target.name}")
            return call(descriptor, *more)

        return recorded

    def _of_paths(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(source: Any, target: Any, **folders: Any) -> Any:
            self._add(f"rename {Path(source).name} to {Path(target).name}")
            return call(source, target, **folders)

        return recorded

    def _add(self, line: str) -> None:
        if not line.startswith("write") or self.made[-1:] != [line]:  # one write may take several calls
            self.made.append(line)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> DiskCalls:
    return DiskCalls(monkeypatch)


def of_one_file(folder: Path, name: str) -> list[str]:
    """What makes a file survive a loss of power, complete: in this order and no other."""
    temporary = f".{name}.{os.getpid()}.tmp"
    return [
        f"write {temporary}", f"fsync {temporary}", f"rename {temporary} to {name}", f"fsync folder {folder.name}",
    ]  # fmt: skip


@pytest.mark.linux
def test_a_file_is_written_synced_renamed_and_then_its_folder_is_synced(tmp_path: Path, calls: DiskCalls) -> None:
    atomic.write_bytes(tmp_path / "a", b"1" * 100_000)
    assert calls.made == of_one_file(tmp_path, "a")
    assert (tmp_path / "a").read_bytes() == b"1" * 100_000


RECORDS: dict[str, Callable[[Path], object]] = {
    layout.RESULT: lambda folder: results.write_result(job(folder.name, folder.parent), Result({"status": "failed"})),
    layout.METADATA: lambda folder: attempts.begin(job(folder.name, folder.parent), {}, {}),
    layout.SUMMARY: lambda folder: results.write_view(folder, layout.SUMMARY, {"total_experiments": 1}),
    layout.LABELS: lambda folder: change(folder, lambda found: Labels("a note")),
    layout.END: lambda folder: results.write_end(folder, 0),
    "plan.json": lambda folder: plan_file.write(Plan("p", folder, (job("b", folder),), PlanKind("files"), "")),
}


@pytest.mark.linux
@pytest.mark.parametrize("name", RECORDS)
def test_every_record_is_written_so(tmp_path: Path, calls: DiskCalls, name: str) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    RECORDS[name](folder)
    assert calls.made == of_one_file(folder, name)


@pytest.mark.linux
def test_an_attempt_is_archived_with_its_metadata_last_and_then_its_folder_is_synced(
    tmp_path: Path, calls: DiskCalls
) -> None:
    attempt = attempts.begin(job("a", tmp_path), {}, {})
    for name in ("stdout.log", layout.RESULT):
        (attempt.job.out_dir / name).write_text("{}")
    calls.made.clear()
    attempts.begin(attempt.job, {}, {})
    assert set(calls.made[:2]) == {f"rename {name} to {name}" for name in (layout.RESULT, "stdout.log")}
    archived = [f"rename {layout.METADATA} to {layout.METADATA}", "fsync folder attempt_1", "fsync folder a"]
    assert calls.made[2:] == [*archived, *of_one_file(tmp_path / "a", layout.METADATA)]


def test_a_file_that_cannot_be_synced_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_bytes(tmp_path / "a", b"new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_write_that_stops_short_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:3]))
    atomic.write_bytes(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_temporary_file_of_a_crash_is_replaced_and_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    temporary = tmp_path / f".a.{os.getpid()}.tmp"
    temporary.write_text("half of a rec")
    atomic.write_bytes(tmp_path / "a", b"1")
    (tmp_path / "precious").write_text("do not touch")
    temporary.symlink_to(tmp_path / "precious")
    atomic.write_bytes(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"2" and (tmp_path / "precious").read_text() == "do not touch"
    assert not temporary.exists()
