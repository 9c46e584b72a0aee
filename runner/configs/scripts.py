"""Say which keys a training script takes and what a config resolves to for it. Never runs the script."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from runner.configs import config_file, inheritance, nanogpt
from runner.configs.config_file import ConfigFile
from runner.configs.nanogpt import Key
from runner.configs.overrides import ALIASES, InvalidValue, found, literal, parse
from runner.configs.preparation import Preparation
from runner.core.errors import UserError, did_you_mean

PROJECT = Path(__file__).resolve().parents[2]

RESUME = ("--init_from=resume",)  # our trainer's word, and nanoGPT's


@dataclass(frozen=True, slots=True)
class Checked:
    """`overrides`: the exact text to pass as --key=value; `changes`: key -> (old, new) where they change the config."""

    config: dict[str, Any]
    overrides: dict[str, str]
    changes: dict[str, tuple[Any, Any]]
    warnings: tuple[str, ...]
    disk_bytes: int = 0  # what the job will keep on the disk, where that is known
    resume_args: tuple[str, ...] = ()  # what lets it go on from a checkpoint, where that is known
    folder: Path | None = None  # where the script wants to be run, where that is known


def read(script: Path | None, path: Path) -> ConfigFile:
    """The config as the script reads it: ours follows `base:`, to others it means anything. Raises UserError."""
    return inheritance.whole(path) if is_ours(script) else config_file.read(path)


def check(script: Path | None, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
    """Raise one UserError with all that the script would refuse, as far as its text tells."""
    given = {key.removeprefix("--").replace("-", "_"): text for key, text in overrides.items()}
    if script is None:
        return _as_it_is(config, given)
    if is_ours(script):
        return _ours(config, given)
    keys = nanogpt.keys(script)
    return _as_it_is(config, given) if keys is None else _nanogpt(script, keys, config, given)


def is_ours(script: Path | None) -> bool:
    """True for train_run.py, whose settings say everything about it."""
    return script is not None and script.resolve() == PROJECT / "train_run.py"


def keys(script: Path | None, config: ConfigFile) -> set[str] | None:
    """The keys that a config of `script` may set; None where nothing is known of it."""
    if is_ours(script):
        return set(_configurator().class_for(config, {}).model_fields)
    known = nanogpt.keys(script) if script is not None else None
    return None if known is None else set(known)


def pipeline(config: ConfigFile, overrides: Mapping[str, str]) -> str:
    """What a config of ours trains: the pipeline that is named, or that knows the most keys. Raises UserError."""
    return str(_configurator().class_for(config, overrides).model_fields["pipeline"].default)


def fitting(config: ConfigFile, overrides: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Those of `defaults` that a config of ours leaves open, and that its pipeline can take. Raises UserError."""
    fields = _configurator().class_for(config, overrides).model_fields
    left_open = (defaults.keys() & fields.keys()) - {*config.values, *overrides}
    return {key: text for key, text in defaults.items() if key in left_open and _takes(fields[key], text)}


def _takes(field: Any, text: str) -> bool:
    try:
        parse(text, field.annotation)
    except InvalidValue:
        return False
    return True


def unread(script: Path | None, config: Mapping[str, Any]) -> Collection[str]:
    """Keys of a resolved config that its pipeline does not look at, where it says so."""
    return _configurator().unread(config) if is_ours(script) else ()


def unprepared(config: Mapping[str, Any]) -> Preparation | None:
    """What prepares the dataset of a config of ours, if that has not been done yet."""
    words = _configurator().unprepared(config)
    return Preparation(str(config["dataset"]), tuple(words)) if words else None


def _configurator() -> ModuleType:
    """The module that resolves our configs; raises UserError where what it needs is not installed."""
    if str(PROJECT) not in sys.path:  # started from elsewhere, as `python -m` does
        sys.path.insert(0, str(PROJECT))
    try:
        return importlib.import_module("configurator")
    except ModuleNotFoundError as error:
        raise UserError(f"train_run.py needs {error.name}; pip install -r requirements.txt") from None


def _ours(config: ConfigFile, given: Mapping[str, str]) -> Checked:
    """train_run.py: its settings say everything."""
    configurator = _configurator()
    settings = configurator.resolve(config, given)
    resolved = settings.model_dump(mode="json")
    texts = {
        key: str(resolved[key]) if isinstance(resolved.get(key), bool) else text
        for key, text in configurator.canonical(type(settings), given).items()
    }
    try:
        before = configurator.resolve(config, {}).model_dump(mode="json")
    except UserError:  # the config is wrong alone, and an override mends it
        before = configurator.resolve_for(type(settings), None, {}).model_dump(mode="json") | config.values
    room = configurator.checkpoint_bytes(settings)
    going_on = RESUME if "init_from" in resolved else ()
    return Checked(resolved, texts, _changes(before, resolved, texts), (), room, going_on)


def _nanogpt(script: Path, keys: Mapping[str, Key], config: ConfigFile, given: Mapping[str, str]) -> Checked:
    problems, warnings = _foreign_file(script, keys, config)
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    for key, text in _renamed(given, keys).items():
        try:
            if key not in keys:
                meant = did_you_mean(key, keys, dashes="--")
                raise InvalidValue(f": unknown key; {meant or f'{script} does not define it'}")
            texts[key], values[key] = nanogpt.argument(text, keys[key].kind)
        except InvalidValue as error:
            problems.append(f"--{key}{'' if str(error).startswith(':') else ' '}{error}")
    if problems:
        raise UserError(*problems)
    defaults = {name: key.default for name, key in keys.items() if key.default is not nanogpt.UNKNOWN}
    before = defaults | config.values
    resolved = before | values
    resume = RESUME if "init_from" in keys else ()
    # The convention is exec(open('configurator.py').read()): from another folder it would find another one, ours say.
    folder = script.resolve().parent
    folder_or_none = folder if (folder / "configurator.py").is_file() else None
    changes = _changes(before, resolved, texts)
    return Checked(resolved, texts, changes, tuple(warnings), resume_args=resume, folder=folder_or_none)


def _foreign_file(script: Path, keys: Iterable[str], config: ConfigFile) -> tuple[list[str], list[str]]:
    """A key that is nearly one of the script's is a typo; any other may be the config's own affair."""
    problems: list[str] = []
    warnings: list[str] = []
    if config.path.suffix != ".py":
        problems.append(f"{config.path}: {script} executes its config as Python; write a .py config")
    for key in config.values:
        if key in keys:
            continue
        if (meant := did_you_mean(key, keys)) is not None:
            problems.append(f"{config.place(key)}: unknown key {key!r}; {meant}")
        else:
            warnings.append(f"{config.place(key)}: {script} does not know the key {key!r}")
    return problems, warnings


def _as_it_is(config: ConfigFile, given: Mapping[str, str]) -> Checked:
    """A program of which nothing is known takes the text as the user wrote it."""
    texts = {ALIASES.get(key, key) if key not in config.values else key: text for key, text in given.items()}
    values = {key: _meaning(text) for key, text in texts.items()}
    resolved = config.values | values
    return Checked(resolved, texts, _changes(config.values, resolved, values), ())


def _meaning(text: str) -> Any:
    try:
        return literal(text)
    except ValueError:
        return text


def _renamed(given: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    known = set(keys)
    return {
        ALIASES[key] if key not in known and ALIASES.get(key) in known else key: text for key, text in given.items()
    }


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], keys: Iterable[str]) -> dict[str, tuple[Any, Any]]:
    pairs = {key: (found(key, before), found(key, after)) for key in keys}
    # By repr: 1 and True are equal, and an override that turns one into the other is a change.
    return {key: (old, new) for key, (old, new) in pairs.items() if repr(old) != repr(new)}
