"""`report` on a real batch: what it says, what must not be in it, and `--report` at the end of a batch."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from runner.cli.main import main
from tests.conftest import Workspace

SECRET = "hf_abcdefghijklmnopqrstuvwxyz0123456789"
PASSWORD = "correct-horse-battery-1"
KEY = "sk-abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789"
PRINTED = f"login https://anna:{PASSWORD}@example.org/data\ntoken {SECRET}\n"
JOB = """\
cat printed.txt
i=0
while [ $i -le 30 ]; do
  echo '{"iter": '$i'0, "val/loss": '$LOSS'.'$i', "train/loss": 2.5}' >> $OUT/metrics.jsonl
  i=$((i + 1))
done
printf '\\211PNG\\r\\n\\032\\n0' > $OUT/plot.png
"""
COMMAND = ("--command", f"env OUT={{out_dir}} sh {{config}} --api_key {KEY}")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two jobs that complete and one that fails, all of which print secrets."""
    work = Workspace(tmp_path_factory.mktemp("report"))
    work.write("printed.txt", PRINTED)
    work.write("c/good.sh", "LOSS=1\n" + JOB)
    work.write("c/poor.sh", "LOSS=3\n" + JOB)
    work.write("c/broken.sh", "LOSS=2\n" + JOB + "echo 'RuntimeError: CUDA out of memory' >&2\nexit 3")
    done = work.run("--configs", "c/*.sh", "--report", *COMMAND, code=1)
    assert "Report: experiments/" in done.stdout
    return work


@pytest.fixture
def here(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(work.folder)
    return work


def test_the_report_at_the_end_is_the_one_of_the_command(here: Workspace) -> None:
    at_end = (here.batch / "report.html").read_bytes()
    assert main(["report", "-o", "own.html"]) == 0
    assert (here / "own.html").read_bytes() == at_end
    assert main(["report"]) == 0
    assert (here.batch / "report.html").read_bytes() == at_end and len(at_end) < 100_000


def test_it_says_what_happened(here: Workspace) -> None:
    text = (here.batch / "report.html").read_text()
    assert "3 jobs: 2 completed, 1 failed; lowest val/loss" in text.partition("</title>")[0]
    assert "failed: the GPU is out of memory" in text and "What to do:" in text and "Last lines of the log" in text
    assert f"overnight rerun experiments/{here.batch.name} broken" in text
    assert text.count("<figure>") >= 2 and "data:image/png;base64," in text


@pytest.mark.parametrize("form", [[], ["--markdown"], ["--anonymous"]])
def test_no_secret_gets_into_it(here: Workspace, capsys: pytest.CaptureFixture[str], form: list[str]) -> None:
    assert main(["report", "-o", "-", *form]) == 0
    text = capsys.readouterr().out
    assert "val/loss" in text and "***" in text
    assert not [secret for secret in (SECRET, PASSWORD, KEY) if secret in text]


def test_an_anonymous_one_has_neither_host_nor_home(here: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "-o", "-", "--anonymous", "--markdown"]) == 0
    text = capsys.readouterr().out
    assert "host: host" in text and str(here.folder) not in text
    assert not re.search(rf"(?<!\w){re.escape(socket.gethostname())}(?!\w)", text)


def test_a_batch_that_is_not_complete_says_so(here: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    (here.batch / "good" / "experiment_result.json").rename(here / "kept.json")
    try:
        assert main(["report", "--markdown"]) == 0
    finally:
        (here / "kept.json").rename(here.batch / "good" / "experiment_result.json")
    text = capsys.readouterr().out
    assert "made before the batch was complete: 1 not started" in text and "killed" not in text


def test_a_batch_whose_runner_was_killed_says_so(here: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    lock, result = here.batch / ".lock", here.batch / "good" / "experiment_result.json"
    before = lock.read_bytes()
    lock.write_text(json.dumps({"pid": 1 << 22, "host": socket.gethostname(), "since": "2026-11-27T01:00:00"}))
    result.rename(here / "kept.json")
    try:
        assert main(["report", "--markdown"]) == 0
    finally:
        (here / "kept.json").rename(result)
        lock.write_bytes(before)
    text = capsys.readouterr().out.replace("\\", "")
    assert "Its runner was killed. Continue with: " in text and f"resume experiments/{here.batch.name}" in text


def test_a_file_that_cannot_be_written_is_one_sentence(here: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "-o", "missing/report.html"]) == 2
    assert "missing/report.html: cannot be written" in capsys.readouterr().err
    assert main(["report", "--max-size", "small"]) == 2
    assert "--max-size: 'small' is not an amount of memory" in capsys.readouterr().err


def test_odd_records_do_not_hide_the_report(here: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    path, about = (Path(here.batch / "good" / name) for name in ("metrics.jsonl", "experiment_metadata.json"))
    before, known = path.read_bytes(), about.read_bytes()
    about.write_text(json.dumps({**json.loads(known), "python": ["3.11"], "host": {}}, indent=2))
    odd = [{"iter": -5, "val/loss": 1e308}, {"iter": "x", "val/loss": None}, {"val/loss": "text"}, {"epoch": 1e300}]
    path.write_bytes(
        b"not json\n[1]\n" + "\n".join(map(json.dumps, odd)).encode() + b'\n{"iter": NaN, "val/loss": Infin'
    )
    try:
        assert main(["report", "-o", "-"]) == 0
    finally:
        path.write_bytes(before)
        about.write_bytes(known)
    assert "</html>" in capsys.readouterr().out


def test_a_job_that_completed_with_a_warning_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = Workspace(tmp_path)
    for name, middle in (("calm", "1.5"), ("wild", "nan")):
        work.write(f"c/{name}.sh", f"for loss in 2.0 {middle} 1.0; do echo step $((i += 1)): loss $loss; done\n")
    work.run("--configs", "c/*.sh", "--report", "--command", "bash {config}")
    monkeypatch.chdir(tmp_path)
    text = (work.batch / "report.html").read_text()
    assert "2 jobs: 2 completed (1 with warnings)" in text.partition("</title>")[0]
    warnings = text.partition("<h2>Warnings</h2>")[2].partition("</section>")[0]
    assert "wild: loss was NaN" in warnings and "calm" not in warnings
    assert main(["report", "--markdown"]) == 0
    assert "### Warnings\n\n- wild: loss was NaN" in capsys.readouterr().out
