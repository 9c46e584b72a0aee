"""The values of options: text -> value, or its error, so that all errors can be printed at once."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner.core.options import RETRY_CAUSES


@dataclass(frozen=True, slots=True)
class Invalid:
    """In place of a value that is not valid; `why` is the error."""

    why: str

    def __str__(self) -> str:
        return "an invalid value"


def collected(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A type for argparse that does not stop at its first error."""

    def convert(text: str) -> Any:
        try:
            return read(text)
        except ArgumentTypeError as error:
            return Invalid(str(error))

    return convert


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def grace(text: str) -> tuple[float, ...]:
    try:
        times = tuple(float(word) for word in text.split(","))
    except ValueError:
        times = ()
    if len(times) != 3 or not all(0 <= value < float("inf") for value in times):
        raise ArgumentTypeError(f"{text!r} is not three numbers of seconds, such as 10,5,10")
    return times


def causes(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or any(word not in RETRY_CAUSES for word in words):
        raise ArgumentTypeError(f"{text!r} is not a list of causes; name some of {', '.join(RETRY_CAUSES)}")
    return words


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
