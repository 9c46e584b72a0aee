"""The typed form of a config without its secrets: those in dicts whose keys are no plain text, too."""

from __future__ import annotations

from typing import Any

from runner.core import redact
from runner.core.canonical import DICT, canonical
from runner.core.secret_names import kind


def hidden(form: Any, name: str = "") -> Any:
    """The same form, with `***` for secrets. `name` is that of the entry around it."""
    if '"$' not in canonical(form):
        return redact.mapping({name: form})[name]
    if isinstance(form, dict) and isinstance(pairs := form.get(DICT), list) and len(form) == 1:
        return {DICT: [[hidden(key, name), hidden(value, _below(name, key))] for key, value in pairs]}
    if isinstance(form, dict):
        return {key: hidden(value, name if key.startswith("$") else _below(name, key)) for key, value in form.items()}
    if isinstance(form, list):
        key = form[0] if len(form) == 2 and isinstance(form[0], str) and kind(form[0]) == "clear" else None
        if key is not None:  # ("api_key", "…")
            return [key, hidden(form[1], _below(name, key))]
        return [hidden(item, name) for item in form]
    return redact.mapping({name: form})[name]


def _below(name: str, key: Any) -> str:
    """The name of an entry. In a section that is called `password` each entry is a password."""
    if not isinstance(key, str) or (kind(name) == "clear" and kind(key) == "neutral"):
        return name
    return f"{name}.{key}" if name else key
