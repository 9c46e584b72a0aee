"""The help of every command fits a terminal of 80 columns, and says what the command is for."""

from __future__ import annotations

import re
import textwrap

import pytest

from runner.cli.arguments import parse
from runner.cli.commands.registry import BATCHES, COMMANDS, NAMES
from runner.cli.options import help_for, parser
from runner.cli.overview import GROUPS, overview
from runner.cli.parser import command_parser
from runner.core.errors import UserError
from tests.conftest import Workspace


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


@pytest.mark.parametrize(
    ("words", "errors"),
    [
        (["--lr", "1", "2"], ["'2' was not expected here; several values are a sweep, see overnight sweep --help"]),
        (["--lr", "0.1", "b.yaml"], ["'b.yaml' was not expected here; options begin with --, see --help"]),
        (["--max_worker", "2"], ["--max_worker: unknown option; did you mean --max_workers?"]),
    ],
)
def test_a_first_error_is_one_sentence(monkeypatch: pytest.MonkeyPatch, words: list[str], errors: list[str]) -> None:
    monkeypatch.setattr("sys.argv", ["overnight"])
    found = parse(["--configs", "a.yaml", *words])
    assert [re.sub(r"see .*overnight sweep", "see overnight sweep", one) for one in found.errors] == errors
    assert "max_worker" not in found.overrides


def test_the_help_of_a_sweep_shows_a_spec_that_can_be_run(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (shown,) = re.findall(r"^a spec, .*:\n((?:  .*\n)+)", help_for("sweep"), re.MULTILINE)
    work.write("sweep.yaml", textwrap.dedent(shown))
    work.write("base.yaml", "epochs: 1\n")
    work.write("train.py", "import argparse\nprint('a job')\n")
    assert "6 jobs would run" in work.run("sweep", "sweep.yaml", "--dry-run", code=0).stdout
