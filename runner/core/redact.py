"""Find secret values by their names, and replace them by `***`. Nothing secret reaches a file."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

REDACTED = "***"
_WORDS = {"key", "apikey", "token", "secret", "password", "passwd", "passphrase", "credential", "credentials"}
_HINT = re.compile("key|token|secret|passw|passphrase|credential", re.IGNORECASE)
_SPLIT = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")


def is_secret(name: str, value: object) -> bool:
    """True for a non-empty text with the name of a secret: `WANDB_API_KEY`, `hf_token`, `dbPassword`."""
    if not isinstance(value, str) or value in ("", REDACTED):
        return False
    words = [word.lower() for word in _SPLIT.split(name)]
    return any(word in _WORDS or word.endswith(("apikey", "token", "password", "secret")) for word in words)


def may_hold(text: str) -> bool:
    """False if no name in this text can be that of a secret: quicker than a look at each of them."""
    return _HINT.search(text) is not None


def mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same entries with secrets replaced, nested mappings and lists included."""
    return {name: REDACTED if is_secret(name, value) else _inside(value) for name, value in values.items()}


def _inside(value: Any) -> Any:
    if isinstance(value, Mapping):
        return mapping(value)
    if isinstance(value, list | tuple):
        return [_inside(item) for item in value]
    return value


def argv(arguments: Sequence[str]) -> list[str]:
    """The same command with secrets replaced: `--token=x`, `--token x`, `TOKEN=x`, also in a word that is a command."""
    found: list[str] = []
    previous = ""
    for argument in arguments:
        name = previous if previous.startswith("-") and "=" not in previous else ""
        if is_secret(name, argument) and not argument.startswith("--"):
            found.append(REDACTED)
        elif " " in argument:
            found.append(_within(argument))
        else:
            found.append(_ASSIGNED.sub(_redacted, argument))
        previous = argument
    return found


_ASSIGNED = re.compile(r"^(-{0,2}[\w.-]+)=(.+)$", re.DOTALL)
_ASSIGNED_WITHIN = re.compile(r"(?<!\S)(-{0,2}[\w.-]+)=(\S+)")
_OPTION_WITHIN = re.compile(r"(?<!\S)(--?[\w.-]+)\s+(?!-)(\S+)")


def _redacted(match: re.Match[str]) -> str:
    return f"{match[1]}={REDACTED}" if is_secret(match[1], match[2]) else match[0]


def _within(text: str) -> str:
    """A word that holds several, such as a template or a value with spaces."""
    text = _ASSIGNED.sub(_redacted, text)
    text = _ASSIGNED_WITHIN.sub(_redacted, text)
    return _OPTION_WITHIN.sub(_redacted_option, text)


def _redacted_option(match: re.Match[str]) -> str:
    return f"{match[1]} {REDACTED}" if is_secret(match[1], match[2]) else match[0]
