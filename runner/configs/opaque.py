"""Read a config that only its program understands: what its text certainly says, or its digest alone. Executes nothing.

Nothing is refused here but a file that cannot be opened: the program may know a YAML tag, a comment or a syntax that
the runner does not.
"""

from __future__ import annotations

from pathlib import Path

from runner.configs import config_file, pythonfile
from runner.configs.config_file import DIGEST, SUFFIXES, ConfigFile, decoded, digest, partly
from runner.core.errors import UserError

LARGEST = 1 << 30  # bytes; a copy of the config is kept beside the job


def read(path: Path) -> ConfigFile:
    """The config; `partial` says why not all of it could be read. Raises UserError for a file that cannot be opened."""
    source = config_file.content(path, LARGEST)
    if path.suffix not in SUFFIXES:
        return ConfigFile(path, source, {DIGEST: digest(source)}, {})
    try:
        if len(source) > config_file.MAX_BYTES:
            return partly(path, source, {}, {}, f"is larger than {config_file.MAX_BYTES // 2**20} MiB")
        text = decoded(path, source)
        if path.suffix != ".py":
            return ConfigFile(path, source, *config_file.parsed(path, text))
        found = pythonfile.read_text(path, text)
    except UserError as error:
        return _not_understood(path, source, error)
    if found.partial is None:
        return ConfigFile(path, source, found.values, found.lines)
    return partly(path, source, found.values, found.lines, found.partial)


def _not_understood(path: Path, source: bytes, error: UserError) -> ConfigFile:
    why = error.problems[0].removeprefix(str(path)).lstrip(":").strip()
    line, colon, cause = why.partition(": ")
    why = f"line {line}: {cause}" if colon and line.isdecimal() else why
    values = {}
    if path.suffix in (".yaml", ".yml"):
        values = config_file.yaml_reader().readable(source)
    return partly(path, source, values, {}, why.partition(";")[0])
