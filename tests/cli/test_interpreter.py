"""The entry points start under any Python: they run in the project's own environment where that one is not enough."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace

ENTRY_POINTS = {
    "run_experiments.py": (["status"], "there is no batch yet"),
    "scripts/run_experiment.py": (["--exp", "none.yaml"], "none.yaml: no such file"),
    "scripts/run_background.py": (["--list"], "there is no run yet"),
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has nothing installed."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python"


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_a_python_without_our_packages_is_replaced_by_our_own(work: Workspace, bare: Path, entry_point: str) -> None:
    if not (PROJECT / ".venv" / "bin" / "python").exists():
        pytest.skip("the project has no environment of its own")
    arguments, message = ENTRY_POINTS[entry_point]
    command = [bare, PROJECT / entry_point, *arguments]
    done = subprocess.run(command, cwd=work.folder, capture_output=True, text=True, check=False)
    assert message in done.stdout + done.stderr


def test_without_an_environment_that_is_one_sentence(tmp_path: Path, bare: Path) -> None:
    (tmp_path / "runner").symlink_to(PROJECT / "runner")
    program = "import pathlib, runner.cli.interpreter as it; it.OWN = pathlib.Path('nowhere'); it.use_own()"
    done = subprocess.run([bare, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr == f"-c: {bare} does not have pydantic; run make setup\n"


@pytest.mark.parametrize(("own", "expected"), [(True, "own\n"), (False, "on\n")])
def test_a_python_without_torch_is_replaced_if_possible(tmp_path: Path, bare: Path, own: bool, expected: str) -> None:
    (tmp_path / "runner").symlink_to(PROJECT / "runner")
    for name in ("pydantic", "yaml"):
        (tmp_path / f"{name}.py").write_text("")
    python = tmp_path / "own" / "bin" / "python"
    if own:
        python.parent.mkdir(parents=True)
        python.write_text("#!/bin/sh\necho own\n")
        python.chmod(0o755)
    program = "import pathlib, runner.cli.interpreter as it; it.OWN = pathlib.Path('own'); it.use_own(); print('on')"
    done = subprocess.run([bare, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == expected and done.returncode == 0


def test_what_is_read_before_the_choice_is_read_by_old_pythons() -> None:
    import ast

    for name in ("run_experiments.py", "runner/__init__.py", "runner/cli/interpreter.py", "scripts/run_background.py"):
        ast.parse((PROJECT / name).read_text(), feature_version=(3, 7))
