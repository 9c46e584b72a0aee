"""Checkpoint files in a job's folder: write whole ones, find the newest, keep the right ones. Knows no training."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch

from pipelines.mistake import Mistake
from runner import atomic

PREFIX = {"unmasking": "ckpt_unmasking_", "elbo": "ckpt_elbo_"}
SCHEMA = 1


def path_of(out_dir: Path, training_type: str, iteration: int) -> Path:
    return out_dir / f"{PREFIX[training_type]}{iteration}.pt"


def existing(out_dir: Path, training_type: str) -> dict[int, Path]:
    """Iteration to file, the oldest first."""
    pattern = re.compile(re.escape(PREFIX[training_type]) + r"(\d+)\.pt")
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


def write(content: dict[str, Any], file: Any) -> None:
    try:
        torch.save({"schema": SCHEMA, **content}, file)
    except RuntimeError as error:
        # torch's zip writer turns the file's OSError into a RuntimeError, or raises its own after a short write.
        raise OSError(f"could not write {file.name}: {str(error).splitlines()[0]}") from error


def load_newest(out_dir: Path, training_type: str) -> tuple[Path, dict[str, Any]]:
    """The newest checkpoint that can be read. Raises Mistake when there is none."""
    reasons = []
    for path in reversed(existing(out_dir, training_type).values()):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file may raise anything: zip, pickle, EOF
            reasons.append(f"{path.name}: {str(error).splitlines()[0]}")
            continue
        if content.get("schema", 0) > SCHEMA:
            raise Mistake(f"{path} was written by a newer version of this program")
        return path, content
    why = "; ".join(reasons) or f"no {PREFIX[training_type]}*.pt is there"
    raise Mistake(f"--init_from=resume finds no checkpoint in {out_dir} ({why}); --init_from=scratch begins anew")


def keep(out_dir: Path, training_type: str, last: int, best: int | None) -> None:
    """Remove all but the newest `last` checkpoints and the best one."""
    found = existing(out_dir, training_type)
    for iteration in list(found)[:-last]:
        if iteration != best:
            found[iteration].unlink(missing_ok=True)


def clear_unfinished(out_dir: Path) -> None:
    """Remove what a crash left half written."""
    for part in out_dir.glob("ckpt_*.pt.tmp"):
        part.unlink(missing_ok=True)


def set_aside(out_dir: Path) -> Path | None:
    """Move an earlier training's checkpoints and metrics into a folder of their own, so that runs never mix."""
    earlier = [path for prefix in PREFIX.values() for path in out_dir.glob(f"{prefix}*.pt")]
    if not earlier:
        return None
    number = 1
    while (folder := out_dir / f"earlier_{number}").exists():
        number += 1
    folder.mkdir()
    for path in [*earlier, out_dir / "metrics.jsonl"]:
        if path.exists():
            path.rename(folder / path.name)
    return folder
