"""A log with a limit: its beginning and its end can be read at any moment, and are one file in the end."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.job import Job
from runner.disk import attempts
from runner.disk.append_log import Log
from runner.disk.growing_log import GrowingLog
from runner.disk.log_parts import CappedLog
from runner.disk.log_text import LogText, marker, placed_lines
from runner.output.tail import Tail

LIMIT = 400
MARKER = re.compile(rb"[^\n]*--- --max_log_mb \S+: after the first (\d+) bytes, (\d+) bytes of this log[^\n]*\n")
TEXTS = st.text("abc\n", max_size=150).map(str.encode)
PIECES = st.lists(st.one_of(TEXTS, st.just(b"z" * 333), st.just(b"\n" * 120)), max_size=40)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def text_of(path: Path) -> bytes:
    with LogText(path) as text:
        return text.read(1 << 20)


def check(found: bytes, written: bytes) -> None:
    """The text is what was written, or its beginning and its end with a line between that says what is missing."""
    marker = MARKER.search(found)
    if marker is None:
        assert found == written
        return
    first, left_out = int(marker[1]), int(marker[2])
    assert left_out > 0
    begin = written[:first]
    assert found[: marker.start()] == (begin if begin.endswith(b"\n") else begin + b"\n")
    assert found[marker.end() :] == written[first + left_out :]


@given(pieces=PIECES)
def test_both_ends_are_kept_at_any_moment(pieces: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("log") / "stdout.log"
    log, written = CappedLog(path, LIMIT, lambda: b"now "), b""
    for piece in pieces:
        log.write(piece[:5], piece[5:])
        written += piece
        check(text_of(path), written)
    kept = text_of(path)
    log.join()
    assert path.read_bytes() == kept and names_in(path.parent) == ["stdout.log"]
    assert log.error is None and len(kept) <= LIMIT + 200


def filled(path: Path, lines: int) -> CappedLog:
    log = CappedLog(path, LIMIT)
    for number in range(lines):
        log.write(b"line %03d\n" % number)
    return log


def test_the_last_lines_cross_the_parts(tmp_path: Path) -> None:
    filled(tmp_path / "stderr.log", 100)
    lines = placed_lines(str(tmp_path / "stderr.log"))[0]
    assert lines[0] == b"line 000" and lines[-2:] == [b"line 099", b""] and len(lines) < 60


def test_a_follower_reads_every_line_over_parts_and_the_joining(tmp_path: Path) -> None:
    log, found = CappedLog(tmp_path / "combined.log", LIMIT), b""
    with GrowingLog(tmp_path / "combined.log", 5) as follower:
        for number in range(200):
            log.write(b"line %03d\n" % number)
            found += b"".join(follower.blocks())
        log.write(b"last\n")
        log.join()
        found += b"".join(follower.blocks())
    assert found == b"".join(b"line %03d\n" % number for number in range(200)) + b"last\n"


def test_a_follower_that_was_too_slow_is_told_what_it_missed(tmp_path: Path) -> None:
    log = filled(tmp_path / "combined.log", 3)
    with GrowingLog(tmp_path / "combined.log", 5) as follower:
        found = b"".join(follower.blocks())
        for number in range(3, 200):
            log.write(b"line %03d\n" % number)
        found += b"".join(follower.blocks())
    check(found, b"".join(b"line %03d\n" % number for number in range(200)))
    assert MARKER.search(found)


@pytest.mark.parametrize(("lines", "first"), [(3, b"line 197\n"), (500, b"--- --max_log_mb")])
def test_the_end_is_printed_from_the_parts(tmp_path: Path, lines: int, first: bytes) -> None:
    filled(tmp_path / "stdout.log", 200)
    with GrowingLog(tmp_path / "stdout.log", lines) as log:
        found = b"".join(log.blocks())
    assert found.startswith(first) and found.endswith(b"line 199\n")


def test_a_joining_that_was_cut_short_shows_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "stdout.log"
    filled(path, 200)
    kept = text_of(path)
    with path.open("ab") as file:
        file.write(kept[250:300])
    assert text_of(path) == kept


def test_a_part_of_a_later_attempt_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "stdout.log"
    filled(path, 40)
    with GrowingLog(path, 1) as follower:
        assert b"".join(follower.blocks()) == b"line 039\n"
        (tmp_path / "attempt_1").mkdir()
        for name in [name for name in names_in(tmp_path) if name != "attempt_1"]:
            (tmp_path / name).rename(tmp_path / "attempt_1" / name)
        filled(path, 300)
        assert b"".join(follower.blocks()) == b""


def test_the_display_reads_the_new_lines_of_the_parts(tmp_path: Path) -> None:
    log, found = CappedLog(tmp_path / "combined.log", LIMIT), []
    tail = Tail(str(tmp_path / "combined.log"), 1 << 16, log=True)
    for number in range(200):
        log.write(b"line %03d\n" % number)
        found += tail.lines()
    log.join()
    assert tail.lines() == [] and found == [b"line %03d" % number for number in range(200)]


def test_a_disk_that_fails_while_joining_keeps_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stdout.log"
    log = filled(path, 200)
    kept, real = text_of(path), os.writev
    monkeypatch.setattr(os, "writev", lambda file, pieces: real(-1, pieces))
    log.join()
    assert log.error is not None and text_of(path) == kept


def test_the_parts_belong_to_their_attempt(tmp_path: Path) -> None:
    job = Job("a", ("true",), tmp_path / "a")
    attempts.begin(job, {}, {})
    filled(job.out_dir / "stdout.log", 200)
    (job.out_dir / "stdout.log.part_x").touch()
    attempts.archive_attempt(job, whole=False)
    archived = set(names_in(job.out_dir / "attempt_1"))
    assert len(archived & {f"stdout.log.part_{number}" for number in range(99)}) == 2
    assert names_in(job.out_dir) == ["attempt_1", "stdout.log.part_x"]


def test_the_log_has_half_of_the_limit_and_each_part_a_quarter(tmp_path: Path) -> None:
    path = tmp_path / "stdout.log"
    log = CappedLog(path, LIMIT)
    log.write(b"x" * LIMIT)
    sizes = [len(MARKER.sub(b"", (tmp_path / name).read_bytes())) for name in names_in(tmp_path)]
    assert sizes == [LIMIT // 2, LIMIT // 4, LIMIT // 4] and log.left_out == 0
    log.write(b"y")
    assert names_in(tmp_path) == ["stdout.log", "stdout.log.part_2", "stdout.log.part_3"] and log.left_out == LIMIT // 4


def test_a_log_in_parts_of_which_none_is_missing_is_shown_whole(tmp_path: Path) -> None:
    path = tmp_path / "stdout.log"
    path.touch()
    with LogText(path) as text:
        assert text.hole == (0, 0)
    log = CappedLog(path, LIMIT)
    log.write(b"line\n" * 45)
    with LogText(path) as text:
        assert text.hole == (LIMIT // 2, LIMIT // 2)
    with GrowingLog(path, 999) as growing:
        assert b"".join(growing.blocks()) == b"line\n" * 45


def test_the_line_for_what_is_missing_names_the_limit() -> None:
    line = marker(2_500_000, 7, 8).decode()
    assert line == "--- --max_log_mb 2.5: after the first 7 bytes, 8 bytes of this log were left out ---\n"


@pytest.mark.parametrize("limit", [None, LIMIT])
def test_a_log_that_nobody_uses_any_more_is_closed(tmp_path: Path, limit: int | None) -> None:
    """A page that is open for weeks, and a program that runs many batches, open one for each order and batch."""
    before = len([*Path("/dev/fd").iterdir()])
    for _ in range(3):
        path = tmp_path / "stdout.log"
        log = Log(path) if limit is None else CappedLog(path, limit)
        log.write(b"a\n" * 200)
        if isinstance(log, CappedLog):
            log.join()
        del log
    assert len([*Path("/dev/fd").iterdir()]) == before


def test_parts_that_a_job_removed_are_not_looked_for_in_a_log_to_which_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "stdout.log"
    log = CappedLog(path, LIMIT)
    log.write(b"a\n" * LIMIT)
    for part in tmp_path.glob("stdout.log.*"):
        part.unlink()
    with path.open("ab") as also:
        also.write(b"its own\n")
    log.join()
    assert path.stat().st_size < 3 * LIMIT
