"""The page in a real Chromium: no error, no report of the policy, text of jobs stays text, the keyboard works."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from runner.core.result import Result
from runner.disk import results
from runner.page.app import Page
from runner.page.server import listen
from runner.planners import recorded
from tests.conftest import wait_until
from tests.page.browsers import MARKS, faults, launched, opened
from tests.page.pages import ERRORS, NO_ERRORS, TOKEN, batch, source

pytestmark = MARKS
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" width="90" height="90"><circle r="9" fill="red"/>'
    "<script>document.title='taken'; parent.document.title='taken'</script></svg>"
)
EVIL = "<img src=x onerror=document.title='taken'><script>document.title='taken'</script>"
#: A curve with more points than a screen has columns; its spikes are single points.
DRAWN = random.Random(7)
NOISE = [(step, DRAWN.gauss(0, 1) + (40 if step % 997 == 0 else 0)) for step in range(20_000)]
#: The lowest and the highest value of each column of pixels of the chart, as it has been drawn.
COLUMNS = """() => { const { data, scales, bbox } = document.querySelector(".chart").chart, found = {};
    const { min, max } = scales.x, width = Math.round(bbox.width);
    data[0].forEach((x, at) => { const y = data[1][at];
        if (x < min || x > max || y === null || y === undefined) return;
        const column = Math.min(Math.floor((x - min) / (max - min) * width), width - 1);
        const [low, high] = found[column] || [y, y]; found[column] = [Math.min(low, y), Math.max(high, y)]; });
    return [min, max, width, found]; }"""
#: Of eight cards six are shown; the others stay open when one of the jobs changes.
CARDS = """() => import('/assets/cards.js').then(({ group }) => { const section = document.createElement("section"),
    show = (text) => group(section, "Failures", [...Array(8).keys()].map((i) => ({ i, text })), ({ i }) => {
        const card = document.createElement("article"); card.append(String(i)); return card; });
    show("a");
    const open = section.querySelectorAll(".cards")[0].children.length, more = section.querySelector(".more");
    const words = more.querySelector("summary").textContent; more.open = true; show("b");
    return [open, words, section.querySelector(".more").open, section.querySelectorAll("article").length]; })"""
#: The only value of an axis is what a drag over it gives; an update keeps the focus; an address keeps long numbers.
AXES = """() => import('/assets/parallel.js').then(async ({ parallel }) => { const kept = {};
    const { axis } = await import('/assets/axis.js'), keep = (key, value) => { kept[key] = value; };
    const made = parallel(new URLSearchParams(), keep, () => {});
    const jobs = [0, 1, 2].map((i) => ({ i, status: "completed" })), seeds = ["s0", "seed", [1048576, 1048577, 9]];
    const show = (loss) => made.update(jobs, [seeds, ["metric", "loss", [1, 2, loss]]], "min");
    document.body.append(made.element); show(null);
    const handles = () => [...made.element.querySelectorAll(".handle")];
    handles()[0].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp" })); handles()[0].focus(); show(3);
    const focused = handles().indexOf(document.activeElement); made.close(); made.element.remove();
    return [axis("m", "m", [3, null], "").value(0.3), focused, kept.brush]; })"""
#: A tab that was hidden when its small curves were due asks for them once it is seen.
HIDDEN = """() => import('/assets/spark.js').then(async ({ sparks }) => {
    const later = (ms) => new Promise((done) => setTimeout(done, ms)), answer = { sparks: { 0: { levels: [0, 63] } } };
    const fetched = window.fetch, show = () => document.dispatchEvent(new Event("visibilitychange"));
    window.fetch = async () => new Response(JSON.stringify({ ...answer, reading: [] }));
    Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
    const made = sparks("night", () => "loss", () => new Map([[0, { status: "completed", attempt: 1 }]]));
    const row = document.createElement("p"), found = () => row.querySelectorAll("svg").length;
    row.dataset.i = 0; row.append(made.cell(0)); document.body.prepend(row); made.row(0, row);
    await later(600); const hidden = found(); delete document.visibilityState; show();
    for (let k = 0; k < 300 && !found(); k++) await later(100);
    const seen = found(); window.fetch = fetched; made.close(); row.remove(); return [hidden, seen]; })"""
#: The GPUs that a batch used are not shown any more once it has ended.
ENDED = """() => import('/assets/gpus.js').then(async ({ gpuStrip }) => { const fetched = window.fetch;
    const gpu = { label: "0", name: "g", memory_used: 1, memory_total: 2, held_by: [{ batch: "b", job: "j" }] };
    window.fetch = async () => new Response(JSON.stringify({ gpus: [{ ...gpu, processes: [] }] }));
    const made = gpuStrip("b"), found = () => made.element.querySelectorAll("article").length; made.start(true);
    for (let k = 0; k < 300 && !found(); k++) await new Promise((done) => setTimeout(done, 100));
    const seen = found(); made.start(false); window.fetch = fetched; made.close(); return [seen, found()]; })"""
TOO_WIDE = """() => document.documentElement.scrollWidth <= 390 ? [] : [document.documentElement.scrollWidth,
    ...[...document.querySelectorAll("*")]
    .filter((one) => one.getBoundingClientRect().right > 390).map((one) => one.outerHTML)]"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def address(base: Path) -> Iterator[str]:
    """A page that runs in a thread, over a batch whose texts try to become part of it."""
    root = batch(base)
    many = batch(base, "many", tuple(f"job_{number}" for number in range(24)))
    for number in range(24):
        rows = [{"iter": step, "loss": number / 10 - step / 100} for step in range(50)]
        (many / f"job_{number}").mkdir(exist_ok=True)
        (many / f"job_{number}" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number, job in enumerate(recorded.plan(many).jobs[:20]):
        about = {"status": "completed", "fingerprint": job.fingerprint, "final_metrics": {"loss": number / 10}}
        results.write_result(job, Result(about))
    (many / "job_0" / "combined.log").write_text(f"{EVIL * 3}\nValueError: \x1b[31mred\x1b[0m and \x1b[1mbold\x1b[0m\n")
    (root / "a" / "evil.svg").write_text(SVG)
    with (root / "a" / "combined.log").open("a") as log:
        log.write(f"\x1b[31mred\x1b[0m {EVIL}\n\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\nValueError: last\n")
    with (root / "a" / "metrics.jsonl").open("a") as rows:
        rows.write(json.dumps({"iter": 5001, "val/loss": None, EVIL: 1.0}) + "\n")
    (root / "b").mkdir()
    (root / "b" / "metrics.jsonl").write_text("".join(json.dumps({"iter": x, "noise": y}) + "\n" for x, y in NOISE))
    (root / "a" / "resources.jsonl").write_text('{"elapsed":1,"rss":1}\n{"elapsed":2,"rss":2}\n')
    listening = listen(0)
    port = listening.getsockname()[1]
    page = Page(source(base), TOKEN, port)
    server = uvicorn.Server(uvicorn.Config(page.app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}/"
    page.close()  # its streams, which a browser still holds
    server.should_exit = True
    thread.join(30)
    listening.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    yield from launched()


def test_a_batch_and_its_log_by_the_keyboard_alone(chromium: Any, address: str) -> None:
    page, errors = opened(chromium, f"{address}#t={TOKEN}")
    assert TOKEN not in page.url
    page.keyboard.press("j")
    page.keyboard.press("j")  # the latest batch comes first
    page.keyboard.press("Enter")
    page.wait_for_selector("tbody tr[data-i='1']")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector(".log div")
    page.keyboard.press("/")
    page.keyboard.type("line 4242")
    page.keyboard.press("Enter")
    page.wait_for_selector(".log .hit")
    assert page.inner_text(".log .hit") == "line 4242"
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    wait_until(lambda: page.inner_text(".log .hit") == "ValueError: last", "the error is shown")
    page.keyboard.press("Escape")
    page.wait_for_selector("tbody tr[data-i='1']")
    assert errors == []


def test_lines_that_count_as_errors_are_marked_and_many_cards_folded(chromium: Any, address: str) -> None:
    page, errors = opened(chromium, f"{address}#t={TOKEN}")
    script = "(a) => import('/assets/ansi.js').then((it) => a.map((one) => it.line(one).className === 'error'))"
    assert page.evaluate(script, [*ERRORS, *NO_ERRORS]) == [True] * len(ERRORS) + [False] * len(NO_ERRORS)
    assert page.evaluate(CARDS) == [6, "2 more", True, 8]
    assert page.evaluate(HIDDEN) == [0, 1]
    assert page.evaluate(ENDED) == [1, 0]
    assert page.evaluate(AXES) == [3, 0, "s0:1048576:1048577"]
    assert errors == []


def test_text_of_a_job_stays_text(chromium: Any, address: str) -> None:
    page, errors = opened(chromium, f"{address}#t={TOKEN}")
    page.goto(f"{address}#b=night&j=0")
    wait_until(lambda: "<img src=x" in page.inner_text(".log"), "the log is shown")
    assert page.eval_on_selector(".log .f1", "(one) => one.textContent") == "red"
    assert page.query_selector_all("main img, main script, .log a") == []
    assert "night" in page.title()
    page.goto(f"{address}#b=night&pick=0&key=lr")
    page.wait_for_selector(".chart canvas")
    page.select_option("select[aria-label=Axis]", "wall")
    wait_until(lambda: "Nothing with a time" in page.inner_text(".chart"), "rows without a time are not drawn")
    page.select_option("select[aria-label=Axis]", "step")
    page.wait_for_selector(".chart canvas")
    assert errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_view_fits_a_narrow_screen_and_axe_finds_no_fault(chromium: Any, address: str, scheme: str) -> None:
    page, errors = opened(chromium, f"{address}#t={TOKEN}", viewport={"width": 390, "height": 800}, color_scheme=scheme)
    rules = ["color-contrast"] if scheme == "dark" else []  # the others do not depend on colours
    for place, drawn in (
        ("#b=night&pick=0", ".chart canvas"),  # with a metric whose name is long
        ("#b=many&compare=1&brush=s0:0.4:0.9", ".parallel .handle"),
        ("#b=many&j=0", ".log .error"),
        ("#b=night&j=0&tab=config", "td"),
        ("#b=night&j=0&tab=results", "text=No result yet."),
        ("#b=night&j=0&tab=attempts", "text=No earlier attempts."),
        ("#b=night&j=0&tab=resources", ".chart.small canvas"),
        ("#b=night&j=0&tab=files", "dl"),
        ("#", "tbody tr a"),
    ):
        page.goto(address + place)
        page.wait_for_selector(drawn)
        assert page.evaluate(TOO_WIDE) == [] and faults(page, *rules) == []
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open] kbd")
    assert faults(page, *rules) == []
    assert errors == []


@pytest.mark.parametrize(("place", "width"), [
    ("", 1366), ("", 1003), ("&from=3000&to=15000", 1366), ("&from=990.5&to=10001.25", 800),
])  # fmt: skip
def test_each_column_of_pixels_has_the_extremes(chromium: Any, address: str, place: str, width: int) -> None:
    size = {"width": width, "height": 800}
    page, errors = opened(chromium, f"{address}#t={TOKEN}", viewport=size)
    page.goto(f"{address}#b=night&pick=1&key=noise{place}")
    page.wait_for_selector(".chart canvas")
    low, high, columns, drawn = page.evaluate(COLUMNS)
    assert high - low > 9000 and columns > 500
    wanted: dict[str, list[float]] = {}
    for x, y in NOISE:
        if low <= x <= high:
            wanted.setdefault(str(min(int((x - low) / (high - low) * columns), columns - 1)), []).append(y)
    assert drawn.keys() == wanted.keys()
    for column, (lowest, highest) in drawn.items():
        assert (lowest, highest) == pytest.approx((min(wanted[column]), max(wanted[column])), rel=1e-8)
    assert errors == []


def test_twelve_tabs_have_one_stream(chromium: Any, address: str, base: Path) -> None:
    first, errors = opened(chromium, f"{address}#t={TOKEN}")
    tabs = [first, *(first.context.new_page() for _ in range(11))]
    streams: list[str] = []
    for tab in tabs:
        tab.on("request", lambda asked: streams.append(asked.url) if "/events" in asked.url else None)
        tab.goto(f"{address}#b=night&j=0&log=stdout.log")
        tab.wait_for_selector(".log")
    with (base / "night/a/stdout.log").open("a") as log:
        log.write("a line for all\n")
    for tab in tabs:
        tab.wait_for_function("() => document.querySelector('.log').textContent.includes('a line for all')")
    first.close()  # the tab that had the stream: another one goes on
    with (base / "night/a/stdout.log").open("a") as log:
        log.write("and another one\n")
    for tab in tabs[1:]:
        tab.wait_for_function("() => document.querySelector('.log').textContent.includes('and another one')")
    assert errors == []


def test_a_file_of_a_job_is_shown_and_runs_nothing(chromium: Any, address: str) -> None:
    page, errors = opened(chromium, f"{address}#t={TOKEN}")
    page.goto(f"{address}#b=night&j=0&tab=files")
    page.wait_for_selector("figure img")
    page.wait_for_function("() => document.querySelector('figure img').naturalWidth > 0")
    with page.context.expect_page() as found:
        page.click("text=evil.svg >> nth=0")
    other = found.value
    other.wait_for_load_state()
    assert "taken" not in other.title() and errors == []


def test_all_jobs_are_a_fan_and_values_of_zero_are_said_on_a_log_scale(chromium: Any, address: str) -> None:
    page, errors = opened(chromium, f"{address}#t={TOKEN}")
    page.goto(f"{address}#b=many&pick=0,1,2&scale=log")
    page.wait_for_selector(".chart canvas")
    assert "0 or less are not on a log scale" in page.inner_text(".legend")
    page.select_option("select[aria-label=Scale]", "symlog")
    wait_until(lambda: "0 or less" not in page.inner_text(".legend"), "nothing is hidden")
    assert "all 24 jobs" in page.inner_text("section[aria-label=Curves] >> p")
    page.fill("#search", "lr=0.3")
    wait_until(lambda: page.inner_text("#search + .quiet") == "1 of 24 jobs", "the filter")
    page.fill("#search", "")
    page.locator("tr[data-i='4']").scroll_into_view_if_needed()
    wait_until(lambda: page.locator("tbody .spark").count() >= 5, "the rows on the screen have their small curves")
    assert page.get_attribute("tr[data-i='1'] .spark", "aria-label") == "from 0.09 to -0.39"
    page.click("text=Comparison")
    page.wait_for_selector(".compare >> text=24 jobs")
    assert errors == []


def test_jobs_are_chosen_on_the_axes_of_the_comparison(chromium: Any, address: str) -> None:
    page, errors = opened(chromium, f"{address}#t={TOKEN}")
    page.goto(f"{address}#b=many&compare=1")

    def shows(text: str) -> None:
        wait_until(lambda: page.inner_text("#search + .quiet") == text, f"the table shows {text!r}")

    lowest = page.get_by_role("slider", name="lr, lowest")
    for _ in range(4):
        lowest.press("ArrowUp")
    shows("20 of 24 jobs")
    assert lowest.get_attribute("aria-valuetext") == "0.4" and "brush=s0%3A0.4%3A2.3" in page.url
    page.get_by_role("slider", name="loss, highest").press("PageDown")  # only 20 jobs have a loss
    shows("11 of 24 jobs")
    assert "11 of 24 jobs" in page.inner_text(".compare-lines [role=status]")
    page.wait_for_function("() => document.querySelectorAll('.legend li').length === 10")
    lowest.press("Escape")
    shows("15 of 24 jobs")
    page.click("button[aria-label='loss: upside down']")
    page.click("text=Show all jobs")
    shows("")
    page.wait_for_selector("canvas")
    strip = page.locator(".strip").first
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(middle, box["y"] - 9)
    page.mouse.up()
    shows("12 of 24 jobs")
    wait_until(lambda: abs((strip.bounding_box() or {"y": 0})["y"] - box["y"]) < 9, "it stays where it was")
    page.goto(f"{address}#b=many&brush=s0:0.4:0.9")
    shows("6 of 24 jobs")
    page.goto(f"{address}#b=many&compare=1&brush=s0,metric:x:1,s9:1:2&axes=s0")  # an address that somebody changed
    page.wait_for_selector(".parallel .handle")
    shows("")
    assert errors == []


def test_what_was_found_stays_when_the_log_that_was_chosen_arrives_late(chromium: Any, address: str) -> None:
    page, errors = opened(chromium, f"{address}#t={TOKEN}")
    page.goto(f"{address}#b=night&j=0&log=stdout.log")
    page.wait_for_selector("select[aria-label='Which log']")
    held: list[Any] = []
    page.route("**/log/combined.log?size=65536", lambda route: held.append(route))  # noqa: PLW0108 - looked at by playwright
    page.select_option("select[aria-label='Which log']", "combined.log")
    wait_until(lambda: page.evaluate("1") and held, "the log is asked for")
    page.click("text=Next error")
    page.wait_for_selector(".log .hit.error")
    with page.expect_response("**/log/combined.log?size=65536"):
        held[0].continue_()
    page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
    assert page.locator(".log .hit.error").count() == 1 and errors == []
