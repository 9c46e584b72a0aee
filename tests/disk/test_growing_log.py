"""The end of a log, read by blocks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.disk import growing_log
from runner.disk.growing_log import CUT, GrowingLog


def end_of(path: Path, lines: int) -> bytes:
    with GrowingLog(path, lines) as log:
        return b"".join(log.blocks())


@given(content=st.binary(max_size=60).map(lambda text: text.replace(b"x", b"\n")), lines=st.integers(0, 12))
def test_the_last_lines_are_those_of_the_whole_text(
    content: bytes, lines: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing_log, "BLOCK", 7)
        found = end_of(path, lines)
    pieces = content.removesuffix(b"\n").split(b"\n") if content else []
    last = b"\n".join(pieces[max(len(pieces) - lines, 0) :]) if lines else b""
    assert found == (last + b"\n" if lines and content.endswith(b"\n") else last)


def test_of_a_line_without_an_end_only_the_last_part_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.truncate(1 << 31)  # two GiB of one line, which take no room
        file.seek(0, 2)
        file.write(b"\nlast\n")
    found = end_of(path, 2)
    assert found.startswith(CUT + b"\0") and found.endswith(b"\0\nlast\n")
    assert len(found) == len(CUT) + 2 * growing_log.LONGEST


def test_what_is_appended_comes_next_and_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    with GrowingLog(path, 1) as log:
        assert b"".join(log.blocks()) == b"two\n"
        assert b"".join(log.blocks()) == b""
        with path.open("ab") as file:
            file.write(b"thr")
        assert b"".join(log.blocks()) == b"thr"
        path.rename(tmp_path / "moved")  # as a retry does
        with (tmp_path / "moved").open("ab") as file:
            file.write(b"ee\n")
        assert b"".join(log.blocks()) == b"ee\n"
        (tmp_path / "moved").write_bytes(b"new")
        assert b"".join(log.blocks()) == b"new"


def test_what_is_not_a_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is a device and not a regular file"):
        GrowingLog(Path("/dev/zero"), 20)
