"""Channel: ntfy.sh, or a server of one's own. The topic is a password: whoever knows it can read the messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runner.notify import web
from runner.notify.message import Message

SERVER = "https://ntfy.sh"
LARGEST = 3800  # bytes; the server takes 4096
HIGH, USUAL = 4, 3


class Ntfy:
    REQUIRED = ("topic",)
    OPTIONAL = ("server", "token")

    def __init__(self, values: Mapping[str, str]) -> None:
        self._topic = values["topic"]
        self._server = values.get("server", SERVER)
        self._token = values.get("token")

    def problems(self) -> Iterator[tuple[str, str]]:
        if wrong := web.problem(self._server):
            yield "server", wrong
        if not self._topic.replace("-", "").replace("_", "").isalnum():
            yield "topic", "consists of other signs than letters, digits, - and _"

    def send(self, message: Message, seconds: float) -> None:
        text = message.text.encode(errors="replace")[:LARGEST].decode(errors="ignore")
        record = {
            "topic": self._topic,
            "title": message.title,
            "message": text,
            "priority": HIGH if message.urgent else USUAL,
            "tags": ["overnight"],
        }
        web.post_json(self._server, record, seconds, self._token)
