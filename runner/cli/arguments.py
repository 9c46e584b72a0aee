"""The words of a command line -> options and overrides, checked. Starts nothing."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.cli import starting
from runner.cli.option_types import Default, Invalid
from runner.cli.options import OF_TREES, SIMULATION, parser
from runner.cli.parser import BASE_OUT_DIR, given_twice, taken
from runner.configs import overrides as texts
from runner.configs.config_file import SUFFIXES
from runner.configs.overrides import Given, underscored
from runner.configs.registry import documented_settings
from runner.core import program, redact
from runner.core.errors import UserError
from runner.core.options import NAMES, RunOptions

#: Options that a tree of configs does not take -> what to do instead.
_NOT_OF_TREES = {
    "configs": "give one of them",
    "exp": "give one of them",
    "command": "a tree is run by a --train_script",
    "name": "its outputs are in --output_root",
    "base_out_dir": "use --output_root for the folder of its outputs",
}
_REPLACED = f"{redact.REDACTED} stands for a secret that was not written down; give the value itself"
#: Options that are given by a sweep's spec.
_NOT_OF_SWEEPS = {
    "configs": "the spec names its configs",
    "name": "the spec names the experiment",
    "exclude": "the key exclude of the spec leaves out runs",
}


@dataclass(frozen=True, slots=True)
class Arguments:
    """A parsed command line. `errors` were found in it."""

    given: argparse.Namespace
    overrides: Mapping[str, str]
    words: Sequence[str]
    errors: Sequence[str] = ()


def parse(words: Sequence[str]) -> Arguments:
    """Options, overrides, and the errors in them. Raises UserError where parsing cannot continue."""
    words = _configs_meant(words)
    given, rest = parser().parse_known_args(words)
    spelled = taken(given)
    errors = given_twice({name: pairs for name, pairs in spelled.items() if name not in documented_settings()})
    errors += [f"--{name}: {value.why}" for name, value in _values(given) if isinstance(value, Invalid)]
    if given.resume is not None and given.config_root is not None:
        raise UserError(*errors, "--resume: a tree of configs is continued by the same command without --resume")
    if given.resume is not None and given.exp is None:
        errors += ["--extend and --only do not go together"] if given.extend and given.only else []
        if given.extend and given.limit:  # the new setting is that of the whole batch
            errors.append("--extend and --limit do not go together: every job is continued; leave out --limit")
        errors += _not_with_resume(given, rest)
        if errors:
            raise UserError(*errors)
        return Arguments(given, {}, words)
    if given.resume is None and (given.only or given.accept_changes or given.accept_moved):
        errors.append("--only, --accept_changes and --accept_moved need --resume")
    if given.extend and (given.resume is None or given.exp is not None):
        errors.append("--extend needs --resume, and a batch that is named by its folder")
    errors += _misplaced(given)
    if not given.configs and given.exp is None and given.config_root is None:
        raise UserError(*errors, _nothing_named())
    if given.exp is not None:
        errors += [f"--{key} does not go with --exp: {why}" for key, why in _NOT_OF_SWEEPS.items() if vars(given)[key]]
    elif given.mode is not None:
        rest = [*rest, f"--mode={given.mode}"]  # a key of the configs
    if given.exp is None:
        rest += _of_search(given)
    if given.KEY is not None:
        errors.append(f"--KEY means any key of your configs, as in --n_layer {given.KEY}")
    documented = [Given(option.removeprefix("--"), text) for key in documented_settings()
                  for option, text in spelled.get(key, ())]  # fmt: skip
    overrides, wrong = _overrides(given, documented, rest)
    return Arguments(given, overrides, words, errors + wrong)


def _of_search(given: argparse.Namespace) -> list[str]:
    """The options of a search as keys of the configs, which they are where there is none."""
    words = [f"--search={word}" for word in given.search or ()]
    words += [f"--{key}={text}" for key in ("trials", "search_confirm") if (text := vars(given)[key]) is not None]
    given.search = given.trials = given.search_confirm = None
    return words


def _nothing_named() -> str:
    """The first error that a newcomer makes: the command alone."""
    if program.name() == program.COMMAND:
        return 'name what to run, as in overnight run "config/*.py" --train-script train.py; --help lists all commands'
    return '--configs is missing: name the configs to run, as in --configs "config/*.py"'


def _values(given: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Every option with its value; one that was given several times with each of them."""
    for name, value in vars(given).items():
        option = {"metric_patterns": "metric_pattern"}.get(name, name)
        yield from ((option, one) for one in (value if isinstance(value, list) else [value]))


def _configs_meant(words: Sequence[str]) -> Sequence[str]:
    """--config means --configs, unless the input is named otherwise: then it is a key of the configs."""
    named = {word.partition("=")[0].replace("-", "_").lstrip("_") for word in words if word.startswith("--")}
    if named & {"configs", "exp", "config_root", "resume"}:
        return words
    return [re.sub(r"^--config(?==|$)", "--configs", word) for word in words]


def run_options(given: argparse.Namespace) -> RunOptions:
    """The run options that were given, and the defaults of all others."""
    return RunOptions().updated(given_options(given))


def given_options(given: argparse.Namespace) -> dict[str, Any]:
    """The run options that were given."""
    found = {name: value for name in NAMES if (value := getattr(given, name)) is not None and value is not False}
    return {name: getattr(RunOptions(), name) if value is Default else value for name, value in found.items()}


def simulation_flags(given: argparse.Namespace) -> dict[str, str]:
    """The settings of SIMULATION that were given, as overrides."""
    return {key: vars(given)[key] for key in SIMULATION if vars(given)[key] is not None}


def _misplaced(given: argparse.Namespace) -> list[str]:
    """Options that do not go together, as far as a tree of configs is concerned."""
    if given.config_root is None:
        names = [name for name in OF_TREES if vars(given)[name]]
        return [f"--{name} goes with --config_root, which names a folder of configs" for name in names]
    names = [name for name in ("configs", "exp", "command", "name") if vars(given)[name]]
    if given.base_out_dir != BASE_OUT_DIR:
        names.append("base_out_dir")
    return [f"--{name} does not go with --config_root; {_NOT_OF_TREES[name]}" for name in names]


def _overrides(
    given: argparse.Namespace, documented: Sequence[Given], rest: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """The settings among the options and among the words that argparse did not know, by their keys as given."""
    if "-m" in rest[:-1]:
        at = rest.index("-m")
        found, errors = _overrides(given, documented, [*rest[:at], *rest[at + 2 :]])
        return found, [f"-m {rest[at + 1]}: unknown option; a module is given as --module {rest[at + 1]}", *errors]
    words, others, errors = texts.given(rest)
    errors = [wrong for word in rest if word.startswith("--") and (wrong := _misspelled(word))] or errors
    errors = [_not_expected(word) for word in words] + errors
    others = [one for one in others if not _misspelled(f"--{one.key}")]
    pairs = [*documented, *others]
    errors += _repeated(pairs)
    errors += [wrong for one in others if (wrong := _is_config(one, given.configs or ()))]
    found, wrong_values = _settings(pairs)
    errors += wrong_values
    errors += [f"--{key} {text}: {_REPLACED}" for key, text in found.items() if redact.unrecorded([f"--{key}={text}"])]
    for key, text in simulation_flags(given).items():
        try:
            setattr(given, key, str(texts.boolean(text)))
        except ValueError:
            errors.append(f"--{key} {text}: is neither true nor false")
            setattr(given, key, None)
    errors += [
        f"--{option}: {_REPLACED}"
        for option in ("command", "resume_args")
        if (words := vars(given)[option]) is not None and redact.unrecorded([words])
    ]
    return found, errors


def _settings(pairs: Sequence[Given]) -> tuple[dict[str, str], list[str]]:
    """The overrides; booleans as Python writes them. And errors for those that the runner itself decides."""
    found: dict[str, str] = {}
    errors: list[str] = []
    documented = documented_settings()
    for key, text, _ in pairs:
        name = underscored(key)
        if name == "out_dir":
            fix = "use --base_out_dir for the folder of the batches"
            errors.append(f"--out_dir is set by the runner for each job; {fix}")
        elif name == "init_from" and text == "resume":
            errors.append("--init_from resume: each job gets a new folder; use --resume to continue a batch")
        elif name == "wandb_log" or (name in documented and documented[name].boolean):
            try:
                found[key] = str(texts.boolean(text))
            except ValueError:
                errors.append(f"--{key} {text}: is neither true nor false")
        else:
            found[key] = text
    return found, errors


def _repeated(pairs: Sequence[Given]) -> list[str]:
    """Errors for keys that are given more than once, in either spelling."""
    by_name: dict[str, list[tuple[str, Any]]] = {}
    for one in pairs:
        by_name.setdefault(underscored(one.key), []).append((one.key, one.text))
    return given_twice(by_name)


def _is_config(one: Given, patterns: Sequence[str]) -> str | None:
    """The error for a value that is one of the configs: `--amp c/a.py` may be a flag before a config."""
    path = Path(one.text)
    if not one.apart or path.suffix not in SUFFIXES or not path.is_file():
        return None
    if not any((path.parent, path.suffix) == (Path(pattern).parent, Path(pattern).suffix) for pattern in patterns):
        return None
    cause = f"is {one.text} its value, or a config"
    return f"--{one.key}: {cause}? Write --{one.key}={one.text}, or --{one.key}=true and name the config with --configs"


def _not_expected(word: str) -> str:
    hint = texts.several() if re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", word) else "options begin with --, see --help"
    return f"{word!r} was not expected here; {hint}"


def _not_with_resume(given: argparse.Namespace, rest: Sequence[str]) -> list[str]:
    """Errors for arguments that would change a resumed batch."""
    own = ("mode", "search", "configs", "exclude", *starting.KEYS, "resume_args")
    fixed = (*documented_settings(), *SIMULATION, *own)
    names = [f"--{key}" for key in fixed if getattr(given, key) is not None]
    names += [word for word in rest if word.startswith("--")]
    if names:
        hint = "start a new batch, edit the configs, or use --extend KEY=VALUE to train longer"
        return [f"{names[0]} cannot be changed by --resume; {hint}"]
    return [_not_expected(word) for word in rest[:1]]


def _misspelled(word: str) -> str | None:
    """A misspelt option of ours would otherwise pass as a key of a script that we cannot read."""
    others = (*documented_settings(), "exp", "mode", "show")
    own = [action.dest for action in parser()._actions if action.dest not in others]
    key = underscored(word.removeprefix("--").partition("=")[0])
    meant = difflib.get_close_matches(key, own, n=1, cutoff=0.85)
    return f"--{key}: unknown option; did you mean --{meant[0]}?" if meant else None
