"""A notification channel: appends the title of each message to a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from runner.notify.message import Message
from runner.notify.registry import NotSent


class Pager:
    REQUIRED = ("file",)
    OPTIONAL = ()

    def __init__(self, values: Mapping[str, str]) -> None:
        self._file = Path(values["file"])

    def problems(self) -> Iterator[tuple[str, str]]:
        if not self._file.parent.is_dir():
            yield "file", "is in a folder that does not exist"

    def send(self, message: Message, seconds: float) -> None:
        try:
            with self._file.open("a") as file:
                file.write(f"{message.title}\n")
        except OSError as error:
            raise NotSent(f"the file cannot be written ({error.strerror})", again=True) from None
