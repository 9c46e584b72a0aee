"""The differences between two jobs as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from runner.core.text import count, duration, plain
from runner.reports import columns
from runner.reports.best import number
from runner.reports.columns import Column
from runner.reports.comparing.curves import Parting
from runner.reports.comparing.differences import Difference, Differences
from runner.reports.comparing.text import wrapped
from runner.reports.comparison import shown

LEAST = 12  # to which a cell is cut
MOST_RESULTS = 12


def lines(found: Differences, names: Sequence[str], width: int) -> list[str]:
    """A section for each kind of difference; `names` are those of the two jobs."""
    made = [plain(f"{letter}: {name}") for letter, name in zip("AB", names, strict=True)]
    same = f"{len(found.settings)} of {found.compared} differ"
    sections = [
        [f"Settings: {same}", *_table(found.settings, width)],
        [f"Code: {_code(found)}", *_table(found.code, width)],
        [f"Environment: {_environment(found)}", *_table(found.environment, width)],
        ["Results", *(_table(found.results[:MOST_RESULTS], width) or ["  equal"])],
        ["Curves", *(_curves(found.curves) or ["  there is no metric with steps that both jobs have"])],
    ]
    if len(found.results) > MOST_RESULTS:
        sections[3].append(f"  and {len(found.results) - MOST_RESULTS} more; --json has all")
    for section in sections:
        made += ["", *section]
    return [part for line in made for part in wrapped(line, width)]


def _table(found: Sequence[Difference], width: int) -> list[str]:
    if not found:
        return []
    table = [
        Column("", [f"  {plain(one.key)}" for one in found], least=2 * LEAST),
        Column("A", [_cell(one.key, one.one) for one in found], least=LEAST),
        Column("B", [_cell(one.key, one.other) for one in found], least=LEAST),
    ]
    return columns.lines(columns.fit(table, width).columns)


def _cell(key: str, value: Any) -> str:
    if key == "seconds" and isinstance(value, int | float):
        return duration(value)
    return number(value) if isinstance(value, float) and "/" in key else shown(value)


def _apart(one: float | None, other: float | None) -> tuple[str, str]:
    """Two values with as many digits as it takes to see that they differ."""
    short = f"{one:.6g}", f"{other:.6g}"
    return short if short[0] != short[1] else (repr(one), repr(other))


def _code(found: Differences) -> str:
    if not found.recorded:
        return "not recorded of both jobs"
    if found.commit is None:
        return (
            "not the same commit"
            if any(one.key == "git.commit" for one in found.code)
            else "in a folder that git does not know"
        )
    changed = "; at least one had changes that were not committed, so it may differ" if found.dirty else ""
    return f"the same commit {found.commit[:12]}{changed}"


def _environment(found: Differences) -> str:
    if not found.recorded:
        return "not recorded of both jobs"
    return count(len(found.environment), "difference") if found.environment else "equal"


def _curves(found: Sequence[Parting]) -> list[str]:
    return list(_sentences(found))


def _sentences(found: Sequence[Parting]) -> Iterator[str]:
    for parting in found:
        name = plain(parting.metric)
        if parting.step is None:
            yield f"  {name}: equal at all {count(parting.common, 'common step')}"
        else:
            values = " and ".join(_apart(parting.one, parting.other))
            before = count(parting.equal_before, "earlier common step")
            if parting.equal_before:
                yield f"  {name}: parts at step {parting.step}: {values}; equal at {before}"
            else:
                yield f"  {name}: parts at step {parting.step}, the first common one: {values}"
