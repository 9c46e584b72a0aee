"""A folder of configs -> the configs in its subdirectories, and the name that each has in a mirrored tree. Reads names.

`config/images/deep/x.yaml` is called `images/deep/x`. Files and folders whose names begin with a dot or an underscore
are ignored, and so is a file that is called base: they are base configs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.configs.config_file import SUFFIXES, kind
from runner.core.errors import UserError, did_you_mean
from runner.core.names import natural
from runner.core.text import listed, shown
from runner.planners.exclusion import Exclusion
from runner.planners.matching import is_private

EXTENSIONS = "yaml,yml,json"


@dataclass(frozen=True, slots=True)
class Found:
    """A config below an immediate subdirectory; `name` is its output folder, relative to the output root."""

    path: Path
    subdir: str
    name: str


@dataclass(frozen=True, slots=True)
class Search:
    """Where to search for configs. `subdirs`: only these; empty: all. `ignore` has patterns of files.

    `outputs` is a folder that is ignored: runs keep copies of their configs.
    """

    root: Path
    extensions: str = EXTENSIONS
    ignore: Sequence[str] = ()
    subdirs: Sequence[str] = ()
    outputs: Path | None = None


def discover(search: Search, exclusion: Exclusion | None = None) -> list[Found]:
    """Every config, in natural order within each subdirectory. Raises UserError.

    `exclusion` is given by who wants to know which patterns of `search.ignore` matched.
    """
    suffixes = _suffixes(search.extensions)
    excluded = exclusion or Exclusion(search.ignore, search.root)
    return [found for subdir in subdirs(search) for found in _within(search, subdir, suffixes, excluded)]


def is_base(name: str) -> bool:
    """True for a base config, by its name: `_x.yaml`, `base.yaml`, `base.small.json`."""
    return is_private(name) or name.partition(".")[0] == "base"


def _suffixes(extensions: str) -> list[str]:
    suffixes = [f".{word.strip().lstrip('.').lower()}" for word in extensions.split(",") if word.strip()]
    if unknown := [suffix for suffix in suffixes if suffix not in SUFFIXES]:
        raise UserError(f"--extensions: {unknown[0]} is not a kind of config; choose from {', '.join(SUFFIXES)}")
    if not suffixes:
        raise UserError(f"--extensions: names no kinds of configs; leave it out, or choose from {', '.join(SUFFIXES)}")
    return suffixes


def subdirs(search: Search) -> list[str]:
    if search.outputs is not None and search.root.resolve() == search.outputs:
        raise UserError(f"--output_root {shown(search.root)}: is the folder of the configs; name another one")
    try:
        entries = [entry.name for entry in os.scandir(search.root) if entry.is_dir()]
    except OSError as error:
        there = "no such folder" if isinstance(error, FileNotFoundError) else str(error.strerror).lower()
        raise UserError(f"--config_root {shown(search.root)}: {there}; name the folder of the configs") from None
    known = sorted((name for name in entries if _is_searched(search, search.root / name)), key=natural)
    if unknown := [name for name in search.subdirs if name not in known]:
        hint = did_you_mean(unknown[0], known) or f"there are {', '.join(known) or 'none'}"
        raise UserError(f"{shown(search.root)} has no subdirectory {unknown[0]!r}; {hint}")
    return [name for name in known if not search.subdirs or name in search.subdirs]


def passed_over(search: Search, exclusion: Exclusion) -> list[str]:
    """Notes on configs that are not run although they look so: in the root itself, and behind links to folders."""
    suffixes = _suffixes(search.extensions)

    def has_config(folder: Path) -> bool:
        return any(
            _is_config(Path(place, name), suffixes, exclusion) for place, _, names in os.walk(folder) for name in names
        )

    notes = []
    here = [entry.name for entry in os.scandir(search.root) if _is_config(Path(entry), suffixes, exclusion)]
    if here and not search.subdirs:
        where = shown(search.root)
        notes.append(
            f"{listed(sorted(here, key=natural), 5)}: directly in {where}, and not run; move it to {where}/<subdir>/"
        )
    for subdir in subdirs(search):
        for place, below, _ in os.walk(search.root / subdir):
            below[:] = sorted(name for name in below if _is_searched(search, Path(place, name)))
            links = [path for name in below if (path := Path(place, name)).is_symlink() and has_config(path)]
            notes += [f"{shown(link)}: is a link to a folder, and its configs are not run" for link in links]
    return notes


def _within(search: Search, subdir: str, suffixes: Sequence[str], excluded: Exclusion) -> Iterator[Found]:
    files: dict[Path, list[str]] = {}
    for place, below, names in os.walk(search.root / subdir):
        below[:] = [name for name in below if _is_searched(search, Path(place, name))]
        if kept := [name for name in names if _is_config(Path(place, name), suffixes, excluded)]:
            files[Path(place)] = kept
    for folder in sorted(files, key=natural):
        inside = folder.relative_to(search.root)
        taken = {path.relative_to(folder).parts[0] for path in files if folder in path.parents}
        called = _folders(files[folder], suffixes, taken)
        for name in sorted(called, key=natural):
            yield Found(folder / name, subdir, str(inside / called[name]))


def _is_searched(search: Search, folder: Path) -> bool:
    return not folder.name.startswith((".", "_")) and (search.outputs is None or folder.resolve() != search.outputs)


def _is_config(path: Path, suffixes: Sequence[str], excluded: Exclusion) -> bool:
    if kind(path) not in suffixes or path.name.startswith(".") or is_base(path.name) or not path.is_file():
        return False
    return path not in excluded


def _folders(files: Sequence[str], suffixes: Sequence[str], taken: set[str]) -> dict[str, str]:
    """The folder of each file: its stem; where that is taken, its kind is added: x.yaml -> x, x.json -> x-json.

    `taken` are folders of configs beside the files: no run may be within another one. Of files with one stem the kind
    that --extensions names first keeps it.
    """
    used = {name.casefold() for name in taken}
    names: dict[str, str] = {}
    for file in sorted(files, key=lambda name: (suffixes.index(kind(Path(name))), natural(name))):
        stem = Path(file).stem
        other = f"{stem}-{Path(file).suffix.lstrip('.')}"
        candidates = iter([stem, other, *(f"{other}-{number}" for number in range(2, len(files) + 3))])
        names[file] = next(name for name in candidates if name.casefold() not in used)
        used.add(names[file].casefold())
    return names
