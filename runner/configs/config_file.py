"""Read a config file (.py, .yaml, .json) into values with their lines. Knows nothing of what the keys mean."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.configs import jsonfile, pythonfile
from runner.configs.evaluator import Context, Evaluator
from runner.core.errors import UserError

SUFFIXES = (".py", ".yaml", ".yml", ".json")
MAX_BYTES = 16 * 1024 * 1024
DIGEST = "config_sha256"  # among the values of a config that is not known completely


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """`source` is the exact content that was read; `lines` has the line of each value: of top-level keys and, as far
    as the format allows, of keys below them (`sweep.lr[2]`). `origins` holds the places of keys that another file set
    instead, `inherited` of those that come from a base; `bases` are the files of these, with their exact content.
    `abstract` is the key of that name: True for a base config, which is not run itself (see inheritance.py).
    `evaluated`: a part of it was executed; `volatile` are the keys that have another value at each evaluation.
    `partial` is why `values` are not all of it: it stands for more than the runner can read.
    """

    path: Path
    source: bytes
    values: dict[str, Any]
    lines: dict[str, int]
    origins: Mapping[str, str] = field(default_factory=dict)
    inherited: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[Path, bytes] = field(default_factory=dict)
    abstract: bool = False
    evaluated: bool = False
    volatile: tuple[str, ...] = ()
    partial: str | None = None

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


def kind(path: Path) -> str:
    """One of SUFFIXES, if it is a config: X.YAML is a .yaml."""
    return path.suffix.lower()


def read(path: Path, evaluator: Evaluator | None = None, context: Context | None = None) -> ConfigFile:
    """The file alone, without its bases. Raises UserError for one that cannot be read or understood.

    A .py file is never executed here: what cannot be read from its text is evaluated in a child process, in `context`.
    """
    if kind(path) not in SUFFIXES:
        raise UserError(f"{path}: unknown kind of config {path.suffix!r}; name it {', '.join(SUFFIXES)}")
    source = content(path)
    text = decoded(path, source)
    if kind(path) != ".py":
        return ConfigFile(path, source, *parsed(path, text))
    found = pythonfile.read(path, text, evaluator or Evaluator(), context or Context())
    if found.partial is not None:
        return partly(path, source, found.values, found.lines, found.partial)
    return ConfigFile(path, source, found.values, found.lines, evaluated=found.evaluated, volatile=found.volatile)


def partly(path: Path, source: bytes, values: dict[str, Any], lines: dict[str, int], why: str | None) -> ConfigFile:
    """A config that cannot be read completely: its digest stands for what is not known of it."""
    return ConfigFile(path, source, {**values, DIGEST: digest(source)}, lines, partial=why)


def digest(content: bytes) -> str:
    """The digest by which the contents of two files are compared."""
    return hashlib.sha256(content).hexdigest()


def parsed(path: Path, text: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The values and lines of a YAML or JSON file. Raises UserError."""
    if kind(path) == ".json":
        return jsonfile.read(path, text)
    found: tuple[dict[str, Any], dict[str, int]] = yaml_reader().read(path, text)
    return found


def yaml_reader() -> Any:
    """The module that reads YAML."""
    from runner.configs import yamlfile  # yaml takes longer to import than all the rest

    return yamlfile


def read_text(path: Path) -> str:
    """The text of any source file; raises UserError for one that is not text."""
    return decoded(path, content(path))


def content(path: Path, largest: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file. Raises UserError."""
    try:
        if path.is_dir():
            raise UserError(f"{path}: is a directory; name a file in it")
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: is not a regular file; copy it to one")
        with path.open("rb") as file:
            # Not more: a small config that is read into room for a large one keeps a page of memory.
            size = os.fstat(file.fileno()).st_size
            found = file.read(min(size, largest) + 1)
            while len(found) <= largest and (more := file.read(1 << 20)):  # of a file that grows, or has no size
                found += more
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the name") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from None
    if len(found) > largest:
        raise UserError(f"{path}: is larger than {largest // 2**20} MiB; a config should be smaller")
    return found


def decoded(path: Path, source: bytes) -> str:
    """The text of a file; raises UserError for one that is not text."""
    if (at := source.find(b"\0")) >= 0:
        raise UserError(f"{path}:{_line(source, at)}: contains a NUL byte; is this a text file?")
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{_line(source, error.start)}: is not UTF-8; save it as UTF-8") from None


def _line(source: bytes, at: int) -> int:
    return source.count(b"\n", 0, at) + 1
