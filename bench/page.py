"""How quick and how large the live page is, in a real Chromium, over batches of 1,000 jobs and of a million rows.

    python bench/page.py [--small] [--jobs 1000] [--rows 10000] [--long 1000000] [--dir /dev/shm]

Starts `serve` as a user does, opens it in Debian's Chromium, and prints each figure with its bar. Times are medians of
five; those that are cold, with nothing read or kept before, are of one visit. Files are in a folder that is removed, as
are those that the page keeps. `--small` takes a minute and a half.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from page_batches import GROWS, LONG, WIDE, Bars, Others, Server, Spent, stream_bytes, write_all  # noqa: E402 - beside this file
from playwright.sync_api import BrowserContext, Page, sync_playwright  # noqa: E402 - beside the path

from runner.page import assets  # noqa: E402 - beside the path

OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync", "--enable-precise-memory-info")  # fmt: skip
ROUNDS, TICKS, LINES, TABS = 5, 100, 200, 12


def opened(context: BrowserContext, server: Server, place: str = "") -> Page:
    page = context.new_page()
    page.set_default_timeout(3_000_000)
    page.goto(f"{server.address}#t={server.token}")
    page.wait_for_selector("tbody tr a")
    if place:
        page.goto(f"{server.address}{place}")
    return page


class Visit(NamedTuple):
    """Seconds from a fresh load: until the table is in the page, so many curves are seen, and nothing is being read.

    `cpu`: of the server and the browser until then.
    """

    table: float
    first: float
    exact: float
    cpu: float


def visit(page: Page, place: str, curves: int) -> Visit:
    page.goto("about:blank")
    spent, begun = Spent(), time.monotonic()
    page.goto(place)
    page.wait_for_selector(".chart canvas")
    page.wait_for_function("(count) => document.querySelectorAll('.legend li').length >= count", arg=curves)
    first = time.monotonic() - begun
    page.wait_for_function(
        "() => !document.querySelector('section[aria-label=Curves] p').textContent.includes('reading')"
    )
    exact = time.monotonic() - begun
    table = page.evaluate("performance.getEntriesByName('table')[0].startTime") / 1000
    return Visit(table, first, exact, spent.seconds())


def visits(page: Page, place: str, curves: int) -> Visit:
    """The medians of some."""
    found = [visit(page, place, curves) for _ in range(ROUNDS)]
    return Visit(*(statistics.median(column) for column in zip(*found, strict=True)))


def first_paints(bars: Bars, page: Page, server: Server, given: argparse.Namespace) -> None:
    place = f"{server.address}#b={WIDE}"
    ten = place + f"&pick=0,1,2,3,4,5,6,7,8,9&to={given.rows - 1}&from=0"  # a range has no fan
    cold = visit(page, ten, 10)
    bars("table of all jobs, cold", cold.table, 2.0, "s")
    bars("ten curves, cold: first seen, of some rows", cold.first, 2.5, "s")
    bars("the same, of all rows", cold.exact, 4.0, "s", f"  {cold.cpu:.2g} s of CPU")
    cold = visit(page, place, 10)
    bars(
        f"fan of all jobs, cold ({given.jobs * given.rows:,} rows)", cold.exact, 10.0, "s", f"  {cold.cpu:.2g} s of CPU"
    )
    warm = visits(page, ten, 10)
    bars("table of all jobs", warm.table, 1.0, "s")
    bars("curves of ten jobs", warm.exact, 1.5, "s", f"  {warm.cpu:.2g} s of CPU")
    warm = visits(page, place, 10)
    bars("fan of all jobs, with curves", warm.exact, 3.0, "s", f"  {warm.cpu:.2g} s of CPU")


def sizes(bars: Bars, page: Page, server: Server) -> None:
    shell = {name: len(gzip.compress((assets.FOLDER / name).read_bytes())) for name in assets.names()}
    later = sum(shell[name] for name in assets.LATER)
    bars("the page itself, compressed", (sum(shell.values()) - later) / 1000, 60, "kB", f", {later / 1000:.0f} later")
    got = page.evaluate("""async (paths) => { const found = {};
        for (const [name, path] of Object.entries(paths)) { performance.clearResourceTimings();
            await (await fetch(path)).arrayBuffer(); await new Promise((done) => setTimeout(done, 50));
            found[name] = performance.getEntriesByType("resource").at(-1).transferSize; } return found; }""", {
        "table": f"/api/v1/batches/{WIDE}",
        "chart": f"/api/v1/batches/{WIDE}/curves?jobs=0,1,2,3,4,5,6,7,8,9&px=600&key=val/loss",
    })  # fmt: skip
    bars("answer with all jobs", got["table"] / 1000, 150, "kB")
    bars("answer with ten curves of 600 columns", got["chart"] / 1000, 100, "kB")


def received(page: Page) -> Callable[[], int]:
    """How many bytes a page got since this was called."""
    total = [0]
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.dataReceived", lambda event: total.__setitem__(0, total[0] + event["dataLength"]))
    return lambda: total[0]


def long_curve(bars: Bars, page: Page, server: Server, rows: int) -> None:
    place = f"{server.address}#b={LONG}"
    cold = visit(page, place, 1)
    bars(f"one curve of {rows:,} rows, cold: first seen, of some rows", cold.first, 2.0, "s")
    print(f"{'the same, of all rows':58}{cold.exact:9.4g} s     {cold.cpu:.2g} s of CPU")
    warm = visits(page, place, 1)
    bars("the same again", warm.exact, 2.0, "s", f"  {warm.cpu:.2g} s of CPU")
    script = """async ([path, rows]) => { const found = [];
        for (let k = 0; k < 9; k++) {
            const begun = performance.now(), from = Math.round(k * rows / 20), to = from + Math.round(rows / 2);
            await (await fetch(`${path}&from=${from}&to=${to}`)).json();
            found.push(performance.now() - begun); } return found; }"""
    spent = page.evaluate(script, [f"/api/v1/batches/{LONG}/curves?jobs=0&px=1200&key=val/loss", rows])
    bars("zoom into half of it", statistics.median(spent), 150, "ms")


def log_lines(bars: Bars, page: Page, server: Server) -> None:
    page.goto(f"{server.address}#b={GROWS}&j=0")
    page.wait_for_selector(".log div")
    page.evaluate("""() => { window.seen = []; new MutationObserver((list) => { const now = Date.now();
        for (const one of list) for (const node of one.addedNodes) {
            const found = /^line (\\d+)/.exec(node.textContent);
            if (found) window.seen.push(now - Number(found[1])); }
        }).observe(document.querySelector(".log"), { childList: true }); }""")
    with (server.folder / "experiments" / GROWS / "job_0000" / "combined.log").open("a") as log:
        for _ in range(LINES):
            log.write(f"line {time.time() * 1000:.0f}\n")
            log.flush()
            time.sleep(random.uniform(0.02, 0.12))
    page.wait_for_function(f"() => window.seen.length >= {LINES}")
    seen = sorted(page.evaluate("() => window.seen"))
    bars("a line of a log until it is on the screen, median", statistics.median(seen), 300, "ms")
    bars("the same, 99 of 100", seen[math.ceil(len(seen) * 0.99) - 1], 700, "ms")


def flood(bars: Bars, page: Page, server: Server) -> None:
    page.goto(f"{server.address}#b={GROWS}&j=0&log=stderr.log")
    path = server.folder / "experiments" / GROWS / "job_0000" / "stderr.log"
    block = b"a line of a flood, as a job writes it when something repeats itself\n" * 30_000
    path.write_bytes(b"begin\n")
    page.wait_for_selector(".log")
    before, begun, written = server.cpu(), time.monotonic(), 0
    with path.open("ab", buffering=0) as log:
        while (passed := time.monotonic() - begun) < 5:
            if written < passed * 200e6:
                written += log.write(block)
            else:
                time.sleep(0.002)
    bars(
        f"server while a log grows by {written / passed / 1e6:.0f} MB/s",
        100 * (server.cpu() - before) / passed,
        25,
        "%",
    )


def ticks(bars: Bars, page: Page, server: Server) -> None:
    """What a tick with new rows costs, while the batch runs as far as its records say."""
    page.goto(f"{server.address}#b={GROWS}&key=val/loss")
    page.wait_for_selector(".chart canvas")
    total, first = received(page), 0
    path = server.folder / "experiments" / GROWS / "job_0000" / "metrics.jsonl"
    ask = f"/api/v1/batches/{GROWS}/curves?jobs=0&px=600&key=val/loss"
    n = page.evaluate(f"async () => (await (await fetch('{ask}')).json()).series[0].n")
    first = total()
    for tick in range(TICKS):
        with path.open("a") as rows:
            rows.write(
                "".join(json.dumps({"iter": 10**6 + tick * 10 + at, "val/loss": 1.5}) + "\n" for at in range(10))
            )
        n = page.evaluate(f"async () => (await (await fetch('{ask}&after=0:{n}')).json()).series[0].n")
    page.wait_for_timeout(300)
    bars(f"a tick with ten new rows after 10,000 ({TICKS} ticks)", (total() - first) / TICKS, 2000, "bytes")


def idle(bars: Bars, page: Page, server: Server) -> None:
    page.goto(f"{server.address}#b={WIDE}")
    page.wait_for_selector(".chart canvas")
    time.sleep(10)
    before, cpu, begun = server.about.io_counters(), server.cpu(), time.monotonic()
    sent = stream_bytes(server, 20)
    passed, after = time.monotonic() - begun, server.about.io_counters()
    bars("server with an idle tab on a batch that has ended", 100 * (server.cpu() - cpu) / passed, 3, "%")
    bars("bytes that it reads from files meanwhile", (after.read_chars - before.read_chars) / passed, 4000, "B/s")
    bars("bytes to the page in an idle minute", sent / passed * 60 / 1000, 2, "kB")


def tabs(bars: Bars, context: BrowserContext, server: Server) -> None:
    pages = [opened(context, server, f"#b={GROWS}&j=0") for _ in range(TABS)]
    for page in pages:
        page.wait_for_selector(".log div")
    word = f"for all tabs {time.time()}"
    begun = time.monotonic()
    with (server.folder / "experiments" / GROWS / "job_0000" / "combined.log").open("a") as log:
        log.write(word + "\n")
    for page in pages:
        page.wait_for_function("(word) => document.querySelector('.log').textContent.includes(word)", arg=word)
    bars(f"a line until it is in {TABS} tabs", time.monotonic() - begun, 5.0, "s")
    streams = [one for one in server.about.net_connections() if one.status == "ESTABLISHED"]
    print(f"{'connections of these tabs':58}{len(streams):9}")
    for page in pages[3:]:
        page.close()


def memory(bars: Bars, page: Page, server: Server) -> None:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    bars("heap of the page after all this", used / 1e6, 150, "MB")


def run(given: argparse.Namespace, folder: Path, playwright: Any) -> bool:
    bars = Bars()
    write_all(folder, given)
    starts = []
    for _ in range(3):
        server = Server(folder)
        starts.append(server.seconds)
        server.end()
    bars("start of serve until it listens", statistics.median(starts), 0.5, "s")
    server = Server(folder)
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(OPTIONS), timeout=120_000)
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    bars("server, idle", server.megabytes(), 80, "MB")
    page = opened(context, server)
    with Others(server) as others:
        first_paints(bars, page, server, given)
    bars(f"longest of {len(others.waits)} other requests meanwhile", others.longest, 250, "ms")
    sizes(bars, page, server)
    more = [opened(context, server, f"#b={WIDE}") for _ in range(2)]
    time.sleep(3)
    bars("server with all jobs open in three tabs", server.megabytes(), 150, "MB")
    for other in more:
        other.close()
    idle(bars, page, server)
    log_lines(bars, page, server)
    flood(bars, page, server)
    ticks(bars, page, server)
    page.goto(f"{server.address}#b={GROWS}&j=0&log=stdout.log")
    page.wait_for_selector(".log div")
    bars(f"server with a log of {given.log_gb:g} GB", server.megabytes(), 200, "MB")
    memory(bars, page, server)
    with Others(server) as others:
        long_curve(bars, page, server, given.long)
    bars(f"longest of {len(others.waits)} other requests meanwhile", others.longest, 250, "ms")
    bars("server after a curve of many rows", server.megabytes(), 250, "MB")
    tabs(bars, context, server)
    bars("Ctrl+C with three open tabs until serve has ended", server.end(), 1.0, "s")
    browser.close()
    return bars.held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=10_000, help="of each job, with five metrics")
    parser.add_argument("--long", type=int, default=1_000_000, help="rows of the batch with one job")
    parser.add_argument("--log_gb", type=float, default=2.0, help="size of the large log")
    parser.add_argument("--dir", default="/dev/shm", help="where to write, in a folder that is removed")
    parser.add_argument("--small", action="store_true", help="100 jobs of 1000 rows, and the other sizes to match")
    given = parser.parse_args()
    if given.small:
        given.jobs, given.rows, given.long, given.log_gb = 100, 1000, 100_000, 0.1
    begun = time.monotonic()
    print(f"{given.jobs} jobs of {given.rows} rows, Python {sys.version.split()[0]}, {os.cpu_count()} cores, "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    with tempfile.TemporaryDirectory(dir=given.dir) as name, sync_playwright() as playwright:
        held = run(given, Path(name), playwright)
    print(f"{'all bars held' if held else 'NOT all bars held'}; {time.monotonic() - begun:.0f} s in all")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
