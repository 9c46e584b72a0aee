"""Rules that tell why a program failed, read from causes.toml of this package and from a file of the user.

Only imported for a job that failed, and by whoever shows advice. Reads files; decides nothing.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple

from runner.core.causes import CAUSES
from runner.disk.reading import read_bytes

OURS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "causes.toml")
END, OUTPUT = "end", "output"  # where a rule looks
WORD = r"[a-z][a-z0-9_]*"
_KEYS: dict[str, type | tuple[type, ...]] = {
    "cause": str, "pattern": str, "where": str, "end": str, "unless": str, "exit": int, "within": (int, float),
    "sure": bool, "advice": str,
}  # fmt: skip


class Rule(NamedTuple):
    """What a failed program shows if `cause` is why it failed. Patterns are regular expressions.

    `pattern` is searched in what ended the program, or with `where` OUTPUT in each of its last lines; then `end` has to
    be found in what ended it. `unless` must not be found there. `exit` is the only exit code that counts. A failure
    later than `within` seconds after the start, or a rule that is not `sure`, makes the cause uncertain.
    """

    cause: str
    pattern: str
    where: str = END
    end: str = ""
    unless: str = ""
    exit: int | None = None
    within: float | None = None
    sure: bool = True
    advice: str = ""


class Rules(NamedTuple):
    """Rules, of which the first one that fits decides; `consequences` are ends that another process's failure causes.

    `advice` has a sentence for each cause.
    """

    rules: tuple[Rule, ...]
    consequences: tuple[str, ...]
    advice: Mapping[str, str]

    def advice_on(self, cause: str, line: str) -> str:
        """What to do about a cause that this line shows; empty if nothing is known."""
        of_rules = (rule for rule in self.rules if rule.advice and rule.cause == cause)
        fits = (rule.advice for rule in of_rules if re.search(rule.pattern, line))
        return next(fits, "") or self.advice.get(cause, "")


def load(user: str = "") -> Rules:
    """Our rules, after those of the file `user` if there is one. Raises ValueError: `FILE: cause`; or OSError."""
    ours = _read(OURS)
    if not user:
        return ours
    theirs = _read(user)
    return Rules(theirs.rules + ours.rules, theirs.consequences + ours.consequences, {**ours.advice, **theirs.advice})


def for_job(user: str) -> Rules:
    """The rules for a job that failed; those of a file that cannot be used any more are left out."""
    try:
        return load(user)
    except (OSError, ValueError):
        return load()


def _read(path: str) -> Rules:
    try:
        content = tomllib.loads(read_bytes(path, links=True).decode())
        unknown = content.keys() - {"rule", "consequence", "advice"}
        if unknown:
            raise ValueError(f"unknown key {min(unknown)!r}; there are rule, consequence and advice")
        rules = tuple(_rule(number, entry) for number, entry in enumerate(_list(content, "rule"), 1))
        consequences = tuple(_pattern("consequence", one.get("pattern")) for one in _list(content, "consequence"))
        advice = content.get("advice", {})
        if not isinstance(advice, dict) or not all(isinstance(text, str) for text in advice.values()):
            raise ValueError("[advice] must have a sentence for each cause")
    except ValueError as error:  # also of tomllib, and of bytes that are not UTF-8
        raise ValueError(f"{path}: {error}") from None
    return Rules(rules, consequences, advice)


def _list(content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = content.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(f"{key} must be written as [[{key}]]")
    return found


def _rule(number: int, entry: dict[str, Any]) -> Rule:
    place = f"rule {number}"
    for key, value in entry.items():
        if key not in _KEYS:
            raise ValueError(f"{place}: unknown key {key!r}; there are {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]) or (isinstance(value, bool) and key != "sure"):
            raise ValueError(f"{place}: {key} has a value of another type")
    for key in ("pattern", "end", "unless"):
        if key in entry or key == "pattern":
            _pattern(place, entry.get(key), key)
    if re.fullmatch(WORD, str(entry.get("cause"))) is None:
        raise ValueError(f"{place}: cause must be one word of small letters, such as {', '.join(CAUSES[:3])}")
    if entry.get("where", END) not in (END, OUTPUT):
        raise ValueError(f"{place}: where must be {END!r} or {OUTPUT!r}")
    if entry.get("where") == OUTPUT and "end" not in entry:
        raise ValueError(f"{place}: a rule for the whole output needs 'end', a pattern of what ended the program")
    return Rule(**entry)


def _pattern(place: str, value: object, key: str = "pattern") -> str:
    """The regular expression in an entry. Raises ValueError for what is not one, or fits every line."""
    try:
        if isinstance(value, str) and re.search(value, "") is None:
            return value
    except re.error as error:
        raise ValueError(f"{place}: {key} is not a regular expression ({error})") from None
    raise ValueError(f"{place}: {key} must be a regular expression that does not fit an empty line")
