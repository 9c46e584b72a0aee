"""How much of the differences between jobs each setting explains, and how much noise alone would. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.reports.comparing import effects, forest, grid, student
from runner.reports.comparing.effects import Effect
from runner.reports.comparing.levels import Levels, levels, together

LEAST_RUNS = 10
LEAST_R2 = 0.3
NOISE = 0.01  # how often noise alone reaches the limit of any setting
GRID, RANKS = "grid", "ranks"
METHODS = {
    GRID: "every combination was run equally often: exact parts of the variance",
    RANKS: "parts of the variance of the ranks, each setting for itself",
}


@dataclass(frozen=True, slots=True)
class Part:
    """What a setting, several that vary together, or two in combination explain of all differences, from 0 to 1.

    `noise`: what a setting without an effect would reach in 1 of 100 comparisons. `lo` and `hi`: of ranks only.
    """

    keys: tuple[str, ...]
    kind: str  # "setting", "together" or "interaction"
    share: float
    noise: float | None
    lo: float | None = None
    hi: float | None = None

    @property
    def matters(self) -> bool:
        """Whether it explains more than noise would."""
        return self.noise is not None and self.share > self.noise

    def to_json(self) -> dict[str, Any]:
        keys = {"key": " × ".join(self.keys) if self.kind == "interaction" else ", ".join(self.keys)}
        measured = {"share": self.share, "lo": self.lo, "hi": self.hi, "noise": self.noise}
        return {**keys, "kind": self.kind, **measured, "matters": self.matters}


@dataclass(frozen=True, slots=True)
class Importance:
    """`refused` is why nothing is said. `r2`: what a forest predicts of runs that it has not seen; of ranks only."""

    parts: tuple[Part, ...] = ()
    method: str | None = None
    unexplained: float | None = None
    r2: float | None = None
    confounded: tuple[tuple[str, ...], ...] = ()
    not_ranked: tuple[str, ...] = ()
    refused: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "importance": [part.to_json() for part in self.parts],
            "method": self.method,
            "unexplained": self.unexplained,
            "r2": self.r2,
            "confounded": [list(keys) for keys in self.confounded],
            "not_ranked": list(self.not_ranked),
            "refused": self.refused,
        }


def importance(rows: Sequence[Mapping[str, Any]], values: Sequence[float], keys: Collection[str]) -> Importance:
    """`values` are those of the metric, one for each row; `keys` are the settings in question."""
    if len(rows) < LEAST_RUNS:
        return Importance(refused=f"{len(rows)} completed jobs are too few to say what mattered; it needs {LEAST_RUNS}")
    if len(set(values)) == 1:
        return Importance(refused="all values are equal")
    different = [found for key in keys if (found := levels(rows, key)).count > 1]
    told = [found for found in different if found.tells]
    classes = together(told)
    confounded = tuple(tuple(one.key for one in found) for found in classes if len(found) > 1)
    not_ranked = tuple(found.key for found in different if not found.tells)
    if not classes:
        return Importance(refused="no setting has a value that several jobs share", not_ranked=not_ranked)
    first = [found[0] for found in classes]
    names = {found[0].key: tuple(one.key for one in found) for found in classes}
    if grid.is_full(first) and not not_ranked:
        parts = _parts(grid.effects(first, values), names)
        rest = max(1 - sum(part.share for part in parts), 0.0)
        return Importance(parts, GRID, rest, confounded=confounded)
    parts = _parts(effects.of_ranks(first, values), names)
    return Importance(parts, RANKS, None, forest.r2(first, values), confounded, not_ranked)


def _parts(found: Sequence[Effect], names: Mapping[str, tuple[str, ...]]) -> tuple[Part, ...]:
    """The largest first. The limit of noise is that of all of them together (Bonferroni)."""
    made = []
    for effect in found:
        noise = None
        if effect.rest_freedom > 0:
            limit = student.f_limit(NOISE / len(found), effect.freedom, effect.rest_freedom)
            noise = min(limit * effect.freedom / effect.rest_freedom * effect.rest, 1.0)
        keys = tuple(key for key in effect.keys for key in names[key]) if len(effect.keys) == 1 else effect.keys
        kind = "interaction" if len(effect.keys) == 2 else "together" if len(keys) > 1 else "setting"
        made.append(Part(keys, kind, effect.share, noise, effect.lo, effect.hi))
    return tuple(sorted(made, key=lambda part: (-part.share, part.keys)))


def levels_of(rows: Sequence[Mapping[str, Any]], keys: Collection[str]) -> list[Levels]:
    """The settings with a value that several rows have."""
    return [found for key in keys if (found := levels(rows, key)).tells]
