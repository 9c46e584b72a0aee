"""Shell completion by argcomplete: `eval "$(register-python-argcomplete overnight)"` in the shell's start-up file."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

try:
    import argcomplete
except ImportError:
    argcomplete = None  # type: ignore[assignment]

from runner.cli.batch_folders import batches
from runner.cli.commands.registry import BATCHES, COMMANDS
from runner.cli.options import add_options
from runner.cli.parser import BASE_OUT_DIR, Parser, base_folder
from runner.core.errors import UserError


def complete() -> None:
    """Print completions and end the process; returns if the shell did not request any. Raises UserError."""
    if argcomplete is None:
        raise UserError("shell completion needs argcomplete; install overnight[completion]")
    argcomplete.autocomplete(completion_parser(), always_complete_options="long")


def completion_parser() -> argparse.ArgumentParser:
    """A parser with every command and every option, for the shell alone."""
    top = Parser(allow_abbrev=False)
    add_options(top)
    commands = top.add_subparsers(dest="command_name")
    for name in BATCHES:
        parser = commands.add_parser(name)
        action = parser.add_argument("input", nargs="*")
        if name == "resume":
            action.completer = _batch_names  # type: ignore[attr-defined]
        add_options(parser)
    for name in COMMANDS.names():
        try:
            command = COMMANDS.get(name)
        except UserError:  # a plugin that cannot be imported
            continue
        parser = commands.add_parser(name, help=command.HELP)
        command.add_arguments(parser)
        for action in parser._actions:
            if action.dest in ("batch", "words"):
                action.completer = _batch_names  # type: ignore[attr-defined]
    return top


def _batch_names(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    if not getattr(parsed_args, "base_out_dir", None):
        parsed_args.base_out_dir = BASE_OUT_DIR
    return ["latest", *(path.name for path in batches(base_folder(parsed_args)))]
