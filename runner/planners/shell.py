"""Put a value into a word that is a command of a shell, so that it stays one argument and is never executed. Pure."""

from __future__ import annotations

import re
import shlex

SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "ash", "fish")
RUNS_A_COMMAND = re.compile(r"-[A-Za-z]*c")  # as in `bash -c`, `bash -lc`, `python -c`
#: Words that only a shell understands.
OPERATORS = ("&&", "||", "|", ";", "&", "|&", "2>&1")
_REDIRECTION = re.compile(r"[12&]?>>?|<<?")
BUILTINS = ("cd", "source", ".", "export", "ulimit", "eval", "exec", "set", "alias", "module", "unset", "trap")
_PLAIN = re.compile(r"[\w@%+=:,./-]*")
#: What makes the text after it be read by another shell, or a second time.
_NESTED = re.compile(r"<<|`|(^|[\s;&|(])(eval|ssh|su)\s")


def inserted(value: str, before: str, after: str) -> str | None:
    """The text for `value` between these parts of a command; None where it cannot be written safely.

    A value of harmless characters is itself, in any language that the command may be written in.
    """
    if _PLAIN.fullmatch(value) and value:
        return value
    if _NESTED.search(before):
        return None
    quote, opened = _open_quote(before)
    if not quote:
        return shlex.quote(value)
    segment = opened + after.partition(quote)[0]
    if re.search(r"\s", segment) or "$(" in opened:  # it may be the command of another shell
        return None
    if quote == "'":
        return value.replace("'", "'\"'\"'")
    return re.sub(r'([\\"$`])', r"\\\1", value)


def operator(text: str) -> str | None:
    """The first word of a command line, outside of quotes, that only a shell understands."""
    for word in _unquoted(text).split():
        if word in OPERATORS:
            return word
        if (redirection := _REDIRECTION.match(word)) is not None:
            return redirection[0]
        if word.endswith(";"):
            return ";"
    return None


def _unquoted(text: str) -> str:
    """The text with an x for each sign that is quoted or escaped."""
    return "".join("x" if _open_quote(text[:index])[0] or text[max(index - 1, 0) : index] == "\\" else sign
                   for index, sign in enumerate(text))  # fmt: skip


def _open_quote(text: str) -> tuple[str, str]:
    """The quote that is open at the end of a text, and what follows it; "" and "" where none is."""
    quote, start, index = "", 0, 0
    while index < len(text):
        sign = text[index]
        if sign == "\\" and quote != "'":
            index += 1
        elif quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote, start = sign, index + 1
        index += 1
    return quote, text[start:] if quote else ""
