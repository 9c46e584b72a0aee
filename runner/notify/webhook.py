"""Channel: JSON with POST to any address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runner.notify import web
from runner.notify.message import Message


class Webhook:
    REQUIRED = ("url",)
    OPTIONAL = ("token",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._url = values["url"]
        self._token = values.get("token")

    def problems(self) -> Iterator[tuple[str, str]]:
        if wrong := web.problem(self._url):
            yield "url", wrong

    def send(self, message: Message, seconds: float) -> None:
        web.post_json(self._url, message.to_json(), seconds, self._token)
