"""Bring a stored workspace of an earlier release back: @ROOT@ and @PROJECT@ in its files stand for two folders."""

from __future__ import annotations

import pickletools
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import PROJECT

STORED = PROJECT / "tests" / "data" / "0.1.0"
ROOT, PROJECT_MARK = "@ROOT@", "@PROJECT@"  # the workspace itself, and the checkout whose code runs it
HOST = '"host": "host"'  # in the record of a lock: the host where the batch ran, which is this one


def restore(stored: Path, folder: Path) -> None:
    """Copy `stored` into the empty `folder`, with the paths that are true there, and a Python at .venv/bin/python."""
    shutil.copytree(stored, folder, symlinks=True, dirs_exist_ok=True)
    rewrite(folder, {ROOT: str(folder), PROJECT_MARK: str(PROJECT), HOST: f'"host": "{socket.gethostname()}"'})
    link_python(folder)


def link_python(folder: Path) -> None:
    """`.venv` in the workspace: a command that names this Python by a relative path is the same in every folder."""
    (folder / ".venv").symlink_to(sys.prefix)
    assert (folder / ".venv/bin/python").exists()


def rewrite(folder: Path, words: Mapping[str, str]) -> None:
    """Replace words in all files below `folder`; a file without any of them is not touched."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if any(old.encode() in content for old in words):
            change = _in_pickle if path.suffix == ".pkl" else _in_bytes
            path.write_bytes(change(content, words))


def _in_bytes(content: bytes, words: Mapping[str, str]) -> bytes:
    for old, new in words.items():
        content = content.replace(old.encode(), new.encode())
    return content


def _in_pickle(content: bytes, words: Mapping[str, str]) -> bytes:
    """The same pickle with other words in its strings. Nothing is loaded.

    A string follows its length, so one that changes is written again. Frames, which have a length too, are left out:
    they are there for speed alone.
    """
    instructions = list(pickletools.genops(content))
    starts = [start for _, _, start in instructions if start is not None]
    pieces: list[bytes] = []
    for (opcode, argument, _), start, end in zip(instructions, starts, [*starts[1:], len(content)], strict=True):
        old = argument.encode() if isinstance(argument, str) and "UNICODE" in opcode.name else b""
        new = _in_bytes(old, words)
        if new != old:
            pieces.append(b"X" + len(new).to_bytes(4, "little") + new)  # the instruction BINUNICODE
        elif opcode.name != "FRAME":
            pieces.append(content[start:end])
    return b"".join(pieces)
