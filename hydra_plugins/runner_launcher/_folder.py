"""The folder of a sweep, which one sweep has alone: taken under a lock, checked against what stands in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hydra_plugins.runner_launcher._mistake import Mistake
from runner import store
from runner.configfiles import ConfigError
from runner.job import Job
from runner.layout import BatchPaths
from runner.lock import Held, Lock
from runner.plans import recorded

TRIES = 1000  # sweeps that begin in one second
GO_ON = "hydra.launcher.resume=true goes on with it; or name another hydra.sweep.dir"


@dataclass(frozen=True, slots=True)
class Folder:
    """`text` is the folder as the config has it, `before` are the jobs that were planned in it earlier, by name."""

    text: str
    root: Path
    lock: Lock
    before: Mapping[str, Job]

    @classmethod
    def take(cls, config: DictConfig, *, resume: bool) -> Folder:
        """The folder that `config` names or, where another sweep has that and it was not typed, one beside it.

        Names come from the clock mostly, and two sweeps can begin in one second. Raises Mistake.
        """
        text = str(OmegaConf.select(config, "hydra.sweep.dir"))
        typed = any(word.lstrip("+").startswith("hydra.sweep.dir=") for word in config.hydra.overrides.hydra)
        for candidate in (text, *(f"{text}_{number}" for number in range(1, TRIES))):
            try:
                return cls._taken(candidate, resume=resume)
            except Mistake:
                if typed or resume or candidate == f"{text}_{TRIES - 1}":
                    raise
        raise AssertionError

    @classmethod
    def _taken(cls, text: str, *, resume: bool) -> Folder:
        root = Path.cwd() / text
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock = Lock(BatchPaths(root).lock)
        except Held as held:
            raise Mistake(f"hydra.sweep.dir={text}: another sweep is running there: {held}") from None
        except OSError as error:
            why = f"{error.strerror} ({error.filename})"
            raise Mistake(f"hydra.sweep.dir={text}: cannot be made or written: {why}") from None
        if not Path(BatchPaths(root).plan).exists():
            return cls(text, root, lock, {})
        try:
            if not resume:
                raise Mistake(f"hydra.sweep.dir={text}: holds a sweep already; {GO_ON}")
            return cls(text, root, lock, {job.name: job for job in recorded.plan(root).jobs})
        except (Mistake, ConfigError) as error:
            lock.release()
            raise error if isinstance(error, Mistake) else Mistake(*error.problems) from None

    def release(self) -> None:
        self.lock.release()

    def refuse_changes(self, jobs: Sequence[Job]) -> None:
        """Raise Mistake if a job is not the one that stands in its folder: its results would be mixed with others."""
        if problems := [line for job in jobs for line in self._changes(job)]:
            mend = "type the command of then, or name another hydra.sweep.dir"
            raise Mistake(*problems, f"the sweep in {self.text} was another one; {mend}")

    def _changes(self, job: Job) -> Iterator[str]:
        earlier = self.before.get(job.name)
        if earlier is None:
            return
        result = store.read_result(earlier)
        if result is not None and result.get("fingerprint") not in (job.fingerprint, None):
            before, now = (replace(one, config=_flat(one.config)) for one in (earlier, job))
            lines = recorded.differences(f"job {job.name}", before, now)
            yield from lines or [f"job {job.name}: was run by another command, {' '.join(earlier.argv)}"]


def _flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """`{"model": {"width": 3}}` -> `{"model.width": 3}`."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return flat
