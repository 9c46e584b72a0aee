"""What is opened, read, written, moved and removed below a root, whatever a job has put there."""

from __future__ import annotations

import os
import re
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.disk import atomic, whole
from runner.disk.append_log import Log
from runner.disk.opening import open_file
from runner.disk.place import Place
from runner.disk.reading import last_lines, read_bytes, read_json
from tests.disk.planting import KINDS, plant
from tests.engine.fakes import job

SAID = {
    "pipe": "is a pipe", "folder": "is a folder", "socket": "is a socket", "endless": "is a link", "link": "is a link",
    "huge": "is larger than 16 MiB",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_is_no_regular_file_of_its_size_is_refused_in_words(tmp_path: Path, kind: str) -> None:
    plant(tmp_path / "x", kind)
    tracemalloc.start()
    with pytest.raises(OSError, match=SAID[kind]) as refused:
        read_bytes(tmp_path / "x")
    assert read_json(tmp_path / "x") == {}
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert refused.value.filename == str(tmp_path / "x")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "huge"])
def test_a_log_in_its_place_is_not_opened(tmp_path: Path, kind: str) -> None:
    plant(tmp_path / "x", kind)
    log = Log(tmp_path / "x")
    log.write(b"lost")
    assert log.error == f"x: {SAID[kind]} and not a regular file" and log.lost == 4
    assert last_lines(str(tmp_path / "x")) == []
    if kind == "link":
        assert (tmp_path / "precious").read_text() == '{"do not": "touch"}\n'


def test_the_end_of_a_huge_log_is_read_and_no_more(tmp_path: Path) -> None:
    plant(tmp_path / "x", "huge")
    assert len(b"".join(last_lines(str(tmp_path / "x"), 1000))) <= 1000


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("huge", "folder")])
def test_a_record_replaces_what_has_its_name(tmp_path: Path, kind: str) -> None:
    plant(tmp_path / "x", kind)
    atomic.write_json(Place(tmp_path, "x"), {"a": 1})
    assert read_json(tmp_path / "x") == {"a": 1}
    if kind == "link":
        assert (tmp_path / "precious").read_text() == '{"do not": "touch"}\n'


def test_nobody_at_the_other_end_of_a_pipe_notices_that_it_is_there(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    reader = os.open(tmp_path / "x", os.O_RDONLY | os.O_NONBLOCK)  # a writer would be woken by a reader likewise
    log = Log(tmp_path / "x")
    log.write(b"not for you")
    assert os.read(reader, 100) == b"" and log.error == "x: is a pipe and not a regular file"
    os.close(reader)


def test_a_file_of_the_job_may_be_a_link_to_a_regular_file_only(tmp_path: Path) -> None:
    plant(tmp_path / "x", "link")
    assert read_json(tmp_path / "x", links=True) == {"do not": "touch"}
    (tmp_path / "y").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="is a device"):
        read_bytes(tmp_path / "y", links=True)


# What each function would do outside of the root if it followed a link.
CHANGES: dict[str, Callable[[Place], object]] = {
    "write": lambda folder: atomic.write_bytes(folder / "new", b"x"),
    "replace": lambda folder: atomic.write_bytes(folder / "old", b"x"),
    "append": lambda folder: os.close((folder / "old").open(os.O_WRONLY | os.O_APPEND)),
    "make": lambda folder: (folder / "new" / "newer").make(),
    "remove": lambda folder: (folder / "old").remove(),
    "remove whole": lambda folder: whole.remove_whole(folder / "old"),
    "move away": lambda folder: (folder / "old").move(Place(folder.root, "taken")),
    "move there": lambda folder: Place(folder.root, "mine").move(folder / "taken"),
    "move several": lambda folder: Place(folder.root).move_into(folder, ["mine"]),
    "move several away": lambda folder: folder.move_into(Place(folder.root, "taken"), ["old"]),
    "copy there": lambda folder: whole.copy_whole(Place(folder.root, "mine"), folder / "copy"),
    "clean": atomic.remove_partial,
}


@pytest.mark.parametrize("names", [("c",), ("a", "b", "c"), ("c", "d")], ids="/".join)
@pytest.mark.parametrize("change", CHANGES)
def test_nothing_outside_is_changed_through_a_link(tmp_path: Path, change: str, names: tuple[str, ...]) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    (outside / "d").mkdir(parents=True)
    for folder in (outside, outside / "d"):
        (folder / "old").write_text("precious")
        (folder / ".old.1.tmp").write_text("precious")
    root.mkdir()
    (root / "mine").write_text("mine")
    at = names.index("c")
    root.joinpath(*names[:at]).mkdir(parents=True, exist_ok=True)
    root.joinpath(*names[: at + 1]).symlink_to(outside, target_is_directory=True)
    before = sorted((path, path.lstat().st_mtime_ns) for path in outside.rglob("*"))
    with pytest.raises(OSError, match="is a link") as refused:
        CHANGES[change](Place(root, *names))
    assert refused.value.filename == str(root.joinpath(*names[: at + 1]))
    assert sorted((path, path.lstat().st_mtime_ns) for path in outside.rglob("*")) == before
    assert (root / "mine").read_text() == "mine"


def test_the_root_itself_may_be_reached_through_links(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "experiments").symlink_to("disk", target_is_directory=True)
    place = Place(tmp_path / "experiments", "b", "j", "x")
    place.parent.make()
    atomic.write_bytes(place, b"here")
    assert (tmp_path / "disk" / "b" / "j" / "x").read_bytes() == b"here" and os.fspath(place).endswith("b/j/x")


@pytest.mark.parametrize("name", ["..", "a/../..", "/etc", "a//b", "."])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match="leads out of its folder"):
        Place(tmp_path) / name


def test_the_place_of_a_job_is_below_its_batch(tmp_path: Path) -> None:
    assert Place.of_job(job("a", tmp_path)).root == str(tmp_path)
    assert Place.of_job(job("a/b", tmp_path)).names == ("a", "b")


def test_errors_have_the_whole_path(tmp_path: Path) -> None:
    for change, path in (
        (lambda: (Place(tmp_path) / "a" / "b").open(os.O_RDONLY), "a"),
        (lambda: (Place(tmp_path) / "x").open(os.O_RDONLY), "x"),
        (lambda: Place(tmp_path).move_into(Place(tmp_path, "there"), ["x"]), "x"),
        (lambda: atomic.write_bytes(tmp_path / "a" / "x", b""), "a"),
    ):
        with pytest.raises(FileNotFoundError, match=re.escape(f"{tmp_path / path}'")):
            change()


def test_a_copy_has_links_times_and_modes_and_no_pipes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    program = source / "below" / "run.sh"
    program.write_text("exit 0")
    program.chmod(0o750)
    os.utime(program, (1, 2))
    (source / "link").symlink_to("/precious")
    os.mkfifo(source / "pipe")
    whole.copy_whole(Place(tmp_path, "source"), Place(tmp_path, "copy"))
    copied = tmp_path / "copy" / "below" / "run.sh"
    assert (copied.read_text(), copied.stat().st_mode & 0o777, copied.stat().st_mtime) == ("exit 0", 0o750, 2)
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["below", "link"]
    assert (tmp_path / "copy" / "link").readlink() == Path("/precious")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc shows the open descriptors")
def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    plant(tmp_path / "x", "link")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for again in range(3):
        atomic.write_bytes(Place(tmp_path, f"a{again}"), b"")
        for change in (lambda: Place(tmp_path, "x", "y").make(), lambda: Place(tmp_path, "y", "z").names_in(),
                       lambda: open_file(str(tmp_path / "x"))):  # fmt: skip
            with pytest.raises(OSError):
                change()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
