"""The packages of runner/ and their order: docs/decisions/0001-packages.md says why."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

#: Bottom up. A package imports only from those before it; a folder that is not named here fails a test.
PACKAGES = (
    "core", "processes", "gpus", "configs", "disk", "output", "supervisor", "slurm", "search", "planners", "reports",
    "notify", "engine", "executors", "observers", "page", "cli", "library",
)  # fmt: skip
RUNNER = PROJECT / "runner"
MODULES = sorted(path for path in RUNNER.rglob("*.py") if path.parent != RUNNER)
HEAVY = {"torch", "numpy", "wandb", "tiktoken", "train_run", "model", "pipelines", "pandas", "scipy"}
HEAVY |= {"hydra", "hydra_plugins", "omegaconf"}


def package(path: Path) -> str:
    """The package of runner/ that a file belongs to."""
    return path.relative_to(RUNNER).parts[0]


#: How registries name what they import when it is used: `runner.executors.local:make`, or a module alone.
TARGET = re.compile(r"^(\w+(?:\.\w+)+)(?::\w+)?$")


def imports(path: Path) -> set[str]:
    """Full names of all that a file imports, inside functions and by name too, but not for type checkers only."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (match := TARGET.match(node.value)):
            found |= {match[1]} if match[1].startswith("runner.") or ":" in node.value else set()
    return found


def local_imports(path: Path) -> int:
    """The imports inside the functions of a file."""
    return sum(
        isinstance(node, ast.Import | ast.ImportFrom)
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    )


def test_every_folder_is_a_known_package() -> None:
    folders = {path.name for path in RUNNER.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(PACKAGES)
    assert {path.name for path in RUNNER.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_imports_stand_at_the_top() -> None:
    """A lazy one is for a start-up time that is promised, or for a package that only some need."""
    counted = {str(path.relative_to(RUNNER)): local_imports(path) for path in MODULES if local_imports(path)}
    assert sum(counted.values()) <= 10, counted


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(RUNNER)))
def test_a_module_imports_only_from_packages_below(path: Path) -> None:
    own = package(path)
    allowed = PACKAGES[: PACKAGES.index(own) + 1]
    others = {name.split(".")[1] for name in imports(path) if name.startswith("runner.")}
    assert {other for other in others if other in PACKAGES and other not in allowed} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(RUNNER)))
def test_the_engine_imports_nothing_of_the_training_code(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(path)} & HEAVY == set()


def test_the_engine_writes_no_file_and_starts_no_process() -> None:
    engine = [path for path in MODULES if package(path) == "engine"]
    assert {name for path in engine for name in imports(path) if name.startswith("runner.disk")} == {
        "runner.disk.layout.JobPaths",
    }
    acts = re.compile(r"\b(open|write\w*)\(|\bimport (os|subprocess)\b")
    assert not [path.name for path in engine if acts.search(path.read_text())]


#: Words of the project's own trainings. What knows them registers from outside (overnight_plugins.py).
DOMAIN = re.compile(r"pipelines\b|robustness|attack|diffusion|shakespeare|shkspr|\bCNN\b|\b(IMAGE|TABULAR|VECTOR)\b")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(RUNNER)))
def test_the_engine_names_nothing_of_the_training_code(path: Path) -> None:
    if package(path) not in PACKAGES:
        pytest.skip("not in a package yet")
    assert DOMAIN.findall(path.read_text()) == []


def test_the_configurator_does_not_import_torch() -> None:
    program = "import configurator, sys; configurator.settings_class('diffusion'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True)


def test_importing_the_runner_is_cheap() -> None:
    program = "import sys; before = set(sys.modules); import runner; print(len(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 5  # names are imported when they are first used


def test_public_names_can_be_imported() -> None:
    import runner

    for name in runner.__all__:
        assert getattr(runner, name).__name__ == {"ConfigError": "UserError"}.get(name, name)


def test_no_file_has_grown_past_four_hundred_lines() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    long = {name for name in tracked.stdout.split() if len((PROJECT / name).read_text().splitlines()) > 400}
    assert {name for name in long if not name.startswith("tests/")} == set()


#: Programs of their own, whose text is a string here, and the program that owns a job, which prints for the engine.
NOT_FOR_PEOPLE = ("core/printing.py", "supervisor/__main__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(RUNNER)))
def test_nothing_is_printed_but_through_the_door_to_the_terminal(path: Path) -> None:
    if str(path.relative_to(RUNNER)) in NOT_FOR_PEOPLE:
        return
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    prints = [call.lineno for call in calls if isinstance(call, ast.Name) and call.id == "print"]
    writes = [
        call.lineno
        for call in calls
        if isinstance(call, ast.Attribute)
        and call.attr in ("write", "writelines")
        and ast.unparse(call.value) in ("sys.stdout", "sys.stderr", "sys.stdout.buffer", "sys.stderr.buffer")
    ]
    assert prints + writes == []


@pytest.mark.parametrize("path", [*MODULES, *(RUNNER.parent / "pipelines").rglob("*.py")], ids=str)
def test_csv_is_written_by_one_module(path: Path) -> None:
    if path.name != "csv_text.py":
        assert "csv.writer" not in path.read_text() and "csv.DictWriter" not in path.read_text()
