"""Read what is recorded of one job in its folder: settings, results, provenance, curves. Writes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from runner.core import redact
from runner.disk import layout
from runner.disk.reading import open_regular, read_json
from runner.reports import row_blocks
from runner.reports.comparing.curves import curves
from runner.reports.comparing.differences import JobRecord
from runner.reports.load_results import load_results


def read(folder: Path) -> tuple[JobRecord, frozenset[str]] | int:
    """The job in this folder, and which columns of its row are results; the number of jobs if it is not one."""
    found = load_results(folder)
    if len(found) != 1 or (folder / layout.PLAN).exists():
        return len(found)
    shown = found.not_secret
    provenance = redact.mapping(read_json(folder / layout.METADATA), shown)
    return JobRecord(redact.mapping(found[0], shown), provenance, curves(rows_of(folder))), found.measured


def opened(folder: Path) -> BinaryIO:
    """metrics.jsonl; of a job that does not write it, what it printed. Raises OSError."""
    paths = layout.JobPaths(folder)
    path = paths.metrics if os.path.exists(paths.metrics) else paths.parsed_metrics  # noqa: PTH110 - text, as theirs
    return open_regular(path, links=path == paths.metrics)


def rows_of(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of metrics.jsonl; of a job that does not write it, those of what it printed."""
    try:
        with opened(folder) as file:
            for block in row_blocks.blocks(file, unfinished=True):
                yield from block.rows
    except OSError:
        return
