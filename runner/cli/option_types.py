"""The values of options: text -> value, or its error, so that all errors can be printed at once."""

from __future__ import annotations

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.cli.pattern_trial import endless_on
from runner.core.options import RETRY_CAUSES
from runner.core.text import seconds as text_seconds
from runner.disk.checkpoints import is_pattern
from runner.output.pattern import Pattern
from runner.supervisor import cause_rules as rules


class Default:
    """In place of a value: what a batch kept of this option is taken back."""


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
    value = text_seconds(text)
    if value is None or not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a time above 0, such as 90 (seconds), 30m, 2h or 1d")
    return value


def wait(text: str) -> float:
    """A time that may be 0."""
    value = text_seconds(text)
    if value is None or not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a time, such as 0, 90 (seconds), 30m or 2h")
    return value


def jobs_per_gpu(text: str) -> int:
    """A number of jobs; 0 stands for `auto`."""
    if text == "auto":
        return 0
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0, or auto")
    return int(text)


_MEBIBYTES = {"g": 1024.0, "gib": 1024.0, "gb": 1e9 / 2**20, "m": 1.0, "mib": 1.0, "mb": 1e6 / 2**20}


def memory(text: str) -> int:
    """MiB; rounded up."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]+)", text.strip().lower())
    unit = _MEBIBYTES.get(found[2]) if found else None
    if found is None or unit is None or not 1 <= float(found[1]) * unit < 2**31:
        raise ArgumentTypeError(f"{text!r} is not an amount of memory, such as 8GiB or 900MiB")
    return math.ceil(float(found[1]) * unit)


def oom_keys(text: str) -> tuple[str, ...]:
    """The settings of a micro-batch and of its accumulation."""
    keys = tuple(word.strip().removeprefix("--") for word in text.split(","))
    if len(keys) != 2 or not all(keys) or keys[0] == keys[1]:
        raise ArgumentTypeError(f"{text!r} is not the names of two settings, such as batch_size,accum")
    return keys


def grace(text: str) -> tuple[float, ...]:
    given = [text_seconds(word.strip()) for word in text.split(",")]
    times = tuple(value for value in given if value is not None and 0 <= value < float("inf"))
    if len(given) != 3 or len(times) != 3:
        raise ArgumentTypeError(f"{text!r} is not three times, such as 10,5,10 or 2m,30s,10s")
    return times


def causes(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or any(word not in RETRY_CAUSES for word in words):
        raise ArgumentTypeError(f"{text!r} is not a list of causes; name some of {', '.join(RETRY_CAUSES)}")
    return words


def names(text: str) -> list[str]:
    """Words with commas between them."""
    return [word.strip() for word in text.split(",") if word.strip()]


def module_names(text: str) -> list[str]:
    """Names of modules, with commas between them."""
    found = names(text)
    if not found or not all(part.isidentifier() for name in found for part in name.split(".")):
        raise ArgumentTypeError(f"{text!r} is not a list of modules, such as torch,numpy")
    return found


def checkpoints(text: str) -> str:
    if not is_pattern(text):
        raise ArgumentTypeError(f"{text!r} is not a pattern below a job's folder, such as '**/*.ckpt'")
    return text


def natural(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number, or 0")
    return int(text)


def metric_pattern(text: str) -> str:
    try:
        Pattern(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} {error}") from None
    if (line := endless_on(text)) is not None:
        raise ArgumentTypeError(
            f"{text!r} may search without end in a line such as {line + '…'!r}; repeat no group that repeats the same "
            "characters"
        )
    return text


def cause_rules(text: str) -> str:
    """The absolute path of a file of rules."""
    path = str(Path(text).expanduser().absolute())
    try:
        rules.load(path)
    except OSError as error:
        raise ArgumentTypeError(f"{text}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return path


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
