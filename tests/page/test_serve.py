"""The real command: it prints an address, shows a real batch, stops a job of it, sees what was killed, and ends."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.disk import supervisor_file
from runner.disk.supervisor_file import SupervisorRecord
from runner.page import batch_view
from runner.page.reads import Reads
from runner.page.watches import BatchWatch
from runner.processes import process_id
from tests.conftest import Workspace, kill, wait_until
from tests.page.pages import source

pytestmark = pytest.mark.slow
EVERY = batch_view.EVERY

TRAIN = """\
import json, pathlib, sys, time
out = sys.argv[2].partition("=")[2]
with open(pathlib.Path(out, "metrics.jsonl"), "a", buffering=1) as file:
    for step in range(1, 5):
        print(json.dumps({"iter": step, "max_iters": 100, "val/loss": 1 / step}), file=file)
if sys.argv[1].endswith("bad.py"):
    raise ValueError("<img src=x onerror=alert(1)>")
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


class Browser:
    """Asks a page that was started, as its own script does."""

    def __init__(self, printed: str) -> None:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/#t=(\S+)", printed)
        assert found, printed
        self.port = int(found[1])
        self.address = found[0]
        self._cookie = ""
        self._cookie = self.ask("POST", "/login", {"token": found[2]})[1]["set-cookie"].partition(";")[0]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        own = {"Cookie": self._cookie}
        if method == "POST":
            own |= {"Origin": f"http://127.0.0.1:{self.port}", "Content-Type": "application/json", "X-Runner": "1"}
        connection.request(method, path, None if body is None else json.dumps(body), own)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def get(self, path: str) -> Any:
        status, _, content = self.ask("GET", f"/api/v1{path}")
        assert status == 200, content
        return json.loads(content)


@pytest.fixture
def evening(work: Workspace) -> Iterator[Workspace]:
    """A batch that runs, of a job that fails and three that do not end."""
    work.write("t.py", TRAIN)
    for number, name in enumerate(("bad", "one", "three", "two")):
        work.write(f"c/{name}.py", f"x = {number}\n")
    runner = work.start("run", "c/*.py", "--train-script", "t.py", "--max-workers", "4")
    wait_until(lambda: all(_ready(work, name) for name in ("one", "two", "three")), "three jobs run")
    yield work
    for process in work.started:
        if process.poll() is None:
            kill(process)
    assert runner.poll() is not None


def _ready(work: Workspace, name: str) -> bool:
    path = work.batch / name / "stdout.log"
    return path.exists() and b"ready" in path.read_bytes()


def test_an_evening_with_the_page(evening: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = evening.started[0]
    page = evening.start("serve", "--port", "0")
    assert page.stdout is not None
    browser = Browser(page.stdout.readline())
    assert f"ssh -L {browser.port}:127.0.0.1:{browser.port}" in page.stdout.readline()
    [row] = browser.get("/batches")["batches"]
    batch = f"/batches/{row['name']}"

    def job(name: str) -> dict[str, Any]:
        return next(one for one in browser.get(batch)["jobs"] if one["name"] == name)

    failed = wait_until(lambda: job("bad") if job("bad")["status"] == "failed" else None, "the failure is shown")
    assert "ValueError" in failed["error"]
    assert "ValueError" in failed["last_lines"][-1]
    wait_until(lambda: job("one").get("iter") == 4, "the progress is shown")
    assert browser.get(f"{batch}/curves?jobs=1&key=val/loss")["series"][0]["last"] == 0.25
    assert "ready" in browser.get(f"{batch}/jobs/1/log/combined.log")["text"]

    order = {"what": "kill", "jobs": [1], "key": "an-order-of-the-test"}
    status, _, content = browser.ask("POST", f"/api/v1{batch}/orders", order)
    assert status == 202
    number = json.loads(content)["order"]
    done = wait_until(lambda: (found := browser.get(f"/orders/{number}"))["ended"] and found, "the order has ended")
    assert done["exit_code"] == 0, done
    assert job("one")["status"] in ("killed", "interrupted")
    assert "From the page: kill one" in evening.master_log()
    assert job("two")["status"] == "running"

    monkeypatch.setattr(batch_view, "EVERY", 0.0)
    watch = Reads(source(evening.batch.parent)).hub.prepared([f"batch:{row['name']}"])[f"batch:{row['name']}"]
    assert isinstance(watch, BatchWatch) and 2 * watch.every + EVERY <= 2.0  # what the second look sees is 2 s old
    _kill_supervisor(evening.batch / "three")
    seen = watch.look()
    assert seen is not None
    [three] = [one for one in seen["jobs"] if one["name"] == "three"]
    assert three["status"] != "running" or three["attempt"] > 1  # the runner may have started it again by now
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    seen = watch.look()
    assert seen is not None and seen["runner"] is None and seen["state"] != "running"
    wait_until(lambda: browser.get(batch)["state"] not in ("running", "running without a runner"), "the end is shown")

    page.send_signal(signal.SIGINT)
    _, err = page.communicate(timeout=60)
    assert (page.returncode, err) == (0, "")


def _kill_supervisor(folder: Path) -> None:
    """With SIGKILL; returns when its process has ended."""
    found = supervisor_file.look(folder)
    assert isinstance(found, SupervisorRecord)
    os.kill(found.supervisor_pid, signal.SIGKILL)
    wait_until(lambda: not process_id.alive(found.supervisor), "the supervisor has ended")


def test_a_port_that_is_taken_is_an_error_of_one_sentence(work: Workspace, tmp_path: Path) -> None:
    first = work.start("serve", "--port", "0")
    assert first.stdout is not None
    port = Browser(first.stdout.readline()).port
    second = work.run("serve", "--port", port, code=2)
    assert f"--port {port}: cannot be used (Address already in use)" in second.stderr
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    for words in (["--port", "70000"], ["--socket", "s", "--port", "0"], ["--socket", "~nobody-here/s"]):
        assert work.run("serve", *words, code=2).stderr.count("\n") == 1
