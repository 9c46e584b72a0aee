"""Find the batch that is given as a folder, a name, or not at all: the latest one. Reads folders, writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.core.errors import UserError, did_you_mean
from runner.core.text import shown
from runner.disk import layout
from runner.planners import recorded


def batches(base: Path) -> Iterator[Path]:
    """The batches of a base folder, the latest first."""
    if base.is_dir():
        found = [path.parent for path in base.glob("*/plan.json") if not path.parent.is_symlink()]
        yield from sorted(found, key=lambda path: (path.stat().st_ctime_ns, path.name), reverse=True)


def find(base: Path, named: str) -> Path:
    """The batch that `named` means: a folder, a name in `base`, or, if empty, the latest. Raises UserError."""
    known = {path.name: path for path in batches(base)}
    if not named:
        if not known:
            raise UserError(f"{shown(base)}: there is no batch yet")
        latest = base / layout.LATEST
        return latest.resolve() if (latest / "plan.json").exists() else next(iter(known.values()))
    for path in (Path.cwd() / Path(named).expanduser(), base / named):
        if path.is_dir():
            return path.resolve()
    hint = did_you_mean(named, known) or f"there are {', '.join(list(known)[:3]) or 'none'}"
    raise UserError(f"{named}: no such batch; {hint}")


def latest_of(base: Path, experiment: str) -> Path | None:
    """The latest sweep of this name."""
    for root in batches(base):
        try:
            if recorded.plan(root).origin.get("experiment") == experiment:
                return root
        except UserError:  # one that cannot be read is not the one that is meant
            continue
    return None


def no_such_job(named: str, names: Sequence[str]) -> str:
    """A sentence on a name that no job has."""
    return f"{named}: no such job; {did_you_mean(named, names) or 'there are ' + ', '.join(names[:5])}"
