"""The folders of a sweep and of its jobs: which are used again, which are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hydra_plugins.runner_launcher import _placement
from tests.conftest import PROJECT, Workspace, read
from tests.hydra.programs import CONFIG, SWEEP, app, ran, run, sweep

pytestmark = pytest.mark.slow

__all__ = ["app"]  # a fixture
pytest.importorskip("hydra")
WITHOUT_FOLDER = [word for word in SWEEP if not word.startswith("hydra.sweep.dir")]


def test_jobs_of_one_folder_or_within_each_other_are_refused(app: Workspace) -> None:
    _, err = sweep(app, "seed=1,2", "hydra.sweep.subdir=here", code=1)
    assert "job 0 and job 1 would share" in err
    _, err = sweep(app, "do=a,a/b", "hydra.sweep.subdir=${do}", code=1)
    assert f"job 1 would write to {app / 'sweep/a/b'}, within the folder of job 0" in err and "Traceback" not in err
    _, err = sweep(app, "do=a/b,A", "hydra.sweep.subdir=${do}", code=1)
    assert "within the folder of job 1" in err
    assert not (app / "runs").exists()


def test_jobs_of_later_batches_are_checked_against_earlier_ones(app: Workspace) -> None:
    batches = ("hydra.sweeper.max_batch_size=1", "hydra.sweep.subdir=${do}")
    _, err = sweep(app, "do=a,a/b", *batches, code=1)
    assert "within the folder of the earlier job a" in err and "Traceback" not in err
    assert len(ran(app)) == 1


def test_jobs_within_folders_of_an_earlier_sweep_are_refused(app: Workspace) -> None:
    """A retry would move the files of the other, which the new sweep does not have."""
    sweep(app, "do=a/b", "hydra.sweep.subdir=${do}")
    _, err = sweep(app, "do=a", "hydra.sweep.subdir=${do}", code=1)
    assert "job a/b of an earlier sweep would write to" in err and "within the folder of job 0" in err
    sweep(app, "do=a/b,c", "hydra.sweep.subdir=${do}")
    assert len(ran(app)) == 3


@pytest.mark.parametrize(
    ("subdir", "cause"),
    [
        (".", "is not a folder for one job alone"),
        ("..", "is not a folder for one job alone"),
        ("./plan.json", "plan.json is a name that the sweep uses itself"),
        (".runner/x", ".runner/x is a name that the sweep uses itself"),
        ("x" * 256, "the name of its folder has 256 bytes, and this file system stores 255"),
        ("a/" + "é" * 128, "the name of its folder has 256 bytes"),
        ("/".join(["x" * 200] * 25), "bytes, too many for files in it"),
        ("x\0y", "null character"),
        ("\ud800", "surrogate"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path, subdir: str, cause: str) -> None:
    folder = Path(os.path.normpath(tmp_path / subdir))
    (problem,) = _placement.problems(tmp_path, {"job 0": folder}, {})
    assert problem.startswith("hydra.sweep.subdir: job 0: ") and cause in problem


def test_folders_side_by_side_and_elsewhere_are_fine(tmp_path: Path) -> None:
    folders = [
        tmp_path / "sweep/a=1",
        tmp_path / "sweep/a=1,b",
        tmp_path / "elsewhere/a",
        tmp_path / "sweep" / ("x" * 255),
    ]
    jobs = {f"job {number}": folder for number, folder in enumerate(folders)}
    assert list(_placement.problems(tmp_path / "sweep", jobs, {"the earlier job 9": tmp_path / "sweep/9"})) == []


def test_a_name_that_is_too_long_leaves_nothing_behind(app: Workspace) -> None:
    words = ("seed=1,2", "hydra.sweep.subdir=${hydra.job.override_dirname}")
    _, err = sweep(app, *words, f"do={'x' * 300}", code=1)
    assert err.count("this file system stores 255") == 2 and "Traceback" not in err
    assert not (app / "sweep/plan.json").exists()
    out, _ = sweep(app, *words, "do=nothing")
    assert "holds a sweep already" not in out and ran(app) == ["0 1", "1 2"]


def test_sweeps_of_one_second_get_folders_of_their_own(app: Workspace) -> None:
    """With the folder's name held, as a complete second cannot be."""
    app.write("conf/config.yaml", CONFIG + "hydra:\n  sweep:\n    dir: at_${now:held}\n")
    command = [sys.executable, "app.py", *WITHOUT_FOLDER, "seed=1,2"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    both = [subprocess.Popen(command, cwd=app.folder, env=environment) for _ in range(2)]
    assert [process.wait(100) for process in both] == [0, 0]
    for folder in ("at_held", "at_held_1"):
        assert read(app / folder / "experiment_summary.json")["completed"] == 2
        assert (app / folder / "multirun.yaml").exists()


def test_a_folder_without_the_time_in_its_name_is_used_again(app: Workspace) -> None:
    app.write("conf/config.yaml", CONFIG + "hydra:\n  sweep:\n    dir: fixed\n")
    run(app, "app.py", *WITHOUT_FOLDER, "seed=1")
    out, _ = run(app, "app.py", *WITHOUT_FOLDER, "seed=2")
    assert "fixed holds a sweep already" in out
    run(app, "app.py", *WITHOUT_FOLDER, "seed=2,3", "hydra.launcher.resume=true")
    assert ran(app) == ["0 1", "0 2", "1 3"] and not (app / "fixed_1").exists()
    assert (app / "fixed/0/attempt_1/.hydra/overrides.yaml").read_text() == "- seed=1\n"
