"""How every command reads its words: errors are raised and not printed, each option is shown once, with dashes.

An option that is given twice adds up, or is an error: nothing that was given is lost.
"""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, NoReturn

from runner.core import program
from runner.core.errors import UserError
from runner.core.printing import say_all

BASE_OUT_DIR = "experiments"
WIDEST, NARROWEST = 120, 60  # columns of a help
GIVEN = "options_given"  # in a namespace: the name of an option -> each spelling and value with which it was given
WORDS = ("WORDS", "TEMPLATE")  # the metavars of options whose value is words of a command line
#: What names the input of a command, by the option that it stands for.
EXAMPLES = {"--configs": 'run "config/*.py"', "--exp": "sweep sweep.yaml", "--config-root": "tree config"}
_NEGATIVE = re.compile(r"-(\d|\.\d|inf\b).*")  # a value such as -1e-3, which argparse alone takes for an option


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Shows one spelling of each option, in lines that fit the terminal."""

    def __init__(self, prog: str) -> None:
        columns = shutil.get_terminal_size((WIDEST, 24)).columns
        super().__init__(prog, max_help_position=30, width=max(min(columns, WIDEST), NARROWEST) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Lines that do not fit are broken; those that belong together are filled again."""
        if all(len(line) <= width for line in text.splitlines()):
            return super()._fill_text(text, width, indent)
        lines = []
        for prose, group in groupby(text.splitlines(), lambda line: bool(line) and not line.startswith(" ")):
            for line in [" ".join(group)] if prose else group:
                more = " " * (len(line) - len(line.lstrip()) + (0 if prose else 4))
                lines += textwrap.wrap(line, width, subsequent_indent=more, break_long_words=False) or [""]
        return "\n".join(lines)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse._HelpAction):
            return "-h, --help"
        if not action.option_strings:
            return super()._format_action_invocation(action)
        if action.nargs == 0:
            return action.option_strings[0]
        return f"{action.option_strings[0]} {self._format_args(action, (action.dest or '').upper())}"


class _Store(argparse._StoreAction):
    """Keeps what was given, so that an option that is given twice is noticed."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        super().__call__(parser, namespace, values, option)
        if option is not None:
            vars(namespace).setdefault(GIVEN, {}).setdefault(self.dest, []).append((option, values))


class _Added(argparse.Action):
    """A list of words with commas between them; one that is given twice adds up."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest)
        if isinstance(before, str) and isinstance(values, str):
            values = f"{before},{values}"
        elif isinstance(before, list) and isinstance(values, list):
            values = [*before, *values]
        elif before is not None and not isinstance(before, list | str):
            values = before  # its error
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """Raises UserError instead of ending the program."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._negative_number_matcher = _NEGATIVE
        for name in (None, "store"):
            self.register("action", name, _Store)
        self.register("action", "add", _Added)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse does it, but words with a placeholder may begin with dashes: `--resume_args "--x={out_dir}"`."""
        return super().parse_known_args(None if args is None else self._joined(args), namespace)

    def _joined(self, words: Sequence[str]) -> list[str]:
        found: list[str] = []
        for word in words:
            before = self._option_string_actions.get(found[-1]) if found else None
            if before is not None and before.metavar in WORDS and word.startswith("-") and "{" in word:
                found[-1] += f"={word}"
            elif "-n" in self._option_string_actions and before is None and re.fullmatch(r"-\d+", word):
                found += ["-n", word[1:]]  # as tail and head have it
            else:
                found.append(word)
        return found

    def _print_message(self, message: str, file: Any = None) -> None:
        say_all(message.removesuffix("\n"), file=file)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see --help")

    def parse_args(self, *arguments: Any, **settings: Any) -> Any:
        """As argparse does it; raises UserError for options that are given twice."""
        given = super().parse_args(*arguments, **settings)
        if errors := given_twice(taken(given)):
            raise UserError(*errors)
        return given


def taken(given: argparse.Namespace) -> dict[str, list[tuple[str, Any]]]:
    """Remove from a namespace how its options were given."""
    found: dict[str, list[tuple[str, Any]]] = vars(given).pop(GIVEN, {})
    return found


def given_twice(given: Mapping[str, Sequence[tuple[str, Any]]]) -> list[str]:
    """A sentence for each name that was given more than once."""
    return [
        f"--{name}: is given {len(pairs)} times, as {' and '.join(_text(value) for _, value in pairs)}; give it once"
        for name, pairs in given.items()
        if len(pairs) > 1
    ]


def _text(value: Any) -> str:
    """A value as it is given, or nearly so."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return str(value)


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
        example = f"{program.name()} {EXAMPLES[flag]}"
        raise UserError(f"name the input first, before the options, as in {example}; see --help")
    return [*([flag] if inputs or flag == "--resume" else []), *inputs, *rest]
