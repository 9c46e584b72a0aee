"""The typed form of a value (canonical.py) -> what a person reads in a table: dicts, lists, text and numbers."""

from __future__ import annotations

from typing import Any

_HASHED = {"$array": "array", "$scalar": "scalar", "$tensor": "tensor"}


def plain(form: Any) -> Any:
    """A dataclass is a dict, a tuple a list, a path its text, a member of an enum its name, an array a few words."""
    if isinstance(form, list):
        return [plain(item) for item in form]
    if not isinstance(form, dict):
        return form
    if len(form) == 1:
        ((tag, content),) = form.items()
        try:
            return _tagged(tag, content)
        except (TypeError, ValueError, KeyError, IndexError):  # a record that was edited
            pass
    return {key: plain(item) for key, item in form.items()}


def _tagged(tag: str, content: Any) -> Any:
    match tag:
        case "$tuple":
            return plain(list(content))
        case "$path" | "$windows_path":
            return content
        case "$float":
            return float(content)
        case "$enum":
            return plain(content[1])
        case "$dataclass":
            return plain(content[1])
        case "$dict":
            return {_key(plain(key)): plain(item) for key, item in content}
        case "$array" | "$scalar" | "$tensor":
            shape = ", ".join(map(str, content["shape"]))
            return f"{_HASHED[tag]} {content['dtype'].strip(chr(39))}[{shape}] {content['sha256'][:8]}"
    return {tag: plain(content)}


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(key)
