"""The commands by name. A command is a module, or an object like one, that is imported when it is used."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Protocol

from runner.core.registry import Registry


class Command(Protocol):
    """`HELP` is one line on it; `add_arguments` tells a parser its options, for help and shell completion."""

    HELP: str

    def add_arguments(self, parser: ArgumentParser) -> None: ...
    def main(self, words: Sequence[str]) -> int:
        """Obey the words behind the command's name; returns the exit code. Raises UserError."""


BATCHES = ("run", "sweep", "tree", "resume")  # they share their options, and their help
NAMES = (*BATCHES, "list", "status", "tail", "attach", "stop", "rerun", "table")
COMMANDS: Registry[Command] = Registry(
    "runner.commands", "command", {name: f"runner.cli.commands.{name}" for name in NAMES}
)
