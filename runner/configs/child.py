"""Evaluate a Python config in a child that has a time limit. Knows nothing of what the values mean."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("evaluate.py")


def evaluate(path: Path, text: str, time_limit: float) -> dict[str, Any] | None:
    """What evaluate.py wrote; None when the time was over. A child that died is an answer with an `error` too."""
    with tempfile.TemporaryDirectory(prefix="config-") as folder:
        source, result = Path(folder, "source.py"), Path(folder, "result.json")
        source.write_text(text, encoding="utf-8", newline="")
        code = _run([str(path), str(source), str(result)], time_limit)
        if code is None:
            return None
        if not result.exists():
            return {"error": "RuntimeError", "message": f"its evaluation died ({_death(code)})", "line": None}
        answer: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return answer


def _run(arguments: list[str], time_limit: float) -> int | None:
    # By -c, not by its path: a script's own folder would come first among the config's imports, the current one last.
    # -B: a dry run writes nothing, not even __pycache__ beside the modules that a config imports.
    process = subprocess.Popen(
        [sys.executable, "-B", "-c", PROGRAM.read_text(encoding="utf-8"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(time_limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # not the child alone: what it started would live on
        except ProcessLookupError:  # nothing was left
            pass
        process.wait()


def _death(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
