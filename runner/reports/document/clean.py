"""Texts of a batch without secrets, and, if asked for, without folders of the user, his name and those of hosts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from runner.core import redact
from runner.core.text import ESCAPES, plain

_HOMES = re.compile(r"(?<![\w.])/(?:home|Users)/[^/\s'\":,]+|(?<![\w./])/root(?![\w.])")


#: A path of three names or more, unless it begins as those of the system, which name nobody.
_ELSEWHERE = re.compile(
    r"(?<![\w.:/~-])/(?!(?:usr|lib|lib64|opt|bin|sbin|etc|proc|sys|dev)/)(?:[^/\s'\":,;()<>=]+/){2,}(?=[^/\s])"
)


class Clean:
    """`hosts`: names that are replaced; None: the report is not anonymous.

    A path in one of `folders` is shown from there on, of any other one outside the home only its last name.
    """

    def __init__(
        self, not_secret: Collection[str] = (), hosts: Collection[str] | None = None, folders: Iterable[Path] = ()
    ) -> None:
        self._shown = tuple(not_secret)
        self._is_anonymous = hosts is not None
        self._folders = sorted({str(one) for one in folders if len(one.parts) > 1}, key=len, reverse=True)
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
        for folder in self._folders:
            text = re.sub(rf"{re.escape(folder)}(/+|(?![\w.-]))", lambda end: "" if end[1] else ".", text)
        text = text.replace(str(Path.home()), "~") if Path.home() != Path("/") else text
        text = _ELSEWHERE.sub("…/", _HOMES.sub("~", text))
        for name, word in self._names.items():
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", word, text, flags=re.IGNORECASE)
        return text
