"""A user's own programs for subdirectories of configs, runners/run_<subdir>.py -> a Plan that invokes them. Pure."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from runner.core import clock
from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.text import shown
from runner.disk.reading import read_bytes
from runner.planners.jobs import free_folder

KIND = PlanKind("programs", quiet_json=True)
FOLDER = "_runners"  # in the output root: the programs' output
#: A program that only passes its subdirectory to the runner. It does not need a process of its own.
THIN = """
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from runners import runner_lib

if __name__ == "__main__":
    sys.exit(runner_lib.run_subdirectory(__file__))
"""


def own(folder: Path, subdirs: Iterable[str]) -> dict[str, Path]:
    """subdirectory -> the program to invoke for it: run_<subdir>.py, or with _ for -; not the thin ones."""
    found = {}
    for subdir in subdirs:
        names = dict.fromkeys([f"run_{subdir}.py", f"run_{subdir.replace('-', '_')}.py"])
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is not None and not is_thin(path):
            found[subdir] = path
    return found


def is_thin(path: Path) -> bool:
    """True for a program whose code, comments and docstring aside, is THIN."""
    try:
        tree = ast.parse(read_bytes(path, links=True))
    except (OSError, SyntaxError, ValueError):
        return False
    if ast.get_docstring(tree) is not None:
        del tree.body[0]
    return ast.unparse(tree) == ast.unparse(ast.parse(THIN))


def takes_dry_run(path: Path) -> bool:
    """Whether a program looks as if it had the documented flag --dry-run: one that has not might do its work."""
    try:
        text = read_bytes(path, links=True).decode(errors="replace")
    except OSError:
        return False
    return any(word in text for word in ("dry-run", "dry_run", "runner_lib"))


def plan(programs: Mapping[str, Path], output_root: Path, flags: Sequence[str], cwd: Path, now: datetime) -> Plan:
    """A job for each program; `flags` are those that all runners accept."""
    root = free_folder(output_root / FOLDER, f"{now:%Y%m%d_%H%M%S}")
    jobs = [
        Job(
            name=f"run_{subdir}",
            argv=(shown(sys.executable, cwd), shown(path, cwd), *flags),
            out_dir=root / f"run_{subdir}",
            env={"PYTHONUNBUFFERED": "1"},
            cwd=cwd,
        )
        for subdir, path in programs.items()
    ]
    return Plan(root.name, root, tuple(jobs), KIND, clock.iso(now.timestamp()))
