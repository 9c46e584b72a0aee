"""Read a config file (.py, .yaml, .json) into values with their lines. Knows nothing of what the keys mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.configs import jsonfile, pythonfile
from runner.core.errors import UserError

SUFFIXES = (".py", ".yaml", ".yml", ".json")
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """`source` is the exact content that was read; `lines` has the line of each value: of top-level keys and, as far
    as the format allows, of keys below them (`sweep.lr[2]`). `origins` holds the places of keys that another file set
    instead, `inherited` of those that come from a base; `bases` are the files of these, with their exact content.
    `abstract` is the key of that name: True for a base config, which is not run itself (see inheritance.py).
    """

    path: Path
    source: bytes
    values: dict[str, Any]
    lines: dict[str, int]
    origins: Mapping[str, str] = field(default_factory=dict)
    inherited: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[Path, bytes] = field(default_factory=dict)
    abstract: bool = False

    def place(self, key: str) -> str:
        """`path:line` of a key, or of the nearest one around it; the path alone if no line is known."""
        while key:
            if key in self.origins:
                return self.origins[key]
            if key in self.lines:
                return f"{self.path}:{self.lines[key]}"
            if key in self.inherited:
                return self.inherited[key]
            key = re.sub(r"(\.[^.\[]*|\[\d+\]|^[^.\[]*)$", "", key)
        return str(self.path)


def read(path: Path, *, time_limit: float = 10.0) -> ConfigFile:
    """The file alone, without its bases. Raises UserError for one that cannot be read or understood.

    A .py file is never executed here: what cannot be read from its text is evaluated in a child process that
    has `time_limit` seconds.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: unknown kind of config {path.suffix!r}; name it {', '.join(SUFFIXES)}")
    source = _content(path)
    text = _decoded(path, source)
    match path.suffix:
        case ".py":
            values, lines = pythonfile.read(path, text, time_limit)
        case ".json":
            values, lines = jsonfile.read(path, text)
        case _:
            from runner.configs import yamlfile  # yaml takes longer to import than all the rest

            values, lines = yamlfile.read(path, text)
    return ConfigFile(path, source, values, lines)


def read_text(path: Path) -> str:
    """The text of any source file; raises UserError for one that is not text."""
    return _decoded(path, _content(path))


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise UserError(f"{path}: is a directory; name a file in it")
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: is not a regular file; copy it to one")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the name") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{path}: is larger than {MAX_BYTES // 2**20} MiB; a config should be smaller")
    return content


def _decoded(path: Path, source: bytes) -> str:
    if (at := source.find(b"\0")) >= 0:
        raise UserError(f"{path}:{_line(source, at)}: contains a NUL byte; is this a text file?")
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{_line(source, error.start)}: is not UTF-8; save it as UTF-8") from None


def _line(source: bytes, at: int) -> int:
    return source.count(b"\n", 0, at) + 1
