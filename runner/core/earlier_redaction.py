"""What version 0.1.0 took for secrets: by the name alone. Only its fingerprints are compared by it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from runner.core.secrets import REDACTED

_WORDS = frozenset(
    ("key", "apikey", "token", "secret", "password", "passwd", "passphrase", "credential", "credentials")
)


def mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries as 0.1.0 recorded them."""
    return {name: REDACTED if _is_secret(name, value) else _inside(value) for name, value in values.items()}


def argv(words: Sequence[str]) -> list[str]:
    """The command as 0.1.0 recorded it."""
    found: list[str] = []
    previous = ""
    for word in words:
        name = previous if previous.startswith("-") and "=" not in previous else ""
        if _is_secret(name, word) and not word.startswith("--"):
            found.append(REDACTED)
        else:
            found.append(_replaced(word))
        previous = word
    return found


def _is_secret(name: str, value: object) -> bool:
    if not isinstance(value, str) or value in ("", REDACTED):
        return False
    words = [word.lower() for word in re.split(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])", name)]
    return any(word in _WORDS or word.endswith(("apikey", "token", "password", "secret")) for word in words)


def _inside(value: Any) -> Any:
    if isinstance(value, Mapping):
        return mapping(value)
    return [_inside(item) for item in value] if isinstance(value, list | tuple) else value


def _replaced(word: str) -> str:
    for pattern in _patterns() if " " in word else _patterns()[:1]:
        word = pattern.sub(_replacement, word)
    return word


def _replacement(match: re.Match[str]) -> str:
    space = match[2] if match[2] == "=" else " "
    return f"{match[1]}{space}{REDACTED}" if _is_secret(match[1], match[3]) else match[0]


@lru_cache(1)
def _patterns() -> tuple[re.Pattern[str], ...]:
    return (
        re.compile(r"^(-{0,2}[\w.-]+)(=)(.+)$", re.DOTALL),
        re.compile(r"(?<!\S)(-{0,2}[\w.-]+)(=)(\S+)"),
        re.compile(r"(?<!\S)(--?[\w.-]+)(\s+)(?!-)(\S+)"),
    )
