"""How many attacks succeeded and how many odd rows were noticed, read off whatever a run has left. Writes nothing.

The files are asked in this order: metrics/success_counts.json, raw/records.jsonl, predictions.jsonl. What none of them
tells is None, with a note that says why; it is never 0, and never a failure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.disk.reading import open_regular, read_bytes

SUCCESS_COUNTS = "metrics/success_counts.json"
RECORDS = ("raw/records.jsonl", "predictions.jsonl")
KINDS = {"adversarial": ("is_adversarial", "adversarial_success"), "ood": ("is_ood", "ood_success")}
LONGEST = 1 << 24  # bytes of a file of counts, and of a line of records; what is longer was not written by us
Z95 = 1.959963984540054  # the standard normal's 97.5 % quantile


@dataclass(frozen=True, slots=True)
class Share:
    """`success` of `total`."""

    success: int
    total: int

    @property
    def rate(self) -> float:
        return self.success / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Of the rate, at 95 % (Wilson 1927): the solutions p of (rate - p)^2 = z^2 p (1 - p) / total.

        Unlike rate +- z sqrt(...) it stays within 0 and 1, and is no point where all or none succeed.
        """
        n, z2 = self.total, Z95**2
        middle = (self.success + z2 / 2) / (n + z2)
        half = Z95 / (n + z2) * math.sqrt(self.success * (n - self.success) / n + z2 / 4)
        # The exact bounds at the ends, which rounding may miss by a last bit.
        return (max(0.0, middle - half) if self.success else 0.0, min(1.0, middle + half) if self.success < n else 1.0)


@dataclass(frozen=True, slots=True)
class Counts:
    """None where it is not known; `notes` says why, and `sources` which file told what is known."""

    adversarial: Share | None
    ood: Share | None
    notes: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """`adversarial_success=12/50, ood_success=unknown`"""
        parts = {"adversarial": self.adversarial, "ood": self.ood}
        return ", ".join(
            f"{name}_success={f'{share.success}/{share.total}' if share else 'unknown'}"
            for name, share in parts.items()
        )


def derive(run_folder: Path) -> Counts:
    """The counts of the run in this folder. Never raises for what it finds there."""
    found: dict[str, tuple[Share, str]] = {}
    notes: list[str] = []
    for name in (SUCCESS_COUNTS, *RECORDS):
        if len(found) == len(KINDS):
            break
        try:
            read = _counted if name == SUCCESS_COUNTS else _recorded
            shares, said = read(run_folder / name)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            notes.append(f"{name} cannot be read ({type(error).__name__})")
            continue
        notes += [f"{name}: {note}" for note in said]
        found = {kind: (share, name) for kind, share in shares.items()} | found
    unknown = " and ".join(kind for kind in KINDS if kind not in found)
    if unknown and not notes:
        notes.append(f"none of {SUCCESS_COUNTS}, {', '.join(RECORDS)} tells the {unknown} success")
    shares = {kind: share for kind, (share, _) in found.items()}
    sources = {kind: name for kind, (_, name) in found.items()}
    return Counts(shares.get("adversarial"), shares.get("ood"), "; ".join(notes), sources)


def _counted(path: Path) -> tuple[dict[str, Share], list[str]]:
    content = json.loads(read_bytes(path, LONGEST, links=True))
    if not isinstance(content, dict):
        return {}, ["is no record of counts"]
    shares, notes = {}, [content["notes"]] if isinstance(content.get("notes"), str) and content["notes"] else []
    for kind in KINDS:
        success, total = content.get(f"{kind}_success"), content.get(f"{kind}_total")
        if success is None and total is None:
            continue
        # type, not isinstance: true is no count
        if type(success) is int and type(total) is int and 0 <= success <= total < 2**63 and total:
            shares[kind] = Share(success, total)
        else:
            notes.append(f"{kind}: {success!r:.40} of {total!r:.40} is no count")
    return shares, notes


def _recorded(path: Path) -> tuple[dict[str, Share], list[str]]:
    """Sums over the records: of the rows that are adversarial (or ood), how many say true and how many say anything."""
    sums = {kind: [0, 0, 0] for kind in KINDS}  # success, total, rows that do not say
    torn = 0
    for record in _lines(path):
        if record is None:
            torn += 1
            continue
        for kind, (mark, success) in KINDS.items():
            if _truth(record.get(mark)):
                said = _truth(record.get(success))
                sums[kind][0] += said is True
                sums[kind][1] += said is not None
                sums[kind][2] += said is None
    notes = [f"{torn} lines cannot be read"] if torn else []
    notes += [f"{row[2]} {kind} rows do not say whether they succeeded" for kind, row in sums.items() if row[2]]
    return {kind: Share(row[0], row[1]) for kind, row in sums.items() if row[1]}, notes


def _lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """The records; None for a line that is none, such as the last one of a run that was killed."""
    with open_regular(path, links=True) as file:
        while line := file.readline(LONGEST):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            yield record if isinstance(record, dict) else None
            if len(line) == LONGEST:  # not a file of lines: it may be of any size
                return


def _truth(value: Any) -> bool | None:
    """true and false, also as the 1 and 0 of other programs; None for anything else."""
    return bool(value) if isinstance(value, (bool, int, float)) and value in (0, 1) else None
