"""Small functions of runner/disk: what they return for each kind of folder and file. No processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.disk import nonce
from runner.disk.moved import is_same
from runner.disk.opening import open_file


def test_a_folder_is_the_same_by_a_link_and_not_once_it_is_gone(tmp_path: Path) -> None:
    folder, link = tmp_path / "batch", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    assert is_same(link, folder)
    assert not is_same(tmp_path, folder)
    assert not is_same(tmp_path / "gone", folder)


def test_metadata_that_are_gone_do_not_refute_a_result(tmp_path: Path) -> None:
    assert nonce.confirms(tmp_path, "completed", None)


def test_a_link_is_refused_unless_links_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(OSError, match="is a link"):
        open_file(str(tmp_path / "link"))
    os.close(open_file(str(tmp_path / "link"), links=True))


def test_a_new_file_may_be_read_and_written_by_all_whom_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        os.close(open_file(str(tmp_path / "new"), os.O_WRONLY | os.O_CREAT))
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o666
