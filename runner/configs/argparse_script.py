"""Scripts with argparse: check overrides against the arguments that their text shows. Never runs the script."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner.configs import argparse_reader
from runner.configs.argparse_arguments import (
    UNKNOWN,
    Argument,
    Arguments,
    Rendered,
    config_option,
    out_dir_option,
    render,
)
from runner.configs.config_file import DIGEST, ConfigFile, read_text
from runner.configs.evaluate import UnsupportedValue, plain
from runner.configs.overrides import ALIASES, meaning, of_spelling, underscored
from runner.configs.training_script import Checked, TrainingScript, changes, refuse_two_names
from runner.configs.unknown_script import UnknownScript
from runner.core.errors import UserError


@dataclass(frozen=True, slots=True)
class ArgparseScript(TrainingScript):
    """A script, and its arguments; None where its text does not show them.

    It is started as `SCRIPT CONFIG --out_dir=FOLDER` and the overrides. One that takes no config file gets the
    settings of the config as its options.
    """

    script: Path
    arguments: Arguments | None

    exact_keys = True

    def context(self) -> None:
        """Its configs are not executed: it reads them itself."""

    def spec_keys(self, config: ConfigFile) -> Collection[str] | None:
        """What its parser knows, and what the config has: how it reads that is not known."""
        if self.arguments is None or self.arguments.passes_unknown or not self.arguments.complete:
            return None
        return {*config.values, *(key for one in self.arguments.arguments for key in (one.dest, *one.keys))}

    def check(self, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
        if self.arguments is None:
            return self._unchecked(config, overrides)
        if _takes_no_config(self.arguments):
            return self._with_options(self.arguments, config, overrides)
        errors = list(_refused(self.script, self.arguments))
        given = _named(self.arguments, config, overrides)
        try:
            rendered = render(self.arguments, given, script=str(self.script), provided=_provided(self.arguments))
        except UserError as error:
            raise UserError(*errors, *error.problems) from None
        if errors:
            raise UserError(*errors)
        values = {key: _value(self.arguments, rendered, key, text) for key, text in given.items()}
        resolved = config.values | values
        before = _defaults(self.arguments, given) | config.values
        return Checked(
            resolved,
            given,
            changes(before, resolved, values),
            rendered.warnings,
            words=rendered.line,
            out_dir_option=_out_dir_option(self.arguments),
        )

    def _with_options(self, arguments: Arguments, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
        """The settings of the config, and the overrides, as options of the script. Raises UserError."""
        folder = out_dir_option(arguments)
        given = _named(arguments, config, overrides)
        settings = _texts(self.script, config)
        for key in (*settings, *given):
            if folder is not None and arguments.find(key) is folder:
                raise UserError(f"{config.place(key)}: {key} is set by the runner for each job; leave it out")
        provided = () if folder is None else (folder.dest,)
        try:
            rendered = render(arguments, {**settings, **given}, script=str(self.script), provided=provided)
        except UserError as error:
            raise UserError(*(_at_its_place(problem, config, given) for problem in error.problems)) from None
        values = {key: _value(arguments, rendered, key, text) for key, text in given.items()}
        resolved = config.values | values
        before = _defaults(arguments, given) | config.values
        unkept = f"{self.script}: has no option for a folder, so the files that it writes are not in those of its jobs"
        return Checked(
            resolved,
            given,
            changes(before, resolved, values),
            rendered.warnings if folder is not None else (*rendered.warnings, unkept),
            words=rendered.line,
            out_dir_option="" if folder is None else folder.option,
            takes_config=False,
        )

    def _unchecked(self, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
        checked = UnknownScript().check(config, overrides)
        if not overrides:
            return checked
        cause = "its text does not show which arguments it takes; the overrides are passed unchecked"
        return replace(checked, warnings=(f"{self.script}: {cause}",))


def recognize(script: Path) -> ArgparseScript | None:
    """The adapter, if the script is Python and uses argparse. Raises UserError for a script that cannot be parsed."""
    arguments = argparse_reader.read(script)
    if arguments is None and not _mentions_argparse(script):
        return None
    return ArgparseScript(script, arguments)


def _mentions_argparse(script: Path) -> bool:
    return script.suffix == ".py" and "argparse" in read_text(script)


def _takes_no_config(arguments: Arguments) -> bool:
    """Whether it is certain that the script reads no config file."""
    return arguments.complete and not arguments.passes_unknown and config_option(arguments) is None


def _texts(script: Path, config: ConfigFile) -> dict[str, str]:
    """The values of a config as they are given on a command line. Raises UserError where not all of them are known."""
    if DIGEST in config.values:
        cause = config.partial or "is not a config that the runner reads"
        fix = f"write plain values, since {script} takes no config file and gets them as options"
        raise UserError(f"{config.path}: {cause}; {fix}")
    return {key: _text(value) for key, value in config.values.items() if value is not None}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _at_its_place(problem: str, config: ConfigFile, given: Mapping[str, str]) -> str:
    """The sentence with the place in the config instead of the option, where the value comes from there."""
    key = problem.removeprefix("--").split(" ")[0].rstrip(":")
    if not problem.startswith("--") or key in given or key not in config.values:
        return problem
    return f"{config.place(key)}: {problem.removeprefix('--')}"


def _refused(script: Path, arguments: Arguments) -> Iterator[str]:
    """What the script does not accept of the runner's usual command line, with a command that it accepts."""
    if arguments.passes_unknown or not arguments.complete:
        return
    missing = []
    if not any(argument.nargs != 0 for argument in arguments.positionals):
        missing.append("a config as its first argument")
    if _out_dir(arguments) is None:
        missing.append("--out_dir")
    if not missing:
        return
    config = config_option(arguments)
    assert config is not None  # else it gets its settings as options
    words = ["python" if script.suffix == ".py" else "", str(script), _placed(config, "{config}")]
    words += [_placed(folder, "{out_dir}") for folder in [out_dir_option(arguments)] if folder is not None]
    command = " ".join(word for word in [*words, "{overrides}"] if word)
    yield f'{script}: does not take {" or ".join(missing)}; start it with --command "{command}"'


def _named(arguments: Arguments, config: ConfigFile, overrides: Mapping[str, str]) -> dict[str, str]:
    """The overrides by the config's spelling of their keys, or else by the names that the script knows.

    Where it may know others, these are spelled as given, but for an alias. Raises UserError for two names of one.
    """
    others = arguments.passes_unknown or not arguments.complete
    names = {}
    for given in overrides:
        key = underscored(given) if arguments.find(given) is not None else given
        alias = ALIASES.get(underscored(given), key)
        set_already = of_spelling(given, config.values) in config.values
        if arguments.find(key) is None and (arguments.find(alias) is not None or (others and not set_already)):
            key = alias
        argument = arguments.find(key)
        same = (key, *argument.keys, argument.dest) if argument is not None else (key,)
        known = (name for name in same if of_spelling(name, config.values) in config.values)
        names[given] = of_spelling(next(known, key), config.values)
    refuse_two_names(names)
    return {names[given]: text for given, text in overrides.items()}


def _placed(argument: Argument, value: str) -> str:
    return f"{argument.option} {value}" if argument.options else value


def _out_dir(arguments: Arguments) -> Argument | None:
    """The option that --out_dir, or a spelling of it, means."""
    argument = arguments.find("out_dir")
    return None if argument is None or argument.is_flag or not argument.options else argument


def _out_dir_option(arguments: Arguments) -> str:
    argument = _out_dir(arguments)
    return "--out_dir" if argument is None or "--out_dir" in argument.options else argument.option


def _provided(arguments: Arguments) -> set[str]:
    """The dests of what is passed anyway: the config, and the folder of the outputs."""
    passed = [*arguments.positionals[:1], _out_dir(arguments)]
    return {argument.dest for argument in passed if argument is not None}


def _value(arguments: Arguments, rendered: Rendered, key: str, text: str) -> Any:
    """The value of an override in records: its literal; the script's value only where the word had to be changed."""
    argument = arguments.find(key)
    if argument is None or rendered.words[key] == (f"--{key}={text}",):
        return meaning(text)
    try:
        return plain(rendered.values[argument.dest])
    except UnsupportedValue:
        return text


def _defaults(arguments: Arguments, keys: Mapping[str, str]) -> dict[str, Any]:
    """The script's own values of these keys, where its text shows them."""
    pairs = {key: argument.default for key in keys if (argument := arguments.find(key)) is not None}
    return {key: value for key, value in pairs.items() if value is not UNKNOWN}
