"""`diff A B` on jobs of a real batch and on folders of other programs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from runner.cli.main import main
from runner.core.text import width_of
from tests.cli.test_compare import write_runs
from tests.conftest import Workspace

JOB = """\
import json, pathlib, sys
out = pathlib.Path(sys.argv[2][10:])
lr = float(pathlib.Path(sys.argv[1]).read_text().split('lr = ')[1].split()[0])
rows = [{'iter': step, 'val/loss': 3 - step * (lr if step > 1 else 1)} for step in range(4)]
(out / 'metrics.jsonl').write_text(''.join(json.dumps(row) + chr(10) for row in rows))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = Workspace(tmp_path_factory.mktemp("batch"))
    work.write("job.py", JOB)
    for name, lr in (("slow", 0.1), ("fast", 0.2)):
        work.write(f"c/{name}.py", f"lr = {lr}\nsame = 3\n")
    work.run("--configs", "c/*.py", "--train_script", "job.py", code=0)
    return work.folder


@pytest.fixture
def batch(made: Path, work: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    shutil.copytree(made, work.folder, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(work.folder)
    return work


def test_two_jobs_of_the_latest_batch(batch: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "slow", "fast"]) == 0
    text = capsys.readouterr().out
    assert "Settings: 1 of 2 differ" in text and "lr" in text
    assert "Environment: equal" in text
    assert "val/loss: parts at step 2: 2.8 and 2.6; equal at 2 earlier common steps" in text
    assert all(width_of(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize("where", ["latest/", "experiments/latest/", "BATCH/"])
def test_a_job_is_named_with_its_batch(batch: Workspace, capsys: pytest.CaptureFixture[str], where: str) -> None:
    where = where.replace("BATCH", batch.batch.name[:-1])
    assert main(["diff", f"{where}slow", f"{where}fast", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"] == [{"key": "lr", "a": 0.1, "b": 0.2}]
    assert found["curves"][0]["step"] == 2 and found["recorded"] is True


def test_folders_of_other_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_runs(tmp_path, [({"lr": 1}, 0.5, "completed"), ({"lr": 2}, 0.25, "failed")])
    assert main(["diff", str(tmp_path / "r0"), str(tmp_path / "r1")]) == 0
    text = capsys.readouterr().out
    assert "Settings: 1 of 1 differ" in text and "not recorded of both jobs" in text and "failed" in text
    assert "no metric with steps" in text


def test_what_is_not_a_job_is_an_error(batch: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    (batch / "empty").mkdir()
    for word, error in (
        ("slo", "slo: no such job; did you mean 'slow'?"),
        ("experiments/latest", "holds 2 jobs; name one of them"),
        ("empty", "empty: has no result of a job"),
        ("nothing/slow", "nothing"),
    ):
        assert main(["diff", word, "fast"]) == 2
        assert error in capsys.readouterr().err


def test_odd_lines_of_metrics_are_left_out(batch: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    path = batch.batch / "slow/metrics.jsonl"
    path.write_bytes(b'\xff{\n[1]\n{"iter": "x"}\n{"iter": 0, "val/loss": 9}\n{"iter": 1, "val')
    assert main(["diff", "slow", "fast"]) == 0
    assert "parts at step 0, the first common one: 9 and 3" in capsys.readouterr().out
    path.unlink()
    path.symlink_to("/dev/zero")
    assert main(["diff", "slow", "fast"]) == 0
    assert "no metric with steps" in capsys.readouterr().out
