"""Find in a program's last output why it ended: the message of a traceback, else an error line, else its last words.

Pure functions over lines without timestamps. What follows a traceback decides whether it was the end: footers (of
wandb, of torchrun), bars, warnings and log lines may follow it; a training that goes on, or another error, may not.
"""

from __future__ import annotations

import re

from runner.supervisor import line_kinds, tracebacks

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

MOST_LINES = 20_000  # of a stream that are read: an end has its cause near the end
#: What a sentence is: the message of a traceback that ended the program, or perhaps did; an error line, after which the
#: program perhaps went on; the last words of any kind.
TRACEBACK, PERHAPS, ERROR, LATER_ERROR, WORDS = "traceback", "perhaps", "error", "later error", "words"
LAST_LINES = 5  # lines in a sentence that has no better cause
LOOKED_AT = 500  # lines in which these are searched
WIDTH = 300
#: A line that ends so has its cause in the next one: `Error in f(x) :`, `thread 'main' panicked at src/main.rs:4:5:`.
OPEN = r"(?: :|panicked at [^'\"]*:|\b[Ee]rrors?:)$"
SIGNALLED = r"Signal \d+ \(SIG\w+\) received by PID \d+"  # in torchrun's table, of a process without a traceback


class Cause:
    """Why a program ended, as one sentence, and the text of its traceback; each is empty if there is none.

    `kind` says what the sentence is; `whole` is all of a message, `stream` (0: stderr, 1: stdout) and `place` where its
    line stands.
    """

    __slots__ = ("kind", "place", "stream", "text", "traceback", "whole")

    def __init__(
        self, text: str, traceback: str = "", kind: str = "", stream: int = 0, place: int = -1, whole: str = ""
    ) -> None:
        self.text: Final = text
        self.traceback: Final = traceback
        self.kind: Final = kind
        self.stream: Final = stream
        self.place: Final = place
        self.whole: Final = whole or text


def find(stderr: list[str], stdout: list[str], *, went_on: bool = False) -> Cause:
    """The cause in the last output. `went_on`: stdout shows that the program worked on after its last error output."""
    skipped = [max(len(lines) - MOST_LINES, 0) for lines in (stderr, stdout)]
    streams = [_Stream(stderr[skipped[0] :], went_on=went_on), _Stream(stdout[skipped[1] :])]
    details = next((stream.details for stream in streams if stream.details), "")
    for number, stream in enumerate(streams):
        if stream.died_of:
            where = (number, skipped[number] + stream.said)
            return Cause(stream.died_of[:WIDTH], details, TRACEBACK, *where, stream.died_of)
        if (place := _last_error(stream.rest)) is not None:
            kind = LATER_ERROR if any(map(_goes_on, stream.rest[place + 1 :])) else ERROR
            line = _with_neighbour(stream.rest, place)
            return Cause(line[:WIDTH], details, kind, number, skipped[number] + place, line)
        if stream.perhaps:
            where = (number, skipped[number] + stream.said)
            return Cause(stream.perhaps, details, PERHAPS, *where, stream.message)
    for number, stream in enumerate(streams):
        words, place = _last_words(stream.rest)
        if words:
            return Cause(words, details, WORDS, number, skipped[number] + place)
    return Cause("", details)


def tracebacks_in(lines: list[str]) -> list[tuple[int, tracebacks.Traceback]]:
    """The place of the message of each serious traceback, of all processes of a launcher, in their order."""
    chosen = [(own[one.said], one) for own, _, chains in _of_each(lines) for one in chains if not one.harmless]
    return sorted(chosen, key=lambda found: found[0])


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
        self.message = ""  # all of it
        self.said = 0  # its first line
        self.rest = line_kinds.without_usage(line_kinds.clean(lines))
        chains, covered = _by_process(lines)
        if not chains:
            return
        _, end, self.details, chosen, self.said = chains[0]
        self.message = chosen.message
        for place in range(end, len(self.rest)) if chosen.of_launcher else ():
            if signal := re.search(SIGNALLED, self.rest[place]):
                self.died_of, self.said = signal[0], place
                return
        self.rest = [line if place >= end and place not in covered else "" for place, line in enumerate(self.rest)]
        if went_on or any(map(_goes_on, self.rest)):
            return
        if all(map(may_follow, self.rest)):
            self.died_of = chosen.message
        elif not any(map(line_kinds.says_error, self.rest)):
            self.perhaps = _sentence([chosen.message, *filter(_is_meaningful, self.rest)])


def _by_process(lines: list[str]) -> tuple[list[tuple[int, int, str, tracebacks.Traceback, int]], set[int]]:
    """The last traceback of each process with first place, end, text and message, and all places of tracebacks.

    Of several processes that a launcher started, the first one that failed is the cause of the others' ends.
    """
    last: list[tuple[int, int, str, tracebacks.Traceback, int]] = []
    covered: set[int] = set()
    for own, text, chains in _of_each(lines):
        covered |= {own[place] for chain in chains for place in range(chain.begin, chain.end)}
        if (one := tracebacks.the_cause(chains)) is not None:
            words = "\n".join(text[one.begin :]).rstrip() + "\n"
            last.append((own[one.begin], own[one.end - 1] + 1, words, one, own[one.said]))
    return sorted(last, key=lambda found: (found[3].of_launcher, found[0])), covered


def _of_each(lines: list[str]) -> Iterator[tuple[list[int], list[str], list[tracebacks.Traceback]]]:
    """For each process of a launcher: the places of its lines, these lines, and its tracebacks."""
    places: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        places.setdefault(line_kinds.process(line), []).append(place)
    for own in places.values():
        text = line_kinds.clean([lines[place] for place in own])
        yield own, text, tracebacks.found(text)


def _goes_on(line: str) -> bool:
    """A line of a training that works, also one of its log."""
    return line_kinds.is_progress(line) and not (line_kinds.is_bar(line) or line_kinds.is_footer(line))


def may_follow(line: str) -> bool:
    """A line after a traceback that does not show that the program went on."""
    kinds = (line_kinds.is_footer, line_kinds.is_log, line_kinds.is_bar, line_kinds.is_aftermath)
    return any(kind(line) for kind in kinds)


def _last_error(lines: list[str]) -> int | None:
    """The place of the last line that says error, if possible of one that is a cause; None if there is none."""
    places = range(len(lines) - 1, -1, -1)
    found = [place for place in places if lines[place] and line_kinds.says_error(lines[place])]
    return next((place for place in found if not line_kinds.is_aftermath(lines[place])), found[0] if found else None)


def _with_neighbour(lines: list[str], place: int) -> str:
    """The line with what belongs to it."""
    line = lines[place].strip()
    if line.startswith("what():"):
        thrown = re.search(r"instance of '([^']+)'", "\n".join(lines[:place][-3:]))
        return (thrown[1] + ": " if thrown else "") + line.removeprefix("what():").strip()
    for after in map(str.strip, lines[place + 1 : place + 4]):
        if not re.search(OPEN, line) or not after or line_kinds.is_footer(after):
            break
        line = f"{line} {after}"
    return line


def _last_words(lines: list[str]) -> tuple[str, int]:
    """The last lines that can be a cause, as one sentence; a line with a word of failure alone if it is further up.

    And the place of the line, else of the last one.
    """
    first = max(len(lines) - LOOKED_AT, 0)
    places = [place for place in range(first, len(lines)) if lines[place] and _is_meaningful(lines[place])]
    filled = [lines[place].strip() for place in places]
    named = [place for place in places if line_kinds.may_say_error(lines[place])]
    if named and lines[named[-1]].strip() not in filled[-LAST_LINES:]:
        return lines[named[-1]].strip(), named[-1]
    return _sentence(filled), (named or places or [-1])[-1]


def _is_meaningful(line: str) -> bool:
    return not (may_follow(line) or any(kind(line) for kind in (line_kinds.is_progress, line_kinds.is_frame)))


def _sentence(lines: list[str]) -> str:
    return " | ".join(line.strip()[:WIDTH] for line in lines[-LAST_LINES:])
