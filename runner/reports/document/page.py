"""A report as one HTML file that needs no network, and is whole without its script. The same content gives the same
bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from html import escape
from pathlib import Path

from runner.core.text import count, listed, plain
from runner.disk.reading import read_bytes
from runner.reports.best import number
from runner.reports.document import axis, effects, svg
from runner.reports.document.content import Chart, Content, Failure, Table
from runner.reports.document.log_html import log_html
from runner.reports.ending import BEST, WARNED

STYLE, SCRIPT = (Path(__file__).with_name(name) for name in ("style.css", "report.js"))
LARGEST = 8_000_000  # bytes; in a mail it becomes a third larger, and many servers stop at 20 MB
NAMED = 10  # jobs that a failure names
OPEN = 3  # failures whose logs are open
LEGEND = 12


@lru_cache(1)
def _style() -> str:
    return read_bytes(STYLE, links=True).decode().replace("\n", "")


@lru_cache(1)
def _script() -> str:
    return read_bytes(SCRIPT, links=True).decode()


def page(found: Content, largest: int = LARGEST) -> bytes:
    """The file. If it is larger, it is made without the largest pictures, which are named then."""
    made = _page(found)
    kept, left_out, size = list(found.pictures), list(found.left_out), len(made)
    while size > largest and kept:
        dropped = max(kept, key=lambda one: len(one.content))
        kept.remove(dropped)
        left_out.append(dropped.path)
        size -= 4 * len(dropped.content) // 3
    without = replace(found, pictures=tuple(kept), left_out=tuple(left_out))
    return _page(without) if len(kept) < len(found.pictures) else made


def _page(found: Content) -> bytes:
    parts = [*_head(found), "<main>", *_first(found)]
    sections = (
        _failures, _warnings, _best, _jobs, _charts, _settings, _comparison, _resources, _samples, _pictures, _origin
    )  # fmt: skip
    for section in sections:
        parts += section(found)
    return "\n".join([*parts, "</main>", f"<script>{_script()}</script>", "</body></html>", ""]).encode(
        errors="replace"
    )


def _head(found: Content) -> Iterator[str]:
    style, script = (f"'sha256-{_digest(text)}'" for text in (_style(), _script()))
    policy = f"default-src 'none'; img-src data:; style-src {style}; script-src {script}"
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield f"<title>{_text(f'{found.name}: {found.sentence}')}</title>"
    yield f'<meta name="description" content="{_text(found.sentence)}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{_style()}</style></head><body>"


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _first(found: Content) -> Iterator[str]:
    yield f'<h1>{_text(found.name)}</h1><p class="lead">{_text(found.sentence)}</p>'
    if found.period:
        yield f'<p class="soft">{_text(found.period)}</p>'
    if found.note:
        yield f"<p>Note: {_text(found.note)}</p>"
    if found.unfinished:
        yield f'<p class="warn">{_text(found.unfinished)}</p>'


def _failures(found: Content) -> Iterator[str]:
    if not found.failures:
        return
    yield "<section><h2>What failed</h2>"
    for place, failure in enumerate(found.failures):
        yield from _failure(failure, is_open=place < OPEN)
    if found.more_failures:
        yield f"<p>and {count(found.more_failures, 'kind')} of failure more</p>"
    yield "</section>"


def _failure(failure: Failure, *, is_open: bool) -> Iterator[str]:
    number_of = "" if len(failure.names) == 1 else f"{count(len(failure.names), 'job')} "
    yield f'<article class="failure"><h3>{_text(number_of + failure.title)}</h3>'
    yield f"<p>{_text(listed(failure.names, NAMED))}</p>"
    for line in (failure.error, failure.evidence):
        if line:
            yield f"<p><code>{_text(line)}</code></p>"
    if failure.advice:
        yield f"<p><b>What to do:</b> {_text(failure.advice)}</p>"
    yield f"<p>Run again: <code>{_text(failure.again)}</code></p>"
    of = f" of {failure.names[0]}"
    for title, lines in (("Traceback", failure.traceback), ("Last lines of the log", failure.log)):
        if lines:
            shown = " open" if is_open and (lines is failure.traceback or not failure.traceback) else ""
            label = _text(f"{title}{of}")
            inside = log_html(lines)
            yield f"<details{shown}><summary>{label}</summary>"
            yield f'<pre tabindex="0" role="region" aria-label="{label}">{inside}</pre></details>'
    yield "</article>"


def _warnings(found: Content) -> Iterator[str]:
    if found.warnings:
        yield "<section><h2>Warnings</h2>"
        yield from (f"<p>{WARNED} {_text(line)}</p>" for line in found.warnings)
        yield "</section>"


def _best(found: Content) -> Iterator[str]:
    if found.best:
        yield "<section><h2>Best</h2>"
        yield from (f"<p>{BEST} {_text(line[:1].upper() + line[1:])}</p>" for line in found.best)
        yield "</section>"


def _jobs(found: Content) -> Iterator[str]:
    yield "<section><h2>Jobs</h2>"
    yield from _table(found.table, "All jobs")
    yield "</section>"


def _table(table: Table, label: str) -> Iterator[str]:
    right = {place for row in table.rows for place, cell in enumerate(row) if cell.right}
    headings = "".join(
        f'<th scope="col"{_class("r" if place in right else "")}>{_text(heading)}</th>'
        for place, heading in enumerate(table.headings)
    )
    kind = "of-jobs" if table.headings[:1] == ("job",) else "of-others"
    yield f'<div class="wide {kind}" tabindex="0" role="region" aria-label="{_text(label)}"><table>'
    yield f"<thead><tr>{headings}</tr></thead><tbody>"
    for place, row in enumerate(table.rows):
        cells = []
        for column, cell in enumerate(row):
            kind = f"s {cell.text}" if cell.status else "r" if column in right else ""
            sign = f"{BEST} " if column == 0 and place == table.best else ""
            cells.append(f"<td{_class(kind)}>{sign}{_text(cell.text)}</td>")
        yield f"<tr{_class('best' if place == table.best else '')}>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"


def _class(words: str) -> str:
    return f' class="{escape(words)}"' if words else ""


def _charts(found: Content) -> Iterator[str]:
    drawn = [(chart, picture) for chart in found.charts if (picture := svg.chart(chart))]
    if not drawn:
        return
    yield '<section><h2>Curves</h2><div class="charts">'
    for chart, picture in drawn:
        yield f"<figure><figcaption>{_caption(chart)}</figcaption>{picture}"
        yield from _legend(chart)
        yield from _numbers(chart)
        yield "</figure>"
    yield "</div></section>"


def _caption(chart: Chart) -> str:
    words = [f"<b>{_text(chart.metric)}</b>"]
    if svg.is_logarithmic(chart):
        words.append("logarithmic")
    if (above := svg.above(chart)) is not None:
        words.append(f"values above {number(above)} are drawn at the upper edge")
    if chart.fan:
        words.append(f"band: all {chart.jobs} jobs; darker: the middle half; dotted: the median")
    elif len(chart.curves) < chart.jobs:
        words.append(f"{len(chart.curves)} of {chart.jobs} jobs")
    if any(segment.replaced for curve in chart.curves for segment in curve.series.segments):
        words.append("pale and dashed: measured again after a resume")
    return " · ".join(words)


def _legend(chart: Chart) -> Iterator[str]:
    named = [curve for curve in chart.curves if curve.color is not None][:LEGEND]
    yield '<ul class="legend">'
    for curve in named:
        finite = curve.series.finite
        last = f" {number(finite[-1][1])}" if finite else ""
        lost = curve.series.nonfinite
        said = f", {len(lost)} not finite, first at {axis.label(lost[0][0])}" if lost else ""
        yield f"<li>{svg.swatch(curve.color)}{_text(curve.name)}{_text(last + said)}</li>"
    if len(chart.curves) > len(named):
        yield f"<li>{svg.swatch(None)}{count(len(chart.curves) - len(named), 'other')}</li>"
    yield "</ul>"


def _numbers(chart: Chart) -> Iterator[str]:
    """The numbers behind the curves that have a color, for those who cannot see them."""
    named = [curve for curve in chart.curves if curve.color is not None and curve.series.finite][:LEGEND]
    yield f"<details><summary>Numbers of {_text(chart.metric)}</summary><table><thead><tr>"
    headings = ("job", "first", "last", "lowest", f"at {chart.axis}", "highest", f"at {chart.axis}")
    yield "".join(
        f'<th scope="col"{_class("r" if place else "")}>{_text(it)}</th>' for place, it in enumerate(headings)
    )
    yield "</tr></thead><tbody>"
    for curve in named:
        points = curve.series.finite
        low, high = min(points, key=lambda it: it[1]), max(points, key=lambda it: it[1])
        cells = [number(points[0][1]), number(points[-1][1])]
        for x, y in (low, high):
            cells += [number(y), axis.label(x)]
        yield f"<tr><td>{_text(curve.name)}</td>{''.join(f'<td class=r>{_text(cell)}</td>' for cell in cells)}</tr>"
    yield "</tbody></table></details>"


def _settings(found: Content) -> Iterator[str]:
    if found.same:
        yield "<section><h2>Settings</h2><p>Those that differ are columns of the table above.</p>"
        yield f"<details><summary>{count(len(found.same), 'setting')} equal in all jobs</summary>"
        yield from _list(found.same)
        yield "</details></section>"


def _list(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield "<dl>"
    yield from (f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in pairs)
    yield "</dl>"


def _comparison(found: Content) -> Iterator[str]:
    if not found.comparison:
        return
    yield "<section><h2>Comparison</h2>"
    for place, block in enumerate(found.comparison):
        yield f"<h3>{_text(block.heading)}</h3>" if block.heading else ""
        yield from (f"<p>{_text(line)}</p>" for line in block.before)
        if block.table is not None:
            yield from _table(block.table, f"Comparison: {block.heading}")
        yield from (f'<p class="small">{_text(line)}</p>' for line in block.after)
        if place == 0:
            yield from _effects(found)
    yield "</section>"


def _effects(found: Content) -> Iterator[str]:
    """The metric by each setting, with the same range of values in all drawings."""
    drawn = effects.drawn(found.effects)
    if drawn:
        yield f"<p>{_text(found.effects[0].metric)} by each setting: a dot for each job, the line for the mean.</p>"
        yield '<div class="effects">'
        for effect, picture in zip(found.effects, drawn, strict=True):
            yield f"<figure><figcaption><b>{_text(effect.setting)}</b></figcaption>{picture}</figure>"
        yield "</div>"


def _resources(found: Content) -> Iterator[str]:
    if found.resources is not None:
        yield "<section><h2>Resources</h2>"
        yield from (f"<p>{_text(line)}</p>" for line in found.findings)
        yield from _table(found.resources, "Resources")
        yield "</section>"


def _samples(found: Content) -> Iterator[str]:
    if found.samples:
        yield "<section><h2>Samples</h2>"
        for place, one in enumerate(found.samples):
            name, shown = _text(one.path), " open" if place == 0 else ""
            yield f"<details{shown}><summary>{name}</summary>"
            yield f'<pre tabindex="0" role="region" aria-label="{name}">{log_html(one.lines)}</pre></details>'
        yield "</section>"


def _pictures(found: Content) -> Iterator[str]:
    if not found.pictures and not found.left_out:
        return
    yield '<section><h2>Pictures</h2><div class="pictures">'
    for one in found.pictures:
        data = base64.b64encode(one.content).decode()
        name = _text(one.path)
        yield f"<figure><figcaption>{name}</figcaption>"
        yield f'<img src="data:image/{one.kind};base64,{data}" alt="{name}"></figure>'
    yield "</div>"
    if found.left_out:
        yield f'<p class="soft">Left out, to keep this file small: {_text(listed(found.left_out, NAMED))}</p>'
    yield "</section>"


def _origin(found: Content) -> Iterator[str]:
    yield "<section><h2>How it was made</h2>"
    yield from _list(found.origin)
    yield "</section>"


def _text(value: str) -> str:
    return escape(plain(value))
