"""A comparison as lines for a screen or a file. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from textwrap import wrap
from typing import Any, NamedTuple

from runner.core.text import count, listed, plain
from runner.reports import columns
from runner.reports.best import WORDS, number
from runner.reports.columns import Column
from runner.reports.comparing import importance as parts
from runner.reports.comparing import ranking, student
from runner.reports.comparing.compare import Comparison
from runner.reports.comparing.groups import Group
from runner.reports.comparing.importance import Importance, Part
from runner.reports.comparison import shown

MOST_GROUPS, MOST_PARTS, MOST_NAMED = 20, 12, 12
SETTING = 14  # to which a column of a setting is cut
MATTERED, FAILED = "What mattered", "Failures"  # the beginnings of headings
COUNTS = 30  # the rank of what is left out before a setting


class Section(NamedTuple):
    """A part of a comparison: sentences, a table whose columns may be left out where they do not fit, sentences."""

    heading: str = ""
    before: Sequence[str] = ()
    table: Sequence[Column] = ()
    after: Sequence[str] = ()


def sections(found: Comparison) -> list[Section]:
    """What a comparison says, whatever shows it."""
    made = [_about(found), _groups(found), _mattered(found), _failed(found)]
    return [section for section in made if section is not None]


def lines(found: Comparison, width: int) -> list[str]:
    """Sections with a heading each, none of them wider than `width` where that can be."""
    made: list[str] = []
    for section in sections(found):
        inside = _lines(section, width)
        made += ["", *inside] if made else inside
    return [part for line in made for part in wrapped(line, width)]


def _lines(section: Section, width: int) -> Iterator[str]:
    begin = "  " if section.heading and section.heading.startswith((MATTERED, FAILED)) else ""
    if section.heading:
        yield section.heading
    yield from (f"{begin}{line}" for line in section.before)
    fitted = columns.fit([replace(one, cells=[f"{begin if place == 0 else ''}{cell}" for cell in one.cells])
                          for place, one in enumerate(section.table)], width)  # fmt: skip
    yield from columns.lines(fitted.columns) if section.table else ()
    if fitted.left_out:
        yield f"left out: {listed(fitted.left_out, 6)}; --json has all"
    yield from (f"{begin}{line}" for line in section.after)


def wrapped(line: str, width: int) -> list[str]:
    """A sentence in several lines; tables fit already."""
    begin = line[: len(line) - len(line.lstrip())]
    return wrap(line, width, subsequent_indent=f"{begin}  ", break_on_hyphens=False) if len(line) > width else [line]


def _about(found: Comparison) -> Section:
    over = f" without {listed(found.over, 3)}" if found.over else ""
    first = f"{count(found.jobs, 'job')}, {count(len(found.groups), 'group')}{over}"
    if found.metric is None:
        why = "no job has measured a loss, an accuracy or another metric that can be compared"
        return Section(before=[f"{first}; {why}"])
    made = [plain(f"{first}, by {found.metric}: the {WORDS[found.goal or 'min']} is best")]
    if found.same:
        same = [f"{key}={shown(value, SETTING)}" for key, value in found.same.items()]
        made.append(plain(f"Same in all jobs: {listed(same, MOST_NAMED)}"))
    if len(found.groups) > 1 and all(len(group.runs) == 1 for group in found.groups):
        made.append("No two jobs have the same settings: without repeated seeds it is not known how large noise is.")
    return Section(before=made)


def _groups(found: Comparison) -> Section | None:
    if not found.groups or found.metric is None:
        return None
    listed_groups = found.groups[:MOST_GROUPS]
    table = [Column("", [str(place) for place in range(1, len(listed_groups) + 1)], right=True)]
    table += [
        Column(plain(key), [shown(group.settings[key]) for group in listed_groups], rank=1 + place, least=SETTING)
        for place, key in enumerate(found.settings)
    ]
    left_out = count(len(found.groups) - len(listed_groups), "group")
    more = [f"and {left_out} more; --json has all"] if len(found.groups) > len(listed_groups) else []
    heading = plain(f"Groups by the mean of {found.metric}")
    return Section(heading, (), [*table, *_measured(listed_groups)], [*more, *_best(found), *_method(found)])


def _measured(groups: Sequence[Group]) -> list[Column]:
    cells: dict[str, list[str]] = {"n": [], "mean": [], "95 % interval": [], "median": [], "range": [], "not": []}
    for group in groups:
        interval = group.interval
        cells["n"].append(str(group.n))
        cells["mean"].append(number(group.mean))
        cells["95 % interval"].append(f"{number(interval.lo)} to {number(interval.hi)}" if interval else "")
        cells["median"].append(number(group.median) if group.n > 1 else "")
        ends = f"{number(min(group.values))} to {number(max(group.values))}" if group.n > 1 else ""
        cells["range"].append(ends)
        cells["not"].append(_not_counted(group))
    ranks = {"median": COUNTS + 2, "range": COUNTS + 1}
    titles = {"not": "not counted"}
    return [
        Column(titles.get(name, name), found, ranks.get(name, 0), right=name in ("n", "mean", "median"))
        for name, found in cells.items()
        if any(found)
    ]


def _not_counted(group: Group) -> str:
    kinds = {"failed": group.failed, "without a value": group.no_value, "not ended": group.unfinished}
    return ", ".join(f"{size} of {len(group.runs)} {kind}" for kind, size in kinds.items() if size)


def _best(found: Comparison) -> Iterator[str]:
    """What can be said of the first group and the others."""
    measured = [group for group in found.groups if group.mean is not None]
    if len(measured) < 2:
        return
    yield plain(f"Best: group 1 ({_named(found.groups[0].settings)}), mean {number(found.groups[0].mean)}.")
    too_few = [f"{tie.place + 1}" for tie in found.ties if tie.too_few]
    close = [f"{tie.place + 1}" for tie in found.ties if not tie.too_few]
    if close:
        yield f"Not distinguishable from: group {listed(close, MOST_NAMED)}."
    if too_few:
        yield f"Too few jobs to tell (fewer than {student.LEAST}): group 1 and group {listed(too_few, MOST_NAMED)}."
    if not found.ties:
        yield "It is distinguishable from all others."


def _named(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={shown(value, SETTING)}" for key, value in settings.items()) or "all jobs"


def _method(found: Comparison) -> Iterator[str]:
    if any(group.interval for group in found.groups):
        yield f"Interval: {student.METHOD}, from {student.LEAST} jobs on. Told apart by: {ranking.METHOD}."
    if found.metric and found.metric.startswith("best/"):
        yield "The best value of a noisy curve is optimistic: it is lower or higher than the model is."
    if any(group.failed or group.no_value for group in found.groups):
        yield "A mean is that of the jobs that completed: of a group with failures it is that of its survivors."


def _mattered(found: Comparison) -> Section | None:
    """What each setting explains."""
    if found.metric is None or len(found.settings) == 0:
        return None
    known = found.importance
    heading = plain(f"{MATTERED} for {found.metric}, of {count(sum(group.n for group in found.groups), 'job')}")
    if known.refused:
        return Section(heading, [f"Not computed: {known.refused}."], (), list(_not_ranked(known)))
    listed_parts = known.parts[:MOST_PARTS]
    table = [
        Column(" ", [plain(_key(part)) for part in listed_parts], least=28),
        Column("explains", [_percent(part.share) for part in listed_parts], right=True),
        Column("95 % interval", [_interval(part) for part in listed_parts]),
        Column("noise reaches", [_percent(part.noise) for part in listed_parts], right=True),
        Column("", [_verdict(part) for part in listed_parts]),
    ]
    table = [column for column in table if column.heading != "95 % interval" or any(column.cells)]
    more = [f"and {len(known.parts) - MOST_PARTS} more; --json has all"] if len(known.parts) > MOST_PARTS else []
    after = [*more, *_rest(known), *_not_ranked(known)]
    return Section(heading, [parts.METHODS[known.method or parts.RANKS]], table, after)


def _key(part: Part) -> str:
    if part.kind == "interaction":
        return " × ".join(part.keys)
    return " with ".join(part.keys)


def _interval(part: Part) -> str:
    return "" if part.lo is None else f"{_percent(part.lo)} to {_percent(part.hi)}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _verdict(part: Part) -> str:
    if part.noise is None:
        return "not known: noise is in it"
    return "" if part.matters else "no more than noise"


def _rest(known: Importance) -> Iterator[str]:
    if known.unexplained is not None:
        rest = _percent(known.unexplained)
        yield f"not explained: {rest} (noise, seeds, and three or more settings in combination)"
    if known.r2 is not None:
        r2 = f"{max(known.r2, 0.0):.2f}"
        yield f"Together the settings predict jobs that were left out with R2 {r2} (random forest, out of bag)."
        if known.r2 < parts.LEAST_R2:
            yield "The settings do not explain the differences: do not read much into the order above."


def _not_ranked(known: Importance) -> Iterator[str]:
    for keys in known.confounded:
        yield plain(f"{listed(keys, MOST_NAMED)} vary together: their effects cannot be told apart.")
    if known.not_ranked:
        yield plain(f"Not ranked, since hardly any two jobs share a value: {listed(known.not_ranked, MOST_NAMED)}.")


def _failed(found: Comparison) -> Section | None:
    failed = sum(group.failed for group in found.groups)
    if not failed and not found.failures:
        return None
    made = [plain(finding.sentence()) for finding in found.failures]
    if made:
        return Section(FAILED, made)
    why = "no setting has more of them than chance would give"
    return Section(before=[f"{FAILED}: {count(failed, 'job')} of {found.jobs}; {why}"])
