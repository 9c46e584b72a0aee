"""Secrets and look-alikes through every way to a file: no file of ours has a secret, each look-alike runs, is recorded
as it is and is resumed. The whole corpus goes through the records, a part of it through real jobs."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.cli.session import ALL_COMPLETED, SOME_DID_NOT, new_batch
from runner.core import clock
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.disk import plan_file
from runner.executors.local import Local
from runner.executors.provenance import Provenance
from runner.observers.journal import Journal
from runner.planners import recorded
from runner.planners.files import KIND
from runner.planners.select import What
from tests.conftest import Workspace, read
from tests.core import secret_corpus

#: Quotes its arguments in an error, as many programs do, and notes them for the test; fails until there is a file `go`.
PROGRAM = """\
import json, os, subprocess, sys
with open(os.environ["SEEN"], "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if not os.path.exists(os.environ["SEEN"] + ".go"):
    print("error: bad arguments:", *sys.argv[1:], flush=True)
    raise subprocess.CalledProcessError(1, sys.argv[1:])
"""
OUR_FILES = 5  # at the least, that are looked at for each job
NTH = 9  # entry of the corpus that a real job is started with


def planned(folder: Path, entries: Sequence[list[str]]) -> Plan:
    root = folder / "experiments" / "batch"
    environment = {"SEEN": str(folder / "seen"), "PATH": os.environ["PATH"]}
    jobs = tuple(
        Job(
            f"job{number}",
            ("python3", str(folder / "program.py"), *words),
            root / f"job{number}",
            env=environment,
            cwd=folder,
            rerun=("run", "x.py", *words),
        )
        for number, words in enumerate(entries)
    )
    return Plan("batch", root, jobs, KIND, clock.now(), options=RunOptions(max_workers=2, max_same_failures=0))


def run(plan: Plan) -> int:
    plan.root.parent.mkdir(exist_ok=True)
    with new_batch(plan, lambda: pytest.fail("the folder is free")) as (session, plan):
        selection = session.select(plan, What())
        session.begin(plan, selection)
        ended = session.run(plan, selection, Local(plan.options, Provenance(selection.run)), [Journal()])
    return ended.exit_code(selection.selected)


def ours(root: Path) -> list[Path]:
    """The files that the runner writes; logs are what the jobs print."""
    return [path for path in root.rglob("*") if path.is_file() and path.suffix != ".log"]


@pytest.mark.slow
def test_no_secret_reaches_a_file_although_the_job_quotes_it(work: Workspace) -> None:
    work.write("program.py", PROGRAM)
    entries = secret_corpus.hidden()[::NTH]
    plan = planned(work.folder, [words for words, _ in entries])
    assert run(plan) == SOME_DID_NOT
    whole = [path.read_text() for path in ours(plan.root) if path.parent == plan.root]
    left = []
    for job, (words, secret) in zip(plan.jobs, entries, strict=True):
        texts = [path.read_text() for path in ours(job.out_dir)]
        assert len(texts) + len(whole) >= OUR_FILES and "error" in read(job.out_dir / "experiment_result.json")
        left += [words] if any(secret in text for text in texts) else []
        job_in_plan = next(one for one in read(plan.root / "plan.json")["jobs"] if one["name"] == job.name)
        assert job_in_plan["unrecorded"], words
    assert not [secret for _, secret in entries if any(secret in text for text in whole)]
    print(f"hidden {len(entries) - len(left)} of {len(entries)}")
    assert left == []


@pytest.mark.slow
def test_each_look_alike_runs_is_recorded_as_it_is_and_is_resumed(work: Workspace) -> None:
    work.write("program.py", PROGRAM)
    entries = secret_corpus.harmless()[::NTH]
    plan = planned(work.folder, entries)
    assert run(plan) == SOME_DID_NOT
    again = recorded.plan(plan.root)
    for job, before, words in zip(again.jobs, plan.jobs, entries, strict=True):
        assert (job.argv, job.unrecorded, job.rerun) == (before.argv, (), before.rerun), words
        assert read(job.out_dir / "experiment_metadata.json")["command"] == list(before.argv)
        assert read(job.out_dir / "experiment_result.json")["command"] == list(before.argv)
    (work / "seen.go").touch()
    work.run("--resume", "batch", "--quiet", code=ALL_COMPLETED)
    seen = [json.loads(line) for line in (work / "seen").read_text().splitlines()]
    assert sorted(seen) == sorted([*entries, *entries])
    print(f"harmless {len(seen) // 2} of {len(entries)}")


def test_a_job_that_was_planned_with_any_look_alike_is_the_same_after_its_record_is_read(tmp_path: Path) -> None:
    entries = secret_corpus.harmless()
    plan = planned(tmp_path, entries)
    record = json.loads(json.dumps(plan_file.to_json(plan)))
    again = plan_file.from_json(record, plan.root, lambda name: KIND)
    assert [job.argv for job in again.jobs] == [job.argv for job in plan.jobs]
    assert [job.fingerprint for job in again.jobs] == [job.fingerprint for job in plan.jobs]
    assert not any(job.unrecorded for job in again.jobs)


def test_a_plan_has_no_secret_in_any_of_its_entries(tmp_path: Path) -> None:
    for words, secret in secret_corpus.hidden():
        key, equals, value = words[0].removeprefix("--").partition("=")
        named = {key: value} if equals and len(words) == 1 and key[:1] != "-" else {}
        job = Job("a", tuple(words), tmp_path / "a", overrides=named, config={"x": [named]}, resume_args=tuple(words))
        plan = Plan("b", tmp_path, (job,), KIND, clock.now(), overrides=named)
        assert secret not in json.dumps(plan_file.to_json(plan)), words
