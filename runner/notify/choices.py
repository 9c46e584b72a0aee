"""What is reported and when, as the user chose it: the section [messages] of the settings, or the environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runner.core.errors import UserError, did_you_mean
from runner.core.text import plain
from runner.notify import settings
from runner.notify.settings import MESSAGES as SECTION

_TIMES = re.compile(r"([01]?\d|2[0-3]):([0-5]\d) ?- ?([01]?\d|2[0-3]):([0-5]\d)")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Choices:
    """`quiet`: minutes of the day, from and to, between which nothing is sent; `urgent`: failures are, all the same.

    `best`: each new best job is reported. `link`: a line at the end of every message.
    """

    quiet: tuple[int, int] | None = None
    urgent: bool = False
    best: bool = False
    link: str = ""

    def held(self, now: datetime, *, bad: bool) -> float:
        """For how many seconds a message waits at this local time; `bad`: it is about a failure."""
        if self.quiet is None or (bad and self.urgent):
            return 0.0
        begin, end = self.quiet
        minute = now.hour * 60 + now.minute
        if not (begin <= minute < end if begin < end else minute >= begin or minute < end):
            return 0.0
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        until = midnight + timedelta(minutes=end, days=1 if minute >= end else 0)
        return (until - now).total_seconds()

    @property
    def quiet_until(self) -> str:
        """`07:30`"""
        return "" if self.quiet is None else f"{self.quiet[1] // 60:02}:{self.quiet[1] % 60:02}"


def read(sections: Mapping[str, Mapping[str, str]] | None = None) -> Choices:
    """The choices. Raises UserError with every error in them."""
    section = dict((settings.in_file() if sections is None else sections).get(SECTION, {}))
    errors = [_unknown(key) for key in section if key not in _READ]
    found: dict[str, object] = {}
    for key, text in {**section, **settings.of_environment(SECTION, tuple(_READ))}.items():
        if key in _READ:
            try:
                found[key] = _READ[key](text)
            except ValueError as error:
                errors.append(f"{settings.place(SECTION, key)}: {error}")
    if errors:
        raise UserError(*errors)
    return Choices(**found)  # type: ignore[arg-type]


def problems(names: Sequence[str]) -> list[str]:
    """What is wrong with the choices, and with the settings of these channels."""
    try:
        read()
    except UserError as error:
        own = list(error.problems)
    else:
        own = []
    return list(dict.fromkeys([*own, *settings.problems(names)]))


def _unknown(key: str) -> str:
    hint = did_you_mean(key, list(_READ)) or f"there are {', '.join(_READ)}"
    return f"{settings.path()}: [{SECTION}] {plain(key)}: unknown key; {hint}"


def _quiet(text: str) -> tuple[int, int]:
    found = _TIMES.fullmatch(text.strip())
    begin, end = (int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])) if found else (0, 0)
    if begin == end:
        raise ValueError("is not a time of the day from and to, such as 22:00-07:30")
    return begin, end


def _flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError("is neither true nor false")
    return _FLAGS[text.lower()]


def _link(text: str) -> str:
    if "token" in text.lower() or plain(text) != text:
        raise ValueError("is one line without a token: whoever reads the message could use it")
    return text


_READ: Mapping[str, Callable[[str], object]] = {"quiet": _quiet, "urgent": _flag, "best": _flag, "link": _link}
