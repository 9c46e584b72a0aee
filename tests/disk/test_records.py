"""The files of a batch: what they contain, that documents and code agree, that nothing secret is written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from runner.core import clock, redact
from runner.core.canonical import fingerprint
from runner.core.job import Attempt, Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.result import Result
from runner.core.state import COMPLETED, Record
from runner.disk import atomic, results
from runner.engine.events import BatchEnded, BatchStarted, JobEnded, Tick
from runner.observers.journal import Journal
from runner.reports.registry import VIEWS
from runner.reports.summary import SummaryView
from tests.conftest import PROJECT, Workspace
from tests.library_script import folder, meta, run, script

JOB = """\
import json, sys
out = next(a for a in sys.argv if a.startswith('--out_dir=')).partition('=')[2]
with open(out + '/metrics.jsonl', 'a') as f:
    for i in range(3): f.write(json.dumps({'iter': i, 'train/loss': 3.0 - i}) + '\\n')
    f.write(json.dumps({'iter': 2, 'val/loss': 1.5}) + '\\n{"torn')
for name in ('ckpt_1.pt', 'ckpt_2.pt'): open(out + '/' + name, 'w').write(name)
print('step 2: train loss 1.0, val loss 1.5')
print('iter 2: loss 1.0000, time 1.00ms')
print('nothing of note')
"""


@pytest.fixture
def ran(work: Workspace) -> Workspace:
    work.write("job.py", JOB)
    work.write("c/a.py", "# the config\nx = 1\n")
    work.run("--configs", "c/a.py", "--train_script", "job.py", "--lr", "0.5", code=0)
    return work


def documented(heading: str) -> set[str]:
    """The keys in the first table below a heading of docs/file-formats.md."""
    text = (PROJECT / "docs" / "file-formats.md").read_text()
    table = text.split(f"## {heading}\n")[1].strip().split("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("experiment_result.json", "a/experiment_result.json"),
        ("experiment_metadata.json", "a/experiment_metadata.json"),
        ("experiment_summary.json", "experiment_summary.json"),
    ],
)
def test_document_and_code_name_the_same_keys(ran: Workspace, name: str, path: str) -> None:
    assert set(json.loads((ran.batch / path).read_text())) == documented(name)


def test_document_and_code_name_the_same_keys_of_a_meta_json(work: Workspace) -> None:
    script(work, "if config.x == 1: raise ValueError('no')\nreturn 1")
    run(work, code=1)
    failed, completed = (set(meta(folder(work, name))) for name in "ab")
    assert failed == completed == documented("meta.json")


def test_document_and_code_name_the_same_keys_of_a_plan(ran: Workspace) -> None:
    plan = json.loads((ran.batch / "plan.json").read_text())
    text = (PROJECT / "docs" / "file-formats.md").read_text().split("## plan.json\n")[1].split("\n## ")[0]
    assert set(plan) | set(plan["jobs"][0]) == set(re.findall(r"`(\w+)`", text))


def test_document_and_code_name_the_same_statuses() -> None:
    from runner.core import state

    names = ("COMPLETED", "FAILED", "KILLED", "TIMEOUT", "STALLED", "INTERRUPTED", "ERROR", "PRUNED")
    statuses = {getattr(state, name) for name in names}
    text = (PROJECT / "docs" / "file-formats.md").read_text()
    table = text.split("| status | meaning |\n")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == statuses


def test_a_result_has_every_documented_entry(ran: Workspace) -> None:
    result = ran.result("a")
    assert result["status"] == "completed" and result["error"] is None
    assert result["config_path"] == str(ran / "c/a.py")
    assert result["final_metrics"] == {"iter": 2, "train/loss": 1.0, "val/loss": 1.5}
    assert result["final_checkpoint"] == str(ran.batch / "a" / "ckpt_2.pt")
    assert all(Path(path).is_file() for path in result["log_files"].values())
    start, end = (datetime.fromisoformat(result[key]) for key in ("start_time", "end_time"))
    assert start.tzinfo is not None and abs((end - start).total_seconds() - result["duration_seconds"]) < 0.1


def test_the_config_is_copied_byte_for_byte(work: Workspace) -> None:
    content = b"# caf\xc3\xa9\r\nx = 1  \r\n\r\n"
    (work / "c").mkdir()
    (work / "c/a.py").write_bytes(content)
    work.write("c/b.yaml", "x: 1")
    work.write("job.py", "")
    work.run("--configs", "c/*", "--train_script", "job.py", code=0)
    assert (work.batch / "a/config_used.py").read_bytes() == content
    assert (work.batch / "b/config_used.yaml").read_text() == "x: 1"


def test_metadata_records_what_ran_where(ran: Workspace) -> None:
    metadata = json.loads((ran.batch / "a" / "experiment_metadata.json").read_text())
    assert metadata["config"] == {"x": 1, "lr": 0.5} and metadata["overrides"] == {"lr": "0.5"}
    assert metadata["packages"]["torch"].startswith("2.")
    assert metadata["git"] is None  # of the script's folder, which is not a checkout
    assert metadata["runner_git"] is None or len(metadata["runner_git"]["commit"]) == 40
    assert re.match(r"\d+\.\d+", metadata["runner_version"])
    assert "PATH" not in metadata["environment"]  # additions only
    assert metadata["fingerprint"] == ran.result("a")["fingerprint"]


def test_latest_points_to_the_last_batch(ran: Workspace) -> None:
    first = ran.batch
    ran.run("--configs", "c/a.py", "--train_script", "job.py", code=0)
    assert ran.batch != first and (ran / "experiments/latest").is_symlink()


def test_the_master_log_has_a_line_for_each_event(ran: Workspace) -> None:
    log = ran.master_log()
    for words in ("Batch experiment_", "[1/1] a: started, pid", "a: command", "a: completed in", "1 job in"):
        assert words in log
    assert "a: step 2: train loss 1.0, val loss 1.5" in log and "a: iter 2: loss 1.0000" in log
    assert "nothing of note" not in log
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]{12} ", line) for line in log.splitlines())


def test_the_master_log_stays_short_when_a_job_talks_much(work: Workspace) -> None:
    work.write(
        "job.py", "for i in range(20000): print(f'iter {i}: loss 1.0'); print(f'warning {i}')\nraise SystemExit(1)\n"
    )
    work.write("a.py", "")
    work.run("--configs", "a.py", "--train_script", "job.py", code=1)
    assert len(work.master_log().splitlines()) < 60


def test_no_secret_reaches_a_file(work: Workspace) -> None:
    work.write("job.py", "")
    work.write("a.py", "tokenizer = 'gpt2'\nn_key_heads = 4\n")
    secrets = ["--wandb_api_key=hush1", "--hf_token", "hush2", "--db.password=hush3"]
    done = work.run("--configs", "a.py", "--train_script", "job.py", *secrets, env={"WANDB_API_KEY": "hush4"}, code=0)
    for path in work.batch.rglob("*"):
        if path.is_file():
            assert b"hush" not in path.read_bytes(), path
    assert "hush" not in done.stdout
    metadata = json.loads((work.batch / "a" / "experiment_metadata.json").read_text())
    assert metadata["config"]["tokenizer"] == "gpt2" and metadata["config"]["wandb_api_key"] == "***"
    shown = work.run("--configs", "a.py", "--train_script", "job.py", *secrets, "--dry-run", code=0)
    assert "hush" not in shown.stdout


def test_no_secret_of_a_template_or_a_nested_config_reaches_a_file(work: Workspace) -> None:
    work.write("a.py", "x = 1")
    template = "env HF_TOKEN=hush1 sh -c 'exit 3' --api_key=hush2 --password hush3 {config}"
    done = work.run("--configs", "a.py", "--command", template, code=1)
    for path in work.batch.rglob("*"):
        if path.is_file():
            assert b"hush" not in path.read_bytes(), path
    assert "hush" not in done.stdout
    work.write("b.py", "wandb = dict(api_key='hush')\n")
    work.write("job.py", "")
    done = work.run("--configs", "b.py", "--train_script", "job.py", code=2)
    assert "b.py:1: 'wandb.api_key' looks like a secret" in done.stderr


def test_numbers_that_json_cannot_hold_become_null(work: Workspace) -> None:
    work.write("c/a.sh", 'echo \'{"iter": 1, "val/loss": NaN, "x": [Infinity, 1]}\' > $2/metrics.jsonl')
    work.run("--configs", "c/a.sh", "--command", "sh {config} --out {out_dir}", code=0)
    for path in (work.batch / "experiment_summary.json", work.batch / "a" / "experiment_result.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)  # NaN is only in the sentence of the warning
    assert work.result("a")["final_metrics"] == {"iter": 1, "val/loss": None, "x": [None, 1]}


@pytest.mark.parametrize(
    ("name", "secret"),
    [("api_key", True), ("WANDB_API_KEY", True), ("hfToken", True), ("password", True), ("client-secret", True),
     ("tokenizer", False), ("monkey", False), ("keyboard", False), ("learning_rate", False)],
)  # fmt: skip
def test_what_looks_like_a_secret(name: str, secret: bool) -> None:
    assert redact.is_secret(name, "abc") is secret
    assert not redact.is_secret(name, 1024)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    atomic.write_json(path, {"a": 1})
    limited = os.fork()
    if limited == 0:  # a file size limit imitates a full disk
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            atomic.write_json(path, {"a": "x" * 10_000})
        except OSError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(limited, 0)[1]) == 7
    assert json.loads(path.read_text()) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def test_a_plan_refuses_two_jobs_with_one_name_or_folder(tmp_path: Path) -> None:
    def plan(*jobs: Job) -> Plan:
        return Plan("p", tmp_path, jobs, PlanKind("files"), clock.now())

    with pytest.raises(ValueError, match="one name: x"):
        plan(Job("x", ("true",), tmp_path / "a"), Job("x", ("true",), tmp_path / "b"))
    with pytest.raises(ValueError, match="one folder"):
        plan(Job("x", ("true",), tmp_path / "A"), Job("y", ("true",), tmp_path / "a"))


def test_the_fingerprint_does_not_depend_on_the_folder_but_on_the_work(tmp_path: Path) -> None:
    def job(folder: str, argument: str = "1", **config: object) -> Job:
        out_dir = tmp_path / folder
        return Job("x", ("run", f"--out_dir={folder}", argument), out_dir, config=config, cwd=tmp_path)

    assert job("a", k=1).fingerprint == job("b", k=1).fingerprint
    assert len({job("a", k=1).fingerprint, job("a", k=1.0).fingerprint, job("a", k=True).fingerprint}) == 3
    assert job("a", k=1).fingerprint != job("a", "2", k=1).fingerprint
    assert fingerprint({"a": 1, "b": [1, None]}) == fingerprint({"b": [1, None], "a": 1})


def test_an_old_result_stays_readable() -> None:
    result = Result.from_json(json.loads((PROJECT / "tests/data/experiment_result_schema_1.json").read_text()))
    record = results.record(Job("easy_first", ("true",), Path("/x")), result)
    assert record.status == "failed" and record.attempt == 1


class MadeView(SummaryView):
    """The summary, which remembers from which records it was made."""

    made: ClassVar[list[Sequence[Record]]] = []

    def files(self, records: Sequence[Record], timestamp: str) -> Mapping[str, Mapping[str, Any]]:
        self.made.append(records)
        return super().files(records, timestamp)


def test_the_summary_of_ten_thousand_jobs_is_not_written_ten_thousand_times(tmp_path: Path) -> None:
    jobs = tuple(Job(f"j{number}", ("true",), tmp_path / f"j{number}") for number in range(10_000))
    VIEWS.register("made", "tests.disk.test_records:MadeView")
    plan = Plan("p", tmp_path, jobs, PlanKind("made", views=("made",)), clock.now())
    made = MadeView.made
    made.clear()
    journal = Journal()
    journal(BatchStarted(plan))
    before = len(made)
    for job in jobs[:2000]:
        result = results.entries(Attempt(job, 1, job.argv, {})).updated(status=COMPLETED, end_time="", error=None)
        journal(JobEnded(results.record(job, result)))
        journal(Tick())
    assert len(made) - before <= 20
    journal(BatchEnded([Record(job) for job in jobs]))
    assert len(made[-1]) == len(jobs) and (tmp_path / "experiment_summary.json").exists()


def test_document_and_code_name_the_same_keys_of_an_experiment(work: Workspace) -> None:
    from tests.sweeps import SCRIPT, prepare

    prepare(work).run("--exp", "specs/s.yaml", *SCRIPT, "--limit", 1, code=0)
    found = json.loads((work.batch / "experiment.json").read_text())
    text = (PROJECT / "docs" / "file-formats.md").read_text().split("## Files of a sweep\n")[1].split("\nA sweep in")[0]
    named = set(re.findall(r"`(\w+)`", text)) - {"run_000", "pending", "running", "completed", "failed", "pruned"}
    assert set(found) | set(found["runs"][0]) == named
