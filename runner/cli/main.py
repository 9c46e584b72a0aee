"""The command line: find the command, run it, turn what it raises into one printed error and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path

from runner import __version__
from runner.cli.commands.registry import BATCHES, COMMANDS
from runner.cli.options import help_for
from runner.cli.options import parser as batch_parser
from runner.cli.overview import overview
from runner.cli.parser import command_parser, with_flag
from runner.core import program
from runner.core.checkout import load_plugins
from runner.core.errors import UserError, did_you_mean, print_error
from runner.core.printing import say, say_all, silence
from runner.processes.signals import unblock

SIGNALLED = 128  # plus the number of the signal
AFTER_CALLBACK = 0.02  # seconds in which a callback of Python's own has ended
NO_HOME = "Could not determine home directory."  # what pathlib says of ~NAME
DASHES = "–—−"  # what word processors make of a hyphen
FILES = (".py", ".yaml", ".yml", ".json", ".toml", ".sh")  # what may be a config
#: What other programs call our commands.
OTHER_WORDS = {
    "ls": "list", "ps": "list", "logs": "tail", "log": "tail", "follow": "tail", "watch": "attach", "kill": "stop",
    "cancel": "stop", "start": "run", "continue": "resume", "retry": "resume", "results": "table",
    "remove": "rm", "delete": "rm", "size": "du", "label": "tag", "comment": "note", "prune": "clean",
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _main(words), program.name())


def guarded(command: Callable[[], int], name: str) -> int:
    """What `command` returns, or the exit code for what it raises; `name` is the program in error messages."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell starts us with SIGINT ignored
    sys.unraisablehook = _interrupt_again
    open_standard_streams()
    try:
        unblock()
        load_plugins()
        code = command()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:  # before the batch began, when nothing was written; or in a command that only reads
        return SIGNALLED + signal.SIGINT
    except BrokenPipeError:  # `| head` has seen enough
        silence(sys.stdout)
        return 0
    except UserError as error:
        return print_error(error, name)
    except OSError as error:
        silence(sys.stdout)
        return print_error(UserError(_explained(error)), name)
    except RuntimeError as error:
        if str(error) != NO_HOME:
            raise
        cause = "a path begins with ~ and the name of a user without a home; write it in full"
        return print_error(UserError(cause), name)


def _interrupt_again(dropped: sys.UnraisableHookArgs) -> None:
    """Send Ctrl+C once more if it came within a callback or a destructor, where Python drops the exception for it."""
    if isinstance(dropped.exc_value, KeyboardInterrupt):
        threading.Timer(AFTER_CALLBACK, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(dropped)


def _explained(error: OSError) -> str:
    """A sentence on what the system refused."""
    try:
        Path.cwd()
    except OSError:
        return "the current folder does not exist any more; change to another one"
    if error.errno == errno.EPERM and not error.filename:  # of a signal
        return "the batch runs as another user; use this command as that user"
    hint = "; it belongs to another user, or is protected" if isinstance(error, PermissionError) else ""
    return f"{error.filename or 'the output'}: {error.strerror}{hint}"


def open_standard_streams() -> None:
    """Open closed ones of 0 to 2 on /dev/null: otherwise the next open file, such as a log, would get their number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a character that the terminal cannot show must not end the program
            stream.reconfigure(errors="backslashreplace")


def _command_first(words: Sequence[str]) -> Sequence[str]:
    """`--base_out_dir DIR status` as `status --base_out_dir DIR`. Raises UserError for dashes that are not hyphens."""
    for word in words:
        if word[:1] in DASHES and word.lstrip(DASHES)[:1].isalpha():
            raise UserError(f"{word}: begins with a dash that is not a hyphen; write --{word.lstrip(DASHES)}")
    first = words[0].replace("-", "_") if words else ""
    length = 1 if first.startswith("__base_out_dir=") else 2 if first == "__base_out_dir" else 0
    if length and len(words) > length and words[length] in (*BATCHES, *COMMANDS.names()):
        return [words[length], *words[:length], *words[length + 1 :]]
    return words


def _hint(name: str) -> str:
    """What somebody meant by a word that is not a command."""
    known = [*BATCHES, *COMMANDS.names()]
    if name in OTHER_WORDS:
        return f"did you mean {OTHER_WORDS[name]!r}?"
    if Path(name).exists() or Path(name).suffix in FILES or "*" in name:
        return f"to run configs, give {program.offered('run', name)}"
    return did_you_mean(name, known) or f"there are {', '.join(known)}"


def _help(name: str) -> str:
    """The help of a command that runs a batch, or of the program: of run_experiments.py, every option."""
    if name in BATCHES:
        return help_for(name)
    return batch_parser().format_help() if program.name() == program.SCRIPT else overview()


def _main(words: Sequence[str]) -> int:
    if "_ARGCOMPLETE" in os.environ:  # the shell requests completions
        from runner.cli.completion import complete

        complete()
    words = _command_first(words)
    name = words[0] if words else ""
    if name == "help":
        name, words = "--help", [*words[1:], "--help"]
        if words[0] in COMMANDS.names():
            name = words[0]
    if name == "--version":
        say(f"{program.COMMAND} {__version__}")
        return 0
    if {"-h", "--help"} & set(words) and (not name or name.startswith("-") or name in BATCHES):
        say_all(_help(name).removesuffix("\n"))
        return 0
    if not name or name.startswith("-") or name in BATCHES:
        from runner.cli import batch

        return batch.main(with_flag(BATCHES[name], words[1:]) if name in BATCHES else words)
    if name not in COMMANDS.local_names() and name not in COMMANDS.names():
        raise UserError(f"{name}: no such command; {_hint(name)}")
    command = COMMANDS.get(name)
    parser = command_parser(name, command.HELP)
    command.add_arguments(parser)
    if getattr(command, "TAKES_OVERRIDES", False):
        given, rest = parser.parse_known_args(words[1:])
        given.overrides = rest
        return command.main(given)
    return command.main(parser.parse_args(words[1:]))
