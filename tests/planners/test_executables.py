"""Programs that cannot be started are found before anything starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runner.planners.executables import problem, word_problem
from tests.conftest import Workspace


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"#!/bin/sh\r\necho\r\n", "carriage return"),
        (b"#!/usr/bin/env python3\r\n", "carriage return"),
        (b"echo\n", "has no #! line"),
        (b"", "has no #! line"),
        (b"#!\n", "names no interpreter"),
        (b"#!/no/such/interpreter -x\n", "names /no/such/interpreter, which does not exist"),
        (b"#!/usr/bin/env nosuchprogram\n", "names nosuchprogram, which is not installed"),
    ],
)
def test_a_script_that_the_system_cannot_start(tmp_path: Path, content: bytes, cause: str) -> None:
    path = tmp_path / "x.sh"
    path.write_bytes(content)
    path.chmod(0o755)
    found = problem(path)
    assert found is not None and cause in found and "; " in found
    assert word_problem("./x.sh", tmp_path) == f"'./x.sh': {found}"


@pytest.mark.parametrize("content", [b"#!/bin/sh\necho\r\n", b"#! /usr/bin/env -S X=1 sh -e\n", b"\x7fELF\0\0"])
def test_a_program_that_can_be_started(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert "chmod +x" in (problem(path) or "")
    path.chmod(0o755)
    assert problem(path) is None
    assert problem(Path(str(shutil.which("sh")))) is None


@pytest.mark.parametrize(
    ("word", "fix"),
    [("cd", "bash -c"), ("X=1", "env X=1"), ("t.py", "./t.py"), ("./t.py", "chmod +x"),
     ("./c", "name the program in it"), ("nosuch", "check its name"), ("./nosuch", "no such file")],
)  # fmt: skip
def test_a_word_that_is_not_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, fix: str) -> None:
    (tmp_path / "t.py").write_text("")
    (tmp_path / "c").mkdir()
    monkeypatch.setenv("PATH", "/usr/sbin")  # without a program of the name cd
    assert fix in (word_problem(word, tmp_path) or "")


@pytest.mark.parametrize("arguments", [
    ("--train_script", "./x.sh"), ("--command", "./x.sh {config}"), ("--launcher", "./x.sh", "--train_script", "t.py"),
    ("--command", "{config} --out {out_dir}"),
])  # fmt: skip
def test_nothing_is_started_where_a_script_cannot_be(work: Workspace, arguments: tuple[str, ...]) -> None:
    work.write("t.py", "")
    work.write("x.sh", "#!/bin/sh\r\necho\r\n").chmod(0o755)
    config = "x.sh" if "{config} --out {out_dir}" in arguments else work.write("a.yaml", "x: 1\n")
    done = work.run("--configs", config, *arguments, code=2)
    assert "x.sh" in done.stderr and "carriage return" in done.stderr
    assert not (work / "experiments").exists()
