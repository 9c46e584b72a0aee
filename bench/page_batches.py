"""What bench/page.py serves: its batches, the server, another browser beside the one that is measured; and its bars."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from records import write_batch  # noqa: E402 - beside this file

VARIED = 6  # of thirty settings, those in which the jobs differ
WIDE, LONG, GROWS = "wide", "long", "grows"


class Bars:
    """Prints figures, and remembers whether all are within their bars."""

    def __init__(self) -> None:
        self.held = True

    def __call__(self, what: str, value: float, bar: float, unit: str, more: str = "") -> None:
        good = value <= bar
        self.held &= good
        print(f"{what:58}{value:9.4g} {unit:5} bar {bar:<7g}{'held' if good else 'MISSED'}{more}", flush=True)


class Server:
    """`serve` over a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environ = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        words = [sys.executable, str(ROOT / "run_experiments.py"), "serve", "--port", "0"]
        begun = time.monotonic()
        self.process = subprocess.Popen(words, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"(http://127\.0\.0\.1:\d+/)#t=(\S+)", self.process.stdout.readline())
        self.seconds = time.monotonic() - begun
        assert found is not None
        self.address, self.token = found[1], found[2]
        self.about = psutil.Process(self.process.pid)

    def megabytes(self) -> float:
        return float(self.about.memory_info().rss) / 1e6

    def cpu(self) -> float:
        spent = self.about.cpu_times()
        return float(spent.user + spent.system)

    def end(self) -> float:
        begun = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        return time.monotonic() - begun


class Spent:
    """Processor time of the server and of the browser, which other work on the machine does not lengthen as much."""

    def __init__(self) -> None:
        self._before = self._now()

    @staticmethod
    def _now() -> dict[int, float]:
        found = {}
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                found[process.pid] = times.user + times.system
        return found

    def seconds(self) -> float:
        return sum(now - self._before.get(pid, 0.0) for pid, now in self._now().items())


def signed_in(server: Server) -> tuple[http.client.HTTPConnection, dict[str, str]]:
    """A connection, and the headers with the cookie."""
    made = http.client.HTTPConnection("127.0.0.1", int(server.address.split(":")[2].strip("/")), timeout=600)
    origin = {"Origin": server.address.rstrip("/"), "Content-Type": "application/json", "X-Runner": "1"}
    made.request("POST", "/login", json.dumps({"token": server.token}), origin)
    answer = made.getresponse()
    answer.read()
    return made, {"Cookie": str(answer.headers["set-cookie"]).partition(";")[0]}


def stream_bytes(server: Server, seconds: float) -> int:
    """What a stream of events of the large batch sends in this time: a browser does not tell."""
    connection, headers = signed_in(server)
    connection.request("GET", f"/api/v1/events?topic=batch:{WIDE}", headers=headers)
    answer, found, until = connection.getresponse(), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        found += len(answer.read1(1 << 16))
    connection.close()
    return found


class Others:
    """Another browser, which asks for a small answer twenty times a second: how long it waits at most."""

    def __init__(self, server: Server) -> None:
        self._connection, self._cookie = signed_in(server)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.waits: list[float] = []

    def _ask(self) -> None:
        while not self._ended.wait(0.05):
            begun = time.monotonic()
            self._connection.request("GET", f"/api/v1/batches/{GROWS}?since=9", headers=self._cookie)
            self._connection.getresponse().read()
            self.waits.append(time.monotonic() - begun)

    def __enter__(self) -> Others:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._connection.close()

    @property
    def longest(self) -> float:
        """Milliseconds."""
        return 1000 * max(self.waits, default=0.0)


def write_metrics(path: Path, rows: int, seed: int) -> None:
    draw, lines = random.Random(seed), []
    end = draw.uniform(1.4, 2.2)
    for step in range(rows):
        loss = end + 2.5 * math.exp(-6 * step / rows) + draw.gauss(0, 0.03)
        row = {"iter": step, "max_iters": rows, "train/loss": round(loss, 6), "val/loss": round(loss + 0.05, 6),
               "learning_rate": 3e-4 * (1 - step / rows), "grad_norm": round(draw.uniform(0.2, 2), 5),
               "tokens_per_second": round(81000 + draw.gauss(0, 300), 1)}  # fmt: skip
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n")


def write_all(folder: Path, given: argparse.Namespace) -> None:
    config = folder / "config.sh"
    config.write_text("exit 0\n")
    for name, jobs in ((WIDE, given.jobs), (LONG, 1), (GROWS, 1)):
        write_batch(folder / "experiments" / name, jobs, config, VARIED)
    for seed in range(20):
        write_metrics(folder / f"rows_{seed}", given.rows, seed)
    for at, job in enumerate(sorted((folder / "experiments" / WIDE).glob("job_*"))):
        shutil.copy(folder / f"rows_{at % 20}", job / "metrics.jsonl")
    write_metrics(folder / "experiments" / LONG / "job_0000" / "metrics.jsonl", given.long, 1)
    job = folder / "experiments" / GROWS / "job_0000"
    shutil.copy(folder / "rows_0", job / "metrics.jsonl")
    (job / "combined.log").write_text("begin\n")
    with (job / "stdout.log").open("wb") as log:
        block = b"".join(b"\x1b[32mstep %d\x1b[0m of a long log with some words\n" % at for at in range(20_000))
        for _ in range(max(1, round(given.log_gb * 1e9 / len(block)))):
            log.write(block)
