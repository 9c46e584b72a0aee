"""Checkpoint files in a job's folder: write whole ones, find the newest, keep the right ones. Knows no training.

They are named ckpt_<kind>_<iteration>.pt, where the kind tells trainings apart that cannot continue one another.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from pipelines.shared.errors import Mistake
from runner import atomic

SCHEMA = 1


def path_of(out_dir: Path, kind: str, iteration: int) -> Path:
    return out_dir / f"ckpt_{kind}_{iteration}.pt"


def existing(out_dir: Path, kind: str) -> dict[int, Path]:
    """Iteration to file, the oldest first."""
    pattern = re.compile(rf"ckpt_{kind}_(\d+)\.pt")
    found = {int(m[1]): path for path in out_dir.iterdir() if (m := pattern.fullmatch(path.name))}
    return dict(sorted(found.items()))


def save(path: Path, content: dict[str, Any]) -> None:
    """Afterwards `path` is whole, or there is none: also when the disk is full (OSError) or the power fails.

    Raises ArithmeticError rather than write weights that are not finite.
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


def save_or_warn(path: Path, content: dict[str, Any], *, must: bool) -> bool:
    """`save`; a full disk is a warning while the training can go on, and an error when the checkpoint `must` be."""
    print(f"saving checkpoint to {path}", flush=True)
    try:
        save(path, content)
    except OSError as error:
        if must:
            raise
        print(f"warning: {error}; the older checkpoints stay, the training goes on", file=sys.stderr, flush=True)
        return False
    return True


def write(content: dict[str, Any], file: Any) -> None:
    try:
        torch.save({"schema": SCHEMA, **content}, file)
    except RuntimeError as error:
        # torch's zip writer turns the file's OSError into a RuntimeError, or raises its own after a short write.
        raise OSError(f"could not write {file.name}: {str(error).splitlines()[0]}") from error


def load_newest(out_dir: Path, kind: str) -> tuple[Path, dict[str, Any]]:
    """The newest checkpoint that can be read. Raises Mistake when there is none."""
    reasons = []
    for path in reversed(existing(out_dir, kind).values()):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file may raise anything: zip, pickle, EOF
            reasons.append(f"{path.name}: {str(error).splitlines()[0]}")
            continue
        if content.get("schema", 0) > SCHEMA:
            raise Mistake(f"{path} was written by a newer version of this program")
        return path, content
    why = "; ".join(reasons) or f"no ckpt_{kind}_<iteration>.pt is there"
    raise Mistake(f"--init_from=resume finds no checkpoint in {out_dir} ({why}); --init_from=scratch begins anew")


def keep(out_dir: Path, kind: str, last: int, best: int | None, *, written: int) -> None:
    """Remove all but the newest `last` checkpoints and the best one, once that of iteration `written` is there."""
    # Later ones are damaged, which is why a resumed training began before them: they must not stand for good ones.
    found = {iteration: path for iteration, path in existing(out_dir, kind).items() if iteration <= written}
    for iteration in list(found)[:-last]:
        if iteration != best:
            found[iteration].unlink(missing_ok=True)


def clear_unfinished(out_dir: Path) -> None:
    """Remove what a crash left half written."""
    for part in out_dir.glob("ckpt_*.pt.tmp"):
        part.unlink(missing_ok=True)


def set_aside(out_dir: Path, records: Iterable[str]) -> Path | None:
    """Move an earlier training's checkpoints and its records into a folder of their own, so that runs never mix."""
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
