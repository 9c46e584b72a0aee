"""Batches that are reached by links and `..`, and batches that were moved or copied, with real folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.planners import recorded
from tests.conftest import Workspace, read, runs, wait_until

pytestmark = pytest.mark.slow

#: It runs until `go` is there, fails while `fail` is, and writes down with what it was started.
JOB = """
import os, pathlib, sys, time
config, out = sys.argv[1], pathlib.Path(sys.argv[2].partition("=")[2])
open("runs", "a").write(f"{os.getpid()}\\n")
open("seen", "a").write(f"{config} {pathlib.Path(config).read_text().strip()} {out.is_dir()}\\n")
while os.path.exists("hold"):
    time.sleep(0.02)
sys.exit(os.path.exists("fail"))
"""
START = ("--configs", "c/*.py", "--train_script", "job.py")


@pytest.fixture
def project(work: Workspace) -> Workspace:
    """A project with a folder of its own, so that it can be moved, and a job that fails until `fail` is gone."""
    inside = Workspace(work / "w")
    inside.write("job.py", JOB)
    inside.write("c/a.py", "x = 1\n")
    inside.write("c/b.py", "x = 2\n")
    inside.started = work.started
    return inside


def states(work: Workspace, *arguments: str) -> dict[str, str]:
    jobs = json.loads(work.run("status", *arguments, "--json", code=0).stdout)["jobs"]
    return {name: job["status"] for name, job in jobs.items()}


def link(work: Workspace) -> list[str]:
    (work / "elsewhere").mkdir()
    (work / "experiments").symlink_to("elsewhere")
    return []


def link_in_the_middle(work: Workspace) -> list[str]:
    (work / "disk/scratch").mkdir(parents=True)
    (work / "scratch").symlink_to(work / "disk/scratch")
    return ["--base_out_dir", str(work / "scratch/exps")]


def from_beside(work: Workspace) -> list[str]:
    return ["--base_out_dir", "../exps"]


def link_then_up(work: Workspace) -> list[str]:
    """As the kernel reads it, `..` is above the folder that the link leads to."""
    (work / "disk/deep").mkdir(parents=True)
    (work / "short").symlink_to("disk/deep")
    return ["--base_out_dir", "short/../exps"]


@pytest.mark.parametrize("reached", [link, link_in_the_middle, from_beside, link_then_up])
def test_every_command_works_with_a_base_folder_that_is_reached_by(
    project: Workspace, reached: Callable[[Workspace], list[str]]
) -> None:
    base = reached(project)
    (project / "hold").touch()
    (project / "fail").touch()
    project.run(*START, *base, "--detach", code=0)
    wait_until(lambda: runs(project), "a job runs")
    folder = project / (base[1] if base else "experiments")
    root = next(path for path in folder.glob("experiment_*") if path.is_dir())
    for named in ([], ["latest"], [root.name], [str(root)], [str(root.resolve())], ["experiment_"]):
        assert states(project, *named, *base) == {"a": "running", "b": "pending"}, named
    assert "running" in project.run("list", *base, code=0).stdout
    done = project.run("stop", *base, code=0)  # from here on the attached ones end
    assert "interrupted" in done.stdout
    assert "a: started" in project.run("attach", *base, code=0).stdout
    project.run("tail", str(root.resolve()), "a", *base, code=0)
    (project / "hold").unlink()
    project.run("--resume", str(root.resolve()), code=1)
    (project / "fail").unlink()
    project.run("rerun", root.name, "b", *base, code=0)
    assert states(project, *base) == {"a": "failed", "b": "completed"}
    project.run("resume", *base, code=0)
    assert states(project, *base) == {"a": "completed", "b": "completed"}
    assert len(runs(project)) == 5 and project.run("--resume", str(root.resolve()), *base, code=0)
    assert len(runs(project)) == 5  # what completed is known as the same, under every name of its folder
    assert project.run("table", root.name, *base, code=0).stdout.count("completed") == 2


def test_a_sweep_below_a_link_is_continued_under_both_names(project: Workspace) -> None:
    link(project)
    project.write("s.yaml", "name: s\nmode: training\nbase_config: c/a.py\nsweep: {x: [1, 2, 3]}\n")
    run = ("--exp", "s.yaml", "--train_script", "job.py", "--limit", 1)
    project.run(*run, code=0)
    root = project.batch
    project.run(*run, "--resume", code=0)
    project.run(*run, "--resume", str(root), code=0)
    assert len(runs(project)) == 3 and set(states(project).values()) == {"completed"}


def ended(project: Workspace) -> Path:
    """A batch in which `a` failed and `b` completed."""
    (project / "fail").touch()
    project.run(*START, code=1)
    (project / "fail").unlink()
    project.run("rerun", project.batch.name, "b", code=0)
    (project / "seen").unlink()
    return project.batch


def moved_project(project: Workspace) -> tuple[Workspace, Path]:
    project.folder.rename(project.folder.with_name("w2"))
    there = Workspace(project.folder.with_name("w2"))
    return there, there.batch


def copied_project(project: Workspace) -> tuple[Workspace, Path]:
    shutil.copytree(project.folder, project.folder.with_name("w2"), symlinks=True)
    there = Workspace(project.folder.with_name("w2"))
    return there, there.batch


def moved_batch(project: Workspace) -> tuple[Workspace, Path]:
    (project / "archive").mkdir()
    return project, project.batch.rename(project / "archive/old")


def copied_batch(project: Workspace) -> tuple[Workspace, Path]:
    return project, Path(shutil.copytree(project.batch, project.folder.parent / "copy", symlinks=True))


MOVES = [moved_project, copied_project, moved_batch, copied_batch]


@pytest.mark.parametrize("move", MOVES)
def test_a_batch_that_was_moved_is_read_as_it_lies(
    project: Workspace, move: Callable[[Workspace], tuple[Workspace, Path]]
) -> None:
    before = ended(project)
    there, root = move(project)
    assert states(there, str(root)) == {"a": "failed", "b": "completed"}
    assert f"{root}/" in there.run("table", str(root), "--csv", "-", "--columns", "out_dir", code=0).stdout
    assert "1 failed, 1 completed" in there.run("list", "--base_out_dir", str(root.parent), code=0).stdout
    there.run("tail", str(root), "b", code=0)
    there.run("attach", str(root), code=0)
    assert "is not running" in there.run("stop", str(root), code=0).stdout
    assert recorded.plan(root).moved_from == before


@pytest.mark.parametrize("move", MOVES)
def test_a_batch_that_was_moved_continues_when_that_is_accepted(
    project: Workspace, move: Callable[[Workspace], tuple[Workspace, Path]]
) -> None:
    before = ended(project)
    there, root = move(project)
    (there / "c/a.py").write_text("x = 1  # here\n")
    for words in (("--resume", str(root)), ("resume", str(root), "--only", "failed"), ("rerun", str(root), "a")):
        err = there.run(*words, code=2).stderr
        assert len(err.splitlines()) == 1 and f"was {before} when it was planned" in err and "--accept_moved" in err
    kept = read(root / "b/experiment_result.json")
    there.run("resume", str(root), "--accept_moved", code=0)
    assert (there / "seen").read_text().splitlines() == [f"{there / 'c/a.py'} x = 1  # here True"]  # not b
    assert read(root / "b/experiment_result.json") == kept
    record = read(root / "a/experiment_result.json")
    assert record["experiment_dir"] == str(root / "a") and record["attempt"] == 2
    assert record["log_files"]["stdout"] == str(root / "a/stdout.log") and str(before) not in json.dumps(record)
    assert read(root / "plan.json")["experiment_dir"] == str(root)
    assert read(root / "experiment_summary.json")["experiment_dir"] == str(root)
    there.run("resume", str(root), code=0)  # it is at home there
    there.run("rerun", str(root), "b", code=0)
    assert recorded.plan(root).moved_from is None


def test_a_rerun_of_a_moved_batch(project: Workspace) -> None:
    ended(project)
    there, root = moved_project(project)
    there.run("rerun", root.name, "a", "--accept_moved", code=0)
    assert states(there) == {"a": "completed", "b": "completed"}


def test_without_the_project_the_copy_beside_the_job_is_its_config(project: Workspace) -> None:
    """Only the folder of the batch and the script are on the other machine."""
    ended(project)
    other = Workspace(project.folder.parent / "machine")
    other.write("job.py", JOB)
    root = shutil.copytree(project.batch, other / "results/x")
    shutil.rmtree(project.folder)
    other.run("resume", "results/x", "--accept_moved", code=0)
    assert (other / "seen").read_text() == f"{other / 'results/x/a/config_used.py'} x = 1 True\n"
    assert states(other, str(root)) == {"a": "completed", "b": "completed"}


def test_what_did_not_come_along_is_named(project: Workspace) -> None:
    project.run(*START, "--limit", 1, code=0)
    other = Workspace(project.folder.parent / "machine")
    other.folder.mkdir()
    shutil.copytree(project.batch, other / "x")
    shutil.rmtree(project.folder)
    err = other.run("resume", "x", "--accept_moved", code=2).stderr
    assert "c/b.py is not there" in err and "job.py is not there" in err


def test_a_moved_sweep_keeps_its_runs(project: Workspace) -> None:
    project.write("s.yaml", "name: s\nmode: training\nbase_config: c/a.py\nsweep: {x: [1, 2, 3]}\n")
    run = ("--exp", "s.yaml", "--train_script", "job.py", "--resume")
    project.run(*run, "--limit", 1, code=0)
    there, root = moved_project(project)
    assert "--accept_moved" in there.run(*run, code=2).stderr
    there.run(*run, "--accept_moved", "--limit", 1, code=0)
    there.run(*run, code=0)
    assert len(runs(there)) == 3 and set(states(there).values()) == {"completed"}
    # Another value is one more run, and the others are known as before.
    there, root = moved_project(Workspace(there.folder.rename(there.folder.with_name("w"))))
    (there / "s.yaml").write_text("name: s\nmode: training\nbase_config: c/a.py\nsweep: {x: [1, 2, 3, 4]}\n")
    there.run(*run, str(root), "--accept_moved", "--accept_changes", code=0)
    assert len(runs(there)) == 4


def test_a_command_with_absolute_paths_follows_its_project(project: Workspace) -> None:
    project.write("t.sh", 'echo "$@" >> seen; test ! -e fail\n')
    (project / "fail").touch()
    template = f"sh {project / 't.sh'} {{config}} {{out_dir}} 'in {{out_dir}}/x'"
    project.run("--configs", "c/a.py", "--command", template, "--base_out_dir", project / "experiments", code=1)
    (project / "fail").unlink()
    (project / "seen").unlink()
    there, root = moved_project(project)
    there.run("resume", "--accept_moved", code=0)
    seen = (there / "seen").read_text()
    assert "experiment_" in seen and "/w/" not in seen.replace(str(root), "") and root.name in seen


def test_a_job_that_runs_on_keeps_a_copy_from_running_beside_it(project: Workspace) -> None:
    (project / "hold").touch()
    process = project.start(*START, "--keep_running")
    wait_until(lambda: runs(project), "it runs")
    process.kill()
    process.wait()
    copy = shutil.copytree(project.batch, project.folder.parent / "copy")
    err = project.run("resume", str(copy), "--accept_moved", code=2).stderr
    assert "a: still runs" in err
    project.run("stop", "--now", code=0)
