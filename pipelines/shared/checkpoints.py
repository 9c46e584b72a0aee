"""Checkpoint files in a job's folder: write them atomically, load the latest, prune old ones. Knows no training.

They are named ckpt_<kind>_<iteration>.pt, where the kind separates trainings that cannot continue one another.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from pipelines.shared.errors import InputError
from runner.disk import atomic

SCHEMA = 1


def path_of(out_dir: Path, kind: str, iteration: int) -> Path:
    return out_dir / f"ckpt_{kind}_{iteration}.pt"


def existing(out_dir: Path, kind: str) -> dict[int, Path]:
    """Iteration -> file, the oldest first."""
    pattern = re.compile(rf"ckpt_{kind}_(\d+)\.pt")
    found = {int(m[1]): path for path in out_dir.iterdir() if (m := pattern.fullmatch(path.name))}
    return dict(sorted(found.items()))


def save(path: Path, content: dict[str, Any]) -> None:
    """Write `path` completely or not at all, also when the disk is full (OSError) or the power fails.

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
        raise OSError(f"could not write {file.name}: {str(error).splitlines()[0]}") from error


def load_latest(out_dir: Path, kind: str) -> tuple[Path, dict[str, Any]]:
    """The latest checkpoint that can be read. Raises InputError when there is none."""
    reasons = []
    for path in reversed(existing(out_dir, kind).values()):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file may raise anything: zip, pickle, EOF
            reasons.append(f"{path.name}: {str(error).splitlines()[0]}")
            continue
        if content.get("schema", 0) > SCHEMA:
            raise InputError(f"{path} was written by a newer version of this program")
        return path, content
    why = "; ".join(reasons) or f"there is no ckpt_{kind}_<iteration>.pt"
    raise InputError(
        f"--init_from=resume finds no checkpoint in {out_dir} ({why}); --init_from=scratch starts from scratch"
    )


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
