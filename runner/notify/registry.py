"""The channels by kind: the built-in ones, and those of installed packages. What a channel is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol

from runner.core.registry import Registry
from runner.notify.message import Message

PATIENCE = 10.0  # seconds for one try


class NotSent(Exception):
    """A message could not be delivered. `again`: another try may succeed; `after`: once these seconds are over.

    `why` is a phrase with its fix that contains no setting of the channel.
    """

    def __init__(self, why: str, *, again: bool = False, after: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.again = again
        self.after = after


class Channel(Protocol):
    """Made with the settings of one channel. `REQUIRED` and `OPTIONAL` name them; each is a text."""

    REQUIRED: ClassVar[tuple[str, ...]]
    OPTIONAL: ClassVar[tuple[str, ...]]

    def __init__(self, values: Mapping[str, str]) -> None: ...

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with the settings: the name of one and a phrase; no name: of the machine."""

    def send(self, message: Message, seconds: float) -> None:
        """Deliver a message in so many seconds. Raises NotSent."""


CHANNELS: Registry[type[Channel]] = Registry(
    "runner.notification_channels",
    "notification channel",
    {
        "ntfy": "runner.notify.ntfy:Ntfy",
        "slack": "runner.notify.slack:Slack",
        "webhook": "runner.notify.webhook:Webhook",
        "mail": "runner.notify.mail:Mail",
        "desktop": "runner.notify.desktop:Desktop",
        "command": "runner.notify.program:Program",
        "bell": "runner.notify.bell:Bell",
        "apprise": "runner.notify.apprise:Apprise",
    },
)
