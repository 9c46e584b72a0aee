"""Where a training's numbers go: always to metrics.jsonl, to wandb and TensorBoard if set. Never makes it fail."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from pipelines.shared.wandb_logger import WandbRun, WandbSettings
from runner.disk import atomic
from runner.output import rows

METRICS = "metrics.jsonl"
Log = Callable[[str], None]  # `print_line`, or a function that does nothing on ranks other than 0


class Tracker:
    """Owns metrics.jsonl and the wandb run of one training."""

    def __init__(self, settings: WandbSettings, out_dir: Path, max_iters: int) -> None:
        atomic.end_torn_line(out_dir / METRICS)
        self._file = os.open(out_dir / METRICS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._max_iters = max_iters
        self._warned = False
        self._wandb = WandbRun(settings, out_dir) if settings.wandb_log else None
        self._tensorboard = None
        if getattr(settings, "tensorboard_log", False):
            from pipelines.shared.tensorboard import TensorBoard

            self._tensorboard = TensorBoard(out_dir)

    def log(self, iteration: int, row: Mapping[str, Any]) -> None:
        row = {"iter": iteration, "max_iters": self._max_iters, **row}
        stamped = {**row, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        line = json.dumps(rows.finite(stamped), allow_nan=False) + "\n"
        try:
            # One write of a complete line: neither a reader nor a crash ever sees half of one.
            os.write(self._file, line.encode())
        except OSError as error:
            if not self._warned:
                print(f"warning: could not write {METRICS} ({error}); the training continues", file=sys.stderr)
            self._warned = True
        if self._wandb:
            self._wandb.log(row)
        if self._tensorboard:
            self._tensorboard.log(row)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._file)
        if self._tensorboard:
            self._tensorboard.finish()
        if self._wandb:
            self._wandb.finish(failed=kind is not None)


class NullTracker:
    """The tracker of ranks other than 0: it writes nothing."""

    def log(self, iteration: int, row: Mapping[str, Any]) -> None:
        pass

    def __enter__(self) -> NullTracker:
        return self

    def __exit__(self, *of_error: object) -> None:
        pass


def print_line(line: str) -> None:
    print(line, flush=True)


def at_most_every(seconds: float, log: Log) -> Log:
    """`log` for lines about progress: a line that comes sooner than this after the one before is left out."""
    logged = time.monotonic()

    def progress(line: str) -> None:
        nonlocal logged
        if time.monotonic() - logged > seconds:
            logged = time.monotonic()
            log(line)

    return progress
