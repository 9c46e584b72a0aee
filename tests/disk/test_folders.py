"""Folders with all that is below them: reached without a link, removed, copied, measured, searched for checkpoints."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from runner.disk import atomic, checkpoints, json_text, usage, whole
from runner.disk.place import Place
from runner.disk.usage import Usage
from tests.engine.fakes import job


def put(folder: Path, *names: str, text: str = "x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


# Places


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_a_place_is_below_its_root(name: str) -> None:
    with pytest.raises(OSError, match="leads out of its folder") as refused:
        Place("/x", "a", name)
    assert refused.value.errno == errno.EINVAL


def test_a_place_has_a_name_a_parent_and_places_below(tmp_path: Path) -> None:
    place = Place(tmp_path, "a") / "b/c"
    assert (place.names, place.name, str(place)) == (("a", "b", "c"), "c", f"{tmp_path}/a/b/c")
    assert os.fspath(place.parent) == f"{tmp_path}/a/b" and Place.of(place) is place
    assert (Place.of("x").root, Place.of("/d/x").root, Place.of("/d/x").name) == (".", "/d", "x")
    nested = job("t/x/a", tmp_path)
    assert (Place.of_job(nested).root, Place.of_job(nested).names) == (str(tmp_path), ("t", "x", "a"))
    elsewhere = replace(nested, out_dir=tmp_path / "other")
    assert (Place.of_job(elsewhere).root, Place.of_job(elsewhere).names) == (str(tmp_path), ("other",))


def test_what_is_on_the_way_to_a_place_is_named(tmp_path: Path) -> None:
    put(tmp_path, "file", "real/x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/loop").symlink_to("loop")
    for names, why, path in (
        (("link", "x"), "is a link", "link"), (("file", "x"), "is not a folder", "file"),
        (("gone", "x"), "No such file", "gone"), (("real", "loop", "x"), "is a link", "real/loop"),
    ):  # fmt: skip
        place = Place(tmp_path, *names)
        with pytest.raises(OSError, match=why) as refused:
            place.open(os.O_RDONLY)
        assert refused.value.filename == f"{tmp_path}/{path}"
    assert Place(tmp_path, "real").is_folder() and not Place(tmp_path, "link").is_folder()
    assert not Place(tmp_path, "file").is_folder() and sorted(Place(tmp_path, "real").names_in()) == ["loop", "x"]
    with pytest.raises(FileNotFoundError):
        Place(tmp_path / "gone", "x").open(os.O_RDONLY)


def test_files_are_made_moved_and_removed_in_their_folders(tmp_path: Path) -> None:
    Place(tmp_path / "deep/root", "a", "b").make()
    Place(tmp_path / "deep/root", "a", "b").make()
    folder = Place(tmp_path, "one")
    folder.make()
    put(tmp_path, "one/x", "one/y", "one/z")
    folder.move_into(Place(tmp_path, "two", "three"), ["x", "y"])
    assert sorted(os.listdir(tmp_path / "two/three")) == ["x", "y"] and folder.names_in() == ["z"]  # noqa: PTH208
    (folder / "z").move(Place(tmp_path, "two", "w"))
    assert (folder / "z").remove() is False and (Place(tmp_path, "two", "w")).remove() is True
    assert not (tmp_path / "two/w").exists()
    before = os.umask(0)
    try:
        os.close(Place(tmp_path, "new").open(os.O_WRONLY | os.O_CREAT))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666


def test_a_folder_that_another_process_makes_meanwhile_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = os.mkdir

    def made_twice(*words: object, **more: object) -> None:
        mkdir(*words, **more)  # type: ignore[arg-type]
        mkdir(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "mkdir", made_twice)
    Place(tmp_path, "a", "b").make()
    assert (tmp_path / "a/b").is_dir()


# Removed and copied


def test_a_folder_is_removed_whole_and_what_its_links_lead_to_stays(tmp_path: Path) -> None:
    put(tmp_path, "keep/x", "gone/a/b", "file")
    (tmp_path / "gone/link").symlink_to(tmp_path / "keep")
    (tmp_path / "to_keep").symlink_to(tmp_path / "keep")
    for name in ("gone", "to_keep", "file"):
        whole.remove_whole(Place(tmp_path, name))
    assert [path.name for path in tmp_path.iterdir()] == ["keep"] and (tmp_path / "keep/x").exists()
    with pytest.raises(FileNotFoundError):
        whole.remove_whole(Place(tmp_path, "gone"))


def test_a_copy_has_the_contents_modes_times_and_links_of_what_was_copied(tmp_path: Path) -> None:
    put(tmp_path, "one/a/b", "one/c", text="text")
    (tmp_path / "one/c").chmod(0o750)
    os.utime(tmp_path / "one/c", ns=(1_000_000_001, 2_000_000_002))
    (tmp_path / "one/link").symlink_to("c")
    os.mkfifo(tmp_path / "one/pipe")
    whole.copy_whole(Place(tmp_path, "one"), Place(tmp_path, "two"))
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["a", "c", "link"]
    copy = tmp_path / "two/c"
    assert copy.read_text() == (tmp_path / "two/a/b").read_text() == "text"
    about = copy.stat()
    assert (stat.S_IMODE(about.st_mode), about.st_mtime_ns) == (0o750, 2_000_000_002)
    assert (tmp_path / "two/link").readlink() == Path("c")
    with pytest.raises(FileExistsError):
        whole.copy_whole(Place(tmp_path, "one", "c"), Place(tmp_path, "two", "c"))


# Measured


def test_the_bytes_of_a_batch_are_told_by_kind_and_counted_once(tmp_path: Path) -> None:
    put(tmp_path, "a/ckpt_1.pt", text="x" * 1000)
    put(tmp_path, "a/checkpoint-5/trainer_state.json", "a/checkpoint-5/deep/w", text="x" * 100)
    put(
        tmp_path,
        "a/stdout.log",
        "a/stdout.log.part_1",
        "a/error_details.txt",
        "master_log.txt",
        "runner.log",
        text="x" * 10,
    )
    put(tmp_path, "a/other.log", "plan.json")
    os.link(tmp_path / "a/ckpt_1.pt", tmp_path / "b")
    (tmp_path / "link").symlink_to("a/ckpt_1.pt")
    (tmp_path / "folder").symlink_to("a/checkpoint-5")
    link = len("a/ckpt_1.pt") + len("a/checkpoint-5")
    found = usage.of_batch(tmp_path, [tmp_path / "a", tmp_path / "gone"])
    assert found.logs == 50 and found.total == 1000 + 200 + 50 + 2 + link
    assert {found.checkpoints, found.rest} in ({1000, 200 + 2 + link}, {0, 1200 + 2 + link}, {200 + 2 + link, 1000})
    (tmp_path / "b").unlink()
    assert usage.of_batch(tmp_path, [tmp_path / "a"]) == Usage(1000, 50, 202 + link)
    assert usage.of_batch(tmp_path, [tmp_path / "a"], ["checkpoint-*"]) == Usage(200, 50, 1002 + link)
    assert usage.of_batch(tmp_path, []) == Usage(0, 50, 1202 + link)
    assert Usage(1, 2, 3) + Usage(10, 20, 30) == Usage(11, 22, 33)
    assert Usage(1, 2, 3).to_json() == {"checkpoints": 1, "logs": 2, "rest": 3, "total": 6}
    paths = [str(tmp_path / name) for name in ("a/checkpoint-5", "a/stdout.log", "link")]
    assert usage.of_paths(paths) == 200 + 10 + len("a/ckpt_1.pt")
    assert usage.of_paths([str(tmp_path / "folder")]) == len("a/checkpoint-5")


def test_a_folder_of_a_job_that_a_link_replaced_is_not_inside_its_batch(tmp_path: Path) -> None:
    put(tmp_path, "batch/a/x", "other/ckpt_1.pt")
    (tmp_path / "batch/b").symlink_to(tmp_path / "other")
    assert usage.is_inside(tmp_path / "batch/a", tmp_path / "batch")
    assert not usage.is_inside(tmp_path / "batch/b", tmp_path / "batch")
    assert not usage.is_inside(tmp_path / "batch/gone", tmp_path / "batch")
    assert usage.of_batch(tmp_path / "batch", [tmp_path / "batch/b"]).checkpoints == 0


# Partly written files and torn lines


def test_only_temporary_files_of_ours_are_removed(tmp_path: Path) -> None:
    ours, others = (
        (".a.json.7.tmp", ".a.b.tmp.12.tmp", ".a.7.tmp"),
        (".a.tmp", "a.json.7.tmp", ".a.x.tmp", ".a.7.tmpx", ".a.7.json", ".7.tmp"),
    )
    put(tmp_path, *ours, *others)
    (tmp_path / ".b.json.8.tmp").mkdir()
    atomic.remove_partial(Place(tmp_path, "gone"))
    atomic.remove_partial(Place.of(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {*others, ".b.json.8.tmp"}


def test_a_torn_line_is_ended_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    atomic.end_torn_line(path)
    assert not path.exists()
    for before, after in ((b"", b""), (b"a\n", b"a\n"), (b"a\nb", b"a\nb\n"), (b"x", b"x\n")):
        path.write_bytes(before)
        atomic.end_torn_line(path)
        assert path.read_bytes() == after


def test_several_files_are_replaced_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda one: synced.append(stat.S_ISDIR(os.fstat(one).st_mode)) or fsync(one))
    atomic.write_files(tmp_path, {"a": b"1", "b": b"2"})
    assert synced == [False, False, True] and [(tmp_path / name).read_text() for name in "ab"] == ["1", "2"]
    synced.clear()
    atomic.write_bytes(tmp_path / "a", b"3", durable=False)
    assert synced == [] and (tmp_path / "a").read_text() == "3"
    atomic.sync_folder(tmp_path)
    assert synced == [True]
    with pytest.raises(OSError, match="No such file") as refused:
        atomic.write_bytes(tmp_path / "gone/a", b"")
    assert refused.value.filename == f"{tmp_path}/gone"
    (tmp_path / "folder").mkdir()
    for write, path in ((lambda: atomic.write_bytes(tmp_path / "folder", b""), "folder"),
                        (lambda: atomic.write_files(tmp_path, {"folder": b""}), "")):  # fmt: skip
        with pytest.raises(OSError, match="directory") as refused:
            write()
        assert refused.value.filename == os.path.join(tmp_path, path).rstrip("/")  # noqa: PTH118
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "folder"]


def test_json_is_what_every_reader_accepts() -> None:
    value: object = 1
    for _ in range(200):
        value = [value]
    inf = float("inf")
    assert atomic.as_json({"a": [inf, -inf, float("nan"), 1.5], "b": "\udce9é", "c": Path("x"), "d": (inf,)}) == (
        '{\n  "a": [\n    null,\n    null,\n    null,\n    1.5\n  ],\n'
        '  "b": "\\udce9é",\n  "c": "x",\n  "d": [\n    null\n  ]\n}'
    )
    assert atomic.as_json(value).count("[") == 128 and f'"{json_text.TOO_DEEP}"' in atomic.as_json(value)
    assert atomic.json_bytes({}) == b"{}\n"
    many = {str(number): number for number in range(5000)}
    assert atomic.as_json(many).count(",") == 4999


# Checkpoints


@pytest.mark.parametrize(
    ("pattern", "valid"),
    [
        ("*.pt", True), ("**/x", True), ("a/b/", True), ("[a-c]*", True), ("", False), ("/", False), ("/a", False),
        ("../a", False), ("a/..", False), ("a/../b", False), ("[z-a]", False), ("a..b", True),
    ],
)  # fmt: skip
def test_a_pattern_of_checkpoints_stays_below_the_folder(pattern: str, valid: bool) -> None:
    assert checkpoints.is_pattern(pattern) is valid


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("*.pt", ["a.pt", ".pt"], ["x/a.pt", "a.ptx", "a_pt"]), ("x/?.pt", ["x/a.pt"], ["x/ab.pt", "a.pt", "x//.pt"]),
        ("**/w.pt", ["w.pt", "a/w.pt", "a/b/w.pt"], ["a/xw.pt"]), ("[ab].pt", ["a.pt", "b.pt"], ["c.pt", "ab.pt"]),
        ("[!ab].pt", ["c.pt"], ["a.pt", "/.pt"]), ("a/**", ["a/b", "a/b/c"], ["b/a"]), ("[.pt", ["[.pt"], ["a.pt"]),
        ("[]a].pt", ["].pt", "a.pt"], ["b.pt"]), ("[a^].pt", ["^.pt", "a.pt"], ["b.pt"]), ("[]", ["[]"], ["a"]),
    ],
)  # fmt: skip
def test_patterns_match_names_as_those_of_a_shell_do(pattern: str, names: list[str], others: list[str]) -> None:
    assert [name for name in names if not checkpoints._matches(name, [pattern], is_folder=False)] == []
    assert [name for name in others if checkpoints._matches(name, [pattern], is_folder=False)] == []


def test_parts_of_the_latest_checkpoint_have_its_number_or_none(tmp_path: Path) -> None:
    names = (
        "step_10.pt",
        "step_20.pt",
        "optimizer_20.pt",
        "model-00001-of-00002_20.pt",
        "rank_3_20.pt",
        "best.pt",
        "ema.pt",
    )
    put(tmp_path, *names)
    paths = [str(tmp_path / name) for name in names]
    kept = checkpoints.saved_with(paths[1], paths)
    assert [Path(path).name for path in kept] == [name for name in names if name != "step_10.pt"]
    for number, path in enumerate(paths):
        os.utime(path, (number, number))
    os.utime(paths[0], (100, 100))
    assert str(tmp_path / "step_10.pt") in checkpoints.saved_with(str(tmp_path / "best.pt"), paths)
    assert str(tmp_path / "step_20.pt") not in checkpoints.saved_with(str(tmp_path / "best.pt"), paths)
    (tmp_path / "last.pt").symlink_to("step_10.pt")
    both = checkpoints.saved_with(str(tmp_path / "last.pt"), [paths[0], str(tmp_path / "last.pt")])
    assert [Path(path).name for path in both] == ["step_10.pt", "last.pt"]


def test_checkpoints_are_searched_a_few_folders_deep(tmp_path: Path) -> None:
    deep = "1/2/3/4/5/checkpoints/w.pt"
    put(
        tmp_path,
        deep,
        f"0/{deep}",
        "wandb/checkpoints/w.pt",
        "attempt_1/checkpoints/w.pt",
        "x/attempt_2/checkpoints/w.pt",
    )
    found = checkpoints.every_checkpoint(str(tmp_path))
    assert found == [
        str(tmp_path / name) for name in (deep, "x/attempt_2/checkpoints/w.pt", "attempt_1/checkpoints/w.pt")
    ]
    assert checkpoints.latest_checkpoint(str(tmp_path), ["1/2/3/4/5/*/*.pt"]) == str(tmp_path / deep)


def test_a_search_for_checkpoints_ends_after_so_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a/checkpoints/w.pt", "b", "c", "d")
    monkeypatch.setattr(checkpoints, "MOST_ENTRIES", 6)
    assert len(checkpoints.every_checkpoint(str(tmp_path))) == 1  # of four entries and one below
    monkeypatch.setattr(checkpoints, "MOST_ENTRIES", 4)
    assert checkpoints.every_checkpoint(str(tmp_path)) == []
    put(tmp_path, "attempt_1/checkpoints/w.pt", "attempt_2", "elsewhere/w.pt")
    (tmp_path / "attempt_3").symlink_to("elsewhere")
    monkeypatch.setattr(checkpoints, "MOST_ENTRIES", 100)
    found = checkpoints.every_checkpoint(str(tmp_path))
    assert [os.path.relpath(path, tmp_path) for path in found] == ["a/checkpoints/w.pt", "attempt_1/checkpoints/w.pt"]
