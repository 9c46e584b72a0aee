"""Write the results of a run after each of its stages, every file atomically. Computes nothing."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.robustness import layout
from pipelines.robustness.evaluation import Evaluation, Result
from pipelines.robustness.settings import RobustnessSettings
from runner.core import csv_text
from runner.disk import atomic


@dataclass(slots=True)
class Features:
    """Writes the arrays of the score dictionaries as they are, each once, and records their shapes."""

    out_dir: Path
    export: str  # npy, npy+csv, npy+parquet
    written: dict[str, dict[str, Any]] = field(default_factory=dict)  # file -> its entry in metadata.json

    def write(self, result: Result) -> None:
        for split, scores in result.scores.items():
            for key, values in scores.items():
                if (name := layout.feature(split, key)) not in self.written:
                    self._write(name, key, values)

    def _write(self, name: str, key: str, values: np.ndarray) -> None:
        file = io.BytesIO()
        np.save(file, values, allow_pickle=False)
        atomic.write_bytes(self.out_dir / name, file.getvalue(), durable=False)
        about = {"file": name, "shape": list(values.shape), "dtype": str(values.dtype), "count": int(values.size)}
        kind = self.export.removeprefix("npy").removeprefix("+")
        if kind:
            about[kind] = self._exported(name, key, values, kind)
        self.written[name] = about

    def _exported(self, name: str, key: str, values: np.ndarray, kind: str) -> str | None:
        """The name of the further file; None, after a warning, where it cannot be written: the .npy exists anyway."""
        other = str(Path(name).with_suffix(f".{kind}"))
        try:
            content = as_csv(key, values) if kind == "csv" else as_parquet(key, values)
            atomic.write_bytes(self.out_dir / other, content, durable=False)
        except (ImportError, OSError) as error:
            if all(about.get(kind) for about in self.written.values()):  # once is enough
                hint = "; pip install pyarrow" if isinstance(error, ImportError) else ""
                print(f"warning: no {kind} beside the .npy files ({error}){hint}", file=sys.stderr)
            return None
        return other


def as_csv(key: str, values: np.ndarray) -> bytes:
    """A column with its name; repr, so that reading it gives the same numbers."""
    return "\n".join([key, *(repr(value) for value in values.tolist()), ""]).encode()


def as_parquet(key: str, values: np.ndarray) -> bytes:
    import pyarrow
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.table({key: values}), file)
    return file.getvalue()


def write_evaluations(out_dir: Path, result: Result) -> None:
    for name, found in ((layout.EVAL_ADV, result.eval_adv), (layout.EVAL_OOD, result.eval_ood)):
        if found is not None and not (out_dir / name).exists():
            atomic.write_bytes(out_dir / name, packed(found, result.thresholds), durable=False)


def packed(found: Evaluation, thresholds: Mapping[str, float]) -> bytes:
    """labels, sample_id, kind; for each detector scores__<name> and threshold__<name>."""
    arrays = {"labels": found.labels, "sample_id": found.sample_id, "kind": found.kind}
    arrays |= {f"scores__{name}": values for name, values in found.scores.items()}
    arrays |= {f"threshold__{name}": np.array(thresholds[name]) for name in found.scores}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def write_records(out_dir: Path, result: Result, settings: RobustnessSettings) -> None:
    lines = (json.dumps(record) + "\n" for record in records(result, settings))
    atomic.write_bytes(out_dir / layout.RECORDS, "".join(lines).encode(), durable=False)


def records(result: Result, settings: RobustnessSettings) -> Iterator[dict[str, Any]]:
    """A record for each clean, attacked and ood row. What does not apply to a row is null."""
    name = settings.detector.name
    limit, y = result.thresholds[name], result.data.test.y

    def record(sample_id: str, score: float, **own: Any) -> dict[str, Any]:
        nothing = {"is_adversarial": False, "adversarial_success": None, "is_ood": False, "ood_success": None,
                   "kind": "clean", "label": None, "prediction": None}  # fmt: skip
        return {"sample_id": sample_id} | nothing | own | {"score": score, "detected": score >= limit}

    clean = result.scores["test_clean"][name].tolist()
    for row, score in enumerate(clean):
        yield record(f"test-{row:05d}", score, label=int(y[row]), prediction=int(result.answers[row]))
    if (attack := result.attack_test) is not None:
        scores = result.scores["test_adv"][name].tolist()
        for row, answer, success, score in zip(
            attack.rows, attack.answers, attack.meta["adv_mask"], scores, strict=True
        ):
            yield record(
                f"test-{row:05d}-adv", score, is_adversarial=True, adversarial_success=bool(success),
                kind=settings.attack.name, label=int(y[row]), prediction=int(answer),
            )  # fmt: skip
    if (found := result.eval_ood) is not None:
        ood = found.labels == 1
        for sample_id, kind, score in zip(
            found.sample_id[ood], found.kind[ood], found.scores[name][ood].tolist(), strict=True
        ):
            yield record(str(sample_id), score, is_ood=True, ood_success=score >= limit, kind=str(kind))


def write_counts(out_dir: Path, record: Mapping[str, Any], summary: str) -> None:
    atomic.write_json(out_dir / layout.COUNTS_JSON, record)
    row = flat(record)
    atomic.write_bytes(out_dir / layout.COUNTS_CSV, csv_text.as_csv(list(row), [list(row.values())]).encode())
    atomic.write_bytes(out_dir / layout.SUMMARY_LOG, f"{summary}\n".encode())


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The counts in one row: an interval becomes two cells; nested values are only in the JSON."""
    row: dict[str, Any] = {}
    for key, value in record.items():
        if key.endswith("_interval_95"):
            row |= {f"{key}_low": value and value[0], f"{key}_high": value and value[1]}
        elif key not in ("schema", "ood_by_kind", "sources"):
            row[key] = value
    return row
