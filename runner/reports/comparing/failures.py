"""What the jobs that failed have in common: `lr=0.1: 4 of 4 diverged`. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from runner.core import causes
from runner.core.fields import is_number
from runner.core.state import COMPLETED, ERROR, FAILED, KILLED, STALLED, TIMEOUT
from runner.reports.comparing.groups import UNFINISHED
from runner.reports.comparing.importance import levels_of

CAUSE = "cause"  # the key of a row under which its cause is
Bad = set[int] | frozenset[int]  # the places of the jobs that failed
ALPHA = 0.05  # for all values of all settings together
MOST = 8  # findings
MOST_SETTINGS = 12  # whose pairs are looked at
WORDS = {
    causes.GPU_OOM: "ran out of GPU memory",
    causes.GPU_OOM_FOREIGN: "found the GPU full",
    causes.HOST_OOM: "ran out of memory",
    causes.SHM: "ran out of shared memory",
    causes.DIVERGED: "diverged",
    causes.IMPORT: "missed a module",
    causes.DEVICE: "met an error of the GPU",
    causes.DISK: "found the disk full",
    causes.CONFIG: "refused the settings",
    causes.COMMAND_LINE: "refused the arguments",
    KILLED: "were killed",
    TIMEOUT: "timed out",
    STALLED: "stalled",
    ERROR: "could not be run to their end",
    FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Of the `runs` with these settings, as `lr=0.1`, so many failed, by what they did. No settings: of all jobs."""

    settings: tuple[str, ...]
    runs: tuple[str, ...]
    failed: int
    how: Mapping[str, int]

    def sentence(self) -> str:
        where = " and ".join(self.settings) or "all jobs"
        if len(self.how) == 1:
            return f"{where}: {self.failed} of {len(self.runs)} {next(iter(self.how))}"
        parts = ", ".join(f"{number} {words}" for words, number in self.how.items())
        return f"{where}: {self.failed} of {len(self.runs)} failed ({parts})"

    def to_json(self) -> dict[str, Any]:
        return {
            "settings": list(self.settings), "failed": self.failed, "of": len(self.runs), "how": dict(self.how),
            "runs": list(self.runs),
        }  # fmt: skip


def findings(rows: Sequence[Mapping[str, Any]], metric: str | None, keys: Collection[str]) -> list[Finding]:
    """The settings with which jobs failed more often than others, by more than chance; the clearest first."""
    ended = [row for row in rows if row.get("status") not in UNFINISHED]
    how = [_how(row, metric) for row in ended]
    bad = {place for place, words in enumerate(how) if words}
    if not bad or len(ended) < 2:
        return []
    if len(bad) == len(ended):
        return [_finding((), range(len(ended)), ended, how)]
    known: dict[tuple[str, ...], Sequence[int]] = {
        (f"{one.key}={label}",): members
        for one in levels_of(ended, keys)
        for label, members in zip(one.labels, one.members(), strict=True)
    }
    found = _significant(known, bad, len(ended))
    told = {place for members in found.values() for place in members}
    if bad - told:
        found |= _significant(dict(_pairs(ended, keys, list(found.values()))), bad, len(ended))
    ordered = sorted(found.items(), key=lambda item: (_chance(item[1], bad, len(ended)), -len(item[1])))
    merged: dict[tuple[int, ...], tuple[str, ...]] = {}
    for names, members in ordered:  # two settings that vary together are one finding
        merged[tuple(members)] = (*merged.get(tuple(members), ()), *names)
    return [_finding(names, members, ended, how) for members, names in list(merged.items())[:MOST]]


def _how(row: Mapping[str, Any], metric: str | None) -> str | None:
    """What a job did that failed; None for one that did not. A loss that is not finite at the end is a failure too."""
    if row.get("status") == COMPLETED:
        value = row.get(metric) if metric else 0.0
        lost = metric in row and (value is None or (is_number(value) and not math.isfinite(value)))
        return WORDS[causes.DIVERGED] if lost else None
    cause = str(row.get(CAUSE) or "")
    if (words := WORDS.get(cause.removesuffix("?"))) is not None:
        return f"probably {words}" if cause.endswith("?") else words
    return WORDS.get(str(row.get("status")), WORDS[FAILED])


def _significant(
    known: Mapping[tuple[str, ...], Sequence[int]], bad: Bad, number: int
) -> dict[tuple[str, ...], Sequence[int]]:
    """Those where more failed than by chance, or where all of several failed and nobody else did."""
    found = {}
    for names, members in known.items():
        failed = len(bad.intersection(members))
        alone = failed == len(members) == len(bad) > 1
        if alone or (failed and _chance(members, bad, number) <= ALPHA / len(known)):
            found[names] = members
    return found


def _chance(members: Sequence[int], bad: Bad, number: int) -> float:
    """The probability that at least so many of the members are among the bad ones by chance (Fisher's exact test)."""
    return chance(len(bad.intersection(members)), len(members), len(bad), number)


def chance(failed: int, size: int, all_bad: int, number: int) -> float:
    """The same for `failed` of `size` jobs, where `all_bad` of `number` failed; 1 if no more failed than elsewhere."""
    if failed * number <= all_bad * size:
        return 1.0
    total = 0.0
    for one in range(max(failed, size + all_bad - number), min(size, all_bad) + 1):
        ways = _ways(all_bad, one) + _ways(number - all_bad, size - one) - _ways(number, size)
        total += math.exp(ways)
        if ways < math.log(total or 1) - 40:  # the rest is smaller still
            break
    return min(total, 1.0)


def _ways(number: int, chosen: int) -> float:
    """The logarithm of the number of ways to choose."""
    return math.lgamma(number + 1) - math.lgamma(chosen + 1) - math.lgamma(number - chosen + 1)


def _pairs(
    rows: Sequence[Mapping[str, Any]], keys: Collection[str], told: Sequence[Sequence[int]]
) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    """Two values of two settings and the rows that have both, unless one of the values is a finding already."""
    known = levels_of(rows, keys)[:MOST_SETTINGS]
    for one, other in combinations(known, 2):
        cells: dict[tuple[int, int], list[int]] = {}
        for place, cell in enumerate(zip(one.of, other.of, strict=True)):
            cells.setdefault(cell, []).append(place)
        for (first, second), members in cells.items():
            if len(members) > 1 and not any(set(members).issubset(others) for others in told):
                yield (f"{one.key}={one.labels[first]}", f"{other.key}={other.labels[second]}"), members


def _finding(
    names: tuple[str, ...], members: Sequence[int], rows: Sequence[Mapping[str, Any]], how: Sequence[str | None]
) -> Finding:
    counted = Counter(words for place in members if (words := how[place]))
    return Finding(names, tuple(str(rows[place].get("name")) for place in members), counted.total(),
                   dict(counted.most_common()))  # fmt: skip
