"""What two jobs differ in: settings, code, environment, results, and where their curves part. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runner.core.fields import is_number
from runner.reports import grouping
from runner.reports.comparing.curves import Curve, Parting, partings
from runner.reports.table import Table, flat

CODE = ("git", "runner_git", "runner_version")
ENVIRONMENT = (
    "python", "python_executable", "packages", "environment", "host", "platform", "cpu_count", "memory_bytes", "gpus",
)  # fmt: skip
RESULTS = ("status", "seconds")
OF_THE_JOB = ("environment.RUNNER_", "environment.WANDB_NAME")  # what begins so is another one for each job


@dataclass(frozen=True, slots=True)
class JobRecord:
    """`row` is that of load_results, `provenance` the metadata, empty where they were not recorded."""

    row: Mapping[str, Any]
    provenance: Mapping[str, Any]
    curves: Mapping[str, Curve]


@dataclass(frozen=True, slots=True)
class Difference:
    """A value of each job; None for one that it does not have."""

    key: str
    one: Any
    other: Any


@dataclass(frozen=True, slots=True)
class Differences:
    """`compared` settings are those that at least one of the jobs has. `recorded`: both jobs have a provenance."""

    settings: tuple[Difference, ...]
    compared: int
    code: tuple[Difference, ...]
    environment: tuple[Difference, ...]
    results: tuple[Difference, ...]
    curves: tuple[Parting, ...]
    recorded: bool
    commit: str | None  # the one that both have
    dirty: bool  # one of them ran code that was not committed

    def to_json(self) -> dict[str, Any]:
        kinds = {"settings": self.settings, "code": self.code, "environment": self.environment, "results": self.results}
        made: dict[str, Any] = {
            name: [{"key": it.key, "a": it.one, "b": it.other} for it in found] for name, found in kinds.items()
        }
        made |= {"recorded": self.recorded, "commit": self.commit, "dirty": self.dirty}
        return {"schema": 1, **made, "curves": [parting.to_json() for parting in self.curves]}


def differences(one: JobRecord, other: JobRecord, measured: frozenset[str]) -> Differences:
    """`measured` are the columns of the rows that are results."""
    both = Table([dict(one.row), dict(other.row)])
    both.measured = measured
    settings = grouping.settings_of(both)
    metrics = [
        key
        for key in both.columns
        if key in measured
        and not key.endswith("/iter")
        and (is_number(one.row.get(key)) or is_number(other.row.get(key)))
    ]
    commits = [_mapping(record.provenance.get("git")) for record in (one, other)]
    same = commits[0].get("commit") if commits[0].get("commit") == commits[1].get("commit") else None
    return Differences(
        tuple(_different(one.row, other.row, settings)),
        len(settings),
        tuple(_in_provenance(one, other, CODE)),
        tuple(_in_provenance(one, other, ENVIRONMENT)),
        tuple(_different(one.row, other.row, [*RESULTS, *metrics])),
        tuple(partings(one.curves, other.curves)),
        bool(one.provenance and other.provenance),
        same if isinstance(same, str) else None,
        any(commit.get("dirty") is not False for commit in commits if commit),
    )


def _in_provenance(one: JobRecord, other: JobRecord, keys: Iterable[str]) -> list[Difference]:
    """Nothing where one of the two has no provenance: then it is not known."""
    if not (one.provenance and other.provenance):
        return []
    first, second = [_provenance(record.provenance, keys) for record in (one, other)]
    return _different(first, second, dict.fromkeys([*first, *second]))


def _provenance(found: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Its entries; the folder of the job, in which two jobs differ anyway, is replaced by a word."""
    folder = str(found.get("experiment_dir") or "")
    values = dict(flat({key: found.get(key) for key in keys}))
    return {
        key: value.replace(folder, "{out_dir}") if folder and isinstance(value, str) else value
        for key, value in values.items()
        if not key.startswith(OF_THE_JOB)
    }


def _different(one: Mapping[str, Any], other: Mapping[str, Any], keys: Iterable[str]) -> list[Difference]:
    return [
        Difference(key, one.get(key), other.get(key)) for key in keys if repr(one.get(key)) != repr(other.get(key))
    ]  # fmt: skip


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
