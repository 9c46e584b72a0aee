"""A report as Markdown, for a pull request or a note. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runner.core.text import ESCAPES, count, listed, plain
from runner.reports.document.content import Content, Failure, Table
from runner.reports.ending import BEST

NAMED, LINES = 10, 12
_SPECIAL = re.compile(r"([\\`*_<>|\[\]#~])")


def markdown(found: Content) -> str:
    """The text."""
    return "\n".join([*_lines(found), ""])


def _lines(found: Content) -> Iterator[str]:
    yield f"## {_text(found.name)}"
    yield from ("", _text(found.sentence))
    for line in (found.period, found.note, found.unfinished):
        if line:
            yield from ("", _text(line))
    if found.failures:
        yield from ("", "### What failed")
        for failure in found.failures:
            yield from _failure(failure)
        if found.more_failures:
            yield from ("", f"and {count(found.more_failures, 'kind')} of failure more")
    if found.warnings:
        yield from ("", "### Warnings", "")
        yield from (f"- {_text(line)}" for line in found.warnings)
    if found.best:
        yield from ("", "### Best", "")
        yield from (f"- {_text(line)}" for line in found.best)
    yield from ("", "### Jobs", "")
    yield from _table(found.table)
    if found.comparison:
        yield from ("", "### Comparison")
        for block in found.comparison:
            yield from ("", f"**{_text(block.heading)}**") if block.heading else ()
            for line in block.before:
                yield from ("", _text(line))
            if block.table is not None:
                yield ""
                yield from _table(block.table)
            for line in block.after:
                yield from ("", _text(line))
    if found.resources is not None:
        yield from ("", "### Resources", "")
        yield from (f"- {_text(line)}" for line in found.findings)
        yield from ("",) if found.findings else ()
        yield from _table(found.resources)
    for one in found.samples:
        yield from ("", f"### Sample: {_text(one.path)}", "")
        yield from _block(one.lines)
    yield from ("", "### How it was made", "")
    yield from (f"- {_text(name)}: {_text(value)}" for name, value in found.origin)


def _failure(failure: Failure) -> Iterator[str]:
    number = "" if len(failure.names) == 1 else f"{count(len(failure.names), 'job')} "
    yield from ("", f"**{_text(number + failure.title)}**: {_text(listed(failure.names, NAMED))}")
    for line in (failure.error, failure.evidence, failure.advice):
        if line:
            yield from ("", _text(line))
    yield from ("", "Run again:", "")
    yield from _block([failure.again])
    if lines := (failure.traceback or failure.log)[-LINES:]:
        yield ""
        yield from _block([ESCAPES.sub("", line) for line in lines])


def _table(table: Table) -> Iterator[str]:
    right = {place for row in table.rows for place, cell in enumerate(row) if cell.right}
    yield "| " + " | ".join(map(_text, table.headings)) + " |"
    yield "|" + "|".join("--:" if place in right else "---" for place in range(len(table.headings))) + "|"
    for place, row in enumerate(table.rows):
        cells = [_text(cell.text) for cell in row]
        if place == table.best:
            cells[0] = f"{BEST} {cells[0]}"
        yield "| " + " | ".join(cells) + " |"


def _block(lines: tuple[str, ...] | list[str]) -> Iterator[str]:
    """A block of code whose fence is longer than any in it."""
    longest = max((len(match[0]) for line in lines for match in re.finditer("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield fence + "text"
    yield from (plain(line) for line in lines)
    yield fence


def _text(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", plain(value))
