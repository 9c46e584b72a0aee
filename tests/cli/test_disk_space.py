"""`du`, `rm` and `clean`: what batches take, and that nothing else and nothing that is needed is removed."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.measured_batch import COMMAND, SIZE, job, measured, saved
from tests.conftest import Workspace, kill, read
from tests.interrupted_batch import started, three_jobs
from tests.terminals import RUNNER, Terminal

pytestmark = pytest.mark.slow


@pytest.fixture
def batch(work: Workspace) -> Workspace:
    return measured(work)


def usage(work: Workspace, *words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(work.run("du", "--json", *words, code=0).stdout)
    return found


# du


def test_the_usage_of_a_batch_by_kind(batch: Workspace) -> None:
    (found,) = usage(batch)
    files = [path for path in batch.batch.rglob("*") if path.is_file() and not path.is_symlink()]
    assert found["total"] == sum(path.stat().st_size for path in files)
    assert found["checkpoints"] == 9 * SIZE
    assert found["logs"] == sum(path.stat().st_size for path in files if path.suffix in (".log", ".txt"))
    assert found["total"] == found["checkpoints"] + found["logs"] + found["rest"]  # type: ignore[operator]
    batch.run("--configs", "c/2_good.sh", *COMMAND, "--name", "second", code=0)
    lines = batch.run("du", code=0).stdout.splitlines()
    assert [line.split()[0].partition("_")[0] for line in lines] == ["batch", "second", "experiment", "all"]
    assert len(usage(batch, "second")) == 1


def test_what_links_point_to_is_not_counted_and_a_second_name_counts_once(batch: Workspace) -> None:
    (before,) = usage(batch)
    other = batch.write("other/big.bin", "x" * 100_000).parent
    (batch.batch / "1_poor/elsewhere").symlink_to(other)
    os.link(batch.batch / "1_poor/ckpt_1.pt", batch.batch / "1_poor/again.pt")
    shutil.rmtree(batch.batch / "3_broken")
    (batch.batch / "3_broken").symlink_to(other)  # a whole job
    (after,) = usage(batch)
    assert after["checkpoints"] == 6 * SIZE and int(str(after["total"])) < int(str(before["total"]))


def test_a_folder_is_one_checkpoint_and_earlier_attempts_count(work: Workspace) -> None:
    work.write("a.sh", "mkdir $OUT/checkpoint-5; for f in model.safetensors trainer_state.json; "
                       f"do head -c {SIZE} /dev/zero > $OUT/checkpoint-5/$f; done")  # fmt: skip
    work.run("--configs", "a.sh", *COMMAND, code=0)
    assert usage(work)[0]["checkpoints"] == 2 * SIZE
    work.run("rerun", "a", code=0)
    assert (work.batch / "a/attempt_1/checkpoint-5").exists()
    assert usage(work)[0]["checkpoints"] == 4 * SIZE


def test_a_batch_that_cannot_be_read_has_a_usage(batch: Workspace) -> None:
    (batch.batch / "plan.json").write_text("{")
    assert usage(batch)[0]["checkpoints"] == 9 * SIZE


# rm


def test_a_batch_is_removed_and_latest_points_to_the_one_before(batch: Workspace) -> None:
    first = batch.batch
    batch.run("--configs", "c/2_good.sh", *COMMAND, "--name", "second", code=0)
    second = batch.batch
    done = batch.run("rm", "second", "--yes", code=0)
    assert "removed" in done.stdout and not second.exists() and first.is_dir()
    assert batch.batch == first and batch.run("status", code=0).stdout.startswith(first.name)
    batch.run("rm", "latest", "--yes", code=0)
    assert list((batch / "experiments").iterdir()) == []
    assert "there is no batch yet" in batch.run("list", code=0).stdout


def test_an_older_batch_is_removed_and_latest_stays(batch: Workspace) -> None:
    first = batch.batch
    batch.run("--configs", "c/2_good.sh", *COMMAND, "--name", "second", code=0)
    second = batch.batch
    batch.run("rm", first.name, str(first), "--yes", code=0)  # named twice
    assert batch.batch == second and not first.exists()


def test_nothing_is_removed_without_a_terminal_or_yes(batch: Workspace) -> None:
    assert "--yes" in batch.run("rm", "latest", code=2).stderr
    assert batch.batch.is_dir() and len(saved(batch)) == 9
    assert "--yes" in batch.run("clean", "--keep", "1", code=2).stderr
    assert len(saved(batch)) == 9


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1), ("n\n", 1), ("\x04", 1), ("\x03", 130)])
def test_a_terminal_is_asked(batch: Workspace, answer: str, code: int) -> None:
    root = batch.batch
    terminal = Terminal(batch.folder, [*RUNNER.split(), "rm", "latest"])
    try:
        assert root.name in terminal.expect(r"\[y/N\] ", "the question")
        terminal.type(answer)
        while answer == "\x03" and not terminal.ends_within(1):  # one between the question and the reading is not seen
            terminal.type(answer)
        assert terminal.process.wait(30) == code
    finally:
        terminal.process.kill()
    assert root.exists() == (code != 0)


def test_what_links_point_to_stays(batch: Workspace) -> None:
    outside = batch.write("data/precious.pt", "x").parent
    (batch.batch / "2_good/data").symlink_to(outside)
    (batch.batch / "2_good/ckpt_99.pt").symlink_to(outside / "precious.pt")
    shutil.rmtree(batch.batch / "3_broken")
    (batch.batch / "3_broken").symlink_to(outside)
    batch.run("clean", "--keep", "0", "--yes", code=0)
    assert (outside / "precious.pt").exists() and not (batch.batch / "2_good/ckpt_99.pt").is_symlink()
    batch.run("rm", "latest", "--yes", code=0)
    assert (outside / "precious.pt").exists()


@pytest.fixture
def running(work: Workspace) -> Iterator[Workspace]:
    process = started(three_jobs(work))
    yield work
    (work / "go").touch()
    process.communicate(timeout=60)


def test_a_batch_that_runs_is_neither_removed_nor_cleaned(running: Workspace) -> None:
    for words in (("rm", "latest"), ("clean", "--keep", "0")):
        done = running.run(*words, "--yes", code=2)
        assert "runs (pid " in done.stderr and "stop it with" in done.stderr
    assert (running.batch / "b/supervisor.json").exists()


def test_a_job_that_outlives_its_runner_protects_its_batch(work: Workspace) -> None:
    kill(started(three_jobs(work), "--keep-running"))
    done = work.run("rm", "latest", "--yes", code=2)
    assert "/b runs" not in done.stderr and ": b runs (pid " in done.stderr
    assert work.batch.is_dir()
    (work.batch / "plan.json").write_text("{")  # also if nothing can be read but the processes
    assert ": b runs (pid " in work.run("rm", "latest", "--yes", code=2).stderr
    (work / "go").touch()


def test_a_batch_that_runs_on_another_host_is_not_removed(batch: Workspace) -> None:
    who = {"pid": 1, "host": f"not-{socket.gethostname()}", "since": "today"}
    (batch.batch / ".lock").write_text(json.dumps(who))
    for words in (("rm", "latest"), ("clean", "--keep", "0")):
        assert f"runs on {who['host']}" in batch.run(*words, "--yes", code=2).stderr
    (batch.batch / ".lock").write_text("")
    record = {"supervisor": ["7", "x"], "job": ["8", "x"], "mark": "m", "attempt": 1, "argv": [], "host": who["host"]}
    (batch.batch / "2_good/experiment_result.json").unlink()
    (batch.batch / "2_good/supervisor.json").write_text(json.dumps(record))
    assert f"2_good runs on {who['host']}" in batch.run("rm", "latest", "--yes", code=2).stderr
    assert len(saved(batch)) == 9


def test_what_is_not_a_batch_is_not_removed(batch: Workspace) -> None:
    root = batch.batch
    (batch / "experiments/mine").symlink_to(root.name)
    (root / "1_poor/sub").mkdir()
    for words, cause in (
        (("experiments",), "is not a batch"),
        (("c",), "is not a batch"),
        (("nothing",), "no such batch"),
        (("mine",), "is a link"),
        (("latest", "nothing", "c"), "2 errors"),
    ):
        assert cause in batch.run("rm", *words, "--yes", code=2).stderr
    (root / ".git").mkdir()
    assert "git repository" in batch.run("rm", "latest", "--yes", code=2).stderr
    (root / ".git").rmdir()
    inside = Workspace(root / "1_poor/sub")
    assert "current folder" in inside.run("rm", str(root), "--yes", code=2).stderr
    assert len(saved(batch)) == 9


def test_a_batch_that_cannot_be_read_can_be_removed(batch: Workspace) -> None:
    root = batch.batch
    (root / "plan.json").write_text("{")
    assert "unreadable" in batch.run("rm", "latest", "--yes", code=0).stdout
    assert not root.exists()


# clean


def test_the_best_jobs_keep_their_checkpoints_and_the_failed_one_its_newest(batch: Workspace) -> None:
    before = read(batch.batch / "experiment_summary.json")["results"]
    shown = batch.run("clean", "--keep", "1", "--dry-run", code=0).stdout
    assert "checkpoints of 2 jobs, 24 KiB" in shown and "1_poor: ckpt_1.pt, ckpt_10.pt, ckpt_2.pt, 15 KiB" in shown
    assert len(saved(batch)) == 9
    done = batch.run("clean", "latest", "--keep", "1", "--yes", code=0)
    assert done.stdout == shown + "24 KiB freed\n"
    assert saved(batch) == ["2_good/ckpt_1.pt", "2_good/ckpt_10.pt", "2_good/ckpt_2.pt", "3_broken/ckpt_10.pt"]
    results = read(batch.batch / "experiment_summary.json")["results"]
    for name, result in results.items():
        gone = {key: result.pop(key) for key in list(result) if key == "final_checkpoint_removed"}
        assert result == before[name] and bool(gone) == (name == "1_poor")
        assert read(batch.batch / name / "experiment_result.json") == result | gone
    assert "there is no checkpoint to remove" in batch.run("clean", "--keep", "1", code=0).stdout


def test_a_cleaned_batch_is_resumed_from_what_was_kept(batch: Workspace) -> None:
    batch.run("clean", "--keep", "0", "--yes", code=0)
    assert saved(batch) == ["3_broken/ckpt_10.pt"]
    done = batch.run("--resume", code=1)
    assert "1_poor: completed earlier" in done.stdout and "2_good: completed earlier" in done.stdout


def test_jobs_are_compared_by_the_metric_that_is_named(work: Workspace) -> None:
    for name, loss, accuracy in (("a", 1, 0.2), ("b", 2, 0.9)):
        work.write(f"{name}.sh", job(loss, end=f"echo 'epoch 1: accuracy: {accuracy}'"))
    work.run("--configs", "a.sh", "b.sh", *COMMAND, code=0)
    assert "did you mean" in work.run("clean", "--keep", "1", "--metric", "acuracy", code=2).stderr
    work.run("clean", "--keep", "1", "--metric", "accuracy", "--yes", code=0)
    assert {name[0] for name in saved(work)} == {"b"}


def test_without_a_metric_no_job_can_be_called_the_best(work: Workspace) -> None:
    work.write("a.sh", job(None))
    work.run("--configs", "a.sh", *COMMAND, code=0)
    assert "no job has a metric" in work.run("clean", "--keep", "1", "--yes", code=2).stderr
    assert len(saved(work)) == 3
    for wrong in ("-1", "x", "1.5"):
        assert "--keep" in work.run("clean", "--keep", wrong, "--yes", code=2).stderr
    assert "--keep" in work.run("clean", "--yes", code=2).stderr
    work.run("clean", "--keep", "0", "--yes", code=0)
    assert saved(work) == []


def test_the_parts_of_a_kept_checkpoint_are_kept(work: Workspace) -> None:
    names = "model_1.pt optim_1.pt model_2.pt optim_2.pt vocabulary.pt part-00001-of-00002.safetensors"
    work.write("a.sh", f"cd $OUT; for f in {names}; do echo x > $f; sleep 0.02; done; ln -s optim_2.pt last.pt; exit 1")
    work.run("--configs", "a.sh", *COMMAND, code=1)
    (work.batch / "a/part-00001-of-00002.safetensors").unlink()
    work.run("clean", "--keep", "0", "--yes", code=0)
    assert [Path(name).name for name in saved(work)] == ["last.pt", "model_2.pt", "optim_2.pt", "vocabulary.pt"]


def test_the_patterns_of_a_batch_say_what_its_checkpoints_are(work: Workspace) -> None:
    work.write("a.sh", "cd $OUT; echo x > state.bin; echo x > data.pt")
    work.run("--configs", "a.sh", *COMMAND, "--checkpoints", "*.bin", code=0)
    work.run("clean", "--keep", "0", "--yes", code=0)
    assert (work.batch / "a/data.pt").exists() and not (work.batch / "a/state.bin").exists()


def test_checkpoints_of_earlier_attempts_go_too(batch: Workspace) -> None:
    batch.run("rerun", "1_poor", code=0)
    assert (batch.batch / "1_poor/attempt_1/ckpt_10.pt").exists()
    batch.run("clean", "--keep", "1", "--yes", code=0)
    assert {name.partition("/")[0] for name in saved(batch)} == {"2_good", "3_broken"}
    assert (batch.batch / "1_poor/attempt_1/stdout.log").exists()
