"""Tell by its name whether a value is a secret, and say `***` in its stead. Nothing secret reaches a file."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "***"
_WORDS = {"key", "apikey", "token", "secret", "password", "passwd", "passphrase", "credential", "credentials"}
_SPLIT = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")


def is_secret(name: str, value: object) -> bool:
    """True for a non-empty text whose name speaks of a secret: `WANDB_API_KEY`, `hf_token`, `dbPassword`."""
    if not isinstance(value, str) or value in ("", HIDDEN):
        return False
    words = [word.lower() for word in _SPLIT.split(name)]
    return any(word in _WORDS or word.endswith(("apikey", "token", "password", "secret")) for word in words)


def mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same entries with the secret ones hidden, nested mappings and lists included."""
    return {name: HIDDEN if is_secret(name, value) else _inside(value) for name, value in values.items()}


def _inside(value: Any) -> Any:
    if isinstance(value, Mapping):
        return mapping(value)
    if isinstance(value, list | tuple):
        return [_inside(item) for item in value]
    return value


def argv(arguments: Sequence[str]) -> list[str]:
    """The same command with the value of `--secret=value` and of `--secret value` hidden."""
    hidden = []
    previous = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if previous.startswith("--") and "=" not in previous and is_secret(previous, argument):
            argument = argument if argument.startswith("--") else HIDDEN
        elif equals and name.startswith("--") and is_secret(name, value):
            argument = f"{name}={HIDDEN}"
        hidden.append(argument)
        previous = argument
    return hidden
