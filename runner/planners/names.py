"""Config files -> names of jobs that differ, stay readable and are safe as folders."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

LONGEST = 120  # bytes; file systems allow 255, and a table of names has to be readable
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]+")


def distinct(files: Sequence[Path], reserved: Collection[str] = ()) -> list[str]:
    """The stem of each file; equal stems get as many parent folders as it takes: a/x.py, b/x.py -> a-x, b-x."""
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    for path in files:
        groups[safe(path.stem).casefold()].append(path)
    names = {path: name for group in groups.values() for path, name in zip(group, _apart(group), strict=True)}
    taken = {name.casefold() for name in reserved}
    return [_free(names[path], taken) for path in files]


def _apart(group: Sequence[Path]) -> list[str]:
    """Names for files whose stems are equal."""
    if len(group) == 1:
        return [safe(group[0].stem)]
    for depth in range(2, max(len(path.parts) for path in group) + 1):
        names = [safe("-".join([*path.parts[-depth:-1], path.stem]).lstrip("/-")) for path in group]
        if len({name.casefold() for name in names}) == len(names):
            return names
    if len({path.suffix for path in group}) == 1:  # Run.py and run.py side by side: a number is appended
        return [safe(path.stem) for path in group]
    return [safe(f"{path.stem}-{path.suffix.lstrip('.')}") for path in group]  # x.py and x.yaml side by side


def _free(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate.casefold() in taken:
        candidate, number = f"{name}-{number}", number + 1
    taken.add(candidate.casefold())
    return candidate


def safe(name: str) -> str:
    """`name` as the name of a folder: no separators, no control characters, no leading dot or dash, not too long."""
    name = _UNSAFE.sub("_", name).strip()
    name = re.sub(r"^[.-]+", "_", name) or "_"
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) > LONGEST:
        digest = hashlib.sha256(encoded).hexdigest()[:8]
        name = encoded[: LONGEST - 9].decode(errors="ignore") + "-" + digest
    return name.encode(errors="replace").decode()
