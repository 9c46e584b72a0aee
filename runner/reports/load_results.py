"""Folders of results -> rows: batches, sweeps, trees of configs, Hydra's multiruns, the library's caches.

Reads files and runs nothing; a pickle is opened only as far as it holds plain values. A file that is torn or missing
leaves its cells empty and never hides a job.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from runner.configs import yamlfile
from runner.core import causes
from runner.core.canonical import untagged
from runner.core.fields import is_number, is_path
from runner.core.names import natural
from runner.core.plain_values import plain
from runner.core.result import ADJUSTED, Result, adjusted_of
from runner.disk import layout, results
from runner.disk.reading import LARGEST_OF_BATCH, read_bytes, read_json
from runner.disk.record_file import Unreadable
from runner.reports import plainpickle, return_value
from runner.reports.table import Table, flattened, row

COMPLETED, INCOMPLETE = "completed", "incomplete"  # the second: a job of Hydra without metrics
REMEMBERED = 100_000  # pieces of YAML
_TOP_LEVEL = re.compile(r"^(?=[A-Za-z_])", re.MULTILINE)
_LINKED = re.compile(r"[&*%]|<<|---")  # by these one piece of a YAML file may depend on another

Row = dict[str, Any]


def load_results(*folders: str | os.PathLike[str]) -> Table:
    """A row for each job below the folders: `name`, `status`, its config, what it measured, `seconds`, `out_dir`.

    `status` is as in experiment_result.json, or `pending`, `running`, `lost`, and of a job of Hydra that this runner
    did not record `completed` or `incomplete`. A job that runs on another host has that host as `running_on`, one that
    left a checkpoint its path as `final_checkpoint`. Keys of nested configs are `optimizer.lr`, those of a
    metrics_summary.csv `<sampler>_<column>`. Names are paths below the folder if there is one, whole ones if there are
    several.
    """
    reader = Reader()
    rows: list[Row] = []
    for given in folders:
        folder = os.fspath(given)
        path = Path(folder)
        if not path.is_dir():
            raise NotADirectoryError(20, "is not a folder; name one that holds results", folder)
        above = "" if len(folders) == 1 else f"{folder.rstrip('/')}/"
        rows += reader.below(str(path), above, path.absolute().name)
    table = Table(rows)
    table.measured = frozenset(reader.measured & set(table.columns))
    table.not_secret = frozenset(reader.not_secret)
    table.causes = reader.causes
    return table


class Reader:
    """Remembers pieces of YAML: of the configs of a sweep most are equal."""

    def __init__(self) -> None:
        self.measured: set[str] = set()
        self.not_secret: set[str] = set()
        self.causes: dict[str, str] = {}
        self._rows_seen: set[tuple[tuple[str, ...], ...]] = set()  # keys of results, and those of the rows
        self._pieces: dict[str, dict[str, Any]] = {}

    def below(self, folder: str, above: str, own: str) -> Iterator[Row]:
        """The row of a folder, called `own`, or those of the folders in it, whose names begin with `above`."""
        folders, files = _listed(folder)
        if layout.PLAN in files:
            plan = read_json(f"{folder}/{layout.PLAN}", LARGEST_OF_BATCH)
            jobs = plan.get("jobs")
            declared = _mapping(plan.get("options")).get("not_secret")
            self.not_secret |= set(map(str, declared)) if isinstance(declared, list) else set()
            entries = [entry for entry in jobs if _is_job(entry)] if isinstance(jobs, list) else []
            yield from (self.planned(folder, entry, above) for entry in entries)
            taken = {entry["name"].partition("/")[0] for entry in entries}
            yield from self._inside(folder, folders, above, taken)
        elif (found := self.job(folder, own, files)) is not None:
            yield found
        else:
            yield from self._inside(folder, folders, above, set())

    def _inside(self, folder: str, folders: Iterable[str], above: str, taken: set[str]) -> Iterator[Row]:
        for name in sorted(set(folders) - taken, key=natural):
            path = f"{folder}/{name}"
            # One folder a job, thousands of them: to open its files by name is quicker than to list all of them.
            found = self.numbered(path, f"{above}{name}") if name.isdecimal() else None
            if found is not None:
                yield found
            else:
                yield from self.below(path, f"{above}{name}/", f"{above}{name}")

    def planned(self, root: str, entry: Mapping[str, Any], above: str) -> Row:
        """A job of a plan, started or not."""
        name = entry["name"]
        folder = f"{root}/{name}"
        found = results.look(folder)
        if isinstance(found, Result) and found.fingerprint != entry.get("fingerprint"):
            found = None  # it was another job
        return self._row(folder, f"{above}{name}", _about(folder, found), _config_of(entry), _names(folder))

    def job(self, folder: str, name: str, files: set[str]) -> Row | None:
        """The job in this folder; None if there is none."""
        if layout.RESULT in files or layout.METADATA in files:
            about = _about(folder, results.look(folder))
            return self._row(folder, name, about, _config_of(read_json(f"{folder}/{layout.METADATA}")))
        if layout.META in files:
            return self._cached(folder, name)
        if layout.RUN_METADATA in files:
            about = read_json(f"{folder}/{layout.RUN_METADATA}", links=True)
            return self._row(folder, name, about, _mapping(about.get("config")))
        if layout.MULTIRUN not in files and (layout.SUMMARY_CSV in files or layout.HYDRA in files):
            return self.numbered(folder, name)
        return None

    def numbered(self, folder: str, name: str) -> Row | None:
        """The job of Hydra in this folder; None if there is none."""
        config = self._config(f"{folder}/{layout.HYDRA_CONFIG}")
        if config is None:
            if not Path(folder, layout.HYDRA).is_dir():
                return None
            config = self._config(f"{folder}/{layout.HYDRA}/{layout.HYDRA_CONFIG}") or {}
        found = results.look(folder)
        return self._row(folder, name, {} if found is None else _about(folder, found), config)

    def _row(self, folder: str, name: str, result: Row, config: Row, names: Collection[str] | None = None) -> Row:
        """`names` are those of the files in the folder, where they are known."""
        metrics = _metrics(folder, result, names)
        status = result.get("status") or (COMPLETED if metrics else INCOMPLETE)
        if names is None or layout.RETURN_VALUE in names:
            metrics = _returned(folder) | metrics
        return self._made(folder, name, str(status), result, config, metrics)

    def _cached(self, folder: str, name: str) -> Row:
        """A config of the library. Of its result only plain values are read, so that no code is run."""
        meta = read_json(f"{folder}/{layout.META}")
        content = _read(f"{folder}/{layout.PICKLE}") if meta.get("status") == COMPLETED else None
        try:
            value = plainpickle.loads(content) if content is not None else None
        except ValueError:
            value = None
        status = str(meta.get("status", "unreadable"))
        return self._made(folder, name, status, meta, _mapping(plain(meta.get("config"))), value)

    def _made(self, folder: str, name: str, status: str, about: Row, config: Row, result: Any) -> Row:
        host = {"running_on": about["host"]} if status == "running" and "host" in about else {}
        found = about.get("warnings")
        warnings = {"warnings": found} if isinstance(found, list) and found else {}
        cause = {"cause": word} if (word := causes.shown(about)) else {}
        checkpoint = {"final_checkpoint": path} if (path := _checkpoint(about, folder)) else {}
        if word:
            self.causes[folder] = word
        seconds: Any = about.get("duration_seconds")
        seconds = seconds if is_number(seconds) and math.isfinite(seconds) else None
        adjusted = {ADJUSTED: changed} if (changed := adjusted_of(about.get(ADJUSTED))) else {}
        more = {"seconds": seconds, "out_dir": folder, **checkpoint, **host, **warnings, **cause, **adjusted}
        result = flattened(result) if isinstance(result, dict) else result
        made = row(name, status, config, result, more)
        keys = tuple(result) if isinstance(result, dict) else ("result",)
        if (both := (keys, tuple(made))) not in self._rows_seen:
            self._rows_seen.add(both)
            self.measured.update(f"result.{key}" if f"result.{key}" in made else key for key in keys)
        return made

    def _config(self, path: str) -> dict[str, Any] | None:
        """The values of a YAML file; None if there is none, and no values if it is not valid."""
        text = _read(path)
        if text is None:
            return None
        try:
            read = self.in_pieces(text.decode())
            return read or _mapping(plainpickle.bounded(yamlfile.values(text.decode()), len(text)))
        except ValueError:
            return {}

    def in_pieces(self, text: str) -> dict[str, Any] | None:
        """The values of a YAML file, read key by key of its top level; None where it has to be read as a whole."""
        if _LINKED.search(text):
            return None
        values: dict[str, Any] = {}
        for piece in _TOP_LEVEL.split(text):
            known = self._pieces.get(piece)
            if known is None:
                try:
                    known = yamlfile.values(piece)
                except ValueError:
                    return None
                if len(self._pieces) >= REMEMBERED:
                    self._pieces.clear()
                self._pieces[piece] = known
            if values.keys() & known.keys():
                return None
            values |= known
        return values


def _is_job(entry: Any) -> bool:
    """Whether an entry of a plan names the folder of a job."""
    return isinstance(entry, dict) and isinstance(entry.get("name"), str) and is_path(entry["name"])


def _about(folder: str, found: Result | Unreadable | None) -> Row:
    """The entries of a result, or the state of a job without one."""
    if isinstance(found, Result):
        return found.to_json()
    state = results.unfinished(folder, found)
    return {"status": state.status, **({"host": state.host} if state.host else {})}


def _names(folder: str) -> set[str]:
    """The names of the files in a folder: one list of them is quicker than to try several that are not there."""
    try:
        return set(os.listdir(folder))  # noqa: PTH208 - without a Path for each
    except OSError:
        return set()


def _metrics(folder: str, result: Mapping[str, Any], names: Collection[str] | None) -> dict[str, Any]:
    """What a job measured: last and best values, metrics/metrics.json, and metrics_summary.csv."""
    found = _mapping(result.get("final_metrics"))
    found = found | _best(_mapping(result.get("best_metrics")))
    if names is None or layout.RUN_METRICS.partition("/")[0] in names:
        measured = read_json(f"{folder}/{layout.RUN_METRICS}", links=True)
        found = found | {key: it for key, it in measured.items() if key not in found}
    if names is not None and layout.SUMMARY_CSV not in names:
        return found
    summary = _read(f"{folder}/{layout.SUMMARY_CSV}")
    return found if summary is None else found | _summary(summary.decode(errors="replace"))


def _returned(folder: str) -> dict[str, Any]:
    """What a job of Hydra returned."""
    content = _read(f"{folder}/{layout.RETURN_VALUE}")
    return return_value.read(content) if content is not None else {}


def _best(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """`best/val/loss` and `best/val/loss/iter` for each metric that has a better and a worse."""
    found: dict[str, Any] = {}
    for name, entry in metrics.items():
        if isinstance(entry, dict):
            found[f"best/{name}"] = entry.get("value")
            found[f"best/{name}/iter"] = entry.get("iter")
    return found


def _summary(text: str) -> dict[str, Any]:
    """A table with a row for each sampler, named by its first cell -> <sampler>_<column>, column by column: if not all
    fit on a screen, the first ones of each sampler are shown."""
    try:
        columns, *samplers = [cells for cells in csv.reader(text.splitlines()) if cells] or [[]]
    except csv.Error:  # a field without an end
        return {}
    return {
        f"{cells[0]}_{columns[at]}": _number(cells[at])
        for at in range(1, len(columns))
        for cells in samplers
        if at < len(cells)
    }


def _number(text: str) -> float | int | str | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


def _listed(folder: str) -> tuple[list[str], set[str]]:
    """The folders in a folder that may hold results, and the names of all that is there."""
    folders, names = [], set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                names.add(entry.name)
                skipped = entry.name.startswith((".", "_", layout.ATTEMPT))
                if not skipped and entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
    except OSError:  # one that cannot be read must not hide the others
        pass
    return folders, names


def _checkpoint(about: Mapping[str, Any], folder: str) -> str | None:
    """The last checkpoint of a job, also where its folder is no longer the one in which it ran."""
    path, before = about.get("final_checkpoint"), about.get("experiment_dir")
    if not isinstance(path, str) or not isinstance(before, str) or not path.startswith(f"{before}/"):
        return path if isinstance(path, str) else None
    here = f"{folder}/{path.removeprefix(f'{before}/')}"
    return here if os.path.exists(here) else path  # noqa: PTH110 - as the other paths here


def _read(path: str) -> bytes | None:
    try:
        return read_bytes(path, links=True)
    except OSError:
        return None


def _config_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The config in a record of this runner."""
    return _mapping(untagged(record.get("config")))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
