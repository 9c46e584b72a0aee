"""The type hints of the library: mypy (strict) passes the good files of typing/, and finds each error of wrong.py."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace
from tests.library_script import folder, run

TYPING = Path(__file__).parent / "typing"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[int, str]]]:
    """File -> line and code of every error."""
    cache = str(tmp_path_factory.mktemp("mypy"))
    files = [str(path) for path in sorted(TYPING.glob("*.py"))]
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, "--follow-imports=silent", *files]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=150, check=False)
    errors: dict[str, set[tuple[int, str]]] = {Path(name).name: set() for name in files}
    for name, line, code in re.findall(r"^(.+?):(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE):
        errors.setdefault(Path(name).name, set()).add((int(line), code))
    assert done.returncode == 1, done.stdout + done.stderr  # wrong.py is wrong
    return errors


@pytest.mark.slow
def test_correct_files_pass(found: dict[str, set[tuple[int, str]]]) -> None:
    assert {name: errors for name, errors in found.items() if name != "wrong.py" and errors} == {}
    assert len(found) == 3


@pytest.mark.slow
def test_every_type_error_is_found_on_its_line(found: dict[str, set[tuple[int, str]]]) -> None:
    lines = (TYPING / "wrong.py").read_text().splitlines()
    marks = [(number, re.search(r"# wrong: ([\w-]+)", line)) for number, line in enumerate(lines, 1)]
    marked = {(number, mark[1]) for number, mark in marks if mark}
    assert found["wrong.py"] == marked


def test_a_dataclass_as_config_works_as_it_is_typed(work: Workspace) -> None:
    text = (TYPING / "good_dataclass.py").read_text()
    work.write("main.py", text.replace("assert_type(train.run(), list[float])", "print(train.run())"))
    assert run(work).stdout == "[0.1, 0.2]\n" and run(work, "--isolate", "--rerun").stdout == "[0.1, 0.2]\n"
    assert (folder(work, "b") / "model.pt").exists()
