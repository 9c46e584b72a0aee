"""Mode simulation: draw the figures that the flags of a run select. Computes none of their numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.classify.comparison import runs_beside, table
from pipelines.classify.settings import ClassifySettings
from pipelines.shared.errors import InputError
from pipelines.shared.metrics import METRICS, print_line
from runner.disk import atomic

COMPARISON = "comparison.csv"


def draw(record: Mapping[str, Any], settings: ClassifySettings, out_dir: Path) -> list[Path]:
    """Draw the selected figures, from the `record` of evaluation.json and from metrics.jsonl."""
    try:
        from pipelines.classify import plots
    except ImportError as error:
        raise InputError(f"mode simulation draws with matplotlib ({error}); pip install matplotlib") from error
    rows = measured(out_dir / METRICS)
    layers = record["layers"]
    paths = []
    if not settings.research_only:
        paths.append(plots.curves(rows, out_dir))
        if not settings.no_confusion:
            paths.append(plots.confusion(record["confusion"], out_dir))
        paths.append(plots.accuracy_by_layer(rows, layers, out_dir))
    paths.append(plots.predictive(layers, out_dir))
    paths.append(plots.compression(layers, out_dir))
    paths.append(plots.difference(layers, record["cka"], out_dir))
    if settings.advanced:
        runs = runs_beside(out_dir)
        atomic.write_bytes(out_dir / COMPARISON, table(runs).encode())
        paths.append(plots.comparison(runs, out_dir))
    for path in paths:
        print_line(f"drew {path}")
    return paths


def measured(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; without lines that a crash or a full disk truncated."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def existing_figures(out_dir: Path) -> list[str]:
    """The files of an earlier simulation in the folder."""
    return [*(path.name for path in out_dir.glob("*.png")), COMPARISON]
