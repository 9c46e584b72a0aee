"""The earlier attempts of a job, from their folders attempt_1, attempt_2, … below the job's."""

from __future__ import annotations

import os
from typing import Any

from runner.core.job import Job
from runner.core.result import Result
from runner.core.text import plain
from runner.disk import layout, results

MOST = 200  # attempts that are shown, the latest ones


def earlier(job: Job) -> list[dict[str, Any]]:
    """What is recorded of each, the latest one first."""
    found = [
        (number, results.look(job.out_dir / f"{layout.ATTEMPT}{number}"))
        for number in sorted(_numbers(job), reverse=True)[:MOST]
    ]
    return [{"attempt": number, **_words(result)} for number, result in found]


def _numbers(job: Job) -> list[int]:
    try:
        with os.scandir(job.out_dir) as found:
            names = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    words = [name.removeprefix(layout.ATTEMPT) for name in names if name.startswith(layout.ATTEMPT)]
    return [int(word) for word in words if word.isdecimal() and word.isascii() and len(word) < 7]


def _words(result: object) -> dict[str, Any]:
    if not isinstance(result, Result):
        return {"status": "unreadable" if result else "no result", "error": "", "started_at": None, "seconds": None}
    return {
        "status": result.status,
        "error": plain(result.error or ""),
        "started_at": result.start_time,
        "seconds": result.seconds,
    }
