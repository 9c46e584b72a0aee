"""Checkpoint files in a job's folder: write them atomically, load the latest, prune old ones. Knows no training.

They are named ckpt_<kind>_<iteration>.pt, where the kind separates trainings that cannot continue one another.
"""

from __future__ import annotations

import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch

from pipelines.shared.errors import InputError, NotSaved
from runner.disk import atomic

SCHEMA = 1
State = TypeVar("State")


def path_of(out_dir: Path, kind: str, iteration: int) -> Path:
    return out_dir / f"ckpt_{kind}_{iteration}.pt"


def existing(out_dir: Path, kind: str) -> dict[int, Path]:
    """Iteration -> file, the oldest first."""
    pattern = re.compile(rf"ckpt_{kind}_(\d+)\.pt")
    found = {int(m[1]): path for path in out_dir.iterdir() if (m := pattern.fullmatch(path.name))}
    return dict(sorted(found.items()))


def save(path: Path, content: dict[str, Any]) -> None:
    """Write `path` completely or not at all, also when the disk is full (NotSaved) or the power fails.

    Raises ArithmeticError for weights that are not finite.
    """
    if not all(torch.isfinite(tensor).all() for tensor in content["model"].values()):
        raise ArithmeticError(f"the weights are not finite after {content['iteration']} iterations; nothing was saved")
    part = path.with_suffix(".pt.tmp")
    try:
        with part.open("wb") as file:
            write(content, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        atomic.sync_folder(path.parent)
    except OSError as error:
        raise NotSaved(f"cannot save {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def save_or_warn(path: Path, content: dict[str, Any], *, required: bool) -> bool:
    """`save`; a full disk is an error for a `required` checkpoint, otherwise a warning. Whether it was saved."""
    print(f"saving checkpoint to {path}", flush=True)
    try:
        save(path, content)
    except OSError as error:
        if required:
            raise
        print(
            f"warning: {error}; the older checkpoints are kept and the training continues", file=sys.stderr, flush=True
        )
        return False
    return True


def write(content: dict[str, Any], file: Any) -> None:
    try:
        torch.save({"schema": SCHEMA, **content}, file)
    except RuntimeError as error:
        # torch's zip writer turns the file's OSError into a RuntimeError, or raises its own after a short write.
        raise OSError(f"could not write {file.name}: {first_line(error)}") from error


class Damaged(Exception):
    """A file that is not a whole checkpoint; its text is the reason, in one line."""


def read(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """The content of one checkpoint, whose checksums fit. Raises Damaged, or InputError for that of a newer version.

    torch.save writes a zip file with a CRC-32 of each tensor, which torch.load does not look at: with one bit changed,
    most files load, with other weights. With `mmap`, tensors stay on disk until they are used.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if (member := file.testzip()) is not None:
                raise Damaged(f"the checksum of {member} does not fit")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Damaged:
        raise
    except Exception as error:  # a damaged file may raise anything: zip, pickle, EOF
        raise Damaged(first_line(error)) from error
    if not isinstance(content, dict):
        raise Damaged(f"it holds a {type(content).__name__}")
    schema = content.get("schema", 0)
    if not isinstance(schema, int):
        raise Damaged(f"its schema is {schema!r}")
    if schema > SCHEMA:
        raise InputError(f"{path} was written by a newer version of this program")
    return content


def load_latest(out_dir: Path, kind: str, use: Callable[[dict[str, Any]], State]) -> tuple[Path, State]:
    """The latest checkpoint that is whole, and what `use` made of its content. Raises InputError when there is none.

    `use` raises InputError for a checkpoint that does not fit the training. Any other exception means that something
    is missing or odd in the content: then it gets that of the one before.
    """
    reasons = []
    for path in reversed(existing(out_dir, kind).values()):
        try:
            state = use(read(path))
        except (InputError, MemoryError, torch.OutOfMemoryError):
            raise
        except Damaged as error:
            reasons.append(f"{path.name}: {error}")
        except Exception as error:
            reasons.append(f"{path.name}: {type(error).__name__}: {first_line(error)}")
        else:
            if reasons:
                print(f"warning: damaged and left out: {'; '.join(reasons)}", file=sys.stderr, flush=True)
            return path, state
    why = "; ".join(reasons) or f"there is no ckpt_{kind}_<iteration>.pt"
    raise InputError(
        f"--init_from=resume finds no checkpoint in {out_dir} ({why}); --init_from=scratch starts from scratch"
    )


def peek(out_dir: Path, kind: str, use: Callable[[dict[str, Any]], State]) -> State | None:
    """What `use` makes of the latest checkpoint that is whole; None without one. `load_latest` names damaged ones."""
    for path in reversed(existing(out_dir, kind).values()):
        try:
            return use(read(path, mmap=True))
        except Exception:
            continue
    return None


def first_line(error: Exception) -> str:
    """The first line of its text; its type where it has no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def prune(out_dir: Path, kind: str, last: int, best: int | None, *, written: int) -> None:
    """Remove all but the latest `last` checkpoints and the best one, after that of iteration `written` was saved."""
    # Later ones are damaged, which is why the training was resumed from before them: they do not count.
    found = {iteration: path for iteration, path in existing(out_dir, kind).items() if iteration <= written}
    for iteration in list(found)[:-last]:
        if iteration != best:
            found[iteration].unlink(missing_ok=True)


def remove_unfinished(out_dir: Path) -> None:
    """Remove the temporary files that a crash left."""
    for part in out_dir.glob("ckpt_*.pt.tmp"):
        part.unlink(missing_ok=True)


def archive(out_dir: Path, records: Iterable[str]) -> Path | None:
    """Move the checkpoints and records of an earlier training into a folder of their own, so that runs never mix."""
    earlier = [path for path in out_dir.iterdir() if re.fullmatch(r"ckpt_[a-z_]+_\d+\.pt", path.name)]
    if not earlier:
        return None
    number = 1
    while (folder := out_dir / f"earlier_{number}").exists():
        number += 1
    folder.mkdir()
    for path in [*earlier, *(out_dir / name for name in records)]:
        if path.exists():
            path.rename(folder / path.name)
    return folder
