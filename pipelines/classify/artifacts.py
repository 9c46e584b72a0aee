"""The folder of a run, its link under runs/<dataset>/<model>/, and job.json. Never imports torch."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from pipelines.classify.settings import ClassifySettings
from pipelines.shared.errors import InputError
from runner.disk import atomic

RUNS = Path("runs")
JOB = "job.json"  # what a successful job reports to its starter


def runs_folder(settings: ClassifySettings) -> Path:
    """The folder for runs of this dataset and model."""
    return RUNS / Path(settings.dataset).name / settings.model


def choose_folder(settings: ClassifySettings) -> Path:
    """out_dir; if none is given, a new folder under runs/, or the latest one there to resume from."""
    if settings.out_dir is not None:
        return Path(settings.out_dir)
    if settings.init_from == "resume":
        folders = [path for path in runs_folder(settings).glob("*") if path.is_dir() and not path.is_symlink()]
        if not (existing := [path for path in folders if any(path.glob("ckpt_*.pt"))]):
            raise InputError(f"--init_from=resume finds no run in {runs_folder(settings)}; name one with --out_dir")
        return max(existing, key=lambda path: path.name)
    return create_folder(runs_folder(settings), f"{datetime.now():%Y%m%d_%H%M%S}")


def create_folder(parent: Path, name: str) -> Path:
    """Create a folder of this name, or of this name and a number: two runs may start within a second."""
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


def link_into_runs(out_dir: Path, settings: ClassifySettings) -> Path:
    """A link to `out_dir` under runs/, named after the batch and the job; out_dir itself where there can be none."""
    here = out_dir.resolve()
    if here.is_relative_to(RUNS.resolve()):
        return out_dir
    link = runs_folder(settings) / here.parent.name / here.name
    part = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        # Relative to the real folder, so that the project can be moved, or have another path.
        part.symlink_to(os.path.relpath(here, link.parent.resolve()))
        try:
            part.replace(link)  # replaces an older link, but no folder
        finally:
            part.unlink(missing_ok=True)
    except OSError:
        return out_dir
    return link


def write_job(out_dir: Path, run_dir: Path) -> None:
    atomic.write_json(out_dir / JOB, {"schema": 1, "run_dir": str(run_dir)})
