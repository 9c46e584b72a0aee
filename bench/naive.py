"""A simple runner, for comparison in the benchmarks. Uses none of ours."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import IO


def naive(command: Sequence[str], folder: Path) -> None:
    """Run a command in a new folder: a thread a pipe, a line at a time, everything flushed."""
    folder.mkdir()
    began = time.time()
    lock = threading.Lock()
    with (
        (folder / "stdout.log").open("w") as out,
        (folder / "stderr.log").open("w") as err,
        (folder / "combined.log").open("w") as both,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process,
    ):
        readers = [
            threading.Thread(target=pass_on, args=(process.stdout, out, both, "stdout", lock)),
            threading.Thread(target=pass_on, args=(process.stderr, err, both, "stderr", lock)),
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        code = process.wait()
    result = {"command": list(command), "return_code": code, "start": began, "seconds": time.time() - began}
    (folder / "result.json").write_text(json.dumps(result, indent=2))


def pass_on(pipe: IO[str], log: IO[str], both: IO[str], stream: str, lock: threading.Lock) -> None:
    for line in pipe:
        now = datetime.now().isoformat(timespec="milliseconds")
        log.write(f"{now} {line}")
        log.flush()
        with lock:
            both.write(f"{now} [{stream}] {line}")
            both.flush()
