"""Run the command line in one process, one command after another, with little memory and a limit of time for each.

`python -m tests.disk.planting BATCH KIND` plants something of that kind at each name of the batch in turn, and prints
for each name and command, as JSON lines, what came of it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

KINDS = ("pipe", "folder", "socket", "endless", "link", "huge")
OF_A_BATCH = (
    "plan.json", ".lock", "master_log.txt", "runner.log", "experiment_summary.json", "labels.json", "ended.json",
    "requests", ".x.tmp",
)  # fmt: skip
OF_A_JOB = (
    "stdout.log", "stderr.log", "combined.log", "experiment_result.json", "experiment_metadata.json", "supervisor.json",
    "config_used.sh", "metrics.jsonl", "parsed_metrics.jsonl", "error.json", "job.json", "error_details.txt", "ckpt.pt",
    "metrics.csv", "trainer_state.json", "wandb-summary.json", "events.out.tfevents.1",
)  # fmt: skip
MEMORY = 2 << 30  # bytes
SECONDS = 30  # for one command


def plant(path: Path, kind: str) -> None:
    """Put something at `path` that is not what the runner would put there. `link` points to a JSON file beside it."""
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
            (path / "inside").write_text("x")
        case "socket":
            above = os.open(path.parent, os.O_RDONLY)  # the whole path may be too long for a socket
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(f"/proc/self/fd/{above}/{path.name}")
            os.close(above)
        case "endless":
            path.symlink_to("/dev/zero")
        case "link":
            (path.parent / "precious").write_text('{"do not": "touch"}\n')
            path.symlink_to("precious")
        case "huge":
            with path.open("wb") as file:
                file.truncate(40 << 30)


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _run(words: Sequence[str]) -> dict[str, object]:
    """The exit code of a command and what it printed; a traceback, or a command without an end, is a `fault`."""
    from runner.cli.main import main

    def too_long(number: int, frame: object) -> None:
        raise TimeoutError(f"{words} did not end in {SECONDS} s")

    out, fault, code = io.StringIO(), "", -1
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = main(words)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else -1
    except BaseException:
        fault = traceback.format_exc()
    finally:
        signal.alarm(0)
    return {"code": code, "output": out.getvalue(), "fault": fault}


def _commands(batch: Path) -> dict[str, tuple[str, ...]]:
    name = batch.name
    return {
        "status": ("status", name), "status --json": ("status", name, "--json"), "list": ("list",),
        "list --json": ("list", "--json"), "table": ("table", name), "tail": ("tail", name, "-n", "5"),
        "stop": ("stop", name), "note": ("note", name, "seen"), "resume": ("resume", name),
        "status after": ("status", name),
    }  # fmt: skip


def _main(batch: Path, kind: str) -> None:
    limit_memory()
    aside = batch.parent / "aside"
    for name in OF_A_BATCH:
        path = batch / name
        there = os.path.lexists(path)
        if there:
            path.rename(aside)
        plant(path, kind)
        for command, words in _commands(batch).items():
            print(json.dumps({"name": name, "command": command, **_run(words)}), flush=True)
        if os.path.lexists(path):
            path.rename(batch.parent / f"planted_{name}")
        if there:
            aside.rename(path)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2])
