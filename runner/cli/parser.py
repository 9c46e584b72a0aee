"""How every command reads its words: errors are raised and not printed, each option is shown once, with dashes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from runner.core import program
from runner.core.errors import UserError

BASE_OUT_DIR = "experiments"


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Shows one spelling of each option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=118)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse._HelpAction):
            return "-h, --help"
        if not action.option_strings:
            return super()._format_action_invocation(action)
        if action.nargs == 0:
            return action.option_strings[0]
        return f"{action.option_strings[0]} {self._format_args(action, (action.dest or '').upper())}"


class Parser(argparse.ArgumentParser):
    """Raises UserError instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see --help")


def command_parser(name: str, purpose: str) -> Parser:
    """The parser of one command."""
    return Parser(prog=f"{program.name()} {name}", description=purpose, formatter_class=Formatter, allow_abbrev=False)


def add(group: argparse._ActionsContainer, name: str, **settings: object) -> argparse.Action:
    """Add an option in both spellings, --batch-size and --batch_size; help shows the one with dashes."""
    dashed = f"--{name.replace('_', '-')}"
    spellings = dict.fromkeys([dashed, f"--{name}"])
    return group.add_argument(*spellings, dest=name, **settings)  # type: ignore[arg-type]


def add_base(parser: argparse.ArgumentParser) -> None:
    """The option for the folder of the batches."""
    add(parser, "base_out_dir", default=BASE_OUT_DIR, metavar="DIR", help="folder of the batches: experiments")


def base_folder(given: argparse.Namespace) -> Path:
    """The folder of the batches."""
    return Path.cwd() / Path(given.base_out_dir).expanduser()


def with_flag(flag: str, words: Sequence[str]) -> list[str]:
    """`CONFIG... --option` of a command -> `--configs CONFIG... --option`. Raises UserError where no input is named."""
    inputs = list(takewhile(lambda word: not word.startswith("-"), words))
    rest = list(words[len(inputs) :])
    if not inputs and flag != "--resume" and not any(word.partition("=")[0] == flag for word in rest):
        raise UserError("name the input first, before the options; see --help")
    return [*([flag] if inputs or flag == "--resume" else []), *inputs, *rest]
