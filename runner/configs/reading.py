"""Read the configs of a batch: those that have to be executed are executed together, and none hides another's error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from runner.configs import config_file, pythonfile
from runner.configs.config_file import ConfigFile
from runner.configs.evaluator import Context, Evaluator, Task
from runner.configs.training_script import TrainingScript
from runner.core.errors import UserError
from runner.core.text import listed


def read_all(script: TrainingScript, paths: Sequence[Path], time_limit: float) -> list[ConfigFile | UserError]:
    """Each config as the script reads it, or its errors. `time_limit` is that of one evaluation, in seconds."""
    return list(read_each(script, paths, time_limit))


def read_each(script: TrainingScript, paths: Sequence[Path], time_limit: float) -> Iterator[ConfigFile | UserError]:
    """The same, one after another: not all of ten thousand have to be kept."""
    evaluator = Evaluator(time_limit, twice=True)
    context = script.context()
    if context is not None:
        evaluator.prefetch(_tasks(paths, context))
    return (_read(script, path, evaluator) for path in paths)


def found(read: ConfigFile | UserError) -> ConfigFile:
    """The config. Raises its errors."""
    if isinstance(read, UserError):
        raise read
    return read


def _tasks(paths: Iterable[Path], context: Context) -> list[Task]:
    tasks = []
    for path in paths:
        if config_file.kind(path) == ".py":
            try:
                task = pythonfile.task(path, config_file.read_text(path), context)
            except UserError:  # reported when it is read
                continue
            tasks += [task] if task is not None else []
    return tasks


def _read(script: TrainingScript, path: Path, evaluator: Evaluator) -> ConfigFile | UserError:
    try:
        return script.read(path, evaluator)
    except UserError as error:
        return error


def noted(config: ConfigFile) -> list[ConfigFile]:
    """The config as `notices` needs it, without its contents; none where there is nothing to say of it."""
    unusual = config.volatile or config.partial is not None
    return [replace(config, source=b"", values={}, lines={}, bases={})] if unusual else []


def notices(script: TrainingScript, configs: Sequence[ConfigFile], overrides: Iterable[str]) -> list[str]:
    """What is not as usual about some configs: values that differ at each evaluation, and what could not be read."""
    kept = "the job gets what is recorded" if script.resolves else "not recorded, and not counted as a change"
    return drawn(configs, overrides, kept) + _unread(configs)


def drawn(configs: Iterable[ConfigFile], overrides: Iterable[str], kept: str) -> list[str]:
    """A note for each group of values that differ at each evaluation; `kept` says what becomes of them."""
    given = {key.removeprefix("--").replace("-", "_") for key in overrides}
    paths: dict[str, list[str]] = {}
    for config in configs:
        if keys := [key for key in config.volatile if key not in given]:
            paths.setdefault(_differ(keys), []).append(str(config.path))
    return [f"{listed(group, 3)}: {what} at each evaluation; {kept}" for what, group in paths.items()]


def _differ(keys: Sequence[str]) -> str:
    return f"{listed(keys, 5)} is another value" if len(keys) == 1 else f"{listed(keys, 5)} are other values"


def _unread(configs: Iterable[ConfigFile]) -> list[str]:
    """A note for each reason: fifty training scripts have one."""
    paths: dict[str, list[str]] = {}
    for config in configs:
        if config.partial is not None:
            paths.setdefault(config.partial, []).append(str(config.path))
    rest = "not read completely, and compared by SHA-256"
    return [f"{listed(group, 3)}: {rest} ({why})" for why, group in paths.items()]
