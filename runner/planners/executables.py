"""Whether a program can be started, by its file: it exists, is executable, and its first line is one of a script."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from runner.disk.reading import open_regular
from runner.planners.shell import BUILTINS

_HEAD = 512  # bytes: enough for a first line, and to see whether it is text


def problem(path: Path) -> str | None:
    """`cause; fix` for a file that the system cannot start; None for one that it can, as far as its file shows."""
    if path.is_dir():
        return "is a folder; name the program in it"
    if not path.is_file():
        return "no such file; check the path"
    if not os.access(path, os.X_OK):
        return "cannot be executed; run chmod +x on it"
    try:
        with open_regular(path, links=True) as file:
            head = file.read(_HEAD)
    except OSError:  # it may be executed, but not read
        return None
    if head.startswith(b"#!"):
        return _interpreter_problem(head.partition(b"\n")[0])
    if b"\0" in head:  # a binary
        return None
    return "has no #! line, so the system cannot start it; begin it with a line such as #!/bin/sh"


def _interpreter_problem(line: bytes) -> str | None:
    if line.endswith(b"\r"):
        cause = "its first line ends with a carriage return, so its interpreter is not found"
        return f"{cause}; convert it with dos2unix, or with sed -i 's/\\r$//'"
    words = os.fsdecode(line[2:]).split()
    if not words:
        return "its #! line names no interpreter; write one such as #!/bin/sh"
    if not Path(words[0]).exists():
        return f"its first line names {words[0]}, which does not exist; correct it"
    named = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if Path(words[0]).name == "env" and named and shutil.which(named[0]) is None:
        return f"its first line names {named[0]}, which is not installed; correct it"
    return None


def word_problem(word: str, cwd: Path) -> str | None:
    """`cause; fix` for the first word of a command line; None if it can be started from `cwd`."""
    if re.match(r"[A-Za-z_]\w*=", word):
        return f"{word!r} sets a variable, which only a shell understands; begin with env, as in: env {word} …"
    if "/" in word:
        path = cwd / word
        cause = problem(path)
        return f"{word!r}: {cause}" if cause else None
    if (found := shutil.which(word)) is not None:
        cause = problem(Path(found))
        return f"{found}: {cause}" if cause else None
    if word in BUILTINS:
        return f"{word!r} is a command of the shell, not a program; write bash -c '…' around the command"
    if (cwd / word).is_file():
        return f"{word!r} is a file in this folder, not a program; write ./{word}, or the interpreter before it"
    return f"{word!r} is not a program that can be started; check its name or its path"
