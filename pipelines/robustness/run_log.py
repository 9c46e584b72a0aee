"""The records of a run: logs/run.log, metadata.json from start to end, logs/error.txt."""

from __future__ import annotations

import contextlib
import io
import sys
import time
import traceback
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from pipelines.robustness import layout
from pipelines.robustness.settings import RobustnessSettings
from pipelines.shared.errors import InputError
from runner.core import clock
from runner.disk import atomic
from runner.executors.git_state import git

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "numpy", "scikit-learn", "scipy", "matplotlib", "pydantic")


class RunLog:
    """While entered, output is also written to run.log. `extra`: further keys of metadata.json."""

    def __init__(self, out_dir: Path, settings: RobustnessSettings) -> None:
        self.out_dir = out_dir
        self.extra: dict[str, Any] = {}
        self.status = "running"  # then completed, interrupted or failed
        self._error: str | None = None
        self._began = time.monotonic()
        self._header = {
            "schema": 1,
            "timestamp": clock.now(),
            "config_path": settings.config_path,
            "command": sys.argv,
            "settings": settings.model_dump(mode="json"),
            "git": git(PROJECT),
            "versions": {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}},
        }
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> RunLog:
        layout.make(self.out_dir)
        log = self._stack.enter_context((self.out_dir / layout.RUN_LOG).open("w", encoding="utf-8", errors="replace"))
        self._stack.enter_context(contextlib.redirect_stdout(Tee(sys.stdout, log)))
        self._stack.enter_context(contextlib.redirect_stderr(Tee(sys.stderr, log)))
        self._log = log
        self.write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self.status, self._error = "failed", f"{type(error).__name__}: {error}"
            message = (
                f"error: {error}\n" if isinstance(error, InputError) else "".join(traceback.format_exception(error))
            )
            with contextlib.suppress(OSError):  # the disk may have failed
                self._log.write(message)
                atomic.write_bytes(self.out_dir / layout.ERROR_TXT, message.encode(errors="replace"))
        elif error is not None:  # a second Ctrl+C
            self.status = "interrupted"
        self._stack.close()
        with contextlib.suppress(*([OSError] if error is not None else [])):
            self.write()

    def write(self) -> None:
        ended = self.status != "running"
        record = self._header | {
            "status": self.status,
            "error": self._error,
            "ended": clock.now() if ended else None,
            "duration_seconds": round(time.monotonic() - self._began, 3) if ended else None,
            **self.extra,
        }
        atomic.write_json(self.out_dir / layout.METADATA, record)


class Tee(io.TextIOBase):
    """A stream that also writes to the log."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # a full disk must not stop the run
            self._log.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._log.flush()
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    @property
    def encoding(self) -> str:
        return self._stream.encoding

    def fileno(self) -> int:
        return self._stream.fileno()


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
