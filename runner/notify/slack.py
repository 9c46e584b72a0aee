"""Channel: an incoming webhook of Slack, or of a program that takes the same (Mattermost, Discord with /slack)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from runner.notify import web
from runner.notify.message import Message

_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_BREAK = "\u200b"  # a sign without width: what follows it calls nobody


class Slack:
    REQUIRED = ("url",)
    OPTIONAL = ()

    def __init__(self, values: Mapping[str, str]) -> None:
        self._url = values["url"]

    def problems(self) -> Iterator[tuple[str, str]]:
        if wrong := web.problem(self._url):
            yield "url", wrong

    def send(self, message: Message, seconds: float) -> None:
        text = f"*{escaped(message.title)}*\n{escaped(message.text)}"
        web.post_json(self._url, {"text": text, "link_names": False, "unfurl_links": False}, seconds)


def escaped(text: str) -> str:
    """Text in which nothing is a link, a mention or markup of Slack's."""
    text = re.sub("[&<>]", lambda match: _ESCAPED[match[0]], text)
    return re.sub(r"@(?=\w)", f"@{_BREAK}", text)
