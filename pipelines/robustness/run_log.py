"""The record that a run keeps of itself: logs/run.log, metadata.json from its beginning to its end, error.txt."""

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
from runner import atomic, clock, facts

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "numpy", "scikit-learn", "scipy", "matplotlib", "pydantic")


class Logbook:
    """While entered, what is printed goes to run.log as well. `about` is what metadata.json says beside the usual."""

    def __init__(self, out_dir: Path, settings: RobustnessSettings) -> None:
        self.out_dir = out_dir
        self.about: dict[str, Any] = {}
        self.status = "running"  # then completed, interrupted or failed
        self._error: str | None = None
        self._began = time.monotonic()
        self._first = {
            "schema": 1,
            "timestamp": clock.now(),
            "config_path": settings.config_path,
            "command": sys.argv,
            "settings": settings.model_dump(mode="json"),
            "git": facts.git(PROJECT),
            "versions": {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}},
        }
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Logbook:
        layout.make(self.out_dir)
        log = self._stack.enter_context((self.out_dir / layout.RUN_LOG).open("w", encoding="utf-8", errors="replace"))
        self._stack.enter_context(contextlib.redirect_stdout(Both(sys.stdout, log)))
        self._stack.enter_context(contextlib.redirect_stderr(Both(sys.stderr, log)))
        self._log = log
        self.write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self.status, self._error = "failed", f"{type(error).__name__}: {error}"
            said = f"error: {error}\n" if isinstance(error, InputError) else "".join(traceback.format_exception(error))
            with contextlib.suppress(OSError):  # the disk may be what failed
                self._log.write(said)
                atomic.write_bytes(self.out_dir / layout.ERROR_TXT, said.encode(errors="replace"))
        elif error is not None:  # a second Ctrl+C
            self.status = "interrupted"
        self._stack.close()
        with contextlib.suppress(*([OSError] if error is not None else [])):
            self.write()

    def write(self) -> None:
        ended = self.status != "running"
        record = self._first | {
            "status": self.status,
            "error": self._error,
            "ended": clock.now() if ended else None,
            "duration_seconds": round(time.monotonic() - self._began, 3) if ended else None,
            **self.about,
        }
        atomic.write_json(self.out_dir / layout.METADATA, record)


class Both(io.TextIOBase):
    """A stream that is written to the log too."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # a full disk must not stop what it tells about
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
