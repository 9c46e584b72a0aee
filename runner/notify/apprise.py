"""Channel: any address of Apprise, a package that knows over a hundred services (optional; https://appriseit.com)."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from runner.notify.message import Message
from runner.notify.registry import NotSent

PACKAGE = "apprise"


class Apprise:
    REQUIRED = ("url",)
    OPTIONAL = ()

    def __init__(self, values: Mapping[str, str]) -> None:
        self._url = values["url"]

    def problems(self) -> Iterator[tuple[str, str]]:
        if importlib.util.find_spec(PACKAGE) is None:
            yield "", "needs apprise; pip install 'overnight[apprise]'"
        elif not self._sender():
            yield "url", "is not an address that Apprise knows"

    def send(self, message: Message, seconds: float) -> None:
        """Its limits are those of Apprise, which are below ours; its log has the cause, and may have the address."""
        kind = "failure" if message.urgent else "info"
        if not self._sender().notify(title=message.title, body=message.text, notify_type=kind, body_format="text"):
            raise NotSent("Apprise could not deliver it; check the address, as with apprise -vv", again=True)

    def _sender(self) -> Any:
        """False without an address that it knows."""
        logging.getLogger(PACKAGE).setLevel(logging.CRITICAL + 1)
        made = importlib.import_module(PACKAGE).Apprise()
        made.add(self._url)
        return made
