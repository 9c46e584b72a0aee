"""How much memory a job used when its runner last looked. Only imported for a job that did not complete."""

from __future__ import annotations

import json

from runner.core.text import size
from runner.disk.reading import tail

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import Final

NEARLY = 0.9  # part of the memory that is in use, from which SIGKILL probably came from the kernel


class Seen:
    """What the processes of a job used together when the runner last looked, and how much they may; 0: not known."""

    __slots__ = ("limit", "used")

    def __init__(self, used: int, limit: int) -> None:
        self.used: Final = used
        self.limit: Final = limit

    @property
    def words(self) -> str:
        return f"{size(self.used)} in use when last seen, of {size(self.limit)}" if self.used and self.limit else ""

    @property
    def is_nearly_full(self) -> bool:
        return bool(self.limit) and self.used >= NEARLY * self.limit


def memory(path: str) -> Seen:
    """The last row of resources.jsonl with the memory, and the last one with the limit."""
    used = limit = 0
    for line in tail(path):
        try:
            row = json.loads(line)
            known = row.get("pss", row.get("rss")), row.get("memory_limit")
        except (ValueError, AttributeError, RecursionError):  # a line that is cut
            continue
        used, limit = (new if isinstance(new, int) else old for new, old in zip(known, (used, limit), strict=True))
    return Seen(used, limit)
