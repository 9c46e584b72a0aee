"""Judge whether a value is a secret, by its name and by how it looks. Replaces nothing.

`yes`: a known form of token, a password in an address, or a value whose name leaves no doubt (`api_key`, `password`).
`maybe`: a name that may be that of a secret (`…_key`, `…_token`) with a value that looks random, or a long random text
under any name. Ordinary settings such as `pad_token = '<pad>'`, `sort_key = 'loss'`, commits, digests, ids and paths
are `no`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

Verdict = Literal["no", "maybe", "yes"]
REDACTED = "***"
_Kind = Literal["clear", "bare", "strong", "weak", "neutral", "ordinary"]
LONGEST = 1000  # no place to fill in is longer
LEAST_NUMBER = 10**5  # a password may be a number, but a smaller one is a setting

#: Names that end so are those of secrets.
_CLEAR = frozenset((
    "password", "passwords", "passwd", "passphrase", "passcode", "pwd", "secret", "secrets", "credential",
    "credentials", "apikey", "apikeys", "accesskey", "secretkey", "privatekey", "authtoken", "accesstoken", "bearer",
    "authorization",
))  # fmt: skip
_CLEAR_ENDS = ("password", "passwd", "passphrase", "apikey", "secret")
#: Before `key` or `token` at the end of a name: together they are the name of a secret.
_SERVICES = frozenset((
    "hf", "huggingface", "hub", "wandb", "github", "gh", "gitlab", "slack", "discord", "telegram", "bot", "openai",
    "anthropic", "cohere", "mistral", "groq", "replicate", "comet", "neptune", "mlflow", "clearml", "dagshub", "kaggle",
    "azure", "aws", "gcp", "google", "gemini", "stripe", "npm", "pypi", "docker", "langsmith", "pinecone", "sentry",
))  # fmt: skip
_OF_KEYS = frozenset(("api", "access", "secret", "private", "signing", "encryption", "ssh", "apis"))
_OF_TOKENS = frozenset((
    "api", "access", "auth", "refresh", "bearer", "session", "login", "personal", "oauth", "oauth2", "jwt", "csrf",
    "deploy", "registry", "sas", "security", "secret", "private", "vault",
))  # fmt: skip
#: Before `pass` at the end of a name.
_LOGINS = frozenset((
    "db", "user", "admin", "root", "login", "smtp", "ftp", "ssh", "sudo", "sql", "mysql", "pg", "postgres", "redis",
    "mongo", "http", "proxy",
))  # fmt: skip
#: Words by which a name may be that of a secret, wherever they stand in it.
_STRONG = frozenset(("password", "passwords", "passwd", "passphrase", "pwd", "secret", "secrets", "credential",
                     "credentials", "apikey", "auth", "authorization", "bearer", "jwt", "oauth"))  # fmt: skip
_WEAK = frozenset(("key", "keys", "token", "tokens", "cookie", "session", "sig", "signature", "pat", "pass", "license",
                   "webhook", "dsn", "sas", "private", "wandb"))  # fmt: skip
#: A name that ends so says something about a secret, or about something else.
_DESCRIBES = frozenset((
    "field", "fields", "path", "paths", "file", "files", "filename", "dir", "folder", "name", "names", "env", "envvar",
    "var", "variable", "len", "length", "size", "min", "max", "type", "kind", "index", "idx", "count", "limit", "num",
    "column", "columns", "url", "uri", "endpoint", "header", "prefix", "suffix", "pattern", "regex", "prompt", "policy",
    "required", "enabled", "ttl", "timeout", "model", "dim", "ratio", "rate", "weight", "loss", "dropout", "mode",
    "scope", "provider", "backend", "manager", "store", "entity", "project", "group", "notes", "tags", "template",
))  # fmt: skip
_IDENTIFIES = frozenset(("id", "ids", "hash", "digest", "sha", "md", "commit", "revision", "rev",
                         "checksum", "fingerprint", "uuid", "guid", "etag", "version", "seed"))  # fmt: skip
_ENDINGS = frozenset(("value", "str", "string", "old", "new", "prod", "dev", "staging", "default"))  # change nothing
_TRIVIAL = frozenset((
    "", REDACTED, "none", "null", "true", "false", "yes", "no", "on", "off", "auto", "default", "prompt", "ask", "env",
    "keyring", "netrc", "unset", "required", "optional", "todo", "changeme", "n/a",
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
        case "strong":
            return "maybe" if looks_random(value, 8) or is_login(value) else "no"
        case "weak":
            return "maybe" if looks_random(value, 16) else "no"
        case "neutral":
            return "maybe" if is_long_and_random(value) else "no"
    return "no"


@lru_cache(4096)
def kind(name: str) -> _Kind:
    """What a name says of its value: that it is a secret, that it may be one, nothing, or that it is none."""
    parts = [words for part in re.split(r"[./\[\]:@]+", name) if (words := _words(part))]
    if not parts:
        return "neutral"
    last, every = parts[-1], {word for words in parts for word in words}
    while len(last) > 1 and last[-1] in _ENDINGS:
        last = last[:-1]
    end, before = last[-1], last[-2] if len(last) > 1 else parts[-2][-1] if len(parts) > 1 else ""
    if end in _CLEAR or end.endswith(_CLEAR_ENDS):
        return "clear"
    if end in ("key", "keys") and before in _SERVICES | _OF_KEYS:
        return "clear"
    if (end == "token" and before in _SERVICES | _OF_TOKENS) or (end == "tokens" and before in _OF_TOKENS):
        return "clear"
    if end == "pass" and before in _LOGINS:
        return "clear"
    if last == ["token"]:
        return "bare"
    if end in _IDENTIFIES:
        return "ordinary"
    if end in _DESCRIBES:
        return "neutral"
    if every & _STRONG or any(pair in (("api", "key"), ("access", "key")) for pair in pairwise(last)):
        return "strong"
    return "weak" if every & _WEAK or end.endswith("token") else "neutral"


def _words(part: str) -> list[str]:
    """`WANDB_API_KEY`, `wandbApiKey`, `+wandb-api-key2`: wandb, api, key."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", part)
    return [word.lower() for word in words if not word.isdigit()]


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
        if len(run) >= least and _mixes(run, 0.3):
            return True
    joined = "".join(_runs(value))
    return len(joined) >= max(least, 20) and _mixes(joined, 0.4) and not _has_words(value)


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
    found: list[tuple[int, int]] = []
    if _may_have_shape().search(text):
        for start, end in sorted(_shapes(text)):
            if not found or start >= found[-1][1]:
                found.append((start, end))
    return found


def _shapes(text: str) -> Iterator[tuple[int, int]]:
    for match in _tokens().finditer(text):
        yield match.span()
    for match in _logins().finditer(text):
        if not is_trivial(match[2]):
            yield match.span(2)
    for match in _users().finditer(text):
        if looks_random(match[1], 16) or (len(match[1]) >= 32 and _hexadecimal().fullmatch(match[1])):
            yield match.span(1)
    for match in _headers().finditer(text):
        if not is_trivial(match[match.lastindex or 0]):
            yield match.span(match.lastindex or 0)


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
        r"<[^<>]*>|<\|.*\|>|\[/?[A-Z_]+\]|\$[A-Z_][A-Z0-9_]*|.*(?:\$\{[^}]+\}|\{\{[^}]+\}\}).*|%\(\w+\)s"
        r"|env:\w+|\{\w+\}"
        r"|(?i:your[-_ ].*)|[xX.*•-]{3,}|os\.environ.*|os\.getenv.*|getpass.*",
        re.DOTALL,
    )


@lru_cache(1)
def _place() -> re.Pattern[str]:
    return re.compile(
        r"(?:~|\.{1,2})?/[^\s:]*|[A-Za-z]:[\\/].*|[a-z][a-z0-9+.-]*://\S*"
        r"|\S+\.(?:json|ya?ml|toml|ini|cfg|conf|env|pem|key|crt|cert|p12|txt|gpg|age)"
        r"|[A-Z][A-Z0-9]*_(?:[A-Z0-9]+_)*(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PWD|CREDENTIALS)"
    )


@lru_cache(1)
def _hexadecimal() -> re.Pattern[str]:
    return re.compile(r"(?:sha\d+[:-])?(?:[0-9a-f-]+|[0-9A-F-]+)|sha\d+[:-].*")


@lru_cache(1)
def _may_have_shape() -> re.Pattern[str]:
    return re.compile(
        r"hf_|sk-|k_live|k_test|gh[opusr]_|github_pat|glpat|AKIA|ASIA|xox|xapp|AIza|ya29|npm_|pypi-|dckr|wandb_v|local-"
        r"|eyJ|r8_|gsk_|SG\.|dop_|PRIVATE KEY|hooks\.|webhooks|://|(?i:bearer|authorization|-key|-token)"
    )


@lru_cache(1)
def _tokens() -> re.Pattern[str]:
    return re.compile(
        r"(?<![A-Za-z0-9])(?:"
        r"hf_[A-Za-z0-9]{20,}|sk-(?=[\w-]*\d)(?=[\w-]*[A-Za-z0-9]{16})[\w-]{20,}|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"
        r"|gh[opusr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"
        r"|xox[a-z]-[\w-]{10,}|xapp-\d-[\w-]{10,}|AIza[\w-]{35}|ya29\.[\w-]{20,}|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{40,}"
        r"|dckr_pat_[\w-]{20,}|wandb_v\d+_\w{20,}|local-[0-9a-f]{40}(?![0-9a-f])|r8_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}"
        r"|SG\.[\w-]{16,}\.[\w-]{16,}|dop_v1_[0-9a-f]{40,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
        r"|hooks\.slack\.com/services/[\w/]{20,}|discord(?:app)?\.com/api/webhooks/[\w/-]{20,}"
        r")|-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----(?:.*?-----END [A-Z0-9 ]*-----|.*)",
        re.DOTALL,
    )


@lru_cache(1)
def _logins() -> re.Pattern[str]:
    return re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/:@'\"]*):([^\s/@'\"]+)@")


@lru_cache(1)
def _users() -> re.Pattern[str]:
    return re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://([^\s/:@'\"]+)@")


@lru_cache(1)
def _headers() -> re.Pattern[str]:
    return re.compile(
        r"(?i:authorization)[\"']?\s*[:=]\s*[\"']?(?:(?i:bearer|basic|token|digest)\s+)?([^\s'\"]{6,})"
        r"|(?i:x-[\w-]*(?:key|token)|private-token)\s*:\s*([^\s'\"]{6,})"
        r"|(?i:bearer)\s+(?=[^\s'\"]*\d)([\w.~+/=-]{16,})"
    )
