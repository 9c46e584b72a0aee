"""The errors of a training, and error.json, which a failed one leaves in its folder. Handles no exception."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runner import atomic

ERROR = "error.json"


class Mistake(Exception):
    """The user's error in one sentence, with its fix: `train_run.py` prints it without a traceback and exits with 2."""


class Diverged(ArithmeticError):
    """The loss is no longer a number."""


@contextmanager
def noted(out_dir: Path, iteration: Callable[[], int]) -> Iterator[None]:
    """Make `out_dir`; an exception that passes through is noted there, with the iteration that the training reached."""
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        (out_dir / ERROR).unlink(missing_ok=True)
        yield
    except OSError as error:
        if not out_dir.is_dir():
            raise Mistake(f"cannot write to --out_dir={out_dir}: {error.strerror}") from error
        note(out_dir, error, iteration())
        raise
    except Exception as error:
        note(out_dir, error, iteration())
        raise


def note(out_dir: Path, error: Exception, iteration: int) -> None:
    record = {
        "schema": 1,
        "type": type(error).__name__,
        "message": str(error),
        "last_iteration": iteration,
        "traceback": None if isinstance(error, Mistake) else traceback.format_exc(),
    }
    try:
        atomic.write_bytes(out_dir / ERROR, json.dumps(record, indent=1).encode())
    except OSError:
        pass  # the disk may be what failed; the error itself is on its way to stderr


def require_finite(loss: float, iteration: int, mend: str) -> None:
    if not math.isfinite(loss):
        raise Diverged(
            f"the training loss is {loss} after {iteration} iterations; the checkpoints before it stand. {mend}"
        )
