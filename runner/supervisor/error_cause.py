"""Find in a program's last output why it ended: the message of a traceback, else an error line, else its last words.

Pure functions over lines without timestamps. What follows a traceback decides whether it was the end: footers (of
wandb, of torchrun), bars, warnings and log lines may follow it; a training that goes on, or another error, may not.
"""

from __future__ import annotations

import re

from runner.supervisor import line_kinds, tracebacks

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import Final

MOST_LINES = 20_000  # of a stream that are read: an end has its cause near the end
LAST_LINES = 5  # lines in a sentence that has no better cause
LOOKED_AT = 500  # lines in which these are searched
WIDTH = 300
#: A line that ends so has its cause in the next one: `Error in f(x) :`, `thread 'main' panicked at src/main.rs:4:5:`.
OPEN = r"(?: :|panicked at [^'\"]*:|\b[Ee]rrors?:)$"
SIGNALLED = r"Signal \d+ \(SIG\w+\) received by PID \d+"  # in torchrun's table, of a process without a traceback


class Cause:
    """Why a program ended, as one sentence, and the text of its traceback; each is empty if there is none."""

    __slots__ = ("text", "traceback")

    def __init__(self, text: str, traceback: str = "") -> None:
        self.text: Final = text
        self.traceback: Final = traceback


def find(stderr: list[str], stdout: list[str], *, went_on: bool = False) -> Cause:
    """The cause in the last output. `went_on`: stdout shows that the program worked on after its last error output."""
    streams = [_Stream(stderr[-MOST_LINES:], went_on=went_on), _Stream(stdout[-MOST_LINES:])]
    details = next((stream.details for stream in streams if stream.details), "")
    for stream in streams:
        if stream.died_of:
            return Cause(stream.died_of, details)
        if line := _last_error(stream.rest):
            return Cause(line[:WIDTH], details)
        if stream.perhaps:
            return Cause(stream.perhaps, details)
    return Cause(next(filter(None, (_last_words(stream.rest) for stream in streams)), ""), details)


def last_output(stderr: list[str], stdout: list[str]) -> str:
    """The last lines of a program that was stopped, as one sentence: not a cause, but what it was doing.

    Its tracebacks are left out: each of its processes prints one when it is asked to stop.
    """
    for stream in (stderr, stdout):
        lines = stream[-LOOKED_AT:]
        covered = _by_process(lines)[1]
        cleaned = enumerate(line_kinds.clean(lines))
        filled = [line.strip() for place, line in cleaned if place not in covered and not line_kinds.is_rule(line)]
        if filled:
            return _sentence(filled)
    return ""


class _Stream:
    """What one stream says: the message of the traceback that it `died_of`, or that it `perhaps` died of.

    `rest` are the lines after the last traceback, `details` the text from there on.
    """

    def __init__(self, lines: list[str], *, went_on: bool = False) -> None:
        self.died_of = self.perhaps = self.details = ""
        self.rest = line_kinds.without_usage(line_kinds.clean(lines))
        chains, covered = _by_process(lines)
        if not chains:
            return
        _, end, self.details, chosen = chains[0]
        if chosen.of_launcher and (signal := re.search(SIGNALLED, "\n".join(self.rest[end:]))):
            self.died_of = signal[0]
            return
        self.rest = [line for place, line in enumerate(self.rest) if place >= end and place not in covered]
        if went_on or any(map(_goes_on, self.rest)):
            return
        if all(map(may_follow, self.rest)):
            self.died_of = chosen.message[:WIDTH]
        elif not any(map(line_kinds.says_error, self.rest)):
            self.perhaps = _sentence([chosen.message, *filter(_is_meaningful, self.rest)])


def _by_process(lines: list[str]) -> tuple[list[tuple[int, int, str, tracebacks.Traceback]], set[int]]:
    """The last traceback of each process with its first place, its end and its text, and all places of tracebacks.

    Of several processes that a launcher started, the first one that failed is the cause of the others' ends.
    """
    places: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        places.setdefault(line_kinds.process(line), []).append(place)
    last: list[tuple[int, int, str, tracebacks.Traceback]] = []
    covered: set[int] = set()
    for own in places.values():
        text = line_kinds.clean([lines[place] for place in own])
        chains = tracebacks.found(text)
        covered |= {own[place] for chain in chains for place in range(chain.begin, chain.end)}
        if (one := tracebacks.the_cause(chains)) is not None:
            last.append((own[one.begin], own[one.end - 1] + 1, "\n".join(text[one.begin :]).rstrip() + "\n", one))
    return sorted(last, key=lambda found: (found[3].of_launcher, found[0])), covered


def _goes_on(line: str) -> bool:
    """A line of a training that works, also one of its log."""
    return line_kinds.is_progress(line) and not (line_kinds.is_bar(line) or line_kinds.is_footer(line))


def may_follow(line: str) -> bool:
    """A line after a traceback that does not show that the program went on."""
    return line_kinds.is_footer(line) or line_kinds.is_log(line) or line_kinds.is_bar(line)


def _last_error(lines: list[str]) -> str:
    """The last line that says error, with what belongs to it; empty if there is none."""
    for place in range(len(lines) - 1, -1, -1):
        if lines[place] and line_kinds.says_error(lines[place]):
            return _with_neighbour(lines, place)
    return ""


def _with_neighbour(lines: list[str], place: int) -> str:
    line = lines[place].strip()
    if line.startswith("what():"):
        thrown = re.search(r"instance of '([^']+)'", "\n".join(lines[:place][-3:]))
        return (thrown[1] + ": " if thrown else "") + line.removeprefix("what():").strip()
    for after in map(str.strip, lines[place + 1 : place + 4]):
        if not re.search(OPEN, line) or not after or line_kinds.is_footer(after):
            break
        line = f"{line} {after}"
    return line


def _last_words(lines: list[str]) -> str:
    """The last lines that can be a cause, as one sentence; a line with a word of failure alone if it is further up."""
    filled = [line.strip() for line in lines[-LOOKED_AT:] if line and _is_meaningful(line)]
    named = [line for line in filled if line_kinds.may_say_error(line)]
    return named[-1] if named and named[-1] not in filled[-LAST_LINES:] else _sentence(filled)


def _is_meaningful(line: str) -> bool:
    return not (may_follow(line) or any(kind(line) for kind in (line_kinds.is_progress, line_kinds.is_frame)))


def _sentence(lines: list[str]) -> str:
    return " | ".join(line.strip()[:WIDTH] for line in lines[-LAST_LINES:])
