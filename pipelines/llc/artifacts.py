"""The files of an estimate: their names and formats, each written atomically. Computes nothing."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from runner.configs import yamlfile
from runner.core.csv_text import as_csv
from runner.disk import atomic

if TYPE_CHECKING:
    from pipelines.llc.chains import Trace
    from pipelines.llc.diagnostics import Summary

CONFIG = "config.yaml"
SUMMARY = "metrics_summary.csv"
MINIMUM = "minimum.json"
W0 = "w0.npy"
TRACES = "traces_{}.npz"
PLOT = "trace_{}.png"


def clear(out_dir: Path) -> None:
    """Remove the files of an earlier estimate, so that results are not mixed."""
    for name in (CONFIG, SUMMARY, MINIMUM, W0):
        (out_dir / name).unlink(missing_ok=True)
    for pattern in (TRACES, PLOT):
        for path in out_dir.glob(pattern.format("*")):
            path.unlink()


def write_config(out_dir: Path, settings: BaseModel) -> None:
    """Every key with its value, as a config that reproduces the estimate."""
    atomic.write_bytes(out_dir / CONFIG, yamlfile.write(settings.model_dump(mode="json")).encode())


def write_minimum(out_dir: Path, record: Mapping[str, Any], w0: np.ndarray) -> None:
    atomic.write_bytes(out_dir / W0, _saved(lambda file: np.save(file, w0)))
    atomic.write_json(out_dir / MINIMUM, {"schema": 1, **record})


def write_trace(out_dir: Path, sampler: str, trace: Trace, strength: float, loss_at_w0: float) -> None:
    """Everything that the row of metrics_summary.csv is computed from: llc = strength * (losses - loss_at_w0)."""
    values = {**{field.name: getattr(trace, field.name) for field in fields(trace)},
              "strength": strength, "loss_at_w0": loss_at_w0}  # fmt: skip
    atomic.write_bytes(out_dir / TRACES.format(sampler), _saved(lambda file: np.savez(file, **values)))


def write_summary(out_dir: Path, rows: Sequence[Summary]) -> None:
    """One row per sampler; NaN is an empty field, which pandas reads as NaN."""
    records = [asdict(row) for row in rows]
    text = as_csv(list(records[0]), ([_field(value) for value in record.values()] for record in records))
    atomic.write_bytes(out_dir / SUMMARY, text.encode())


def _field(value: Any) -> Any:
    if isinstance(value, tuple):
        return "; ".join(value)
    return "" if isinstance(value, float) and math.isnan(value) else value


def _saved(save: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()
