"""Replace secrets by `***`, at every way into a file or onto a screen.

What is a secret is judged in secrets.py; commands and texts are read in secret_words.py. `shown` are the names that the
user declared to be no secrets (--not_secret).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from runner.core.secret_hints import may_hold
from runner.core.secret_names import kind
from runner.core.secret_words import Words, is_shown, plain, settings, verdict
from runner.core.secrets import REDACTED, is_trivial, judge, looks_chosen, shapes

__all__ = [
    "REDACTED", "agree", "argv", "certain", "certain_in_text", "doubtful", "fill_in", "hidden_names", "is_clear",
    "is_secret", "known_values", "mapping", "may_hold", "text", "unrecorded", "with_places",
]  # fmt: skip


REMEMBERED = 200  # letters of a value that is not judged again
COMMANDS = ("command", "launcher", "resume_args")  # keys of a spec whose values are words of a command line
LEAST_KNOWN, LONG = 4, 8  # letters of a value that is replaced wherever it is found: as a word, and within words


class _Read(NamedTuple):
    """A command with its secrets replaced, the names of those, and what they were."""

    words: tuple[str, ...]
    names: tuple[str, ...]
    values: tuple[str, ...]


def is_secret(name: str, value: object, shown: Collection[str] = ()) -> bool:
    """Whether a value is hidden: one that is a secret, or that may be one."""
    if is_shown(name, shown):
        return False
    if judge(name, value) != "no":
        return True
    literal = isinstance(value, str) and value[:1] in ("[", "{", "(") and not is_trivial(value)
    return literal and _holds_one(name, str(value), shown)


def mapping(values: Mapping[str, Any], shown: Collection[str] = ()) -> dict[str, Any]:
    """The same entries with secrets replaced, nested mappings and lists included."""
    return _mapping("", values, shown)


def _mapping(name: str, values: Mapping[str, Any], shown: Collection[str]) -> dict[str, Any]:
    found = {}
    named = _named_inside(values)
    for key, value in values.items():
        whole = f"{name}.{key}" if name else str(key)
        found[_key(key, shown)] = _inside(f"{whole}.{named}" if named and key == "value" else whole, value, shown)
    return found


def _named_inside(values: Mapping[str, Any]) -> str | None:
    """The name in an entry such as `{name: HF_TOKEN, value: S}`."""
    if "value" not in values:
        return None
    return next((name for key in ("name", "key") if isinstance(name := values.get(key), str)), None)


def _key(key: Any, shown: Collection[str]) -> Any:
    return text(key, shown) if isinstance(key, str) and shapes(key) else key


def _inside(name: str, value: Any, shown: Collection[str]) -> Any:
    if isinstance(value, Mapping):
        return _mapping(name, value, shown)
    if isinstance(value, list | tuple):
        pair = list(value) if len(value) == 2 else []
        if [isinstance(one, str) for one in pair] == [True, True] and _is_pair(*pair):
            return [pair[0], _inside(pair[0], pair[1], shown)]
        return [_inside(name, item, shown) for item in value]
    if isinstance(value, bytes):
        return _inside(name, value.decode(errors="replace"), shown)
    if isinstance(value, str):
        return _recorded(name, value, tuple(shown)) if len(value) < REMEMBERED else _text(name, value, shown)
    return REDACTED if isinstance(value, int) and is_secret(name, value, shown) else value


def _is_pair(name: str, value: str) -> bool:
    """Whether a list is a name and its value, and not two names."""
    return kind(name) == "clear" and looks_chosen(value)


@lru_cache(1 << 9)
def _recorded(name: str, value: str, shown: tuple[str, ...]) -> str:
    """As `_text`: most values are those of many jobs, and are read several times for each."""
    return _text(name, value, shown)


def _text(name: str, value: str, shown: Collection[str]) -> str:
    if is_secret(name, value, shown):
        return REDACTED
    return value if is_shown(name, shown) else text(value, shown)


def is_clear(name: str, value: str) -> bool:
    """True if no part of a text can be a secret under this name. It is quick for the texts of thousands of jobs."""
    return kind(name) in ("neutral", "ordinary") and not may_hold(value)


def certain(values: Mapping[str, Any], shown: Collection[str] = ()) -> list[str]:
    """The keys of values that are secrets without a doubt, nested ones with the sections around them."""
    leaves = _leaves("", values)
    found = (name for name, it in leaves if _is_certain(name, it, shown) or _is_command(name, it, shown))
    return list(dict.fromkeys(found))


def _is_command(name: str, value: object, shown: Collection[str]) -> bool:
    """Whether a value is a command line that holds a secret, as the `command:` of a spec may."""
    return name in COMMANDS and isinstance(value, str) and text(value, shown) != value


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


def certain_in_text(source: str, shown: Collection[str] = (), *, is_code: bool = True) -> Iterator[tuple[int, str]]:
    """Line and name of each certain secret in a source text: a known form of token, or a literal with a clear name.

    In code a value without quotes is a variable; in what is not code, such as a shell script, it is a value.
    """
    found: dict[int, str] = {}
    for one in settings(source):
        name = plain(one.name)
        if kind(name) != "clear" or is_shown(name, shown) or verdict(one) != "yes":
            continue
        line = source[source.rfind("\n", 0, one.at) + 1 : one.at]
        remark = "#" in line and looks_chosen(one.value)
        if one.quoted or remark or (not is_code and not one.apart and one.value[:1] not in ("$", "`", "(")):
            found.setdefault(source.count("\n", 0, one.at) + 1, name)
    for start, _end in shapes(source):
        line_number = source.count("\n", 0, start) + 1
        named = re.match(r"\W*([A-Za-z_][\w.-]*)\s*[=:]", source.split("\n")[line_number - 1])
        if named is None or not is_shown(named[1], shown):
            found.setdefault(line_number, named[1] if named else "")
    yield from sorted(found.items())


def argv(words: Sequence[str], shown: Collection[str] = ()) -> list[str]:
    """The same command with secrets replaced: `--token=x`, `--token x`, `TOKEN=x`, also in a word that is a command."""
    return list(_read(tuple(words), tuple(shown)).words)


@lru_cache(256)
def _read(words: tuple[str, ...], shown: tuple[str, ...]) -> _Read:
    """The command of a job is recorded in several places, one after the other."""
    reading = _Reading(shown)
    return _Read(tuple(reading.all(words)), tuple(reading.names), tuple(reading.values))


def hidden_names(words: Sequence[str], shown: Collection[str] = ()) -> list[str]:
    """The names of the values that `argv` replaces; "" for a value without one."""
    return list(dict.fromkeys(_read(tuple(words), tuple(shown)).names))


def known_values(words: Sequence[str], values: Mapping[str, Any], shown: Collection[str] = ()) -> tuple[str, ...]:
    """The secrets of a command and of an environment, to be replaced where something quotes them without a name."""
    found = [str(value) for name, value in values.items() if _is_certain(name, value, shown)]
    found += _read(tuple(words), tuple(shown)).values
    long = [one for one in found if len(one) >= LEAST_KNOWN and not is_trivial(one) and not one.isdigit()]
    return tuple(sorted(set(long), key=len, reverse=True))


def fill_in(words: Sequence[str], shown: Collection[str] = ()) -> list[str]:
    """The same command with a place to fill in for each secret: `--hf_token YOUR_TOKEN`."""
    return _Reading(shown, _place_for).all(words)


def with_places(words: Sequence[str]) -> list[str]:
    """Recorded words with a place to fill in where a value was replaced by `***`."""
    if not unrecorded(words):
        return list(words)
    found: list[str] = []
    for previous, word in zip(["", *words], words, strict=False):
        name = plain(previous) if word == REDACTED else word.partition("=")[0]
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
            names.append(plain(previous))
        elif equals and value == REDACTED:
            names.append(plain(name))
        else:
            inside = [(match[1] or match[2] or "", match[3]) for match in _replaced().finditer(word)]
            names += [plain(name) for name, address in inside if address or _may_be_of_secret(name)]
    return list(dict.fromkeys(names))


def text(value: str, shown: Collection[str] = (), known: Collection[str] = ()) -> str:
    """A text that may hold commands, settings or addresses, with the secrets in it replaced; `known` ones anywhere."""
    for secret in known:
        word = re.escape(secret)
        whole = word if len(secret) >= LONG else rf"(?:(?<!\w)|(?<=[\s'\"]-\w)){word}(?!\w)"  # the second: -pSECRET
        value = re.sub(whole, REDACTED, value)
    return _Reading(shown).within(value)


def agree(one: Any, other: Any) -> bool:
    """Whether two values are equal, as far as they were written down: `***` stands for any value."""
    if any(isinstance(it, str) and it == REDACTED for it in (one, other)):
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(agree(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(agree, one, other))
    return repr(one) == repr(other)


class _Reading(Words):
    """The same, with what is quick to rule out and with dicts in one word."""

    def is_secret(self, name: str, value: str) -> bool:
        return is_secret(name, value, self._shown) or super().is_secret(name, value)

    def within(self, text: str) -> str:
        return super().within(text) if may_hold(text) else text


def _holds_one(name: str, value: str, shown: Collection[str]) -> bool:
    """Whether a list or a dict in the notation of Python, JSON or Hydra holds a secret."""
    leaves: list[tuple[str, Any]] = []
    for read in (ast.literal_eval, json.loads):
        try:
            leaves = list(_leaves(name, read(value)))
            break
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # TypeError: {{}} is a set of dicts
            continue
    else:
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


# Compiled when they are first needed: every command imports this module.


@lru_cache(1)
def _replaced() -> re.Pattern[str]:
    """A place where a value inside a longer word was replaced."""
    return re.compile(
        r"([A-Za-z_][\w./-]{0,80})[\"'\\]*\]?\s*(?:==?|:=?|=>|%3D|,|>)\s*[bBrRuUfF]?[\"'\\]*\*\*\*(?![\w*/])"
        r"|(?<![\w-])--?([A-Za-z][\w.-]*)\s+[\"'\\]*\*\*\*(?![\w*/])|(:)//[^\s/@]*\*\*\*@"
    )
