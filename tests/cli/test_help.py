"""The help of every command fits a terminal of 80 columns, and says what the command is for."""

from __future__ import annotations

import pytest

from runner.cli.arguments import parse
from runner.cli.commands.registry import BATCHES, COMMANDS, NAMES
from runner.cli.options import help_for, parser
from runner.cli.overview import GROUPS, overview
from runner.cli.parser import command_parser
from runner.core.errors import UserError


def help_of(name: str) -> str:
    if name in BATCHES:
        return help_for(name)
    if not name:
        return overview()
    if name == "every option":
        return parser().format_help()
    command = COMMANDS.get(name)
    made = command_parser(name, command.HELP)
    command.add_arguments(made)
    return made.format_help()


@pytest.mark.parametrize("name", ["", "every option", *BATCHES, *NAMES])
def test_a_help_fits_eighty_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.argv", ["overnight"])
    text = help_of(name)
    assert text.startswith("usage: overnight ") and len(text.splitlines()) > 4
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_the_overview_has_each_command_once() -> None:
    listed = [line.partition(" ")[0] for group in GROUPS.values() for line in group]
    assert sorted(listed) == sorted([*BATCHES, *NAMES])


def test_the_command_alone_says_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/overnight"])
    with pytest.raises(UserError, match=r"name what to run, as in overnight run .*--help"):
        parse([])
    monkeypatch.setattr("sys.argv", ["run_experiments.py"])
    with pytest.raises(UserError, match="--configs is missing"):
        parse([])
