"""Texts of a batch without secrets, and, if asked for, without the home folder, the user and the hosts."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from runner.core import redact
from runner.core.text import ESCAPES, plain

_HOMES = re.compile(r"(?<![\w.])/(?:home|Users)/[^/\s'\":,]+|(?<![\w./])/root(?![\w.])")


class Clean:
    """`hosts`: names that are replaced; None: the report is not anonymous."""

    def __init__(self, not_secret: Collection[str] = (), hosts: Collection[str] | None = None) -> None:
        self._shown = tuple(not_secret)
        self._is_anonymous = hosts is not None
        self._names: dict[str, str] = {}
        if hosts is not None:
            home = Path.home()
            self._names = {name: "host" for name in hosts if len(name) > 1}
            if len(home.name) > 1 and home.name != "root":
                self._names[home.name] = "user"

    def __call__(self, value: object) -> str:
        """One line."""
        return self._anonymous(redact.text(plain(str(value)), self._shown))

    def lines(self, found: list[str], most: int) -> tuple[str, ...]:
        """The last lines of a log, with their colors, but for a line in which a secret was replaced.

        More lines than that are looked at: a private key has many, and only its first one says what it is.
        """
        bare = [ESCAPES.sub("", line) for line in found]
        while bare and not bare[-1].strip():
            bare.pop()
        if not bare:
            return ()
        found = found[: len(bare)]
        hidden = redact.text("\n".join(bare), self._shown).split("\n")
        if len(hidden) != len(bare):  # several lines were one secret
            return tuple(map(self._anonymous, hidden[-most:]))
        pairs = zip(found, bare, hidden, strict=True)
        kept = [line if before == after else after for line, before, after in pairs]
        return tuple(map(self._anonymous, kept[-most:]))

    def _anonymous(self, text: str) -> str:
        if not self._is_anonymous:
            return text
        text = text.replace(str(Path.home()), "~") if Path.home() != Path("/") else text
        text = _HOMES.sub("~", text)
        for name, word in self._names.items():
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", word, text, flags=re.IGNORECASE)
        return text
