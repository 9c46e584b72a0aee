"""Judge whether a value is a secret, by its name and by how it looks. Replaces nothing.

`yes`: a known form of token, a password in an address, or a value whose name leaves no doubt (`api_key`, `password`).
`maybe`: a name that may be that of a secret (`…_key`, `…_token`) with a value that looks random, or a long random text
under any name. Ordinary settings such as `pad_token = '<pad>'`, `sort_key = 'loss'`, commits, digests, ids and paths
are `no`. What a name says is decided in secret_names.py, known forms are in token_forms.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from runner.core import token_forms
from runner.core.secret_names import kind

Verdict = Literal["no", "maybe", "yes"]
REDACTED = "***"
LONGEST = 1000  # no place to fill in is longer, and no more of a value in a text is judged
LEAST_NUMBER = 10**5  # a password may be a number, but a smaller one is a setting

_TRIVIAL = frozenset((
    "", REDACTED, "none", "null", "nil", "nan", "undefined", "true", "false", "yes", "no", "on", "off", "auto",
    "default",
    "prompt", "ask", "env", "keyring", "keychain", "netrc", "unset", "required", "optional", "todo", "changeme", "n/a",
    "basic", "bearer", "digest", "negotiate", "ntlm", "kerberos", "oauth", "oauth2", "jwt", "enabled", "disabled",
    "redacted", "hidden", "masked", "str", "int", "string", "bool", "bytes",
))  # fmt: skip


def judge(name: str, value: object) -> Verdict:
    """What a value with this name is; of a name with dots, the last part counts most."""
    if isinstance(value, bool) or value is None:
        return "no"
    if isinstance(value, int):
        return "yes" if abs(value) >= LEAST_NUMBER and kind(name) == "clear" else "no"
    if not isinstance(value, str):
        return "no"
    if shapes(value):
        return "yes"
    if is_trivial(value):
        return "no"
    match kind(name):
        case "clear":
            return "no" if is_reference(value) else "yes"
        case "bare":
            return "no" if is_reference(value) else "yes" if looks_random(value, 16) else "maybe"
        case "short":
            return "maybe" if looks_chosen(value) and not re.search(r"[_.:]", value) else "no"
        case "strong":
            return "maybe" if looks_random(value, 8) or is_login(value) else "no"
        case "weak":
            return "maybe" if looks_random(value, 16) else "no"
        case "neutral":
            return "maybe" if is_long_and_random(value) else "no"
    return "no"


def is_trivial(value: str) -> bool:
    """Whether a text cannot be a secret, whatever its name: no value, a place to fill in, a special token."""
    text = value.strip()
    if text.lower() in _TRIVIAL or not any(char.isalnum() for char in text):
        return True
    return len(text) <= LONGEST and _place_to_fill_in().fullmatch(text) is not None


def is_reference(value: str) -> bool:
    """Whether a text names where a secret is: the path of a file, an address, a variable."""
    if looks_random(value, 16):
        return False
    return _place().fullmatch(value) is not None


def looks_random(value: str, least: int) -> bool:
    """Whether a text of at least so many characters does not read as a word or path: letters, digits alternate."""
    if len(value) < least or not _RANDOM_SIGNS.issuperset(value):
        return False
    for run in _runs(value):
        is_long_hexadecimal = len(run) >= 16 and set(run.lower()) <= set("0123456789abcdef")
        if len(run) >= least and _mixes(run, 0.1 if is_long_hexadecimal else 0.3):  # it cannot be words
            return True
    joined = "".join(_runs(value))
    return len(joined) >= max(least, 20) and _mixes(joined, 0.4) and not _has_words(value)


def looks_chosen(value: str) -> bool:
    """Whether a text may be a password that a person chose: one word of letters with digits or signs among them."""
    mixed = re.search(r"[^\W\d_]", value) and re.search(r"[\d!@#$%^&*?+~]", value)
    return len(value) >= 6 and mixed is not None and not re.search(r"[\s/\\()\[\]{}<>|=,;]", value)


def is_long_and_random(value: str) -> bool:
    """Whether a text is long and random, and neither a digest nor an id in hexadecimal digits."""
    if len(value) < 32 or not _BASE64_SIGNS.issuperset(value) or _hexadecimal().fullmatch(value):
        return False
    runs = _runs(value)
    kinds = {_kind_of(char) for run in runs for char in run}
    return len(kinds) == 3 and max(map(len, runs)) >= 12 and _mixes("".join(runs), 0.4) and not _has_words(value)


def is_login(value: str) -> bool:
    """Whether a text is `user:password`; numbers such as `1000:1000` and paths are not."""
    user, colon, password = value.partition(":")
    plain = user and len(password) > 3 and not password.isdigit() and not set(" /'\"").intersection(value)
    return bool(colon and plain and not is_trivial(password))


def shapes(text: str) -> list[tuple[int, int]]:
    """Where known forms of tokens are in a text, and the passwords of addresses and headers: start and end of each."""
    return token_forms.found(text, is_trivial, lambda value: looks_random(value, 16))


_RANDOM_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+/=.~!@#$%^&*:?")
_BASE64_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+/=")


def _runs(value: str) -> Sequence[str]:
    return re.findall(r"[A-Za-z0-9]+", value) or [""]


def _kind_of(char: str) -> str:
    return "digit" if char.isdigit() else "upper" if char.isupper() else "lower"


def _mixes(run: str, ratio: float) -> bool:
    """Whether letters and digits change places often, as they do where each character was drawn by itself."""
    kinds = [_kind_of(char) for char in run]
    if "digit" not in kinds or len(set(kinds)) < 2:
        return False
    changes = sum(one != other for one, other in pairwise(kinds))
    return changes >= max(3.0, ratio * (len(run) - 1))


def _has_words(value: str) -> bool:
    """Whether half of a text is words: at least four small letters in a row, as names and paths have."""
    return sum(map(len, re.findall(r"[a-z]{4,}|[A-Z]{5,}", value))) * 2 >= len(value)


# Compiled when they are first needed: every command imports this module.


@lru_cache(1)
def _place_to_fill_in() -> re.Pattern[str]:
    return re.compile(
        r"<[^<>]*>|<\|.*\|>|\[/?[A-Z_]+\]|\$[A-Za-z_]\w*|\$\(.*\)?|`.*`|%\w+%|.*(?:\$\{[^}]+\}|\{\{[^}]+\}\}).*"
        r"|%\(\w+\)s"
        r"|(?:\$env|env|vault|keyring|keychain|ssm|op|file|arn|sops|secretref):[\w:./@-]+|\{\w+\}"
        r"|(?i:your[-_ ].*)|(?i:api_?key|token|password|secret)_here|[xX.*•-]{3,}"
        r"|os\.environ.*|os\.getenv.*|getpass.*|(?:process\.)?env\.\w+",
        re.DOTALL,
    )


@lru_cache(1)
def _place() -> re.Pattern[str]:
    return re.compile(
        r"@?(?:~|\.{1,2})?/[^\s:]*|[A-Za-z]:[\\/].*|[a-z][a-z0-9+.-]*://\S*"
        r"|\S+\.(?:json|ya?ml|toml|ini|cfg|conf|env|pem|key|crt|cert|p12|txt|gpg|age|pub|jks)"
        r"|(?:[A-Z][A-Z0-9]*_(?:[A-Z0-9]+_)*)?(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PWD|PASS|CREDENTIALS)\]?"
    )


@lru_cache(1)
def _hexadecimal() -> re.Pattern[str]:
    return re.compile(r"(?:sha\d+[:-])?(?:[0-9a-f-]+|[0-9A-F-]+)|sha\d+[:-].*")
