"""What the runner has to know of a training script before the start: a protocol. An adapter never runs the script."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from runner.configs import config_file, opaque
from runner.configs.config_file import ConfigFile
from runner.configs.evaluator import Context, Evaluator
from runner.configs.overrides import ALIASES, found, meaning, underscored
from runner.core.errors import UserError
from runner.core.options import OF_A_JOB

RESUME = ("--init_from=resume",)  # in nanoGPT: resume from the checkpoint in out_dir


@dataclass(frozen=True, slots=True)
class Checked:
    """A config that the script accepts, and its words on the command line.

    `config` is resolved. `overrides` holds the exact texts to pass, as --key=value unless there are `words`;
    `changes` is key -> (old, new) where they change the config. `warnings` are shown before the batch begins.
    `volatile` are the keys of the config file that have another value at each evaluation. `runs_resolved`: the job gets
    `config` as a file instead of the one that was read, so that what was recorded is what runs.
    """

    config: dict[str, Any]
    overrides: dict[str, str]
    changes: dict[str, tuple[Any, Any]]
    warnings: tuple[str, ...] = ()
    words: tuple[str, ...] | None = None
    out_dir_option: str = "--out_dir"  # empty for a script that has none
    takes_config: bool = True  # else `words` are all of its settings
    disk_bytes: int = 0  # what the job will keep on the disk, where that is known
    resume_args: tuple[str, ...] = ()  # arguments that resume it from a checkpoint, where these are known
    folder: Path | None = None  # where the script has to be run, where that is known
    volatile: tuple[str, ...] = ()
    runs_resolved: bool = False
    relative_paths: bool = False  # the script never changes its folder, so its paths may be relative
    depends_on_path: bool = False  # the place of the config decides on settings: an exact copy elsewhere is not enough

    @property
    def arguments(self) -> tuple[str, ...]:
        """The overrides as words of the command line."""
        return self.words if self.words is not None else tuple(f"--{key}={it}" for key, it in self.overrides.items())


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A config of a tree that is not run unless its subdirectory is given; `trains` is what it is for."""

    trains: str


@dataclass(frozen=True, slots=True)
class Preparation:
    """A program for this Python that makes something which jobs need: `what`, in words, and its command line."""

    what: str
    argv: tuple[str, ...]


class TrainingScript(Protocol):
    """One training script. An adapter derives from this class and has `check`; the rest has defaults.

    `resolves`: the config that `check` returns holds every setting, so a file of it is a job's whole input.
    `needs_device`: it runs on this machine and fails without the `device` of its config, so a missing one is an error
    before the start. Others may call a device by another name, do without one, or run elsewhere.
    `exact_keys`: `check` gets the keys of overrides as they were given; else with underscores, as in `batch_size`.
    """

    resolves: bool = False
    needs_device: bool = False
    exact_keys: bool = False

    def context(self) -> Context | None:
        """What a Python config finds when this script executes it; None: configs are never executed to be read."""
        return Context()

    def read(self, path: Path, evaluator: Evaluator) -> ConfigFile:
        """The config as the script reads it. Raises UserError."""
        context = self.context()
        return opaque.read(path) if context is None else config_file.read(path, evaluator, context)

    def check(self, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
        """Raise one UserError with every error that the script would find, as far as that can be known."""
        ...

    def keys(self, config: ConfigFile) -> Collection[str] | None:
        """The keys that a config may set; None where that is not known. Raises UserError."""
        return None

    def spec_keys(self, config: ConfigFile) -> Collection[str] | None:
        """The keys that a sweep may set for runs that start from this config; None where `check` finds unknown ones."""
        return None if self.resolves else self.keys(config)

    def unread(self, config: Mapping[str, Any]) -> Collection[str]:
        """The keys of a resolved config that change nothing about this job."""
        return ()

    def unprepared(self, config: Mapping[str, Any]) -> Preparation | None:
        """What has to be prepared, such as a dataset, before a job with this resolved config can start."""
        return None

    def unmet_requirements(self) -> list[str]:
        """Sentences on what the script needs and this Python does not have."""
        return []

    def for_tree(
        self, config: ConfigFile, subdir: str, overrides: Mapping[str, str], *, named: bool
    ) -> Mapping[str, str] | LeftOut:
        """The overrides for a config in this subdirectory of a tree: those given, and what the subdirectory means.

        `named`: the subdirectory was given on the command line. Raises UserError.
        """
        return overrides


def accepted(script: TrainingScript, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
    """What `check` says without the options of the runner that the config or the overrides have as keys.

    The config that is recorded has them; the script's command line does not. Raises UserError.
    """
    if not any(underscored(key) in OF_A_JOB for key in (*config.values, *overrides)):
        return script.check(config, overrides)
    own = [key for key in OF_A_JOB if key not in (script.keys(config) or ())]
    bare = replace(config, values={key: value for key, value in config.values.items() if key not in own})
    found = script.check(bare, {key: text for key, text in overrides.items() if underscored(key) not in own})
    given = {underscored(key): text for key, text in overrides.items() if underscored(key) in own}
    before = {key: config.values[key] for key in own if key in config.values}
    after = before | {key: meaning(text) for key, text in given.items()}
    return replace(
        found,
        config={**found.config, **after},
        overrides={**found.overrides, **given},
        words=found.arguments,
        changes=found.changes | changes(before, after, given),
    )


def checked(script: TrainingScript, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
    """What the script makes of a config, and which of it can be recorded. Raises UserError.

    A script that resolves gets what was evaluated here; another one evaluates its config itself, and a value that is
    another one each time is then not known.
    """
    found = accepted(script, config, overrides)
    volatile = tuple(key for key in config.volatile if key not in found.overrides)
    if script.resolves:
        return replace(found, volatile=volatile, runs_resolved=config.evaluated)
    known = {key: value for key, value in found.config.items() if key not in volatile}
    return replace(found, config=known, volatile=volatile)


def normalized(overrides: Mapping[str, str]) -> dict[str, str]:
    """The overrides by keys as scripts spell them: --batch-size is batch_size."""
    return {underscored(key.removeprefix("--")): text for key, text in overrides.items()}


def renamed(overrides: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """The overrides by the names that a script knows: wandb_enabled is wandb_log, where only that one is known.

    Raises UserError for two names of one setting.
    """
    names = {key: ALIASES[key] if key not in known and ALIASES.get(key) in known else key for key in overrides}
    refuse_two_names(names)
    return {names[key]: text for key, text in overrides.items()}


def refuse_two_names(names: Mapping[str, str]) -> None:
    """Raise UserError where two of these keys mean one setting: one of the two values would be lost."""
    first: dict[str, str] = {}
    pairs = [(first.setdefault(name, key), key) for key, name in names.items()]
    if errors := [f"--{one} and --{key} are the same setting; give one of them" for one, key in pairs if one != key]:
        raise UserError(*errors)


def changes(before: Mapping[str, Any], after: Mapping[str, Any], keys: Iterable[str]) -> dict[str, tuple[Any, Any]]:
    """key -> (old, new) for those of `keys` whose values differ."""
    pairs = {key: (found(key, before), found(key, after)) for key in keys}
    # By repr: 1 and True are equal, and an override that turns one into the other is a change.
    return {key: (old, new) for key, (old, new) in pairs.items() if repr(old) != repr(new)}
