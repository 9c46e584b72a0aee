"""Write a training's numbers for TensorBoard, as event files. A missing TensorBoard is a warning."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"


class TensorBoard:
    """Owns the writer of one training."""

    def __init__(self, out_dir: Path) -> None:
        self._writer = None
        try:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(out_dir / FOLDER))
        except Exception as error:  # a broken installation raises more than ImportError
            warn(f"no TensorBoard ({error}); logging to metrics.jsonl only (fix: pip install tensorboard)")

    def log(self, row: Mapping[str, Any]) -> None:
        try:
            for name, value in row.items():
                if self._writer and isinstance(value, int | float) and name not in ("iter", "max_iters"):
                    self._writer.add_scalar(name, value, row["iter"])
        except OSError as error:
            warn(f"could not write for TensorBoard ({error}); the training continues")
            self._writer = None

    def finish(self) -> None:
        if self._writer:
            self._writer.close()


def warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)
