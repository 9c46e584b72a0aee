"""What the exit codes of shells and containers mean: 126, 127, and 128 + the number of a signal. Pure functions."""

from __future__ import annotations

import re
import signal

NOT_EXECUTABLE, NOT_FOUND = 126, 127
#: Signals that end a program; others, such as SIGCHLD, never stand in an exit code.
FATAL = frozenset(
    {"SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV",
     "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGXCPU", "SIGXFSZ", "SIGSYS"}
)  # fmt: skip
#: How shells and env name what they cannot start: `t.sh: line 1: foo: command not found`, `env: 'foo': No such file`.
_NAMED = (
    r"command not found: (.+)$",
    r"(?:^|: )['\"‘`]?([^:'\"‘’`]+)['\"’`]?: (?:command )?not found$",
    r"(?:^|: )['\"‘`]?([^:'\"‘’`]+)['\"’`]?: (?:No such file or directory|Permission denied|[Cc]annot execute.*|"
    r"[Ii]s a directory|Exec format error)$",
    r"exec:? \"?([^:\"]+)\"?: (?:executable file not found|permission denied)",
)


def signal_behind(code: int) -> str | None:
    """137 -> SIGKILL: the signal that killed the command of a shell or container with this exit code; else None."""
    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        return None
    return name if name in FATAL else None


def not_started(code: int, lines: list[str]) -> str:
    """What a shell could not start, if the code says so and the last output names it; else empty."""
    if code not in (NOT_EXECUTABLE, NOT_FOUND):
        return ""
    word = next(filter(None, (_named(line) for line in reversed(lines))), "")
    return word and f"{'command not found' if code == NOT_FOUND else 'not executable'}: {word}"


def _named(line: str) -> str:
    found = next(filter(None, (re.search(pattern, line) for pattern in _NAMED)), None)
    return found[1].strip() if found else ""
