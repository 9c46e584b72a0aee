"""Find the batch that is given as a folder, a name, or not at all: the latest one. Reads folders, writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from runner.core import program
from runner.core.errors import UserError, did_you_mean
from runner.core.text import listed, shown
from runner.disk import layout, plan_file
from runner.planners import recorded


def batches(base: Path) -> Iterator[Path]:
    """The batches of a base folder, the latest first."""
    if base.is_dir():
        found = [path for path in base.glob(f"*/{layout.PLAN}") if not path.parent.is_symlink()]
        # The plan is written when a run of the batch begins; the folder changes with a note as well.
        found.sort(key=lambda path: (path.stat().st_ctime_ns, path.parent.name), reverse=True)
        yield from (path.parent for path in found)


def find(base: Path, named: str) -> Path:
    """The batch that is meant by a folder, a name in `base` or its beginning; empty: the latest. Raises UserError."""
    named_paths = [Path.cwd() / Path(named).expanduser(), base / named] if named else [base / layout.LATEST]
    for path in named_paths:
        if plan_file.exists(path):
            return _without_link(path)
    for path in named_paths:  # the batch to which `latest` points was moved or removed
        if is_latest(path.name) and (newest := next(batches(path.parent), None)):
            return newest
    known = {path.name: path for path in batches(base)}
    begun = [name for name in known if name.startswith(named)]
    if len(begun) == 1:
        return known[begun[0]]
    if begun:
        raise UserError(f"{named}: several batches begin like this: {listed(begun, 5)}; give more of the name")
    for path in named_paths:
        if path.is_dir():
            return path
    if not known:
        raise UserError(none_yet(base, named))
    hint = did_you_mean(named, known) or f"there are {listed(list(known), 3)}"
    raise UserError(f"{named}: no such batch; {hint}")


def none_yet(base: Path, named: str = "") -> str:
    """A sentence on a base folder without batches; `named`: the one that was looked for there."""
    place = f" in {shown(base)}" if named else ""
    return f"{named or shown(base)}: there is no batch yet{place}; start one with {program.offered('run')}"


def is_latest(word: str) -> bool:
    """Whether `latest` is meant, also by a path to a link that dangles, since that batch was moved or removed."""
    return Path(word).name == layout.LATEST


def _without_link(path: Path) -> Path:
    """`latest` as the folder that it points to, in the words that were used."""
    if not path.is_symlink():
        return path
    target = path.resolve()
    beside = path.with_name(target.name)
    return beside if beside.exists() and beside.samefile(target) else target


def find_several(
    base: Path, named: Sequence[str], refused: Callable[[str, Path], Iterable[str]] = lambda name, root: ()
) -> list[Path]:
    """The batches that are meant, each once. Raises UserError for all that are not found, or `refused`."""
    found: dict[Path, Path] = {}
    errors: list[str] = []
    for name in named:
        try:
            root = find(base, name)
            if root.resolve() not in found:
                found[root.resolve()] = root
                errors += refused(name, root)
        except UserError as error:
            errors += error.problems
    if errors:
        raise UserError(*errors)
    return list(found.values())


def latest_of(base: Path, experiment: str) -> Path | None:
    """The latest sweep of this name."""
    for root in batches(base):
        try:
            if recorded.plan(root, contents=False).origin.get("experiment") == experiment:
                return root
        except UserError:  # one that cannot be read is not the one that is meant
            continue
    return None


def no_such_job(named: str, names: Sequence[str]) -> str:
    """A sentence on a name that no job has."""
    return f"{named}: no such job; {did_you_mean(named, names) or 'there are ' + listed(names, 5)}"
