"""A page over a folder with a small batch, asked without a network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from starlette.testclient import TestClient

from runner.cli import batch_folders, batch_rows, inspect
from runner.core.job import Job, Plan
from runner.disk import plan_file
from runner.page.app import Page
from runner.page.source import Source
from runner.planners import recorded

TOKEN = "the-token-of-this-test"
HOST = "127.0.0.1:8080"
ORIGIN = {"origin": f"http://{HOST}", "x-runner": "1", "sec-fetch-site": "same-origin"}

ERRORS = (
    "ValueError: bad", "error: no such file", "\x1b[31mERROR\x1b[0m lost", "CUDA error: out of memory", "Killed",
    "torch.cuda.OutOfMemoryError: 2 GiB", "Traceback (most recent call last):", "loss nan", "CUDA_ERROR_NO_DEVICE",
)  # fmt: skip
NO_ERRORS = ("<img onerror=x>", "test error: 0.123", "mean_squared_error 3", "0 errors", "a mirror", "nanosecond")


def batch(base: Path, name: str = "night", jobs: tuple[str, ...] = ("a", "b")) -> Path:
    """A batch that was planned, with metrics and a log for its first job."""
    root = base / name
    root.mkdir(parents=True)
    made = [Job(one, ("true",), root / one, {"lr": number / 10, "api_key": "sk-canary"}) for number, one in
            enumerate(jobs)]  # fmt: skip
    plan_file.write(Plan(name, root, tuple(made), recorded.kind_named("files"), "2026-11-27T06:00:00.000+00:00"))
    first = root / jobs[0]
    first.mkdir(parents=True)
    rows = [{"iter": step, "val/loss": 1 / step, "lr": 0.1} for step in range(1, 5001)]
    (first / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (first / "combined.log").write_text("".join(f"line {number}\n" for number in range(20_000)))
    return root


def source(base: Path, *, read_only: bool = False, words: tuple[str, ...] = (sys.executable, "-c", "")) -> Source:
    return Source(
        base,
        batches=lambda: list(batch_folders.batches(base)),
        rows=lambda: batch_rows.rows(base, 0.0),
        status=inspect.of_plan,
        order_words=words,
        read_only=read_only,
    )


def client(of: Source, *, known: bool = True) -> TestClient:
    """A browser that has opened the page; `known`: with the token."""
    made = TestClient(Page(of, TOKEN, 8080).app, base_url=f"http://{HOST}", raise_server_exceptions=False)
    if known:
        assert made.post("/login", json={"token": TOKEN}, headers=ORIGIN).status_code == 204
    return made
