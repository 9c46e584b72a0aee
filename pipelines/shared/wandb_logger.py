"""Log to a wandb run from a thread: a training never waits for it, and no failure of it can stop a training."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from runner.planners.environment import has_wandb_key


class WandbSettings(Protocol):
    """The settings of a pipeline about wandb; `model_dump` becomes the config of the run."""

    wandb_log: bool
    wandb_project: str
    wandb_run_name: str

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


INIT_SECONDS = 30.0
FINISH_SECONDS = 10.0
QUEUE_SIZE = 10_000


class WandbRun:
    """Owns the thread that owns the wandb run. Rows are dropped, and counted, when it cannot keep up."""

    def __init__(self, settings: WandbSettings, out_dir: Path) -> None:
        self._settings = settings
        self._out_dir = out_dir
        self._rows: queue.Queue[Mapping[str, Any] | None] = queue.Queue(QUEUE_SIZE)
        self._failed = False  # the training, not wandb
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()

    def log(self, row: Mapping[str, Any]) -> None:
        try:
            self._rows.put_nowait(row)
        except queue.Full:
            self._dropped += 1

    def finish(self, *, failed: bool) -> None:
        """Wait a limited time for wandb to end. It is a daemon thread: abandoning it does not delay the exit."""
        self._failed = failed
        deadline = time.monotonic() + FINISH_SECONDS
        try:
            self._rows.put(None, timeout=FINISH_SECONDS)
        except queue.Full:
            pass
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            warn(f"wandb did not end within {FINISH_SECONDS:g} s; it was abandoned")
        if self._dropped:
            warn(f"wandb could not keep up: {self._dropped} rows are only in metrics.jsonl")

    def _work(self) -> None:
        try:
            import wandb
        except Exception as error:  # a broken installation raises more than ImportError
            warn(f"wandb cannot be imported ({error}); logging to metrics.jsonl only (fix: pip install wandb)")
            return self._drain()
        try:
            run = self._begin(wandb)
            while (row := self._rows.get()) is not None:
                run.log(dict(row), step=row["iter"])
            run.finish(exit_code=1 if self._failed else 0)
        except BaseException as error:  # wandb ends threads with SystemExit here and there
            warn(f"wandb failed ({first_line(error)}); logging to metrics.jsonl only")
            self._drain()

    def _begin(self, wandb: Any) -> Any:
        """An online run where a key is configured and the server answers, otherwise an offline one."""
        has_key = has_wandb_key(os.environ, wandb.Settings().base_url)
        mode = os.environ.get("WANDB_MODE") or ("online" if has_key else "offline")
        try:
            return self._init(wandb, mode)
        except Exception as error:
            if mode != "online":
                raise
            warn(f"wandb cannot be reached ({first_line(error)}); the run is stored offline")
            return self._init(wandb, "offline")

    def _init(self, wandb: Any, mode: str) -> Any:
        settings = self._settings
        return wandb.init(
            project=settings.wandb_project,
            name=settings.wandb_run_name or None,
            config=settings.model_dump(mode="json"),
            dir=os.environ.get("WANDB_DIR") or str(self._out_dir),
            mode=mode,
            # The runner keeps the output already, and a thread of wandb's that wraps stdout would race with it.
            settings=wandb.Settings(console="off", init_timeout=INIT_SECONDS, login_timeout=INIT_SECONDS),
        )

    def _drain(self) -> None:
        while self._rows.get() is not None:
            pass


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)
