"""What the metadata of a job says of its code and its Python: each checkout and each interpreter is asked once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import runner
from runner.core.job import Job
from runner.executors import git_state, python_environment
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
    assert sum(f"-C {tmp_path}/one " in line for line in before) == 3 + 2  # commit, changes, code; each script once
    for one in jobs:
        assert provenance(replace(one, name="b"))["git"]["branch"] == "trunk"
    assert asked.read_text().splitlines() == before


def test_the_runner_is_named_beside_it(tmp_path: Path) -> None:
    found = Provenance()(job(None, tmp_path))
    assert found["runner_version"] == runner.__version__ and found["git"] is None
    assert found["runner_git"] is None or len(found["runner_git"]["commit"]) == 40
    assert code_folder(job(tmp_path / "x/train.py", tmp_path)) == tmp_path / "x"


def run_git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *identity, "-C", str(folder), *words], check=True, capture_output=True)


def state(script: Path) -> dict[str, object] | None:
    found: dict[str, object] | None = Provenance()(job(script, script.parent))["git"]
    return found


@pytest.mark.parametrize(
    ("file", "dirty"),
    [
        ("model.py", True),
        ("sub/deep/kernel.cu", True),
        ("notes.txt", False),
        ("data/x.bin", False),
        ("ignored.py", False),
        ("experiments/b/run/config_used.py", False),  # below the plan.json of a batch
    ],
)
def test_untracked_code_makes_a_checkout_dirty_and_other_files_do_not(tmp_path: Path, file: str, dirty: bool) -> None:
    checkout(tmp_path / "one")
    (tmp_path / "one/.git/info/exclude").write_text("ignored.py\n")
    (tmp_path / "one" / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "one" / file).write_text("")
    if "experiments" in file:
        (tmp_path / "one/experiments/b/plan.json").write_text("{}")
    found = state(tmp_path / "one/train.py")
    assert found is not None and found["dirty"] is dirty


def test_a_script_that_the_commit_does_not_contain_is_dirty_and_one_that_git_ignores_has_none(tmp_path: Path) -> None:
    checkout(tmp_path / "one")
    (tmp_path / "one/.git/info/exclude").write_text("scratch/\n")
    (tmp_path / "one/scratch").mkdir()
    for name in ("one/train", "one/scratch/train.py"):
        (tmp_path / name).write_text("")
    found = state(tmp_path / "one/train")
    assert found is not None and found["dirty"] is True  # although it has no suffix of code
    assert state(tmp_path / "one/scratch/train.py") is None
    tracked = state(tmp_path / "one/train.py")
    assert tracked is not None and tracked["dirty"] is False


def test_a_worktree_and_a_submodule_are_checkouts_of_their_own(tmp_path: Path) -> None:
    first = checkout(tmp_path / "one")
    run_git(tmp_path / "one", "worktree", "add", "-q", "-b", "side", str(tmp_path / "tree"))
    (tmp_path / "tree/train.py").write_text("changed = 1\n")
    assert state(tmp_path / "tree/train.py") == {"commit": first, "branch": "side", "dirty": True}
    checkout(tmp_path / "outer")
    run_git(tmp_path / "outer", "submodule", "add", "-q", str(tmp_path / "one"), "inner")
    run_git(tmp_path / "outer", "commit", "-q", "-m", "second")
    found = state(tmp_path / "outer/inner/train.py")
    assert found is not None and found["commit"] == first
    outer = state(tmp_path / "outer/train.py")
    assert outer is not None and outer["commit"] != first


def test_a_checkout_that_git_does_not_answer_for_is_none_and_never_that_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path / "outer")
    (tmp_path / "outer/broken/.git").mkdir(parents=True)
    (tmp_path / "outer/broken/train.py").write_text("")
    assert state(tmp_path / "outer/broken/train.py") is None
    subprocess.run(["git", "init", "-q", str(tmp_path / "new")], check=True)
    (tmp_path / "new/train.py").write_text("")
    assert state(tmp_path / "new/train.py") is None  # no commit yet
    other = checkout(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "outer/.git"))  # as in a hook
    found = state(tmp_path / "other/train.py")
    assert found is not None and found["commit"] == other


@pytest.mark.parametrize(
    "git", ["exit 127", "echo 'fatal: detected dubious ownership in repository' >&2; exit 128", "sleep 60"]
)
def test_a_git_that_fails_gives_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: str) -> None:
    checkout(tmp_path / "one")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text(f"#!/bin/sh\n{git}\n")
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(git_state, "PATIENCE", 0.2)
    assert git_state.git(tmp_path / "one") is None


def test_changes_that_git_takes_too_long_to_find_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, real = checkout(tmp_path / "one"), shutil.which("git")
    (tmp_path / "bin").mkdir()
    script = f'#!/bin/sh\ncase "$*" in *status*) exit 1;; esac\nexec {real} "$@"\n'
    (tmp_path / "bin/git").write_text(script)
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert git_state.git(tmp_path / "one") == {"commit": commit, "branch": "trunk", "dirty": None}


def python(folder: Path, text: str) -> Path:
    """A program called `python` that notes each of its starts."""
    path = folder / "bin/python"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho x >> {folder}/started\n{text}\n")
    path.chmod(0o755)
    return path


def environment(command: tuple[str, ...], cwd: Path) -> dict[str, object]:
    found = Provenance()(Job("a", command, cwd / "out", cwd=cwd))
    return {key: found[key] for key in ("python", "python_executable", "packages")}


def test_the_python_and_the_packages_are_those_of_the_job(tmp_path: Path) -> None:
    package = tmp_path / "lib/transformers-9.8.7.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 9.8.7\n")
    (tmp_path / "lib/transformers.py").write_text("raise SystemExit('it was imported')\n")
    (tmp_path / "json.py").write_text("raise SystemExit('a file of the working folder was imported')\n")
    other = python(tmp_path / "env", f'cd {tmp_path}; PYTHONPATH={tmp_path}/lib exec {sys.executable} "$@"')
    jobs = [Job(name, (str(other), "t.py"), tmp_path / name, cwd=tmp_path) for name in "abc"]
    provenance = Provenance(jobs)
    found = [provenance(one) for one in jobs]
    assert found[0]["python_executable"] == str(other) and found[0]["packages"]["transformers"] == "9.8.7"
    assert found[0]["python"] == found[0]["runner_python"]
    assert found[0]["runner_python_executable"] == sys.executable
    assert (tmp_path / "env/started").read_text() == "x\n"  # once for all of them


def test_our_own_python_is_not_started_to_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_environment, "ask", None)
    found = environment((sys.executable, "t.py"), tmp_path)
    assert found["python_executable"] == sys.executable and found["packages"] == python_environment.own()["packages"]


def test_a_program_that_is_not_python_has_no_python(tmp_path: Path) -> None:
    nothing = {"python": None, "python_executable": None, "packages": None}
    assert environment(("sh", "-c", "python t.py"), tmp_path) == nothing


@pytest.mark.parametrize(
    "answer", ["sleep 60 & sleep 60", "exit 1", "echo hello", "echo '[]'", "echo '{\"python\": 1}'"]
)
def test_a_python_that_does_not_answer_is_named_without_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(python_environment, "PATIENCE", 0.5)
    path, began = python(tmp_path / "env", answer), time.monotonic()
    found = environment((str(path), "t.py"), tmp_path)
    assert found == {"python": None, "python_executable": str(path), "packages": None}
    assert time.monotonic() - began < 20
