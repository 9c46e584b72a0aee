"""Files of metrics in the folder of a job -> rows. Bounded: a folder with a million files is searched in part."""

from __future__ import annotations

import os
from importlib import import_module

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    #: Values by their canonical names, and the iteration and the epoch where they were measured.
    Row = tuple[dict[str, float], int | None, float | None]

#: Name of a file, or its beginning -> what reads it, as `module:function`.
READERS = {
    "trainer_state.json": "runner.output.files.trainer_state:rows",  # Hugging Face's Trainer
    "metrics.csv": "runner.output.files.lightning_csv:rows",  # Lightning's CSVLogger
    "wandb-summary.json": "runner.output.files.wandb_summary:rows",
    "events.out.tfevents.": "runner.output.files.tensorboard:rows",
}
DEPTH = 5  # folders below that of the job: wandb/run-…/files/
MOST_ENTRIES = 3000  # looked at
MOST_FILES = 20  # of one kind that are read, the latest first


def rows(folders: Iterable[str]) -> Iterator[Row]:
    """The rows of all files of metrics below these folders. A file that cannot be read has none."""
    for target, paths in _found(folders).items():
        module, _, name = target.partition(":")
        read: Callable[[str], Iterator[Row]] = getattr(import_module(module), name)
        for path in paths:
            try:
                yield from read(path)
            except Exception:  # whatever a reader raises for a file that is truncated, or of another program
                continue


def _found(folders: Iterable[str]) -> dict[str, list[str]]:
    """What reads the files -> their paths, the earlier ones first."""
    found: dict[str, dict[str, float]] = {}
    left = MOST_ENTRIES
    waiting = [(folder, 0) for folder in folders]
    for folder, depth in waiting:  # it grows: a search in breadth, so that near files come first
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        break
                    if entry.is_dir(follow_symlinks=False):
                        if depth < DEPTH and not entry.name.startswith((".", "attempt_")):
                            waiting.append((entry.path, depth + 1))
                    elif (target := _reader(entry.name)) is not None:
                        found.setdefault(target, {})[entry.path] = entry.stat().st_mtime
        except OSError:
            continue
    return {target: sorted(paths, key=lambda path: paths[path])[-MOST_FILES:] for target, paths in found.items()}


def _reader(name: str) -> str | None:
    if name.startswith("events.out.tfevents."):
        return READERS["events.out.tfevents."]
    return READERS.get(name)
