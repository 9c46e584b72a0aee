"""Read a JSON record so that a missing one is told from one that cannot be read. Standard library only."""

from __future__ import annotations

from runner.core.fields import parsed
from runner.disk.reading import LARGEST, read_bytes

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeVar

    Value = TypeVar("Value")


class Unreadable:
    """A record that is there and cannot be read; `why` names the file: `supervisor.json: is not JSON`."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why: Final = why


def look(path: str, read: Callable[[dict[str, Any]], Value], largest: int = LARGEST) -> Value | Unreadable | None:
    """What `read` makes of the record in a file; None if there is no file. It raises ValueError for an odd record."""
    try:
        return read(parsed(read_bytes(path, largest)))
    except FileNotFoundError:
        return None
    except OSError as error:
        why = error.strerror or str(error)
    except ValueError as error:
        why = str(error)
    return Unreadable(f"{path.rpartition('/')[2]}: {why}")


def load(path: str, largest: int = LARGEST) -> dict[str, Any]:
    """The record in a file; raises OSError, or Malformed for what cannot be read as one."""
    return parsed(read_bytes(path, largest))
