"""Real programs that are not ours, each through a night: a failure, a stop, a resume, and the table afterwards."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Workspace, wait_until
from tests.foreign.nights import NIGHTS, Night

pytestmark = pytest.mark.slow

JOBS = ["a_good", "b_breaks", "c_long"]


@pytest.fixture(params=NIGHTS, ids=[night.program for night in NIGHTS])
def night(request: pytest.FixtureRequest, work: Workspace) -> Night:
    found: Night = request.param
    if found.program == "node" and shutil.which("node") is None:
        pytest.skip("node is not installed")
    found.prepare(work)
    return found


def rows(work: Workspace) -> dict[str, dict[str, Any]]:
    found = json.loads(work.run("table", "experiments/latest", "--json", code=0).stdout)
    return {row["name"]: row for row in found}


def text_of(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def test_a_night_with_a_failure_a_stop_and_a_resume(night: Night, work: Workspace) -> None:
    running = work.start("--configs", f"conf/*{night.suffix}", *night.words)
    wait_until(lambda: night.started in text_of(work.batch / "c_long" / "combined.log"), "the last job runs", 90)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, out + err

    first = {name: work.result(name) for name in JOBS}
    assert [first[name]["status"] for name in JOBS] == ["completed", "failed", "interrupted"], out + err
    assert night.cause in first["b_breaks"]["error"]
    assert night.cause in out

    done = work.run("--resume", code=0)
    assert "3 completed" in done.stdout, done.stdout
    assert "starts from the beginning" not in done.stdout
    assert work.result("a_good") == first["a_good"]
    for name in ("b_breaks", "c_long"):
        assert work.result(name)["attempt"] == 2

    table = rows(work)
    assert [table[name]["status"] for name in JOBS] == ["completed"] * 3
    for name in JOBS:
        for metric in night.metrics:
            assert isinstance(table[name][metric], float), (name, metric, table[name])
            assert work.result(name)["best_metrics"][metric]["better"] == "min"
    assert all(work.result(name)["final_checkpoint"] for name in JOBS)
