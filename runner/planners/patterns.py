"""Patterns on the command line -> config files, in natural order."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from runner.configs.config_file import SUFFIXES
from runner.core.errors import nearest
from runner.core.text import listed, shown


def expand(
    patterns: Sequence[str], cwd: Path, own: Sequence[Path] = (), library: Path | None = None
) -> tuple[list[Path], list[str], list[str]]:
    """Files (absolute, each once, in the order given), notices, and errors.

    A pattern's own matches are in natural order. A bare name that is not in `cwd` is searched below `library`.
    Files in `own` are scripts of the project: they are named in a notice and left out.
    """
    files: dict[Path, Path] = {}  # resolved -> as found: one file under two names runs once
    notices: list[str] = []
    errors: list[str] = []
    skipped: list[str] = []
    mine = {path.resolve() for path in own}
    for pattern in patterns:
        if not pattern:
            errors.append("--configs: an empty name; give configs, or a pattern of them in quotes")
            continue
        try:
            found = _matches(pattern, cwd)
        except (
            OSError,
            RuntimeError,
        ) as error:  # a name that is too long, a folder that cannot be read, an unknown ~user
            errors.append(f"{pattern}: {getattr(error, 'strerror', None) or error}; check the path")
            continue
        if not found and library is not None and not glob.has_magic(pattern) and "/" not in pattern:
            found = sorted(library.rglob(pattern))
            if len(found) == 1:
                notices.append(f"{pattern} is not in this folder; taking {shown(found[0], cwd)}")
            elif found:
                names = listed([shown(path, cwd) for path in found], 5)
                errors.append(f"{pattern}: several configs have this name: {names}; name one of them")
                continue
        if not found:
            errors.append(_nothing(pattern, cwd, library))
        for path in found:
            if path.resolve() in mine:
                skipped.append(shown(path, cwd))
            else:
                files.setdefault(path.resolve(), path)
    if skipped:
        notices.append(f"left out, since they are the project's own scripts, not configs: {', '.join(skipped)}")
        if not files and not errors:
            where = f"; configs belong in {shown(library, cwd)}/" if library else ""
            errors.append(f"--configs matched nothing but the project's own scripts ({', '.join(skipped)}){where}")
    return list(files.values()), notices, errors


def natural(path: str | Path) -> list[tuple[int, int | str]]:
    """Sort key under which `run2` comes before `run10`."""
    pieces = re.split(r"(\d+)", str(path))
    return [(0, int(piece)) if piece.isdecimal() else (1, piece) for piece in pieces if piece]


def _matches(pattern: str, cwd: Path) -> list[Path]:
    literal = cwd / Path(pattern).expanduser()
    if literal.is_file():  # also where its name holds a bracket
        return [literal]
    found = glob.glob(str(literal), recursive=True)  # noqa: PTH207 - patterns may be absolute
    return sorted((path for path in map(Path, found) if path.is_file()), key=natural)


def _nothing(pattern: str, cwd: Path, library: Path | None) -> str:
    path = cwd / pattern
    if path.is_dir():
        return f'{pattern}: is a folder; to run the configs in it, give "{pattern.rstrip("/")}/*.py"'
    near = _near(pattern, cwd, library)
    hint = f"; nearest: {', '.join(near)}" if near else "; check the path"
    return f"{pattern}: no file {'matches' if glob.has_magic(pattern) else 'has this name'}{hint}"


def _near(pattern: str, cwd: Path, library: Path | None) -> list[str]:
    """Existing configs, or folders of configs, whose names are like the pattern."""
    folder = (cwd / pattern).parent
    places = [folder] if folder.is_dir() and folder != cwd else []
    candidates = [path for place in places for path in place.iterdir()]  # not deeper: it may be the root of a disk
    candidates += library.rglob("*") if library else []
    by_file = {path.resolve(): path for path in reversed(candidates) if path.suffix in SUFFIXES}
    files = sorted((shown(path, cwd) for path in by_file.values()), key=natural)
    if glob.has_magic(pattern):
        kinds = {str(Path(name).parent / f"*{Path(name).suffix}") for name in files}
        best = nearest(pattern, kinds)
        return [f'"{best}"'] if best else [f'"{kind}"' for kind in sorted(kinds)[:3]]
    by_stem = {Path(name).name: name for name in files}
    best = nearest(pattern, files) or by_stem.get(nearest(Path(pattern).name, by_stem) or "")
    return [best] if best else sorted(set(files), key=natural)[:3]
