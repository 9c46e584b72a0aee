"""Where the jobs of a sweep may write: in folders of their own, none within another. Reads only the limits of names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from runner.disk.layout import HYDRA, MULTIRUN, OWN, BatchPaths

RESERVED = {*BatchPaths.RESERVED, OWN, HYDRA, MULTIRUN, ".lock"}
ROOM = 100  # bytes for the names of files in a job's folder, and in those of its earlier attempts
NAME_LIMIT, PATH_LIMIT = 255, 4096  # bytes, where the file system does not say


def problems(root: Path, folders: Mapping[str, Path], earlier: Mapping[str, Path]) -> Iterator[str]:
    """A sentence for each folder that cannot be used. Both mappings are job -> folder.

    `earlier` has the jobs of earlier batches of the sweep; only `folders` are checked.
    """
    used = {_key(folder): job for job, folder in earlier.items()}
    for job, folder in folders.items():
        other = used.setdefault(_key(folder), job)
        if other != job:
            both = f"{other} and {job} would share {folder}"
            yield f"hydra.sweep.subdir: {both}; let it name what differs, as ${{hydra.job.num}} does"
        elif problem := _unusable(root, folder):
            yield f"hydra.sweep.subdir: {job}: {problem}"
    for job, folder in {**earlier, **folders}.items():
        outer = next((used[key] for parent in folder.parents if (key := _key(parent)) in used), None)
        if outer is not None and (job in folders or outer in folders):
            yield (
                f"hydra.sweep.subdir: {job} would write to {folder}, within the folder of {outer}; give them folders "
                "side by side, as ${hydra.job.num} does"
            )


def _key(folder: Path) -> str:
    return str(folder).casefold()  # as on file systems that ignore case


def _unusable(root: Path, folder: Path) -> str | None:
    if root.is_relative_to(folder):
        return f"{folder} is not a folder for one job alone; give each job its own"
    if folder.is_relative_to(root) and folder.relative_to(root).parts[0] in RESERVED:
        return f"{folder.relative_to(root)} is a name that the sweep uses itself; choose another"
    try:
        path, names = os.fsencode(folder), [os.fsencode(name) for name in folder.parts]
    except UnicodeEncodeError:
        return f"{str(folder)!r} has half of a surrogate pair, which no file system stores; choose another name"
    if b"\0" in path:
        return f"{str(folder)!r} has a null character, which no file system stores; choose another name"
    longest, limit = max(map(len, names)), _limit(root, "PC_NAME_MAX", NAME_LIMIT)
    if longest > limit:
        return (
            f"the name of its folder has {longest} bytes, and this file system stores {limit}; shorten it, for example "
            "with hydra.job.config.override_dirname.exclude_keys"
        )
    if len(path) + ROOM > (limit := _limit(root, "PC_PATH_MAX", PATH_LIMIT)):
        return f"the path of its folder has {len(path)} bytes, too many for files in it (the limit is {limit})"
    return None


def _limit(root: Path, name: str, otherwise: int) -> int:
    try:
        return os.pathconf(root, name)
    except (OSError, ValueError):  # it may not exist yet, or have no limit
        return otherwise
