"""The errors of a training, and error.json, which a failed one leaves in its folder. Handles no exception."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.disk import atomic

ERROR = "error.json"


class InputError(Exception):
    """The user's error in one sentence, with its fix: `train_run.py` prints it without a traceback and exits with 2."""


class Diverged(ArithmeticError):
    """The loss is not finite."""


@contextmanager
def record_failure(out_dir: Path, iteration: Callable[[], int]) -> Iterator[None]:
    """Create `out_dir`; an exception that passes through is recorded there, with the iteration of the training."""
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        (out_dir / ERROR).unlink(missing_ok=True)
        yield
    except OSError as error:
        if not out_dir.is_dir():
            raise InputError(f"cannot write to --out_dir={out_dir}: {error.strerror}") from error
        write_failure(out_dir, error, iteration())
        raise
    except Exception as error:
        write_failure(out_dir, error, iteration())
        raise


def write_failure(out_dir: Path, error: Exception, iteration: int) -> None:
    record = {
        "schema": 1,
        "type": type(error).__name__,
        "message": str(error),
        "last_iteration": iteration,
        "traceback": None if isinstance(error, InputError) else traceback.format_exc(),
    }
    try:
        atomic.write_bytes(out_dir / ERROR, json.dumps(record, indent=1).encode())
    except OSError:
        pass  # the disk may be what failed; the error itself is on its way to stderr


def require_finite(loss: float, iteration: int, hint: str) -> None:
    if not math.isfinite(loss):
        raise Diverged(
            f"the training loss is {loss} after {iteration} iterations; the earlier checkpoints are kept. {hint}"
        )
