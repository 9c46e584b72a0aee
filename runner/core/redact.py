"""Replace secrets by `***`, at every way into a file or onto a screen. What is a secret is judged in secrets.py.

`shown` are the names that the user declared to be no secrets (--not_secret).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from runner.core.secrets import REDACTED, is_login, is_trivial, judge, kind, shapes

__all__ = [
    "REDACTED", "agree", "argv", "certain", "certain_in_text", "doubtful", "fill_in", "hidden_names", "is_secret",
    "mapping", "may_hold", "text", "unrecorded", "with_places",
]  # fmt: skip


REMEMBERED = 200  # letters of a value that is not judged again


def is_secret(name: str, value: object, shown: Collection[str] = ()) -> bool:
    """Whether a value is hidden: one that is a secret, or that may be one."""
    if is_shown(name, shown):
        return False
    if judge(name, value) != "no":
        return True
    literal = isinstance(value, str) and value[:1] in ("[", "{", "(") and not is_trivial(value)
    return literal and _holds_one(name, str(value), shown)


def is_shown(name: str, shown: Collection[str]) -> bool:
    """Whether the user declared that name, or the last part of it, to be no secret; `-` and `_` are one."""
    if not shown:
        return False
    whole = _plain_name(name)
    names = {_plain_name(one) for one in shown}
    return whole in names or re.split(r"[./]", whole)[-1] in names


def mapping(values: Mapping[str, Any], shown: Collection[str] = ()) -> dict[str, Any]:
    """The same entries with secrets replaced, nested mappings and lists included."""
    return {name: _inside(str(name), value, shown) for name, value in values.items()}


def _inside(name: str, value: Any, shown: Collection[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _inside(f"{name}.{key}", item, shown) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_inside(name, item, shown) for item in value]
    if isinstance(value, str):
        return _recorded(name, value, tuple(shown)) if len(value) < REMEMBERED else _text(name, value, shown)
    return REDACTED if isinstance(value, int) and is_secret(name, value, shown) else value


@lru_cache(1 << 14)
def _recorded(name: str, value: str, shown: tuple[str, ...]) -> str:
    """As `_text`: most values are those of many jobs, and are read several times for each."""
    return _text(name, value, shown)


def _text(name: str, value: str, shown: Collection[str]) -> str:
    if is_secret(name, value, shown):
        return REDACTED
    return value if is_shown(name, shown) else text(value, shown)


def certain(values: Mapping[str, Any], shown: Collection[str] = ()) -> list[str]:
    """The keys of values that are secrets without a doubt, nested ones with the sections around them."""
    return list(dict.fromkeys(name for name, value in _leaves("", values) if _is_certain(name, value, shown)))


def doubtful(values: Mapping[str, Any], shown: Collection[str] = ()) -> list[str]:
    """The keys of values that are hidden since they may be secrets."""
    found = (name for name, value in _leaves("", values) if is_secret(name, value, shown))
    return [name for name in dict.fromkeys(found) if name not in certain(values, shown)]


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(name, item)
    else:
        yield name, value


def _is_certain(name: str, value: object, shown: Collection[str]) -> bool:
    return not is_shown(name, shown) and judge(name, value) == "yes"


def certain_in_text(source: str, shown: Collection[str] = ()) -> Iterator[tuple[int, str]]:
    """Line and name of each certain secret in a source text: a known form of token, or a literal with a clear name."""
    found: dict[int, str] = {}
    for match in _literals().finditer(source):
        name, value = match["name"], match["value"]
        if kind(name) == "clear" and _is_certain(name, value, shown):
            found.setdefault(source.count("\n", 0, match.start("name")) + 1, name)
    for start, _end in shapes(source):
        line = source.count("\n", 0, start) + 1
        named = re.match(r"\W*([A-Za-z_][\w.-]*)\s*[=:]", source.split("\n")[line - 1])
        if named is None or not is_shown(named[1], shown):
            found.setdefault(line, named[1] if named else "")
    yield from sorted(found.items())


def argv(words: Sequence[str], shown: Collection[str] = ()) -> list[str]:
    """The same command with secrets replaced: `--token=x`, `--token x`, `TOKEN=x`, also in a word that is a command."""
    return _Words(shown).all(words)


def hidden_names(words: Sequence[str], shown: Collection[str] = ()) -> list[str]:
    """The names of the values that `argv` replaces; "" for a value without one."""
    reading = _Words(shown)
    reading.all(words)
    return list(dict.fromkeys(reading.names))


def fill_in(words: Sequence[str], shown: Collection[str] = ()) -> list[str]:
    """The same command with a place to fill in for each secret: `--hf_token YOUR_TOKEN`."""
    return _Words(shown, _place_for).all(words)


def with_places(words: Sequence[str]) -> list[str]:
    """Recorded words with a place to fill in where a value was replaced by `***`."""
    if not unrecorded(words):
        return list(words)
    found: list[str] = []
    for previous, word in zip(["", *words], words, strict=False):
        name = _plain(previous).rstrip("=") if word == REDACTED else word.partition("=")[0]
        inside = _replaced().sub(lambda match: match[0].replace(REDACTED, _place_for(match[1] or match[2] or "")), word)
        whole = word == REDACTED or word.partition("=")[2] == REDACTED
        found.append(word.replace(REDACTED, _place_for(name)) if whole else inside)
    return found


def unrecorded(words: Sequence[str]) -> list[str]:
    """The names of values that were replaced before these words were written down."""
    names: list[str] = []
    for previous, word in zip(["", *words], words, strict=False):
        if REDACTED not in word:
            continue
        name, equals, value = word.partition("=")
        if word == REDACTED:
            names.append(_plain(previous).rstrip("="))
        elif equals and value == REDACTED:
            names.append(_plain(name))
        else:
            inside = [(match[1] or match[2] or "", match[3]) for match in _replaced().finditer(word)]
            names += [_plain(name) for name, address in inside if address or _may_be_of_secret(name)]
    return list(dict.fromkeys(names))


def text(value: str, shown: Collection[str] = ()) -> str:
    """A text that may hold commands, settings or addresses, with the secrets in it replaced."""
    return _Words(shown).within(value)


def may_hold(value: str) -> bool:
    """False if there can be no secret in this text: quicker than a look at each value."""
    return _hint().search(value) is not None


def agree(one: Any, other: Any) -> bool:
    """Whether two values are equal, as far as they were written down: `***` stands for any value."""
    if any(isinstance(it, str) and it == REDACTED for it in (one, other)):
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(agree(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(agree, one, other))
    return repr(one) == repr(other)


class _Words:
    """Reads a command once; `names` are those of the values that were replaced."""

    def __init__(self, shown: Collection[str], stand_in: Callable[[str], str] = lambda name: REDACTED) -> None:
        self.names: list[str] = []
        self._shown = shown
        self._stand_in = stand_in

    def all(self, words: Sequence[str]) -> list[str]:
        found: list[str] = []
        previous = ""
        for word in words:
            found.append(self._word(previous, word))
            previous = word
        return found

    def _word(self, previous: str, word: str) -> str:
        option = previous.startswith("-") and "=" not in previous.rstrip("=") and not word.startswith("--")
        name = _plain(previous).rstrip("=") if option else ""
        if name and (is_secret(name, word, self._shown) or (name in ("u", "user") and is_login(word))):
            return self._hide(name)
        if is_shown(name, self._shown):
            return word
        match = None if _of_shell(previous) else _assigned().fullmatch(word)
        if match is None:
            return self.within(word)
        name, value = _plain(match[1]), match[2]
        if is_shown(name, self._shown):
            return word
        return f"{match[1]}={self._hide(name) if is_secret(name, value, self._shown) else self.within(value)}"

    def within(self, value: str) -> str:
        """A text that holds several words, such as a command or a dict."""
        if not may_hold(value):
            return value
        for start, end in reversed(shapes(value)):
            value = value[:start] + self._hide("") + value[end:]
        for pattern in (_pairs(), _entries()):
            value = pattern.sub(self._pair, value)
        value = _options().sub(self._option, value)
        return _logins().sub(self._login, value)

    def _pair(self, match: re.Match[str]) -> str:
        name, quote, value = _plain(match["name"].strip()), match["quote"] or "", match["value"]
        bare = value.strip("'\"")
        items = re.split(r"[\s,]+", bare.strip("[]")) if value.startswith("[") else [bare]
        if is_shown(name, self._shown) or all(judge(name, item.strip("'\"")) == "no" for item in items):
            return match[0].removesuffix(value) + (self.within(value) if "=" in value else value)
        mark = value[0] if value[0] in "'\"" else ""
        return f"{quote}{match['name']}{quote}{match['sep']}{mark}{self._hide(name)}{mark}"

    def _option(self, match: re.Match[str]) -> str:
        name, value = _plain(match[1]), match[3].strip("'\"")
        if is_shown(name, self._shown) or judge(name, value) == "no":
            return match[0]
        return f"{match[1]}{match[2]}{self._hide(name)}"

    def _login(self, match: re.Match[str]) -> str:
        return f"{match[1]}{self._hide('user')}" if is_login(match[2]) else match[0]

    def _hide(self, name: str) -> str:
        self.names.append(name)
        return self._stand_in(name)


def _of_shell(option: str) -> bool:
    """Whether the word after this option is a command line: `sh -c`, `bash -lc`."""
    return re.fullmatch(r"-[a-z]*c", option) is not None


def _holds_one(name: str, value: str, shown: Collection[str]) -> bool:
    """Whether a list or a dict in the notation of Python, JSON or Hydra holds a secret."""
    try:
        leaves = list(_leaves(name, ast.literal_eval(value)))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # TypeError: {{}} is a set of dicts
        leaves = [(name, item.strip("'\"")) for item in re.split(r"[\s,]+", value.strip("[](){}"))]
    if any(not is_shown(leaf, shown) and judge(leaf, item) != "no" for leaf, item in leaves):
        return True
    return text(value, shown) != value


def _may_be_of_secret(name: str) -> bool:
    return name in ("u", "user") or kind(name) not in ("neutral", "ordinary")


def _place_for(name: str) -> str:
    """`YOUR_TOKEN` for `hf_token`: text that no shell changes."""
    word = re.split(r"[^A-Za-z0-9]+", name.strip("_"))[-1].upper()
    return f"YOUR_{word or 'VALUE'}"


def _plain(name: str) -> str:
    """A name without what precedes it on a command line: `--token`, `+db/token`, `++token`, `~token`."""
    return name.lstrip("-+~")


def _plain_name(name: str) -> str:
    return _plain(name.strip()).replace("-", "_").lower()


# Compiled when they are first needed: every command imports this module.


@lru_cache(1)
def _hint() -> re.Pattern[str]:
    return re.compile(
        r"key|token|secret|passw|passphrase|passcode|pwd|credential|auth|bearer|cookie|session|\bsig|signature|\bpat\b|pass\b"
        r"|license|webhook|dsn|sas\b|private|wandb|hf_|sk-|k_live|k_test|gh[opusr]_|github_|glpat|akia|asia|xox|xapp|aiza|ya29"
        r"|npm_|pypi-|dckr|local-|eyj|r8_|gsk_|sg\.|dop_|jwt|://|-u\s|--user|[a-z0-9+/=_-]{32}",
        re.IGNORECASE,
    )


@lru_cache(1)
def _assigned() -> re.Pattern[str]:
    return re.compile(r"([-+~]{0,2}[\w./@:-]+)=(.+)", re.DOTALL)


@lru_cache(1)
def _pairs() -> re.Pattern[str]:
    """`name=value`, `name:value`, `'name': 'value'`, `{name: value}`, `X-Api-Key: value`."""
    value = r"(?P<value>\"[^\"]*\"|'[^']*'|\[[^\]]*\]|[^\s,;&|'\"()\[\]{}]+)"
    return re.compile(
        r"(?P<quote>(?<![\w])[\"'])?(?<![\w/])(?P<name>[-+~]{0,2}[A-Za-z_][\w./-]{0,80})(?(quote)(?P=quote))"
        r"(?P<sep>=|:(?!//)|(?<=[\"'])\s*:\s*|(?<=\w)\s*[=:]\s+(?=[\"']))" + value
    )


@lru_cache(1)
def _options() -> re.Pattern[str]:
    return re.compile(r"(?<![\w-])(--?[A-Za-z][\w.-]{0,80})(\s+)(?!-)(\"[^\"]*\"|'[^']*'|[^\s'\"]+)")


@lru_cache(1)
def _entries() -> re.Pattern[str]:
    """The entries of a dict without quotes: `{name: value, name: value}`."""
    return re.compile(
        r"(?<=[{,])(?P<quote>)(?P<name>\s*[A-Za-z_][\w.-]{0,80})(?P<sep>\s*:\s+)(?P<value>[^\s,'\"()\[\]{}]+)"
    )


@lru_cache(1)
def _logins() -> re.Pattern[str]:
    return re.compile(r"(?<![\w-])((?:-u|--user)[ =]+)([^\s'\"]+)")


@lru_cache(1)
def _literals() -> re.Pattern[str]:
    """A literal with a name in a config or a script: `api_key = "x"`, `'api_key': 'x'`, `api_key: ["x"]`."""
    name = r"(?<![\w.])[\"']?(?P<name>[A-Za-z_][\w.-]{0,80})[\"']?"
    return re.compile(name + r"\s*[=:]\s*[\[(]?\s*([\"'])(?P<value>[^\"'\n]+)\2")


@lru_cache(1)
def _replaced() -> re.Pattern[str]:
    """A place where `_Words` replaced a value inside a longer word."""
    return re.compile(
        r"([A-Za-z_][\w./-]{0,80})[\"']?\s*[=:]\s*[\"']?\*\*\*(?![\w*/])|(?<![\w-])--?([A-Za-z][\w.-]*)\s+\*\*\*(?![\w*/])"
        r"|(:)//[^\s/@]*\*\*\*@"
    )
