"""`pip install .` gives an `import runner` that works outside the checkout: supervisor, types and all."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace
from tests.library_script import DOCUMENTED, folder, run

pytestmark = pytest.mark.slow

#: A Hydra application of somebody who has installed us.
HYDRA = """\
import hydra

@hydra.main(version_base=None)
def main(cfg):
    print(cfg.x)

if __name__ == "__main__":
    main()
"""


def builder() -> list[str]:
    """Whether the setuptools that is installed will do; else pip fetches one."""
    try:
        return ["--no-build-isolation"] if int(version("setuptools").partition(".")[0]) >= 77 else []
    except PackageNotFoundError:
        return []


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but what is installed of us; our dependencies are those of this Python."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for name in ("runner", "hydra_plugins"):
        shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    options = ["-q", "--no-deps", "--disable-pip-version-check", "--target", str(target), *builder()]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True, timeout=150)
    return target


def test_the_documented_example_works_with_what_was_installed(work: Workspace, installed: Path) -> None:
    work.write("main.py", DOCUMENTED)
    work.write("where.py", "import runner; print(runner.__file__)")
    reported = "fast: 0.95\nslow: 0.95\n"
    assert run(work, program="where.py", PYTHONPATH=str(installed)).stdout == f"{installed}/runner/__init__.py\n"
    for words in ([], [], ["--rerun"], ["--report"], ["--rerun", "--isolate"], ["--rerun", "--workers", "2"]):
        assert run(work, *words, PYTHONPATH=str(installed)).stdout == reported
    assert (folder(work, "fast") / "combined.log").exists()
    assert (installed / "runner" / "py.typed").exists()


def test_the_command_works_from_any_folder(work: Workspace, installed: Path) -> None:
    work.write("train.py", "import sys; print(sys.argv[1:])")
    work.write("config/a.py", "lr = 1\n")
    work.write("train_run.py", "")  # a file of the user, by chance called as the script of a checkout
    command = str(installed / "bin" / "overnight")
    environment = {"PYTHONPATH": str(installed)}
    done = run(work, "run", "config/*.py", program=command, code=2, **environment)
    assert len(done.stderr.splitlines()) == 1 and "--train_script" in done.stderr and "--command" in done.stderr
    run(work, "run", "config/*.py", "--train_script", "train.py", "--limit", "1", program=command, **environment)
    assert "1 completed" in run(work, "list", program=command, **environment).stdout
    assert "overnight" in run(work, "--version", program=command, **environment).stdout


def test_any_hydra_application_finds_the_launcher(work: Workspace, installed: Path) -> None:
    pytest.importorskip("hydra")
    work.write("app.py", HYDRA)
    done = run(work, "-m", "hydra/launcher=runner", "+x=1,2", program="app.py", PYTHONPATH=str(installed))
    assert "Launching 2 jobs" in done.stdout
    assert {path.parent.name for path in work.folder.glob("multirun/*/*/*/stdout.log")} == {"0", "1"}
    assert not (installed / "hydra_plugins" / "__init__.py").exists()  # all launchers share that package


def test_what_is_pinned_is_named_for_those_who_install_otherwise() -> None:
    """`uv run python train.py` installs what pyproject.toml names, and nothing of requirements.txt."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    words = [*project["project"]["dependencies"], *(word for extra in extras.values() for word in extra)]
    named = {re.split(r"[<>=\[]", word)[0] for word in words}
    pinned = re.findall(r"^([\w-]+)==", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    assert set(pinned) - named == set()


def test_the_library_needs_nothing_of_the_training_code(work: Workspace, installed: Path) -> None:
    work.write("main.py", DOCUMENTED + "    import sys; print(*sys.modules)\n")
    loaded = run(work, PYTHONPATH=str(installed)).stdout.split("\n")[2].split()
    assert {name.partition(".")[0] for name in loaded} & {
        "configurator", "train_run", "model", "pipelines", "torch", "numpy", "pydantic", "rich", "pandas",
    } == set()  # fmt: skip
