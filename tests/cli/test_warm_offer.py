"""The end of a batch says what --warm would spare: where an import was much of the time of its jobs, and only there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runner.cli import warm_offer
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.result import Result
from runner.core.state import Record
from runner.disk import results
from runner.planners.registry import KINDS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere no job is warm")


def offer(folder: Path, *, jobs: int = 5, seconds: float = 0.01, memory: int = 10**9, warm: bool = False) -> str | None:
    made = [Job(f"j{n}", (sys.executable, "train.py"), folder / f"j{n}", cwd=folder) for n in range(jobs)]
    plan = Plan("x", folder, tuple(made), KINDS.get("files"), "", options=RunOptions(warm=warm))
    entries = {"status": "completed", "duration_seconds": seconds, "resources": {"max_rss": memory}}
    records: list[Record] = [results.record(job, Result(entries)) for job in made]
    return warm_offer.sentence(plan, records)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(warm_offer, "ask", lambda *_, **__: "0.5")
    (tmp_path / "train.py").write_text("from parts import net\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("import torch\n")
    return tmp_path


def test_what_is_spared_is_said(folder: Path) -> None:
    assert "--warm does it once for all 5 jobs" in (offer(folder) or "")
    assert "500 ms of the 2.0 s of a job (25%)" in (offer(folder, seconds=2) or "")


@pytest.mark.parametrize(
    "about", [{"jobs": 4}, {"seconds": 11}, {"seconds": 99}, {"memory": 10**7}, {"warm": True}], ids=str
)
def test_nothing_is_said_where_it_would_not_help(folder: Path, about: dict[str, int]) -> None:
    assert offer(folder, **about) is None  # type: ignore[arg-type]


def test_nothing_is_said_of_programs_that_do_not_name_it(folder: Path) -> None:
    (folder / "parts" / "__init__.py").write_text("import numpy\n")
    assert offer(folder) is None
    (folder / "train.py").unlink()
    assert offer(folder) is None


def test_an_import_that_fails_is_not_offered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_offer, "ask", lambda *_, **__: None)
    assert offer(folder) is None


def test_what_python_prints_at_its_start_does_no_harm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for printed, said in (("Welcome\n0.5", True), ("0.5\nGoodbye", False), ("", False)):
        monkeypatch.setattr(warm_offer, "ask", lambda *_, text=printed, **__: text)
        assert bool(offer(folder)) == said, printed
