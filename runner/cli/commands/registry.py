"""The commands by name. A command is a module, or an object like one, that is imported when it is used."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Protocol

from runner.core.registry import Registry


class Command(Protocol):
    """`HELP` is one line on it; `add_arguments` adds its options to a parser, for the command, help and completion.

    With a true `TAKES_OVERRIDES`, `main` gets the words that its parser does not know as `given.overrides`.
    """

    HELP: str

    def add_arguments(self, parser: ArgumentParser) -> None: ...
    def main(self, given: Namespace) -> int:
        """Run the command; returns the exit code. Raises UserError."""


#: Commands that are an option of a batch, `run CONFIG...` is `--configs CONFIG...`: they have the same options.
BATCHES = {"run": "--configs", "sweep": "--exp", "tree": "--config-root", "resume": "--resume"}
NAMES = (
    "list", "status", "tail", "attach", "wait", "stop", "skip", "add", "move", "rerun", "table", "compare", "diff",
    "report", "plot", "serve", "note", "tag", "notify", "doctor", "du", "clean", "rm",
)  # fmt: skip
COMMANDS: Registry[Command] = Registry(
    "runner.commands", "command", {name: f"runner.cli.commands.{name}" for name in NAMES}
)
