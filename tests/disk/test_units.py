"""Small functions of runner/disk: what they return for each kind of folder and file. No processes."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from runner.core.errors import UserError
from runner.core.job import Plan
from runner.core.plan_kind import PlanKind
from runner.core.requests import Answer, SkipJobs
from runner.disk import (
    append_log,
    gpu_use,
    labels,
    layout,
    list_cache,
    nonce,
    reading,
    record_file,
    removal,
    requests,
    resources,
    rungs_file,
    strays,
    supervisor_file,
)
from runner.disk.growing_log import GrowingLog
from runner.disk.moved import is_same
from runner.disk.opening import open_file
from runner.disk.place import Place
from runner.disk.supervisor_file import SupervisorRecord
from runner.processes import process_id, process_tree
from tests.engine.fakes import job


def test_a_folder_is_the_same_by_a_link_and_not_once_it_is_gone(tmp_path: Path) -> None:
    folder, link = tmp_path / "batch", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    assert is_same(link, folder)
    assert not is_same(tmp_path, folder)
    assert not is_same(tmp_path / "gone", folder)


def test_metadata_that_are_gone_do_not_refute_a_result(tmp_path: Path) -> None:
    assert nonce.confirms(tmp_path, "completed", None)
    (tmp_path / layout.METADATA).write_text(f'{{\n  "nonce_sha256": "{nonce.digest("mine")}"\n}}')
    assert nonce.confirms(tmp_path, "completed", "mine")
    assert not nonce.confirms(tmp_path, "completed", "\ud800")  # a job wrote half a character


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


# What is read


@pytest.mark.linux
def test_records_are_read_up_to_a_size_and_by_one_sentence_when_they_are_odd(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert record_file.look(str(path), dict) is None and reading.read_json(path) == {}
    path.write_text('{"a": 1}')
    assert (
        record_file.look(str(path), dict, 8) == record_file.load(str(path), 8) == reading.read_json(path, 8) == {"a": 1}
    )
    assert reading.read_bytes(path, 8) == b'{"a": 1}' and reading.read_json(path, 7) == {}
    with pytest.raises(OSError, match=r"is larger than 6\.68e-06 MiB"):
        reading.read_bytes(path, 7)

    with pytest.raises(OSError, match="is larger than"):  # a file that grows: the system says that it has no bytes
        reading.read_bytes("/proc/self/status", 100)

    def odd(record: object) -> None:
        raise ValueError("is odd")

    assert why(record_file.look(str(path), odd)) == "r.json: is odd"
    assert why(record_file.look(str(path), dict, 7)) == "r.json: is larger than 6.68e-06 MiB"
    path.write_text("[")
    assert why(record_file.look(str(path), dict)) == "r.json: is not JSON" and reading.read_json(path) == {}
    (tmp_path / "link").symlink_to("r.json")
    assert why(record_file.look(str(tmp_path / "link"), dict)) == "link: is a link and not a regular file"
    assert reading.read_bytes(tmp_path / "link", links=True) == b"["
    assert why(record_file.look(str(tmp_path), dict)).endswith("is a folder and not a regular file")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is a pipe"):
        open_file(str(tmp_path / "pipe"), os.O_RDWR)
    with pytest.raises(OSError, match="is a device"):
        open_file(os.devnull)
    with pytest.raises(FileNotFoundError):
        open_file(str(tmp_path / "gone"))


def test_a_file_that_grows_while_it_is_read_is_read_in_large_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was empty when it was opened; byte by byte 400 KB took nine seconds."""
    path, asked, read = tmp_path / "a.json", list[int](), os.read
    path.touch()

    def grown(descriptor: int, size: int) -> bytes:
        if not asked:
            path.write_bytes(b"x" * 400_000)
        asked.append(size)
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", grown)
    assert len(reading.read_bytes(path)) == 400_000 and len(asked) < 12


def why(found: object) -> str:
    assert isinstance(found, record_file.Unreadable)
    return found.why


def test_the_last_whole_lines_of_a_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert reading.tail(str(path)) == reading.last_lines(str(path)) == []
    path.write_bytes(b"one\ntwo\r\nold\rthree  \n\xff")
    assert reading.tail(str(path)) == ["one", "two", "three", "\ufffd"]
    assert reading.tail(str(path), 1, 16) == ["three", ""] and reading.last_lines(str(path), 3) == [b"\xff"]
    assert reading.last_lines(str(path), 22)[0] == b"one" and reading.last_lines(str(path), 21)[0] == b"two\r"
    (tmp_path / "link").symlink_to("log")
    assert reading.tail(str(tmp_path / "link")) == [] and len(reading.tail(str(tmp_path / "link"), links=True)) == 4
    with path.open("rb") as file:
        assert reading.placed_lines_of(file) == ([b"one", b"two\r", b"old\rthree  ", b"\xff"], 22)


# Logs


def test_a_log_that_cannot_be_written_counts_what_it_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = append_log.Log(tmp_path / "a.log")
    log.write(b"ab", b"c")
    assert (log.error, log.lost, log.size, (tmp_path / "a.log").read_bytes()) == (None, 0, 3, b"abc")
    writev = os.writev
    monkeypatch.setattr(os, "writev", lambda descriptor, pieces: writev(descriptor, [b"".join(pieces)[:1]]))
    log.write(b"de", b"f")
    assert (tmp_path / "a.log").read_bytes() == b"abcdef" and log.lost == 0
    gone = append_log.Log(tmp_path / "gone/a.log")
    gone.write(b"abc")
    gone.write(b"de")
    assert (gone.error, gone.lost, gone.size) == ("a.log: No such file or directory", 5, 5)


def test_a_log_is_followed_from_its_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "any.log"
    path.write_bytes(b"1\n2\n3\n")
    for lines, shown in ((0, b"1\n2\n3\n"[:0]), (1, b"3\n"), (2, b"2\n3\n"), (3, b"1\n2\n3\n"), (9, b"1\n2\n3\n")):
        with GrowingLog(path, lines) as log:
            assert b"".join(log.blocks()) == shown
    path.write_bytes(b"1\n2")
    with GrowingLog(path, 1) as log:
        assert b"".join(log.blocks()) == b"2"
        with path.open("ab") as more:
            more.write(b"3\n")
        assert b"".join(log.blocks()) == b"3\n" and b"".join(log.blocks()) == b""
        path.write_bytes(b"x")  # it was cut
        assert b"".join(log.blocks()) == b"x"


# Small records


def test_what_the_engine_saw_of_a_gpu_is_that_of_one_attempt(tmp_path: Path) -> None:
    entries = {
        gpu_use.PEAK: 5, gpu_use.AT_ONCE: 2, gpu_use.SOURCE: "nvml",
        gpu_use.PACKING: {"jobs": 2, "times_one_alone": 1.5},
    }  # fmt: skip
    assert gpu_use.read(str(tmp_path), 2) == {}
    gpu_use.write(Place.of(tmp_path), 2, {**entries, "other": 1})
    assert gpu_use.read(str(tmp_path), 2) == entries and gpu_use.read(str(tmp_path), 3) == {}
    gpu_use.write(
        Place.of(tmp_path),
        2,
        {gpu_use.PEAK: -1, gpu_use.AT_ONCE: 2**63, gpu_use.SOURCE: 3, gpu_use.PACKING: {"jobs": 2}},
    )
    assert gpu_use.read(str(tmp_path), 2) == {}
    gpu_use.write(Place.of(tmp_path), 2, {gpu_use.PEAK: 0, gpu_use.PACKING: {"times_one_alone": 1}})
    assert gpu_use.read(str(tmp_path), 2) == {gpu_use.PEAK: 0}


def test_rows_of_resources_are_read_as_far_as_they_are_whole(tmp_path: Path) -> None:
    assert list(resources.read(tmp_path)) == []
    resources.append(Place.of(tmp_path), {"time": "t", "cpu": 1.5})
    with (tmp_path / "resources.jsonl").open("a") as file:
        file.write('[1]\n{"cpu": NaN, "gpus": [1], "a": "x", "b": 2, "c": true, "d": 1e999}\n{"cpu": 3, "half')
    assert list(resources.read(tmp_path)) == [{"gpus": [1], "b": 2}, {"time": "t", "cpu": 1.5}]  # by their times
    assert resources.free(Place.of(tmp_path)) == os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    assert [resources.is_finite(one) for one in (1, 2**63, -(2**63), "1")] == [True, False, False, False]


def test_notes_and_tags_of_a_batch_are_changed_as_a_whole(tmp_path: Path) -> None:
    assert labels.read(tmp_path) == labels.Labels()
    assert labels.change(tmp_path, lambda before: labels.Labels("n", (*before.tags, "a"))).tags == ("a",)
    written = (tmp_path / "labels.json").stat().st_mtime_ns
    assert labels.change(tmp_path, lambda before: before) == labels.Labels("n", ("a",)) == labels.read(tmp_path)
    assert (tmp_path / "labels.json").stat().st_mtime_ns == written
    for text, cause in (
        ('{"schema": 2}', "another version"),
        ("[", "is not JSON"),
        ('{"schema": 1, "tags": 3}', "tags is 3"),
    ):
        (tmp_path / "labels.json").write_text(text)
        assert labels.read(tmp_path) == labels.Labels()
        with pytest.raises(UserError, match=f"labels.json: cannot be read .*{cause}.*; correct or delete it"):
            labels.change(tmp_path, lambda before: before)
    assert labels.Labels.from_json({"schema": 1, "note": "", "tags": ["b", "a", "b"]}) == labels.Labels(
        None, ("b", "a")
    )


def test_notes_are_changed_by_one_command_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    monkeypatch.setattr(fcntl, "flock", lambda descriptor, how: held.append(how))
    labels.change(tmp_path, lambda before: labels.Labels("n"))
    assert held == [fcntl.LOCK_EX]

    def without_locks(descriptor: int, how: int) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", without_locks)
    assert labels.change(tmp_path, lambda before: labels.Labels("m")).note == "m"


@pytest.mark.linux
def test_what_describes_processes_is_not_synced_and_no_file_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    plan = Plan("p", tmp_path, (job("a", tmp_path),), PlanKind("files"), "", cwd=tmp_path)
    place = Place.of(tmp_path)
    cache = list_cache.ListCache(tmp_path)
    cache.put(tmp_path / "b", list_cache.Entry((), "", {}))
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    ticket = requests.send(plan, SkipJobs(("a",)))
    requests.take(tmp_path, ticket, PlanKind)
    requests.answer(tmp_path, ticket, Answer(()))
    requests.note_reasons(tmp_path, {})
    gpu_use.write(place, 1, {})
    supervised(tmp_path)
    cache.save()
    resources.append(place, {})
    assert synced == [] and len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208


def test_an_entry_of_the_list_counts_while_the_files_are_those_of_then(tmp_path: Path) -> None:
    root = tmp_path / "batch"
    (root / "a").mkdir(parents=True)
    for name in ("plan.json", "a/experiment_result.json", "a/experiment_metadata.json"):
        (root / name).write_text("{}")
    entry = list_cache.Entry(("a",), list_cache.stamp(root, ["a"]), {"n": 1})
    cache = list_cache.ListCache(tmp_path)
    assert cache.get(root) is None
    cache.put(root, entry)
    cache.save()
    kept = (tmp_path / ".list_cache.json").read_text()
    again = list_cache.ListCache(tmp_path)
    assert again.get(root) == {"n": 1}
    again.save()
    assert (tmp_path / ".list_cache.json").read_text() == kept
    for odd in (
        "[",
        kept.replace('"schema": 1', '"schema": 2'),
        kept.replace('"runner_version": "', '"runner_version": "x'),
    ):
        (tmp_path / ".list_cache.json").write_text(odd)
        assert list_cache.ListCache(tmp_path).get(root) is None
    for name in ("plan.json", "a/experiment_result.json", "a/experiment_metadata.json"):
        (tmp_path / ".list_cache.json").write_text(kept)
        before = list_cache.stamp(root, ["a"])
        (root / name).write_text("{ }")
        assert list_cache.ListCache(tmp_path).get(root) is None and list_cache.stamp(root, ["a"]) != before
        (root / name).unlink()
        kept = kept.replace(before, list_cache.stamp(root, ["a"]))
    forgotten = list_cache.ListCache(tmp_path)
    forgotten.save()  # none of its batches was asked for: they are gone
    assert json.loads((tmp_path / ".list_cache.json").read_text())["batches"] == {}


# Processes that are gone


GONE = ["7", "1", process_id.own()[2]]


def supervised(folder: Path, **more: Any) -> None:
    folder.mkdir(exist_ok=True)
    record = {"supervisor": GONE, "job": None, "mark": "m", "attempt": 1, **more}
    supervisor_file.write(Place.of(folder), SupervisorRecord.from_json(record))


def test_what_a_job_left_is_asked_to_end_and_killed_after_the_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, now, made = job("a", tmp_path), [0.0], list[object]()
    monkeypatch.setattr(strays.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(strays.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(process_tree, "marked", lambda mark, folder: [] if now[0] > ends[0] else [77])
    monkeypatch.setattr(process_tree, "send", lambda pids, number: made.append((pids, number)))
    monkeypatch.setattr(process_tree, "kill_marked", lambda mark, folder: made.append((mark, folder)))
    ends = [100.0]
    assert strays.of(one) == strays.end(one, 1.0) == []
    supervised(one.out_dir)
    assert strays.of(one) == [77] and strays.end(one, 0) == [77] and made == [("m", one.out_dir)] and now == [0.0]
    made.clear()
    assert strays.end(one, 1.0) == [77] and 1.0 <= now[0] < 1.1
    assert made == [([77], signal.SIGTERM), ([77], signal.SIGCONT), ("m", one.out_dir)]
    ends[0], now[0] = 0.2, 0.0
    assert strays.end(one, 9.0) == [] and 0.2 < now[0] < 0.3
    ends[0] = 100.0
    for other in ({"mark": None}, {"host": "gpu9"}):
        supervised(one.out_dir, **other)
        assert strays.of(one) == []
    monkeypatch.setattr(SupervisorRecord, "alive", True)
    supervised(one.out_dir)
    assert strays.of(one) == []


def test_jobs_that_run_are_found_without_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, more in (("gone", {}), ("there", {"host": "gpu9"}), ("ended", {"host": "gpu9"})):
        supervised(tmp_path / name, **more)
    (tmp_path / "ended/experiment_result.json").write_text('{"status": "completed"}')
    (tmp_path / "none").mkdir()
    assert [folder.name for folder, _ in removal.running_jobs(tmp_path)] == ["there"]
    monkeypatch.setattr(SupervisorRecord, "alive", True)
    assert {folder.name for folder, _ in removal.running_jobs(tmp_path)} == {"gone", "there", "ended"}


def test_the_events_of_a_search_are_read_as_far_as_they_are_whole(tmp_path: Path) -> None:
    assert rungs_file.read(tmp_path) == []
    rungs_file.RungsFile(tmp_path).append({"a": 1})
    with (tmp_path / layout.RUNGS).open("a") as file:
        file.write('[1]\n{"cut')
    log = rungs_file.RungsFile(tmp_path)
    log.append({"b": 2})
    assert rungs_file.read(tmp_path) == [{"a": 1}, {"b": 2}]
    assert (tmp_path / layout.RUNGS).read_text() == '{"a": 1}\n[1]\n{"cut\n{"b": 2}\n'
    rungs_file.RungsFile(tmp_path).append({"c": 3})
    assert (tmp_path / layout.RUNGS).read_text().endswith('{"b": 2}\n{"c": 3}\n')
