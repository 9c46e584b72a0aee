"""The folder of a sweep: locked, so that no other sweep uses it, and checked against the jobs recorded in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hydra_plugins.runner_launcher._errors import LaunchError
from runner.cli import inspect
from runner.core.errors import UserError
from runner.core.job import Job
from runner.core.text import command
from runner.disk.layout import BatchPaths
from runner.disk.lock import Held, Lock
from runner.planners import changes, recorded
from runner.reports.status import WITHOUT_RUNNER

log = logging.getLogger(__name__)
TRIES = 1000  # sweeps that begin in one second


class Running(LaunchError):
    """Another sweep runs in the folder at this moment."""


@dataclass(frozen=True, slots=True)
class Folder:
    """`text` is the folder as the config has it, `before` are the jobs of the sweep that is resumed, by name, and
    `left` are the folders of those of any sweep that was here before.
    """

    text: str
    root: Path
    lock: Lock
    before: Mapping[str, Job]
    left: Mapping[str, Path]

    @classmethod
    def take(cls, config: DictConfig, *, resume: bool) -> Folder:
        """The folder in `config` or, if another sweep has it and its name comes from the clock, one beside it.

        Two sweeps can begin in one second. Raises LaunchError.
        """
        text = str(OmegaConf.select(config, "hydra.sweep.dir"))
        if resume or not _names_the_time(config):
            return cls._taken(text, resume=resume)
        for candidate in (text, *(f"{text}_{number}" for number in range(1, TRIES))):
            if not Path(BatchPaths(candidate).plan).exists():
                try:
                    return cls._taken(candidate, resume=False)
                except Running:
                    continue
        raise LaunchError(f"hydra.sweep.dir={text}: {TRIES} sweeps have this name; choose another")

    @classmethod
    def _taken(cls, text: str, *, resume: bool) -> Folder:
        root = Path.cwd() / text
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock = Lock(BatchPaths(root).lock)
        except Held as held:
            raise Running(f"hydra.sweep.dir={text}: another sweep is running there: {held}") from None
        except OSError as error:
            why = f"{error.strerror} ({error.filename})"
            raise LaunchError(f"hydra.sweep.dir={text}: cannot be made or written: {why}") from None
        try:
            return cls(text, root, lock, _before(text, root, resume=resume), _left(root))
        except LaunchError:
            lock.release()
            raise

    def release(self) -> None:
        self.lock.release()

    def refuse_changes(self, jobs: Sequence[Job], hint: str) -> None:
        """Raise LaunchError if a job is not the one recorded in its folder: their results would be mixed."""
        if problems := [line for job in jobs for line in self._changes(job)]:
            fix = "use the command of then, or give another hydra.sweep.dir"
            raise LaunchError(*problems, f"the sweep in {self.text} was another one; {fix}{hint}")

    def _changes(self, job: Job) -> Iterator[str]:
        earlier = self.before.get(job.name)
        if earlier is not None and earlier.fingerprint != job.fingerprint:
            before, now = (replace(one, config=_flat(one.config)) for one in (earlier, job))
            lines = changes.differences(f"job {job.name}", before, now)
            yield from lines or [f"job {job.name}: was run by another command, {command(earlier.argv)}"]


def _names_the_time(config: DictConfig) -> bool:
    written = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    return isinstance(written, dict) and "${now:" in str(written["dir"])


def _left(root: Path) -> dict[str, Path]:
    try:
        return {job.name: job.out_dir for job in recorded.plan(root).jobs}
    except UserError:  # there is none, or none that can be read
        return {}


def _before(text: str, root: Path, *, resume: bool) -> dict[str, Job]:
    """The jobs that are resumed. Without `resume` all jobs are run again, and earlier attempts are archived."""
    if not Path(BatchPaths(root).plan).exists():
        return {}
    try:
        if resume:
            plan = recorded.plan(root)
            changes.refuse_moved(plan)
            return {job.name: job for job in plan.jobs}
        if inspect.batch(root).state == WITHOUT_RUNNER:
            raise LaunchError(
                f"hydra.sweep.dir={text}: a job of an earlier sweep still runs there; give another folder"
            )
    except UserError as error:
        raise LaunchError(*error.problems) from None
    log.warning(f"{text} holds a sweep already: its jobs are run again, and what each left moves to attempt_… below it")
    return {}


def _flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """`{"model": {"width": 3}}` -> `{"model.width": 3}`."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return flat
