"""Errors of the user: sentences, each with its place, its cause and a fix. One printer for all."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence

from runner.core.printing import say
from runner.core.text import plain

EXIT_CODE = 2  # nothing was started


class UserError(ValueError):
    """Errors that the user can fix: each problem is one sentence, `path:line: cause; fix`.

    `counted`: several problems are summed up in a last line; not so for differences, which are not errors.
    """

    problems: tuple[str, ...]
    exit_code = EXIT_CODE

    def __init__(self, *problems: str, counted: bool = True) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.counted = counted


ConfigError = UserError  # the public name, which scripts of users catch

MOST_DIFFERENCES = 20


def changed(differences: Sequence[str], what_to_do: str) -> UserError:
    """The error for configs that have changed; the last sentence is the fix."""
    more = len(differences) - MOST_DIFFERENCES
    rest = [f"and {more} more differences"] if more > 0 else []
    return UserError(*differences[:MOST_DIFFERENCES], *rest, what_to_do, counted=False)


def print_error(error: UserError, program: str) -> int:
    """Print a sentence a line on standard error; returns the exit code."""
    for problem in error.problems:
        say(f"{program}: {plain(problem)}", file=sys.stderr)
    if error.counted and len(error.problems) > 1:
        say(f"{program}: {len(error.problems)} errors; nothing was started", file=sys.stderr)
    return error.exit_code


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` most probably means, or None if none is near."""
    squeezed = {_squeeze(candidate): candidate for candidate in sorted(candidates, reverse=True)}
    if (same := squeezed.get(_squeeze(word))) is not None:
        return same
    near = difflib.get_close_matches(_squeeze(word), squeezed, n=1, cutoff=0.7)
    return squeezed[near[0]] if near else None


def did_you_mean(word: str, candidates: Iterable[str], *, dashes: str = "") -> str | None:
    """The second half of a sentence about an unknown word; on the command line a key is shown with its dashes."""
    near = nearest(word, candidates)
    if near is None:
        return None
    return f"did you mean {dashes}{near}?" if dashes else f"did you mean {near!r}?"


def one_line(text: object) -> str:
    """A message of another program as part of our sentence: one line, no full stop, never endless."""
    line = " ".join(str(text).split()).rstrip(".")
    return line if len(line) <= 300 else line[:297] + "..."


def _squeeze(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
