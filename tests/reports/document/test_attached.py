"""Which files of the jobs a report shows."""

from __future__ import annotations

from pathlib import Path

from runner.core.job import Job, Plan
from runner.reports.document import attached


def plan(root: Path, *names: str) -> Plan:
    jobs = tuple(Job(name=name, config=root / f"{name}.py", out_dir=root / name, argv=()) for name in names)
    for job in jobs:
        job.out_dir.mkdir(parents=True)
    return Plan("batch", root, jobs, "files", "2026-01-01T00:00:00.000+00:00")


def test_the_last_sample_of_each_job_is_shown_with_its_end(tmp_path):
    found = plan(tmp_path, "a", "b", "c")
    (tmp_path / "a/samples").mkdir()
    (tmp_path / "a/samples/1000.txt").write_text("early\n")
    (tmp_path / "a/samples/2000.txt").write_text("".join(f"line {n}\n" for n in range(100)))
    (tmp_path / "b/sample.txt").write_text("a secret and " + "x" * 1000)
    (tmp_path / "b/notes.txt").write_text("no sample\n")
    (tmp_path / "c/sample.txt").mkdir()
    first, second = attached.samples(found, lambda text: text.replace("secret", "***"))
    assert first.path == "a/samples/2000.txt" and first.lines[-1] in ("line 99", "") and "line 98" in first.lines
    assert len(first.lines) <= attached.LINES
    assert second.path == "b/sample.txt" and second.lines[0].startswith("a *** and xxx")
    assert len(second.lines[0]) <= attached.WIDTH
