"""A batch whose folder was moved or copied: its recorded jobs as they are at the present place. Writes nothing.

What is named relative to the batch is searched for at the same place as seen from the folder now: a project that was
moved as a whole runs its own configs and scripts. What is not there is taken from where it was.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from runner.core.job import Job
from runner.core.text import shown
from runner.disk import layout


def is_same(recorded: Path, root: Path) -> bool:
    """True if both are one folder, by whatever links and `..` each of them is named."""
    try:
        return recorded == root or recorded.samefile(root)
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Move:
    """Where the folder of a batch was when it was planned, and where it is now."""

    before: Path
    now: Path

    def path(self, recorded: Path) -> Path:
        """Where a recorded file or folder is now."""
        if (inside := _below(recorded, self.before, self.now)) is not None:
            return inside
        candidate = _below(recorded, *self._above())
        return candidate if candidate is not None and os.path.exists(candidate) else recorded  # noqa: PTH110 - as below

    def job(self, job: Job, fingerprint: str) -> Job:
        """The job at the present place; it does the same work, so it keeps its `fingerprint`."""
        cwd = self.folder(job.cwd)
        source = self._source(job, cwd)
        argument = None if source is None else _argument(job.source_argument or "", source, cwd)
        script = None if job.script is None else self._there(job.script, job.cwd, cwd)
        moved = replace(
            job,
            out_dir=self.now / job.name,
            source=source,
            source_argument=argument,
            script=script,
            cwd=cwd,
            env=self._environment(job.env),
            planned_as=fingerprint,
        )
        return replace(moved, argv=tuple(self._words(job, moved)))

    def folder(self, recorded: Path) -> Path:
        """Where jobs are run now: the user's folder, if the recorded one is gone and has no counterpart."""
        found = self.path(recorded)
        return found if found.is_dir() else Path.cwd()

    def _above(self) -> tuple[Path, Path]:
        """The two folders without the names at their ends that are equal: what is called otherwise now."""
        before, now = Path(os.path.normpath(self.before)), self.now
        while before.name and before.name == now.name:
            before, now = before.parent, now.parent
        return before, now

    def _there(self, recorded: Path, cwd_before: Path, cwd: Path) -> Path:
        """The same, also for what is not beside the batch but below the folder in which jobs are run."""
        found = self.path(recorded)
        below = _below(recorded, cwd_before, cwd)
        return below if not found.exists() and below is not None and below.exists() else found

    def _source(self, job: Job, cwd: Path) -> Path | None:
        """The config; if it is nowhere, the copy beside the job."""
        if job.source is None:
            return None
        found = self._there(job.source, job.cwd, cwd)
        copy = self.now / job.name / (job.snapshot or "")
        if found.exists() or job.snapshot is None:
            return found
        resolved = copy.with_name(layout.RESOLVED)  # a copy cannot be used alone if it has a base
        return resolved if resolved.exists() else copy if copy.exists() else found

    def _environment(self, env: Mapping[str, str]) -> dict[str, str]:
        base = (self.before.parent, self.now.parent)
        return {name: str(_below(Path(it), *base) or it) if it.startswith("/") else it for name, it in env.items()}

    def _words(self, before: Job, now: Job) -> list[str]:
        """The command with its paths as they are now."""
        names = {str(before.out_dir): str(now.out_dir)}
        if before.out_dir.is_relative_to(before.cwd):
            names[shown(before.out_dir, before.cwd)] = shown(now.out_dir, now.cwd)
        if before.source_argument and now.source_argument:
            names[before.source_argument] = now.source_argument
        if before.script is not None and now.script is not None:
            names |= {shown(before.script, before.cwd): shown(now.script, now.cwd), str(before.script): str(now.script)}
        words = [_replaced(word, names) for word in before.argv]
        lost = [word.startswith("/") and not os.path.exists(word) for word in words]  # noqa: PTH110 - any text
        words = [str(self.path(Path(word))) if gone else word for word, gone in zip(words, lost, strict=True)]
        if before.script is not None and before.script.suffix == ".py" and not _can_start(words[0], now.cwd):
            words[0] = shown(sys.executable, now.cwd)
        return words


def _below(path: Path, before: Path, now: Path) -> Path | None:
    """The path with one folder above it replaced; None if it is not below that one."""
    return now / path.relative_to(before) if path.is_relative_to(before) else None


def _argument(before: str, source: Path, cwd: Path) -> str:
    """How the command names the config: relative to its folder, if it was so."""
    argument = str(source) if before.startswith("/") else shown(source, cwd)
    return f"./{argument}" if argument.startswith("-") else argument


def _replaced(word: str, names: Mapping[str, str]) -> str:
    """The word with whole paths replaced, also those after `--out_dir=` and within a quoted command."""
    longest_first = sorted((name for name in names if name), key=len, reverse=True)
    pattern = "|".join(rf"(?<![\w./-]){re.escape(name)}(?![\w.-])" for name in longest_first)
    return re.sub(pattern, lambda match: names[match[0]], word) if pattern else word


def _can_start(word: str, cwd: Path) -> bool:
    return shutil.which(cwd / word if "/" in word else word) is not None
