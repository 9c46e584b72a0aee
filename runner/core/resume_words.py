"""The words of --resume_args: which placeholders they have, and what these stand for. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

PLACEHOLDERS = ("checkpoint", "out_dir")
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\w*)\}")  # a doubled brace is a brace


def errors(text: str) -> list[str]:
    """Sentences on the errors in the value of --resume_args."""
    try:
        shlex.split(text)
    except ValueError as error:
        return [f"--resume_args: {str(error).lower()}; check its quotes"]
    names = [match[1] for match in _PLACEHOLDER.finditer(text) if match[1] is not None]
    unknown = [name for name in names if name not in PLACEHOLDERS]
    known = " and ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    hint = f"there are {known}; a brace itself is written twice"
    return [f"--resume_args: {{{name}}} is not a placeholder; {hint}" for name in dict.fromkeys(unknown)]


def split(text: str) -> tuple[str, ...]:
    """The words of a value, with their placeholders; none where the value has errors."""
    return () if errors(text) else tuple(shlex.split(text))


def filled(words: Sequence[str], *, checkpoint: str, out_dir: str) -> list[str]:
    """The words with the two paths in the place of their placeholders. Other names in braces stay as they are."""
    values = {"{{": "{", "}}": "}", "{checkpoint}": checkpoint, "{out_dir}": out_dir}
    return [_PLACEHOLDER.sub(lambda match: values.get(match[0], match[0]), word) for word in words]
