"""One evening at the page, in a real Chromium over a real batch: with the mouse, and with the keyboard alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Workspace, kill, wait_until
from tests.page.browsers import MARKS, faults, launched, opened

pytestmark = MARKS
TRAIN = """\
import json, pathlib, sys, time
out = pathlib.Path(sys.argv[2].partition("=")[2])
rows = open(out / "metrics.jsonl", "a", buffering=1)
for step in range(1, 5):
    print(json.dumps({"iter": step, "max_iters": 100, "val/loss": 1 / step}), file=rows)
    print(f"step {step}: loss {1 / step}", flush=True)
if sys.argv[1].endswith("bad.py") and not pathlib.Path("repaired").exists():
    raise ValueError("the loss is <img src=x onerror=alert(1)>")
print("ready", flush=True)
while not pathlib.Path("repaired").exists():
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    yield from launched()


@pytest.fixture
def evening(work: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A batch that runs, of a job that fails and two that do not end before a file is there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    work.write("t.py", TRAIN)
    for number, name in enumerate(("bad", "one", "two")):
        work.write(f"c/{name}.py", f"x = {number}\n")
    work.start("run", "c/*.py", "--train-script", "t.py", "--max-workers", "3")
    yield work
    for process in work.started:
        if process.poll() is None:
            kill(process)


def served(work: Workspace, port: int = 0) -> tuple[subprocess.Popen[str], str]:
    """`serve`, and the address that it prints."""
    page = work.start("serve", "--port", str(port), "--keep-token")
    assert page.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+/#t=\S+", page.stdout.readline())
    assert found is not None
    return page, found[0]


def shows(page: Any, selector: str, text: str) -> None:
    """Wait until the page has it, however often this part of the page is made again."""
    script = "([where, text]) => [...document.querySelectorAll(where)].some((one) => one.textContent.includes(text))"
    page.wait_for_function(script, arg=[selector, text])


def test_an_evening(evening: Workspace, chromium: Any) -> None:
    runner = evening.started[0]
    server, address = served(evening)
    page, errors = opened(chromium, address)
    shows(page, "tbody", "running")
    page.click("tbody tr a")

    shows(page, "section[aria-label=Failures]", "ValueError: the loss is <img src=x")
    shows(page, "section[aria-label='Running jobs']", "4 of 100")
    shows(page, ".legend", "one: 0.25")
    assert faults(page) == []
    page.click("section[aria-label=Failures] h3 a")
    shows(page, ".log .error", "ValueError")
    page.fill("#search", "step 3")
    page.press("#search", "Enter")
    shows(page, ".log .hit", "step 3")
    page.select_option("select[aria-label='Which log']", "stderr.log")
    page.click("text=Next error")
    shows(page, ".log .hit", "Traceback")

    page.go_back()
    page.click("section[aria-label='Running jobs'] article:has-text('one') >> text=Stop now")
    shows(page, "dialog", "Stop now: one")
    shows(page, "dialog", "kills the job and every process below it")
    assert faults(page) == []
    page.click("#confirm")
    page.wait_for_function("() => /killed|interrupted/.test(document.querySelector('tr[data-i=\"1\"]').textContent)")
    wait_until(lambda: "From the page: kill one" in evening.master_log(), "the order is noted")
    shows(page, "tr[data-i='2'] .state", "running")

    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    page.wait_for_function("() => !document.querySelector('.sentence .state').textContent.match(/running$/)")
    evening.write("repaired", "")
    evening.run("resume", evening.batch.name)
    shows(page, ".sentence .state", "done")
    shows(page, ".sentence", "3 completed")
    assert "3/3" in page.title() and errors == []

    server.kill()
    server.wait()
    page.wait_for_selector("#connection.lost")
    assert "no connection since" in page.inner_text("#connection")
    again, same = served(evening, int(address.split(":")[2].partition("/")[0]))
    assert same == address
    page.wait_for_function("() => !document.body.classList.contains('stale')")  # without a reload
    shows(page, ".sentence .state", "done")
    again.send_signal(signal.SIGINT)
    _, err = again.communicate(timeout=60)
    assert (again.returncode, err) == (0, "")


def test_the_same_with_the_keyboard_alone(evening: Workspace, chromium: Any) -> None:
    _, address = served(evening)
    page, errors = opened(chromium, address)
    press = page.keyboard.press
    press("j")
    press("Enter")
    shows(page, "section[aria-label=Failures]", "ValueError")
    shows(page, "section[aria-label='Running jobs']", "two")
    press(".")
    press("Enter")
    shows(page, "dialog[open] h2", "the whole batch")
    press("Escape")
    page.wait_for_selector("dialog:not([open])", state="attached")

    press("/")
    page.keyboard.type("bad")
    shows(page, "#search + .quiet", "1 of 3 jobs")
    press("Escape")
    press("j")
    press("x")
    page.wait_for_function("() => !document.querySelector('tr[data-i=\"0\"] input').checked")
    press("Enter")
    shows(page, ".log .error", "ValueError")
    press("e")
    page.wait_for_selector(".log .hit.error")
    press("/")
    page.keyboard.type("STEP [24]")
    press("Tab")
    press(" ")  # a regular expression
    press("Shift+Tab")
    press("Enter")
    shows(page, ".log .hit", "step 2")
    press("Escape")
    press("N")
    shows(page, "#notice", "no further hit above")
    press("Escape")

    shows(page, "section[aria-label='Running jobs']", "two")
    press("j")
    press("j")
    press("j")
    press("Enter")
    shows(page, "h1", "two")
    shows(page, ".log", "ready")
    page.wait_for_selector("button:has-text('Stop and save')")
    press(".")
    press("Enter")
    shows(page, "dialog[open] h2", "Stop and save: two")
    press("Enter")
    shows(page, ".sentence .state", "interrupted")
    assert errors == []
