"""`table` fits its terminal, marks the best job, and has means over seeds; a pipe gets everything."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from runner.cli.main import main
from runner.core.text import width_of
from tests.conftest import Workspace
from tests.terminals import on_a_terminal

JOB = """\
import json, pathlib, sys
out = pathlib.Path(sys.argv[2][10:])
values = {}
exec(pathlib.Path(sys.argv[1]).read_text(), values)
row = {'iter': 5, 'val/loss': 10 * values['lr'] + values['seed'], **{f'other_{n}': n for n in range(8)}}
(out / 'metrics.jsonl').write_text(json.dumps(row) + chr(10))
(out / 'model.pt').write_text('weights')
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = Workspace(tmp_path_factory.mktemp("batch"))
    work.write("job.py", JOB)
    for lr in (0.2, 0.1):
        for seed in (0, 1):
            work.write(f"c/a_long_name_of_a_night_lr{lr}_seed{seed}.py", f"lr = {lr}\nseed = {seed}\n")
    work.run("--configs", "c/*.py", "--train_script", "job.py", code=0)
    return work.folder


@pytest.fixture
def batch(made: Path, work: Workspace) -> Workspace:
    shutil.copytree(made, work.folder, symlinks=True, dirs_exist_ok=True)
    return work


def on_screen(work: Workspace, *words: str, columns: int) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(work, "table", *words, columns=columns)).splitlines()


@pytest.mark.parametrize("columns", [120, 80, 50])
def test_the_table_fits_and_says_what_is_left_out(batch: Workspace, columns: int) -> None:
    head, *rows, note = on_screen(batch, columns=columns)
    assert all(width_of(line) <= columns for line in (head, *rows[:4]))
    assert "val/loss" in head and "name" in head
    said = " ".join([*rows[4:], note])
    assert "left out: " in said and "--columns" in said.replace(" ", "") and "--csv" in said.replace(" ", "")
    assert len({row[2:20] for row in rows[:4]}) == 4


def test_the_best_job_is_marked(batch: Workspace) -> None:
    marked = [line for line in on_screen(batch, columns=100) if line.startswith("★")]
    assert len(marked) == 1 and "lr0.1_seed0" in marked[0]
    plain = on_a_terminal(batch, "table", columns=100, LC_ALL="C", NO_COLOR="1")
    assert "\x1b[3" not in plain and re.search(r"^(\x1b\[1m)?\*  ~lr0\.1_seed0", plain, re.MULTILINE)
    assert "★" not in batch.run("table", code=0).stdout


def test_two_rows_become_two_columns_where_they_do_not_fit(batch: Workspace) -> None:
    jobs = sorted(str(path) for path in batch.batch.glob("a_long*seed0"))
    lines = on_screen(batch, *jobs, columns=80)
    assert all(width_of(line) <= 80 for line in lines)
    assert [line.split() for line in lines if line.startswith("val/loss")] == [["val/loss", "1", "2"]]
    assert any(line.startswith("other_7") for line in lines) and any(
        line.startswith("final_checkpoint") for line in lines
    )


def test_means_over_the_seeds(batch: Workspace) -> None:
    head, first, second = batch.run(
        "table", "--over", "seed", "--columns", "lr", "n", "val/loss", code=0
    ).stdout.splitlines()
    assert (head.split(), first.split(), second.split()) == (
        ["lr", "n", "val/loss"], ["0.1", "2", "1.5", "±", "0.71"], ["0.2", "2", "2.5", "±", "0.71"],
    )  # fmt: skip
    text = batch.run("table", "--over", "seed", "--sort", "val/loss", "--reverse", "--csv", "-", code=0).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["lr"], row["n"], row["val/loss"]) for row in rows] == [("0.2", "2", "2.5"), ("0.1", "2", "1.5")]
    assert float(rows[0]["val/loss/std"]) == pytest.approx(0.5**0.5)
    assert json.loads(batch.run("table", "--over", "seed", "--json", code=0).stdout)[0]["n"] == 2
    assert any(line.startswith("★  0.1") for line in on_screen(batch, "--over", "seed", columns=120))


def test_what_cannot_be_averaged_over_is_said(batch: Workspace) -> None:
    assert (
        "--over: there is no column 'sed'; did you mean 'seed'?" in batch.run("table", "--over", "sed", code=2).stderr
    )
    assert "val/loss is not a setting" in batch.run("table", "--over", "val/loss", code=2).stderr
    work = batch.run("table", "experiments/latest/", "--over", "lr,seed", "--columns", "n", code=0)
    assert work.stdout.split() == ["n", "4"]


def test_the_last_checkpoint_has_a_column(batch: Workspace) -> None:
    (head, first, *_) = batch.run("table", "--columns", "final_checkpoint", code=0).stdout.splitlines()
    assert head == "final_checkpoint" and Path(batch / first).name == "model.pt"


def test_a_batch_under_another_name_has_its_own_checkpoints_and_is_still_the_latest(batch: Workspace) -> None:
    before = batch.batch
    renamed = before.rename(before.with_name("kept"))
    for named in ([], ["latest"], ["experiments/latest"], ["experiments/latest/"]):
        done = batch.run("table", *named, "--columns", "final_checkpoint", code=0)
        paths = [Path(batch / line) for line in done.stdout.splitlines()[1:]]
        assert len(paths) == 4 and all(path.is_file() and renamed in path.parents for path in paths)
        assert batch.run("status", *named, code=0).stdout.startswith("kept: done")


def test_columns_on_the_use_of_the_machine_are_there_when_they_are_named(
    batch: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(batch.folder)
    for number, job in enumerate(sorted(path.parent for path in batch.batch.glob("*/experiment_result.json"))):
        (job / "resources.jsonl").write_text(f'{{"pss": {number + 1}}}\n')
    assert main(["table", "--columns", "name", "resources.max_m*", "resources.cpu_seconds", "--csv", "-"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["resources.max_memory"] for row in rows] == list("1234") and float(rows[0]["resources.cpu_seconds"]) > 0
    assert main(["table", "--csv", "-"]) == 0
    assert "resources" not in capsys.readouterr().out.partition("\n")[0]
    assert main(["compare", "--metric", "resources.max_memory", "--goal", "min", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"][0]["mean"] == 1.5
