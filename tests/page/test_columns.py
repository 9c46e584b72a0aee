"""What is kept of metrics: read once, continued, read again when the file is another one; and the other new answers."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

import pytest

from runner.core.errors import UserError
from runner.core.job import Job
from runner.page import column_cache, curves, fan, kept_token, log_search
from runner.page import store as stores
from runner.page.columns import Columns, Source
from runner.page.curves import Curves
from runner.page.fan import Fans
from runner.page.store import Store
from tests.conftest import wait_until
from tests.page.pages import batch, client, source

NIGHT = "/api/v1/batches/night"


def written(path: Path, steps: range, value: float = 1.0, mode: str = "a") -> None:
    with path.open(mode) as file:
        for step in steps:
            file.write(json.dumps({"iter": step, "loss": value, "acc": step / 10}) + "\n")


def points(found: Columns, name: str = "loss") -> list[float]:
    track = found.track(name)
    assert track is not None
    return list(track.xs)


def test_columns_are_kept_and_continued(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    written(path, range(5))
    of = Source.of(tmp_path, "step", ())
    first = Columns(of)
    assert first.advance() and points(first) == [0, 1, 2, 3, 4]
    first.save()
    written(path, range(5, 7))
    written(path, range(3, 5), 2.0)  # after a resume
    again = Columns.kept(of)
    assert again is not None and again.names() == ["loss", "acc"]
    assert again.advance() and points(again, "acc") == [0, 1, 2, 3, 4, 5, 6, 3, 4]
    track = again.track("loss")
    assert track is not None and track.starts == [0, 7] and first.advance() and points(first) == points(again)


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    written(path, range(2))
    with path.open("a") as file:
        file.write('{"iter": 2, "lo')
    found = Columns(Source.of(tmp_path, "step", ()))
    assert found.advance() and points(found) == [0, 1]
    with path.open("a") as file:
        file.write('ss": 1}\n')
    assert found.advance() and points(found) == [0, 1, 2]


@pytest.mark.parametrize("steps", [range(3), range(9)], ids=["shorter", "longer"])
def test_another_file_is_not_taken_for_the_one_that_was_read(tmp_path: Path, steps: range) -> None:
    path = tmp_path / "metrics.jsonl"
    written(path, range(5))
    of = Source.of(tmp_path, "step", ())
    found = Columns(of)
    found.advance()
    found.save()
    written(path, steps, 7.0, "w")
    assert not found.advance() and Columns.kept(of) is None


def test_what_is_kept_has_a_limit_and_may_be_broken(tmp_path: Path, _own_cache: Path) -> None:
    folder = _own_cache / "overnight" / "page"
    written(tmp_path / "metrics.jsonl", range(5))
    of = Source.of(tmp_path, "step", ())
    found = Columns(of)
    found.advance()
    found.save()
    [kept] = folder.iterdir()
    for content in (b"", b"{}\n", b"[1]\n", b"\xff\n", kept.read_bytes()[:-9]):
        kept.write_bytes(content)
        broken = Columns.kept(of)
        assert broken is None
    column_cache.prune(0)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("gone", [True, False], ids=["removed", "replaced"])
def test_what_was_kept_may_go_while_it_is_in_use(tmp_path: Path, *, gone: bool) -> None:
    job = Job("j", ("true",), tmp_path, {})
    written(tmp_path / "metrics.jsonl", range(5))
    writer = Columns(Source.of(tmp_path, "step", ()))
    assert writer.advance()
    writer.save()
    user, asked = Columns.kept(writer.source), Columns.kept(writer.source)
    assert user is not None and asked is not None
    store = Store()
    (known,) = store.of([job], "step")
    assert known.columns is not None
    if gone:
        column_cache.prune(0)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"iter": 5, "loss": 1.0, "another": 2.0}) + "\n")
    if not gone:
        assert writer.advance()
        writer.save()  # with a longer head
    assert asked.track("loss") is None and not asked.advance() and not user.advance()
    (known,) = store.of([job], "step")
    assert known.columns is not None and points(known.columns) == list(range(6))
    store.filler.close()


def test_memory_has_a_limit_for_small_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job(f"j{number}", ("true",), tmp_path / f"j{number}", {}) for number in range(30)]
    for job in jobs:
        job.out_dir.mkdir()
        written(job.out_dir / "metrics.jsonl", range(10))
    monkeypatch.setattr(stores, "MOST_POINTS", 100)
    store = Store()
    assert Fans(store).of(jobs, "loss", "step")["jobs"] == 30
    assert store.points() == 0  # no curve of them is drawn
    for job in jobs:
        (known,) = store.of([job], "step")
        assert known.columns is not None and points(known.columns) == list(range(10))
        assert store.points() <= 100
    store.filler.close()


def large(folder: Path, rows: int = 20_000, every: int = 1) -> Job:
    """A job whose file of metrics is read by the process."""
    folder.mkdir(exist_ok=True)
    steps = range(rows)
    lines = [
        json.dumps({"iter": step, "loss": step / 7} | ({"acc": 0.5} if step % every == 0 else {})) for step in steps
    ]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return Job(folder.name, ("true",), folder, {})


def test_of_a_large_file_some_rows_are_shown_until_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "AT_ONCE", 1000)
    job, made = large(tmp_path / "j"), Curves()
    view = curves.View(100, (-math.inf, math.inf))
    try:
        first = made.answer([(0, job)], "loss", view, {0: 5})
        assert first["reading"] == 1 and first["keys"] == ["loss", "acc"]
        [rough] = first["series"]
        assert rough["rough"] and (rough["last"], rough["min"], rough["max"]) == (19_999 / 7, None, None)
        xs = [x for piece in rough["kept"] for x in piece[0]]
        assert xs == sorted(set(xs)) and (xs[0], xs[-1]) == (0, 19_999) and len(xs) > 100

        def exact() -> dict[str, Any] | None:
            found = made.answer([(0, job)], "loss", view)
            return None if found["reading"] else found

        [whole] = wait_until(exact, "the file is read")["series"]
        assert "rough" not in whole and (whole["n"], whole["min"]) == (20_000, 0)
    finally:
        made.store.filler.close()


def test_a_metric_that_few_rows_have_needs_the_whole_file_in_a_fan(tmp_path: Path) -> None:
    jobs = [large(tmp_path / "all"), large(tmp_path / "some", every=1000)]
    store = Store()
    fans = Fans(store)
    try:
        found = wait_until(lambda: (made := fans.of(jobs, "acc", "step"))["reading"] == 0 and made, "all is read")
        assert found["jobs"] == 2 and found["parts"][0] == [0.5] * 5 and found["x"][-1] == 19_999
        assert store.points() == 0  # no curve of them is drawn
    finally:
        store.filler.close()


def test_a_fan_has_what_was_appended_since_a_file_was_read(tmp_path: Path) -> None:
    job = large(tmp_path / "some", every=1000)
    fans = Fans(Store())
    try:
        wait_until(lambda: not fans.of([job], "acc", "step")["reading"], "all is read")
        written(job.out_dir / "metrics.jsonl", range(20_000, 20_010))
        with (job.out_dir / "metrics.jsonl").open("a") as file:
            file.write('{"iter": 20010, "lo')  # its end is missing, and the file does not grow any more
        found = fans.of([job], "acc", "step")
        assert found["x"][-1] == 20_009 and not found["reading"]
        [kept] = fans._kept.values()
        assert kept.size == (job.out_dir / "metrics.jsonl").stat().st_size  # not read again at each look
    finally:
        fans._store.filler.close()


def test_a_fan_needs_no_folder_to_keep_columns_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # as where a disk is full, or a home is not writable
    jobs = [large(tmp_path / name, every=1000) for name in ("a", "b")]
    store = Store()
    fans = Fans(store)
    try:
        found = wait_until(lambda: (made := fans.of(jobs, "acc", "step"))["reading"] == 0 and made, "all is read")
        assert found["jobs"] == 2 and found["x"][-1] == 19_000 and store.points() == 0
    finally:
        store.filler.close()


def test_a_file_that_cannot_be_read_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    job, store = Job("j", ("true",), tmp_path, {}), Store()
    fans = Fans(store)
    try:
        assert store.of([job], "step")[0].columns is None
        wait_until(lambda: not fans.of([job], "acc", "step")["reading"], "the fan does not wait")
    finally:
        store.filler.close()


def test_a_fan_is_complete_whatever_else_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan, "SECONDS", 0.0)  # one file each time
    monkeypatch.setattr(fan, "KEPT", 0)
    jobs = [Job(f"j{number}", ("true",), tmp_path / f"j{number}", {}) for number in range(4)]
    for job in jobs:
        job.out_dir.mkdir()
        written(job.out_dir / "metrics.jsonl", range(3))
    fans = Fans(Store())
    assert [fans.of(jobs, "loss", "step")["reading"] for _ in jobs] == [3, 2, 1, 0]
    assert fans.of(jobs, "loss", "step")["jobs"] == 4


def test_an_answer_reads_for_a_limited_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan, "SECONDS", 0.0)  # one file each time
    jobs = [large(tmp_path / f"j{number}") for number in range(3)]
    fans = Fans(Store())
    assert [fans.of(jobs, "loss", "step")["reading"] for _ in range(4)] == [2, 1, 0, 0]


def test_a_tick_costs_what_is_new(tmp_path: Path) -> None:
    root = batch(tmp_path)
    browser, path = client(source(tmp_path)), root / "a/metrics.jsonl"
    query = {"jobs": "0", "key": "val/loss"}
    first = browser.get(f"{NIGHT}/curves", params=query)
    n, sizes = first.json()["series"][0]["n"], []
    for tick in range(100):
        with path.open("a") as rows:
            rows.write(json.dumps({"iter": 6000 + tick, "val/loss": 0.5}) + "\n")
        answer = browser.get(f"{NIGHT}/curves", params={**query, "after": f"0:{n}"})
        [one] = answer.json()["series"]
        assert answer.json()["tail"] and one["kept"] == [[[6000 + tick], [0.5]]]
        n = one["n"]
        sizes.append(len(answer.content))
    assert max(sizes) < 500 < len(first.content) / 20
    assert "tail" not in browser.get(f"{NIGHT}/curves", params={**query, "after": "0:99999"}).json()
    assert "tail" not in browser.get(f"{NIGHT}/curves", params={**query, "after": "0:x"}).json()


def test_after_a_resume_all_of_a_curve_is_sent(tmp_path: Path) -> None:
    written(tmp_path / "metrics.jsonl", range(5))
    written(tmp_path / "metrics.jsonl", range(3, 4), 2.0)
    found = Columns(Source.of(tmp_path, "step", ()))
    found.advance()
    track = found.track("loss")
    assert track is not None
    view = curves.View(100, (0.0, 9.0))
    assert curves._tails([curves._Drawn(0, "a", track, False)], {0: 5}, view) is None
    tail = curves._tails([curves._Drawn(0, "a", track, False)], {0: 6}, view)
    assert tail is not None and tail["series"][0]["kept"] == []


def test_gpus_comparison_and_files_have_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERNIGHT_GPU_LOCKS", str(tmp_path / "locks"))
    batch(tmp_path)
    browser = client(source(tmp_path))
    assert set(browser.get("/api/v1/gpus").json()) == {"error", "driver", "gpus"}
    assert browser.get(f"{NIGHT}/compare").json()["jobs"] == 2
    refused = browser.get(f"{NIGHT}/compare", params={"metric": "none"}).json()
    assert refused["error"] == "metric: there is no metric 'none'"
    assert [one["name"] for one in browser.get(f"{NIGHT}/jobs/0/files").json()["files"]] == [
        "combined.log",
        "metrics.jsonl",
    ]
    found = browser.get(f"{NIGHT}/fan", params={"key": "val/loss"}).json()
    assert found["jobs"] == 1 and found["parts"][0] == [1.0] * 5


def test_a_kept_token_is_for_its_user_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made = kept_token.token()
    assert kept_token.token() == made and stat.S_IMODE(kept_token.path().stat().st_mode) == 0o600
    kept_token.path().chmod(0o644)
    with pytest.raises(UserError, match="only you can read"):
        kept_token.token()
    kept_token.path().unlink()
    assert kept_token.token() != made


def test_a_regular_expression_is_found_and_a_bad_one_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_search, "LONGEST", 120.0)  # its process may start slowly
    root = batch(tmp_path)
    (root / "a/stdout.log").write_text("a" * 40 + "!\nstep 12\nSTEP 13\n")
    browser, path = client(source(tmp_path)), f"{NIGHT}/jobs/0/log/stdout.log/search"
    found = browser.get(path, params={"q": r"step \d3", "re": 1}).json()
    assert (found["at"], found["line"]) == (50, 50)
    for wrong in ("step [", "(?u)step"):
        answer = browser.get(path, params={"q": wrong, "re": 1})
        assert answer.status_code == 404 and "cannot be used" in answer.json()["error"]
    monkeypatch.setattr(log_search, "LONGEST", 1.0)
    slow = browser.get(path, params={"q": "(a+)+b", "re": 1})
    assert slow.status_code == 404 and "takes more than" in slow.json()["error"]
