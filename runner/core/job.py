"""What is to be run: a Job, and a Plan of jobs. Frozen; nothing here touches a disk or a process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from runner.core import earlier_redaction, redact
from runner.core.canonical import fingerprint
from runner.core.options import RunOptions
from runner.core.packed import Slot, from_row, in_a_row, packed, squeezed, unpacked, unsqueezed
from runner.core.plan_kind import PlanKind


@dataclass(frozen=True, slots=True)
class Job:
    """One command and where its outputs lie.

    `config` is the resolved config (JSON values), `changes` is what the overrides changed in it (key -> old, new),
    `files` are inputs that are placed in `out_dir` before the start, `env` holds additions to the environment only,
    `rerun` is the command line that runs this job alone again. A batch has thousands of jobs: paths and mappings are
    kept small, and made again at each look (see below). So what is read of one is a copy.
    """

    name: str
    argv: tuple[str, ...]
    out_dir: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    source: Path | None = None  # the config file, and how `argv` calls it
    source_argument: str | None = None
    runs_resolved: bool = False  # `argv` then names a file of the whole config instead
    volatile: tuple[str, ...] = ()  # keys whose values differ at each evaluation: they do not count as changes
    # The words of `argv` that hold the path of `source` within other text, with that of its copy instead.
    copy_words: Mapping[int, str] = field(default_factory=dict, compare=False)
    script: Path | None = None  # the training script, where one is known
    snapshot: str | None = None  # the entry of `files` that is the exact copy of `source`
    # The files that `source` builds on, as they were read. Contents are no part of what two jobs are compared by.
    bases: Mapping[Path, bytes] = field(default_factory=dict, compare=False)
    files: Mapping[str, bytes] = field(default_factory=dict, compare=False)
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = field(default_factory=Path.cwd)
    rerun: tuple[str, ...] = ()
    resume_args: tuple[str, ...] = ()  # appended if a later attempt can resume from a checkpoint
    disk_bytes: int = 0  # what it will keep on the disk, where that is known
    not_secret: tuple[str, ...] = ()  # names whose values are recorded, whatever they look like
    # The names of secrets in the command of a job that was read from its record: it cannot be started with them.
    unrecorded: tuple[str, ...] = field(default=(), compare=False)
    # Settings that are other than planned, after memory ran out: key -> planned, used. The fingerprint is as planned.
    adjusted: Mapping[str, tuple[int, int]] = field(default_factory=dict, compare=False)
    planned_as: str | None = None  # its fingerprint before its batch was moved: paths changed, the work is the same
    _fingerprint: str | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """Two jobs with one fingerprint do the same work: name, resolved config and command without the folder.

        Computed once, when it is first read.
        """
        known = self.planned_as or self._fingerprint
        if known is None:
            command, config = redact.argv(self.argv, self.not_secret), redact.mapping(self._counted(), self.not_secret)
            known = self._fingerprint_of(command, config)
            object.__setattr__(self, "_fingerprint", known)
        return known

    def with_fingerprint(self, recorded: str) -> Job:
        """The job as it is recorded: a record may hold less than what it was made of, and what is hidden may differ."""
        job = object.__new__(Job)
        for slot in _SLOTS:  # as it is kept: `replace` would make every value again
            slot.__set__(job, slot.__get__(self))
        object.__setattr__(job, "_fingerprint", recorded)
        return job

    def is_work_of(self, recorded: str | None) -> bool:
        """Whether a fingerprint, also one of version 0.1.0, is that of this work."""
        if recorded is None or recorded == self.fingerprint:
            return recorded is not None
        command, config = earlier_redaction.argv(self.argv), earlier_redaction.mapping(self._counted())
        return recorded == self._fingerprint_of(command, config)

    def _counted(self) -> dict[str, Any]:
        """The config without what has another value at each evaluation."""
        return {key: value for key, value in self.config.items() if key not in self.volatile}

    def _fingerprint_of(self, command: Sequence[str], config: Mapping[str, Any]) -> str:
        words = [self._without_folder(argument) for argument in command]
        return fingerprint({"name": self.name, "config": config, "argv": words})

    def _without_folder(self, argument: str) -> str:
        """The argument as 0.1.0, which passed relative paths to every program, has it in its records."""
        folder = str(self.out_dir)
        if self.source_argument is not None and Path(self.source_argument).is_absolute():
            for path in (self.out_dir, Path(self.source_argument)):
                if path.is_relative_to(self.cwd):
                    argument = argument.replace(str(path), str(path.relative_to(self.cwd)))
        if self.out_dir.is_relative_to(self.cwd):
            argument = argument.replace(str(self.out_dir.relative_to(self.cwd)), folder)
        return argument.replace(folder, "{out_dir}")


@lru_cache(512)
def _path(text: str) -> Path:
    return Path(text)


def _text(path: Path | None) -> object:
    return str(path) if type(path) is type(Path()) else path


def _from_text(kept: Any) -> Any:
    return _path(kept) if type(kept) is str else kept


def _squeezed_words(words: tuple[str, ...]) -> object:
    return squeezed(dict(enumerate(words)))


def _words(kept: object) -> tuple[str, ...]:
    return tuple(unsqueezed(kept).values())


_SLOTS: tuple[Any, ...] = tuple(getattr(Job, one.name) for one in fields(Job))
for _name in ("out_dir", "source", "script", "cwd"):
    setattr(Job, _name, Slot(getattr(Job, _name), _text, _from_text))
for _name in ("config", "changes"):
    setattr(Job, _name, Slot(getattr(Job, _name), packed, unpacked))
for _name in ("overrides", "copy_words", "bases", "files", "adjusted"):
    setattr(Job, _name, Slot(getattr(Job, _name), in_a_row, from_row))
for _name in ("env",):  # rarely read, and mostly paths
    setattr(Job, _name, Slot(getattr(Job, _name), squeezed, unsqueezed))
for _name in ("rerun",):
    setattr(Job, _name, Slot(getattr(Job, _name), _squeezed_words, _words))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of a job: its number from 1, the command and the additions to the environment as they are this time.

    `note` is a sentence for the user about this start; empty if there is nothing to say. `nonce` is what only the
    result of its supervisor contains. `gpus` are those that it was given, as tables name them.
    """

    job: Job
    number: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    note: str = ""
    nonce: str = field(default="", repr=False)
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The jobs of one batch in their order. `root` is the batch folder, `kind` is that of the entry point.

    Raises ValueError when two jobs share a name or a folder (also on file systems that ignore case).
    """

    name: str
    root: Path
    jobs: tuple[Job, ...]
    kind: PlanKind
    created_at: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    options: RunOptions = field(default_factory=RunOptions)
    origin: Mapping[str, Any] = field(default_factory=dict)  # what a sweep or a tree was planned from
    files: Mapping[str, bytes] = field(default_factory=dict, compare=False)  # placed in `root` before the first start
    cwd: Path = field(default_factory=Path.cwd)  # where the user was when it was planned
    moved_from: Path | None = None  # where `root` was then, if it is another folder now

    def declaring(self, not_secret: Sequence[str]) -> Plan:
        """The same plan, whose jobs record the values of these names too, whatever they look like."""
        options = self.options.updated({"not_secret": not_secret})
        if options == self.options:
            return self
        jobs = tuple(replace(job, not_secret=options.not_secret) for job in self.jobs)
        return replace(self, options=options, jobs=jobs)

    def __post_init__(self) -> None:
        for what, values in (
            ("name", [job.name for job in self.jobs]),
            ("folder", [str(job.out_dir).casefold() for job in self.jobs]),
        ):
            twice = {value for value in values if values.count(value) > 1} if len(set(values)) < len(values) else set()
            if twice:
                raise ValueError(f"two jobs have one {what}: {', '.join(sorted(twice))}")
