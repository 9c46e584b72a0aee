"""Where a run lies: its own folder, and its place under runs/<dataset>/<model>/. Never imports torch."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from pipelines.classify.settings import ClassifySettings
from pipelines.shared.errors import InputError
from runner import atomic

RUNS = Path("runs")
JOB = "job.json"  # what a job that has succeeded reports to whoever started it


def shelf(settings: ClassifySettings) -> Path:
    """Where the runs of this dataset and model stand."""
    return RUNS / Path(settings.dataset).name / settings.model


def choose(settings: ClassifySettings) -> Path:
    """out_dir; where none is given, a new folder on the shelf, or the newest one there when it shall go on."""
    if settings.out_dir is not None:
        return Path(settings.out_dir)
    if settings.init_from == "resume":
        own = [path for path in shelf(settings).glob("*") if path.is_dir() and not path.is_symlink()]
        if not (stand := [path for path in own if any(path.glob("ckpt_*.pt"))]):
            raise InputError(f"--init_from=resume finds no run in {shelf(settings)}; name one with --out_dir")
        return max(stand, key=lambda path: path.name)
    return made(shelf(settings), f"{datetime.now():%Y%m%d_%H%M%S}")


def made(parent: Path, name: str) -> Path:
    """A new folder of this name, or of this name and a number: two runs may begin within a second."""
    number, path = 1, parent / name
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
            path = parent / f"{name}_{number}"
        except OSError as error:
            raise InputError(
                f"cannot write to {parent}: {error.strerror}; name another folder with --out_dir"
            ) from error
        else:
            return path


def placed(out_dir: Path, settings: ClassifySettings) -> Path:
    """The place of `out_dir` under runs/: a link there, named after the batch and the job; else out_dir itself."""
    here = out_dir.resolve()
    if here.is_relative_to(RUNS.resolve()):
        return out_dir
    link = shelf(settings) / here.parent.name / here.name
    part = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        # Relative to the real folder, so that the project can be moved, or reached by another name.
        part.symlink_to(os.path.relpath(here, link.parent.resolve()))
        try:
            part.replace(link)  # an older link gives way; a folder that somebody put there does not
        finally:
            part.unlink(missing_ok=True)
    except OSError:
        return out_dir
    return link


def report(out_dir: Path, run_dir: Path) -> None:
    atomic.write_json(out_dir / JOB, {"schema": 1, "run_dir": str(run_dir)})
