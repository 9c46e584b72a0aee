"""What the page answers: what changed, curves that lose no extremum, any part of a log, orders that are commands."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from runner.core.job import Job
from runner.page import assets, axes, log_search, logs
from runner.page.batch_view import looks
from runner.page.curves import Curves, View, smoothed
from runner.reports.tracks import Track, Tracks
from tests.conftest import wait_until
from tests.page.pages import ERRORS, NO_ERRORS, ORIGIN, batch, client, source

NIGHT = "/api/v1/batches/night"
WHOLE = (-math.inf, math.inf)
WIDE = View(100, WHOLE)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    batch(tmp_path)
    return tmp_path


@pytest.fixture
def browser(base: Path) -> TestClient:
    return client(source(base))


def test_all_batches_are_on_the_first_page(browser: TestClient, base: Path) -> None:
    batch(base, "second")
    found = browser.get("/api/v1/batches").json()
    assert {one["name"]: one["state"] for one in found["batches"]} == {"night": "stopped", "second": "stopped"}


def test_an_answer_has_only_what_changed(browser: TestClient) -> None:
    first = browser.get(NIGHT).json()
    assert [job["name"] for job in first["jobs"]] == ["a", "b"]
    assert first["sentence"] == "2 jobs: 2 pending."
    assert [column["name"] for column in first["settings"]] == ["lr"]
    again = browser.get(NIGHT, params={"since": first["version"]})
    assert again.json() == {"schema": 1, "version": first["version"], "jobs": []}
    assert len(again.content) < 100
    assert len(browser.get(NIGHT, params={"since": 10**9}).json()["jobs"]) == 2  # of an earlier start


def test_one_that_has_the_latest_version_gets_no_answer_twice(browser: TestClient, base: Path) -> None:
    first = browser.get(NIGHT)
    tag = first.headers["etag"]
    assert tag == f'"{first.json()["version"]}"'
    for given in (tag, f'"x", W/{tag}'):
        same = browser.get(NIGHT, headers={"if-none-match": given})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert browser.get(NIGHT, headers={"if-none-match": '"1"'}).status_code == 200
    other = client(source(base)).get(NIGHT, params={"since": first.json()["version"]})  # after a new start
    assert len(other.json()["jobs"]) == 2 and other.headers["etag"] != tag


def test_files_of_the_page_are_kept_by_an_address_that_has_their_hash(browser: TestClient) -> None:
    page = browser.get("/").text
    assert page.count(f'"/assets/{assets.version()}/') == page.count('"/assets/') > 20  # each module is asked for
    for name in assets.names():
        kept = browser.get(f"/assets/{assets.version()}/{name}")
        assert kept.status_code == 200 and "immutable" in kept.headers["cache-control"]
        now = browser.get(f"/assets/{name}", headers={"if-none-match": kept.headers["etag"]})
        assert (now.status_code, now.headers["cache-control"]) == (304, "no-cache")
    assert browser.get("/assets/0123456789abcdef/main.js").status_code == 404


def test_secrets_in_settings_are_hidden(browser: TestClient) -> None:
    found = browser.get(f"{NIGHT}/jobs/0")
    assert found.json()["config"]["lr"] == "0.0"
    assert "sk-canary" not in found.text


def test_each_job_has_a_look_of_its_own_that_stays() -> None:
    names = [f"job_{number}" for number in range(24)]
    assert len(set(looks(names))) == 24
    assert looks(names[:10]) == looks(names)[:10]
    assert max(looks([str(number) for number in range(100)])) < 24


def answer(curves: Curves, job: Job, view: View) -> dict[str, Any]:
    """Of one job, once all of it is read."""

    def whole() -> dict[str, Any] | None:
        found = curves.answer([(0, job)], "loss", view)
        return None if found["reading"] else found

    try:
        return wait_until(whole, "the metrics are read")
    finally:
        curves.store.filler.close()


def curve(folder: Path, rows: list[dict[str, object]], view: View = WIDE) -> dict[str, Any]:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = answer(Curves(), Job("j", ("true",), folder), view)
    json.dumps(found, allow_nan=False)
    one: dict[str, Any] = found["series"][0]
    return one


def test_every_extremum_of_a_column_is_drawn(tmp_path: Path) -> None:
    values = [math.sin(step * step) for step in range(20_000)]
    values[7_777], values[13_131] = 50.0, -50.0
    drawn = curve(tmp_path, [{"iter": step, "loss": value} for step, value in enumerate(values)])
    [[xs, ys]] = drawn["kept"]
    assert len(xs) <= 202
    width = (20_000 - 1) / 100
    for column in range(100):
        inside = [value for step, value in enumerate(values) if min(int(step / width), 99) == column]
        shown = [y for x, y in zip(xs, ys, strict=True) if min(int(x / width), 99) == column]
        assert (min(shown), max(shown)) == pytest.approx((min(inside), max(inside)), rel=1e-8)


def test_what_is_not_finite_is_counted_and_leaves_a_gap(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"iter": step, "loss": float(step)} for step in range(10)]
    rows[4]["loss"] = math.nan
    rows[6]["loss"] = -math.inf
    drawn = curve(tmp_path, rows)
    assert [xs for xs, _ in drawn["kept"]] == [[0, 1, 2, 3], [5], [7, 8, 9]]
    assert drawn["nonfinite"] == {"count": 2, "first": 4, "marks": [[4, "NaN"], [6, "-inf"]]}


def test_what_a_resume_measured_again_is_drawn_apart(tmp_path: Path) -> None:
    steps = [*range(10), *range(6, 15)]
    drawn = curve(tmp_path, [{"iter": step, "loss": float(number)} for number, step in enumerate(steps)])
    kept = [x for xs, _ in drawn["kept"] for x in xs]
    assert kept == sorted(set(steps))
    assert drawn["replaced"] == [[[5, 6, 7, 8, 9], [5, 6, 7, 8, 9]]]


def test_working_hours_leave_out_the_time_between_attempts(tmp_path: Path) -> None:
    clock = ("06:00", "07:00", "10:00", "10:30", "20:00")
    rows: list[dict[str, object]] = [
        {"iter": step, "loss": float(at), "time": f"2026-11-27T{time}:00.000+00:00"}
        for at, (step, time) in enumerate(zip((1, 2, 3, 4, 3), clock, strict=True))
    ]
    placer = axes.Placer(axes.WORK, ["2026-11-27T09:00:00+00:00", "?"])
    assert [(placer(row) or {})["epoch"] for row in rows] == pytest.approx([0, 1, 1, 1.5, 1.5])
    [first, second] = curve(tmp_path, [*rows, {"iter": 5, "loss": 9.0}], View(100, WHOLE, axis=axes.WALL))["kept"]
    assert [time - first[0][0] for time in first[0] + second[0]] == [0, 3600, 14400, 16200, 50400]
    assert first[1] + second[1] == [0, 1, 2, 3, 4]


def test_the_last_row_before_a_pause_counts_in_working_hours() -> None:
    begin = datetime(2026, 11, 27, tzinfo=UTC)
    for worked in range(0, 40_000, 450):
        placer = axes.Placer(axes.WORK, [])
        times = (begin + timedelta(seconds=passed) for passed in (0, worked, 99_999))
        rows = [{"iter": step, "time": time.isoformat()} for step, time in zip((1, 2, 1), times, strict=True)]
        _, last, first = ((placer(row) or {})["epoch"] for row in rows)
        assert last == pytest.approx(worked / 3600) and last < first == pytest.approx(last)


@pytest.mark.parametrize("axis", axes.AXES)
def test_smoothing_is_the_same_over_each_axis_and_begins_again_after_a_resume(tmp_path: Path, axis: str) -> None:
    rows: list[dict[str, object]] = [
        {"iter": step, "loss": loss, "time": f"2026-11-27T06:{minute:02}:00.000+00:00"}
        for minute, (step, loss) in enumerate([(1, 8.0), (2, 4.0), (3, math.nan), (4, 4.0), (3, 1.0), (4, 1.0)])
    ]
    drawn = curve(tmp_path, rows, View(100, WHOLE, 0.5, axis))
    smooth = [value for _, values in drawn["smooth"] for value in values]
    before = [8, pytest.approx(16 / 3, rel=1e-6)]
    assert smooth == [*before, *([] if axis == axes.STEP else [pytest.approx(32 / 7, rel=1e-2)]), 1, 1]
    assert drawn["nonfinite"]["count"] == 1 and drawn["replaced" if axis == axes.STEP else "kept"]


def test_a_window_is_drawn_in_more_detail(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"iter": step, "loss": float(step % 7)} for step in range(10_000)]
    [[xs, _]] = curve(tmp_path, rows, View(100, (200, 300)))["kept"]
    assert xs == list(range(199, 302))  # with a point on each side, so that the line reaches the border


def track(values: list[float]) -> Track:
    made = Tracks()
    for value in values:
        made.add({"loss": value})
    return made.of["loss"]


def test_smoothing_leaves_a_constant_as_it_is_and_is_not_spoiled_by_nan() -> None:
    assert set(smoothed(track([0.1] * 500), 0.97).ys) == {0.1}
    found = smoothed(track([1.0, math.nan, 3.0]), 0.5).ys
    assert found[0] == 1.0 and math.isnan(found[1])
    assert found[2] == pytest.approx((1.0 * 0.25 + 3.0 * 0.5) / 0.75)


def test_a_learning_rate_is_never_smoothed() -> None:
    for key in ("lr", "lr/group0", "learning_rate", "optim.lr"):
        assert View(100, WHOLE, 0.9).of(key).smoothing == 0
    assert View(100, WHOLE, 0.9).of("val/clr_loss").smoothing == 0.9


def test_a_curve_is_read_again_when_it_has_grown(browser: TestClient, base: Path) -> None:
    query = {"jobs": "0,1,0,77", "key": "val/loss"}
    assert browser.get(f"{NIGHT}/curves", params=query).json()["series"][0]["last"] == 1 / 5000
    with (base / "night/a/metrics.jsonl").open("a") as file:
        file.write('{"iter": 5001, "val/loss": 7}\n')
    found = browser.get(f"{NIGHT}/curves", params=query).json()
    assert found["keys"] == ["val/loss", "lr"]
    assert found["series"][0]["last"] == 7


def test_the_end_of_a_log_and_any_part_of_it(browser: TestClient) -> None:
    path = f"{NIGHT}/jobs/0/log/combined.log"
    end = browser.get(path, params={"size": 1000}).json()
    assert end["text"].startswith("line ") and end["text"].endswith("line 19999\n") and end["to"] == end["size"]
    begin = browser.get(path, params={"from": 0, "size": 14}).json()
    assert (begin["text"], begin["to"]) == ("line 0\nline 1\n", 14)
    assert browser.get(path, params={"from": end["size"]}).json()["text"] == ""


def test_a_part_of_a_log_ends_with_a_whole_character(tmp_path: Path) -> None:
    (tmp_path / "stdout.log").write_text("aé😀b")
    job, at, text = Job("j", ("true",), tmp_path), 0, ""
    while (part := logs.part(job, "stdout.log", at, 5))["text"]:
        text, at = text + part["text"], part["to"]
    assert text == "aé😀b"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_log_that_is_not_text_does_not_hold_the_reader(tmp_path: Path, size: int) -> None:
    (tmp_path / "stdout.log").write_bytes(b"\xf0\x9f\xff\xfe\xc3")
    job, at = Job("j", ("true",), tmp_path), 0
    for _ in range(10):
        at = logs.part(job, "stdout.log", at, size)["to"]
    assert at == 5


def test_a_word_is_found_in_both_directions(browser: TestClient) -> None:
    path = f"{NIGHT}/jobs/0/log/combined.log/search"
    hit = browser.get(path, params={"q": "LINE 150", "at": 0}).json()
    part = browser.get(path.removesuffix("/search"), params={"from": hit["line"], "size": 8}).json()
    assert part["text"] == "line 150"
    assert browser.get(path, params={"q": "line 150", "at": hit["after"]}).json()["at"] > hit["at"]
    back = browser.get(path, params={"q": "line 150", "at": hit["size"], "back": 1}).json()
    assert back["at"] > hit["at"]
    assert browser.get(path, params={"q": "(nothing", "at": 0}).json()["at"] is None
    assert browser.get(path, params={"q": "x" * 500}).status_code == 404


def test_the_next_error_is_found_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stdout.log").write_text("x" * 9990 + "\n" + "y" * 5 + " ValueError: bad\n" + "z" * 9000)
    monkeypatch.setattr(log_search, "BLOCK", 10_000)
    job = Job("j", ("true",), tmp_path)
    for at, backward in ((0, False), (19_000, True)):
        found = logs.find(job, "stdout.log", "", at, backward=backward)
        assert found["line"] == 9991


def test_a_word_with_error_inside_is_none() -> None:
    assert [line for line in ERRORS if not logs.ERROR.search(line.encode())] == []
    assert [line for line in NO_ERRORS if logs.ERROR.search(line.encode())] == []


def test_earlier_attempts_are_listed_the_latest_first(browser: TestClient, base: Path) -> None:
    assert browser.get(f"{NIGHT}/jobs/0/attempts").json() == {"attempts": []}
    for number in (1, 2, 10):
        (base / f"night/a/attempt_{number}").mkdir()
    (base / "night/a/attempt_x").mkdir()
    (base / "night/a/attempt_2/experiment_result.json").write_text("{")
    found = browser.get(f"{NIGHT}/jobs/0/attempts").json()["attempts"]
    assert [(one["attempt"], one["status"]) for one in found] == [
        (10, "no result"),
        (2, "unreadable"),
        (1, "no result"),
    ]


def test_what_a_job_uses_of_the_machine(browser: TestClient, base: Path) -> None:
    nothing = {"totals": "", "findings": [], "wall": True, "range": [0, 0], "curves": []}
    assert browser.get(f"{NIGHT}/jobs/0/resources").json() == nothing
    gpus = [{"uuid": "G", "utilization": 40, "memory": 1 << 30}, {"uuid": "H", "utilization": 60, "memory": 1 << 30}, 3]
    rows = [{"elapsed": at / 2, "cpu_percent": 150.0, "rss": at << 30, "gpus": gpus if at else 7} for at in range(3)]
    (base / "night/a/resources.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "{")
    found = browser.get(f"{NIGHT}/jobs/0/resources").json()
    assert found["totals"].startswith("at most 2.0 GiB, GPUs 50 % busy")
    assert [(one["name"][:9], one["kept"]) for one in found["curves"]] == [
        ("Processor", [[[0, 0.5, 1], [1.5, 1.5, 1.5]]]),
        ("Memory, G", [[[0, 0.5, 1], [0, 1, 2]]]),
        ("GPU, % of", [[[0.5, 1], [50, 50]]]),
        ("Memory on", [[[0.5, 1], [2, 2]]]),
    ]
    assert not found["wall"] and found["range"] == [0, 1]
    times = [f"2026-11-27T06:00:0{second}.000+00:00" for second in range(3)]
    timed = [{**row, "time": time, "elapsed": 0} for row, time in zip(rows, times, strict=True)]  # by another runner
    (base / "night/a/resources.jsonl").write_text("".join(json.dumps(row) + "\n" for row in timed))
    found = browser.get(f"{NIGHT}/jobs/0/resources").json()
    begin = axes.seconds(times[0])
    assert found["wall"] and begin and found["range"] == [begin, begin + 2]
    window = {"from": begin + 1, "to": begin + 2}
    assert browser.get(f"{NIGHT}/jobs/0/resources", params=window).json()["range"] == [begin + 1, begin + 2]


def order(browser: TestClient, **given: object) -> tuple[int, dict[str, object]]:
    answer = browser.post(f"{NIGHT}/orders", json={"jobs": [], "key": "12345678", **given}, headers=ORIGIN)
    return answer.status_code, answer.json()


def test_an_order_is_a_command_and_is_logged(base: Path) -> None:
    words = (sys.executable, "-c", "import sys; print(*sys.argv[1:], sep='\\n'); sys.exit(3)")
    browser = client(source(base, words=words))
    code, given = order(browser, what="kill", jobs=[1])
    assert code == 202
    assert order(browser, what="kill", jobs=[1]) == (202, given)  # the same key: the same order
    found = wait_until(lambda: _ended(browser, given["order"]), "the command has ended")
    assert found["lines"] == ["stop", str(base / "night"), "b", "--now"] and found["exit_code"] == 3
    assert (base / "night/master_log.txt").read_text().count("From the page: kill b\n") == 1


def _ended(browser: TestClient, number: object) -> dict[str, object] | None:
    found: dict[str, object] = browser.get(f"/api/v1/orders/{number}").json()
    return found if found["ended"] else None


@pytest.mark.parametrize("given", [
    {"what": "rm"}, {"what": "rerun"}, {"what": "drain", "jobs": [0]}, {"what": "stop", "jobs": [9]}, {"what": None},
    {"what": "stop", "jobs": ["a"]}, {"what": "stop", "jobs": [True]}, {"what": "stop", "jobs": "a"},
    {"what": "stop", "jobs": [-1]}, {"what": "stop", "key": "short"}, {"what": "stop", "key": 12345678},
], ids=str)  # fmt: skip
def test_an_order_that_makes_no_sense_is_refused(browser: TestClient, base: Path, given: dict[str, object]) -> None:
    code, answer = order(browser, **given)
    assert code == 400 and answer["error"]
    assert not (base / "night/master_log.txt").exists()


def test_what_others_made_is_unchanged() -> None:
    vendor = json.loads((assets.FOLDER / "VENDOR.json").read_text())
    for name, checksum in vendor["sha256"].items():
        assert hashlib.sha256((assets.FOLDER / name).read_bytes()).hexdigest() == checksum
    assert {path.name for path in assets.FOLDER.glob("uplot*")} == set(vendor["sha256"])


def test_the_page_is_small() -> None:
    """What a browser loads at once; the comparison and the resources load their scripts when they are opened."""
    sizes = {name: len(gzip.compress((assets.FOLDER / name).read_bytes())) for name in assets.names()}
    texts = [(assets.FOLDER / name).read_text() for name in sizes if name.endswith(".js")]
    later = {found for text in texts for found in re.findall(r'import\("\./([^"]+)"\)', text)} | {"axis.js"}
    assert later == set(assets.LATER)
    assert not any(f'from "./{name}"' in text for text in texts for name in later - {"axis.js"})
    assert sum(size for name, size in sizes.items() if name not in later) < 60_000 and sum(sizes.values()) < 68_000
