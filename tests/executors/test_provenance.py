"""What the metadata of a job says of its code: the checkout of its script, asked once per batch."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import runner
from runner.core.job import Job
from runner.executors.provenance import Provenance, code_folder


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each time that git was asked."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    log = tmp_path / "asked"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {git} "$@"\n')
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return log


def checkout(folder: Path) -> str:
    """A checkout with two scripts, `train.py` and `sub/train.py`; returns its commit."""
    (folder / "sub").mkdir(parents=True)
    for name in ("train.py", "sub/train.py"):
        (folder / name).write_text("")
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    for words in (("init", "-q", "-b", "trunk"), ("add", "."), (*identity, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    asked = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def job(script: Path | None, cwd: Path) -> Job:
    return Job("a", ("true",), cwd / "out", script=script, cwd=cwd)


def test_git_is_that_of_the_scripts_folder(tmp_path: Path) -> None:
    commits = [checkout(tmp_path / name) for name in ("one", "two")]
    (tmp_path / "two/train.py").write_text("changed = True\n")
    jobs = [job(tmp_path / name / "train.py", tmp_path) for name in ("one", "two")]
    found = [Provenance(jobs)(one)["git"] for one in jobs]
    assert found == [
        {"commit": commits[0], "branch": "trunk", "dirty": False},
        {"commit": commits[1], "branch": "trunk", "dirty": True},
    ]


def test_a_script_outside_a_checkout_has_none_and_a_command_counts_where_it_runs(tmp_path: Path) -> None:
    commit = checkout(tmp_path / "one")
    assert Provenance()(job(tmp_path / "train.py", tmp_path / "one"))["git"] is None
    assert Provenance()(job(None, tmp_path / "one" / "sub"))["git"]["commit"] == commit


def test_each_checkout_is_asked_once_and_before_the_first_job(tmp_path: Path, asked: Path) -> None:
    checkout(tmp_path / "one")
    jobs = [job(tmp_path / "one" / name, tmp_path) for name in ("train.py", "sub/train.py", "train.py")]
    asked.unlink()
    provenance = Provenance(jobs)
    before = asked.read_text().splitlines()
    assert sum(str(tmp_path / "one") in line for line in before) == 3  # commit, branch, changes
    for one in jobs:
        assert provenance(replace(one, name="b"))["git"]["branch"] == "trunk"
    assert asked.read_text().splitlines() == before


def test_the_runner_is_named_beside_it(tmp_path: Path) -> None:
    found = Provenance()(job(None, tmp_path))
    assert found["runner_version"] == runner.__version__ and found["git"] is None
    assert found["runner_git"] is None or len(found["runner_git"]["commit"]) == 40
    assert code_folder(job(tmp_path / "x/train.py", tmp_path)) == tmp_path / "x"
