"""The code blocks of the documents, and the mark above each that says how it is tested.

    <!-- file: NAME -->         the block is written into NAME, for the blocks below it
    <!-- run -->                the block is run, after those above it, in the folder of its page
    <!-- run: exit code 1 -->   likewise, and its last command ends with that exit code
    <!-- output -->             lines that the block above printed; numbers may differ, … is anything
    <!-- tested by FILE -->     a test of its own reads the page
    <!-- not run: REASON -->    nothing runs it

<!-- prepare, commands, --> makes what a reader has already. A block without a mark has commands of Overnight
alone, which test_documents.py runs or plans, or data, which is parsed. What was printed has the language text.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conftest import PROJECT

PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
OURS = ("overnight ", "python run_experiments.py", "python3 scripts/", "./bg_")
OVERNIGHT = """\
#!{python}
import sys
sys.path.insert(0, {project!r})
from runner.cli.main import main
sys.exit(main())
"""


class Block(NamedTuple):
    page: Path
    line: int
    mark: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(PROJECT)}:{self.line}"

    @property
    def is_run(self) -> bool:
        return self.mark == "run" or self.mark.startswith("run: ")

    @property
    def commands(self) -> list[str]:
        """The command lines of a bash or console block, without comments; continued lines are joined."""
        lines = self.text.replace("\\\n", "").splitlines()
        if self.language == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        elif self.language != "bash":
            return []
        return [line for full in lines if (line := re.split(r"(?:^|  +)#", full)[0].strip())]


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in BLOCK.finditer(text):
        line = text[: match.start(3)].count("\n") + 1
        found.append(Block(page, line, match[1] or "", match[3], match[4]))
    return found


ALL = [block for page in PAGES for block in blocks(page)]


def follow(page: Path, folder: Path) -> None:
    """Do what the page says, block after block, in a folder."""
    environment = prepared(page, folder)
    said = ""
    for block in blocks(page):
        if block.mark.startswith("file: "):
            (folder / block.mark[6:]).write_text(block.text)
        elif block.mark == "output":
            compare(block, block.text, said)
        elif block.is_run:
            said = run(block, folder, environment)


def prepared(page: Path, folder: Path) -> dict[str, str]:
    """The programs that a page names, and what its reader has; the environment of its commands."""
    programs = folder / ".bin"
    programs.mkdir()
    (programs / "overnight").write_text(OVERNIGHT.format(python=sys.executable, project=str(PROJECT)))
    (programs / "overnight").chmod(0o755)
    for name in ("python", "python3"):  # not a link: it would leave its environment
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        (programs / name).chmod(0o755)
    (folder / "docs").symlink_to(PROJECT / "docs")
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "TERM": "dumb", "PYTHONPATH": str(PROJECT)}
    environment.pop("COLUMNS", None)
    for script in re.findall(r"^<!-- prepare\n(.*?)-->$", page.read_text(), re.DOTALL | re.MULTILINE):
        subprocess.run(["bash", "-ec", script], cwd=folder, env=environment, check=True)
    return environment


def run(block: Block, folder: Path, environment: dict[str, str]) -> str:
    """What the block printed; what it shows of that is compared."""
    code = int(block.mark.partition("exit code ")[2] or 0)
    if block.language == "python":
        return started(block, [sys.executable, "-c", block.text], code, folder, environment)
    if block.language == "bash":
        script = "".join(line for line in block.text.splitlines(keepends=True) if not line.startswith("pip install"))
        return started(block, ["bash", "-ec", script], code, folder, environment)
    parts = list(sessions(block.text))
    said = ""
    for number, (command, shown) in enumerate(parts, 1):
        said = started(block, ["bash", "-ec", command], code if number == len(parts) else 0, folder, environment)
        compare(block, shown, said)
    return said


def started(block: Block, command: list[str], code: int, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == code, f"{block}: exit code {done.returncode}\n{command[-1]}\n{done.stdout}"
    return done.stdout


def sessions(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, with what is shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def compare(block: Block, shown: str, said: str) -> None:
    """Each line that is shown was printed, in that order."""
    printed = iter([plain(line) for line in said.splitlines()])
    for line in shown.splitlines():
        if line.strip() not in ("", "…"):
            pattern = ".*".join(re.escape(part) for part in plain(line).split("…"))
            assert any(re.fullmatch(pattern, other) for other in printed), f"{block}: {line!r} is not in\n{said}"


def plain(line: str) -> str:
    """A line without what differs from one time to the next: numbers, their units, blanks."""
    line = re.sub(r"\d+(?:[.,:_]\d+)*", "0", line)
    line = re.sub(r"\b0 (?:ms|s|min|h|KiB|MiB)(?: 0 (?:s|min))?\b", "0 s", line)
    return " ".join(line.split())
