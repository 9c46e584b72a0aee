"""The folder of a training, its errors, and error.json, which a failed one leaves there. Handles no exception."""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.disk import atomic, lock_holders

ERROR = "error.json"


class InputError(Exception):
    """The user's error in one sentence, with its fix: `train_run.py` prints it without a traceback and exits with 2."""


class FolderTaken(InputError):
    """Another training works in the folder, to which nothing may be written."""


class NotSaved(OSError):
    """A checkpoint could not be written, for want of room or permission."""


class Diverged(ArithmeticError):
    """The loss is not finite."""


@contextmanager
def record_failure(out_dir: Path, iteration: Callable[[], int]) -> Iterator[None]:
    """Create `out_dir`; an exception that passes through is recorded there, with the iteration of the training.

    Raises InputError when another training works in this folder: their checkpoints and metrics would be mixed.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with _only_training(out_dir):
            (out_dir / ERROR).unlink(missing_ok=True)
            yield
    except FolderTaken:
        raise
    except OSError as error:
        if not out_dir.is_dir():
            raise InputError(f"cannot write to --out_dir={out_dir}: {error.strerror}") from error
        write_failure(out_dir, error, iteration())
        error.add_note(last_checkpoint(out_dir))
        raise
    except Exception as error:
        write_failure(out_dir, error, iteration())
        error.add_note(last_checkpoint(out_dir))
        raise


@contextmanager
def _only_training(out_dir: Path) -> Iterator[None]:
    """Lock the folder itself, so that no file is left; the kernel gives the lock back however the process ends."""
    descriptor = os.open(out_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = lock_holders.described(str(out_dir))
            raise FolderTaken(f"{holder} trains in {out_dir}; wait for its end, or choose another --out_dir") from None
        except OSError:
            pass  # a file system without locks of folders, such as NFS
        yield
    finally:
        os.close(descriptor)


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


def last_checkpoint(out_dir: Path) -> str:
    """A sentence on the checkpoint from which a failed training may go on."""
    found = {int(m[1]): path for path in out_dir.glob("ckpt_*.pt") if (m := re.search(r"_(\d+)\.pt$", path.name))}
    return f"The last checkpoint is {found[max(found)]}" if found else "There is no checkpoint yet"


def require_finite(loss: float, iteration: int, hint: str) -> None:
    if not math.isfinite(loss):
        raise Diverged(
            f"the training loss is {loss} after {iteration} iterations. {hint}"
        )
