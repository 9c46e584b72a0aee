"""Read the words of a command, or a text that quotes commands, settings or code, and replace the secrets in them.

One reading for all spellings: what a word means depends on the word before it, and inside a word on name, separator and
value. Quotes, backslashes before quotes, lists and nested commands are part of the value's pattern.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from runner.core.secret_names import kind
from runner.core.secrets import (
    LONGEST,
    REDACTED,
    Verdict,
    is_login,
    is_trivial,
    judge,
    looks_chosen,
    looks_random,
    shapes,
)

#: After these options words are names and values in turn: `--opts HUB.TOKEN S`.
_OF_SETTINGS = frozenset((
    "opts", "opt", "set", "options", "option", "cfg_options", "override", "overrides", "config_override", "param",
    "params", "o", "D", "e", "env", "setenv", "args", "kwargs", "define", "arg",
))  # fmt: skip
_OF_LOGINS = frozenset((
    "u", "U", "user", "proxy_user", "login", "userpass", "basic_auth", "http_auth", "auth", "proxy", "x", "account",
))  # fmt: skip


class Setting(NamedTuple):
    """A name and a value in a text. `quoted`: the value is in quotes or brackets; `apart`: with spaces before it."""

    name: str
    value: str
    start: int  # of the value
    end: int
    quoted: bool
    apart: bool
    at: int  # where the name begins


class Words:
    """Reads a command once; `names` are those of the values that were replaced, `values` what they were."""

    def __init__(self, shown: Collection[str], stand_in: Callable[[str], str] = lambda name: REDACTED) -> None:
        self.names: list[str] = []
        self.values: list[str] = []
        self._shown = shown
        self._stand_in = stand_in

    def all(self, words: Sequence[str]) -> list[str]:
        """The words with the secrets in them replaced."""
        found: list[str] = []
        option = ""  # the last one, as long as no other follows
        for place, word in enumerate(words):
            previous = words[place - 1] if place else ""
            if previous in ("=", ":", ":=", "=>") and place > 1:
                previous = words[place - 2] + "="
            if _is_option(previous):
                option = previous
            found.append(self._word(previous, word, option, words[:place]))
        return found

    def _word(self, previous: str, word: str, option: str, before: Sequence[str]) -> str:
        if not word.isascii() and (usual := _in_usual_letters(word)) != word:
            hidden = self._word(previous, usual, option, before)
            return word if hidden == usual else hidden
        if (secret := _for_program(before, word)) is not None and not is_trivial(secret):
            return word.removesuffix(secret) + self._hide("", secret)
        name = _named_by(previous, option)
        is_value = bool(name) and not _is_option(word) and word not in ("=", ":", ":=", "=>")
        if is_value and self._is_hidden_after(name, word):
            return self._hide(name, word)
        if name and is_shown(name, self._shown) and _is_option(previous):
            return word
        match = None if _of_shell(previous) else _assigned().fullmatch(word)
        if match is None:
            return self.within(word)
        return self._assignment(match)

    def _is_hidden_after(self, name: str, word: str) -> bool:
        return self.is_secret(name, word) or (not is_shown(name, self._shown) and _is_login(name, word))

    def _assignment(self, match: re.Match[str]) -> str:
        """`--token=S`, `+db/token=S`, `-Dapi_key=S`: the whole rest of the word is the value."""
        before, separator, value = match["name"], match["sep"], match["value"]
        name = plain(before)
        short = re.fullmatch(r"-[A-Za-z]\w{2,}", before) is not None
        names = [name, name[1:]] if short else [name]
        if any(is_shown(one, self._shown) for one in names):
            return before + separator + value
        hidden = next((one for one in names if self._is_hidden_after(one, value)), None)
        if hidden is not None:
            return f"{self._without_forms(before)}{separator}{self._hide(hidden, value)}"
        inside = _assigned().fullmatch(value)  # --env=HF_TOKEN=S
        inner = self._assignment(inside) if inside is not None else self.within(value)
        return f"{self._without_forms(before)}{separator}{inner}"

    def is_secret(self, name: str, value: str) -> bool:
        """Whether a value is hidden as a whole, also a list or dict that holds a secret."""
        if is_shown(name, self._shown):
            return False
        if judge(name, value) != "no":
            return True
        if value[:1] in ("'", '"', "\\", " ") and judge(name, value.strip("'\"\\ ")) != "no":
            return True
        return value[:1] == "[" and any(judge(name, item) != "no" for item in _items(value))

    def within(self, text: str) -> str:
        """A text that holds several words, such as a command, a dict or code."""
        text = self._without_forms(text)
        text = self._without_settings(text)
        for pattern in _phrases():
            text = pattern.sub(self._phrase, text)
        return text

    def _without_forms(self, text: str) -> str:
        for start, end in reversed(shapes(text)):
            if not self._is_shown_there(text, start):
                text = text[:start] + self._hide("", text[start:end]) + text[end:]
        return text

    def _is_shown_there(self, text: str, start: int) -> bool:
        """Whether the name before this place was declared to be no secret."""
        named = re.search(r"([A-Za-z_][\w.-]*)[\"']?\s*[:=]\s*[\"']?$", text[max(start - 100, 0) : start])
        return bool(self._shown) and named is not None and is_shown(named[1], self._shown)

    def _without_settings(self, text: str) -> str:
        pieces: list[str] = []
        done = 0
        for one in settings(text):
            if one.start < done or not self._is_hidden(text, one):
                continue
            pieces += [text[done : one.start], self._hide(plain(one.name), text[one.start : one.end])]
            done = one.end
        return "".join(pieces) + text[done:] if pieces else text

    def _is_hidden(self, text: str, one: Setting) -> bool:
        if is_shown(one.name, self._shown):
            return False
        return verdict(one) != "no" and (one.quoted or not one.apart or _is_no_prose(text, one))

    def _phrase(self, match: re.Match[str]) -> str:
        """`--token S` in a text, `setenv TOKEN S`, `['TOKEN', 'S']`, `-u user:S`, `<token>S</token>`."""
        name, value = plain(match["name"]), match["value"]
        bare = value.strip("'\"\\")
        if is_shown(name, self._shown) or is_trivial(bare):
            return match[0]
        found = judge(name, bare) != "no" or _is_login(name, bare) or name in _PROGRAMS
        if match.re is _listed():
            found = found and _is_for_sure(match)
        if not found or (" is " in match[0] and not looks_chosen(bare)):
            return match[0]
        start = match.start("value") - match.start()
        mark = value[0] if value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1 else ""
        hidden = f"{mark}{self._hide(name, value)}{mark}"
        return match[0][:start] + hidden + match[0][start + len(value) :]

    def _hide(self, name: str, value: str) -> str:
        self.names.append("" if name in _PROGRAMS else name)
        self.values.append(value.strip("'\"\\ "))
        return self._stand_in(name)


def is_shown(name: str, shown: Collection[str]) -> bool:
    """Whether the user declared that name, or the last part of it, to be no secret; `-` and `_` are one."""
    if not shown:
        return False
    whole = _plain_name(name)
    names = {_plain_name(one) for one in shown}
    return whole in names or re.split(r"[./]", whole)[-1] in names


def plain(name: str) -> str:
    """A name without what precedes it on a command line: `--token`, `+db/token`, `++token`, `~token`."""
    return name.strip().lstrip("-+~").rstrip("=:")


def settings(text: str) -> Iterator[Setting]:
    """Every name with a value in a text. They may overlap: in `env:TOKEN=S`, `env` has a value, and so has `TOKEN`."""
    place = 0
    while (match := _names().search(text, place)) is not None:
        place = match.end()
        value = _values(match["sep"].strip()[:1] == "=").match(text, match.end())
        name = match["name"] if match["name"] is not None else match["quoted"]
        if value is None:
            continue
        start, end = value.span()
        found = value[0]
        quoted = value.lastgroup is not None
        if not quoted:
            end = start + len(found := found.rstrip(")]}" if not re.search(r"[(\[{]", found) else "")) or end
        if value.lastgroup == "string":  # the quotes stay
            mark = r"\\*(?:\"{3}|'{3}|[\"'])"
            inner = re.fullmatch(rf"([bBrRuUfF]{{0,2}}{mark})(.*?)({mark})", found, re.DOTALL)
            if inner is not None and inner[2]:
                start, end = start + inner.end(1), start + inner.start(3)
        apart = bool(re.search(r"\s", match["sep"]))
        yield Setting(name, text[start:end], start, end, quoted, apart, match.start())


def verdict(one: Setting) -> Verdict:
    """How a setting of a text is judged: a list by its items, and a value before a comma alone as well."""
    name = plain(one.name)
    one = one._replace(value=one.value[:LONGEST])
    if one.value[:1] in "[({" or (one.quoted and one.value[-1:] == ")"):
        return _of_items(name, one.value)
    short = re.split(r",", one.value)[0] if not one.quoted else one.value
    if is_trivial(short.strip("'\"\\")) or (not one.quoted and short.strip(")]}") == re.split(r"[./]", name)[-1]):
        return "no"  # the second: f(token=token)
    found: Verdict = judge(name, one.value.strip("'\"\\"))
    return found if found != "no" or short == one.value else judge(name, short)


def _of_items(name: str, value: str) -> Verdict:
    """What the items of a list, of a dict or of a call are: `["S"]`, `{a: S}`, `SecretStr("S")`."""
    found: set[Verdict] = set()
    if value[:1] not in "[({" and not re.match(r"[\w.]*(?:[Ss]ecret|str|String|bytes|b64\w*|SecureString)\w*\(", value):
        return "no"  # what a function returns is not written there
    for item in _items(value):
        key, separator, rest = item.partition(":")
        if separator and value[:1] == "{":
            inner = key.strip(" '\"")
            found.add(judge(f"{name}.{inner}", rest.strip(" '\"")))
        else:
            found.add(judge(name, item))
    return "yes" if "yes" in found else "maybe" if "maybe" in found else "no"


def _items(value: str) -> list[str]:
    inner = re.sub(r"^[\w.]*[\[({]+|[\])}]+$", "", value)
    parts = re.split(r"[,\n]+" if re.search(r"[,\"':]", inner) else r"[\s,]+", inner)
    return [part.strip(" \t'\"\\[](){}") for part in parts]


def _is_no_prose(text: str, one: Setting) -> bool:
    """Whether an unquoted value after a colon and a space is one, and not the next word of a sentence."""
    if kind(plain(one.name)) != "clear" or looks_random(one.value, 8):
        return True
    after = text[one.end :].lstrip(" \t")
    alone = not after or after[0] in "\r\n,;)}]&|'\"#" or after.startswith(("-", "+")) or re.match(r"[\w.]+[=:]", after)
    before = re.sub(r"(?<!\S)--?[\w-]+[ =]['\"]?$", "", text[max(one.at - 40, 0) : one.at]).rpartition("\n")[2]
    begins = not re.search(r"[^\s{(\[,;'\"|&#>-]", before)
    several = re.search(r"[a-z][_.-]?[A-Z]|[a-zA-Z][_.-][a-zA-Z]", plain(one.name)) is not None
    return bool(alone or looks_chosen(one.value)) and (begins or several)


def _in_usual_letters(word: str) -> str:
    """A word without letters of full width and signs that cannot be seen: what it looks like."""
    return "".join(sign for sign in unicodedata.normalize("NFKC", word) if unicodedata.category(sign) != "Cf")


def _is_option(word: str) -> bool:
    return word.startswith("-") and re.match(r"--?[A-Za-z]", word) is not None


def _named_by(previous: str, option: str) -> str:
    """The name of the value that comes after these words; empty if none does."""
    bare = previous.rstrip("=:")
    if _is_option(previous) and "=" not in bare:
        return plain(bare)
    if previous != bare and re.fullmatch(r"[\w.-]+", bare):  # `api_key: S`, `api_key= S`
        return plain(bare)
    name = plain(option.rstrip("="))
    if option and "=" not in option.rstrip("=") and re.search(r"s$", name) and kind(name) == "clear":
        return name  # --api_keys S S
    two = re.fullmatch(r"[A-Za-z]\w*(?:[._-][A-Za-z]\w*)+", previous) is not None
    if two and kind(previous) == "clear" and (not option or name.replace("-", "_") in _OF_SETTINGS):
        return previous
    return ""


#: Programs to which a secret is given without a name -> the words before it.
_PROGRAMS = {
    "sshpass": r"\s+-p\s*",
    "redis-cli": r"\b[^|;&]{0,200}?\s-a\s+",
    "docker": r"\s+login\b[^|;&]{0,200}?\s-p\s+",
    "podman": r"\s+login\b[^|;&]{0,200}?\s-p\s+",
    "wandb": r"\s+login\s+(?:--relogin\s+)?(?!-)",
    "openssl": r"\b[^|;&]{0,200}?\s-pass(?:in|out)?\s+pass:",
    "mysql": r"\b[^|;&]{0,200}?\s-p(?=\S)",
    "mysqldump": r"\b[^|;&]{0,200}?\s-p(?=\S)",
}


def _for_program(before: Sequence[str], word: str) -> str | None:
    """The end of a word that a program takes for a secret: `sshpass -p S`, `mysql -pS`."""
    if not any(one.rpartition("/")[2] in _PROGRAMS for one in before):
        return None
    line = " ".join([*before, word])
    ends = [match["value"] for one in _of_programs() for match in one.finditer(line) if match.end() == len(line)]
    return next((value for value in ends if word.endswith(value)), None)


def _is_for_sure(match: re.Match[str]) -> bool:
    """Whether two texts in brackets are a name and its value, and not two names."""
    value = match["value"].strip("'\"\\")
    return looks_chosen(value) or looks_random(value, 8) or bool(match["of_environment"])


def _is_login(name: str, value: str) -> bool:
    """Whether an option takes `user:password`, and gets it."""
    return name.replace("-", "_") in _OF_LOGINS and is_login(value)


def _of_shell(option: str) -> bool:
    """Whether the word after this option is a command line: `sh -c`, `bash -lc`."""
    return re.fullmatch(r"-[a-z]*c", option) is not None


def _plain_name(name: str) -> str:
    return plain(name).replace("-", "_").lower()


# Compiled when they are first needed: every command imports this module.

_NAME = r"[-+~]{0,2}(?:[^\W\d]|_)[\w./-]{0,80}"
_SPACED = r"(?i:(?:api|access|secret|auth|private) (?:key|token))"
_JOINED = r"\"[^\"\s\]]*\"|'[^'\s\]]*'"
_QUOTED = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"


@lru_cache(1)
def _assigned() -> re.Pattern[str]:
    return re.compile(
        r"(?P<name>[-+~]{0,2}[\w./@-]+(?:\[[\w'\"./-]+\][\w./@-]*)*(?::[A-Za-z_][\w./-]*)?)"
        r"(?P<sep>==|:=|=)(?P<value>.+)",
        re.DOTALL,
    )


@lru_cache(1)
def _names() -> re.Pattern[str]:
    """A name with a separator behind it: `name=`, `name:`, `'name': `, `["name"] = `, `%26name%3D`."""
    return re.compile(
        rf"(?:\\*(?P<mark>[\"'])(?P<quoted>[^\"'\n\\=:]{{1,80}})\\*(?P=mark)\]?"
        rf"|(?<!\w)(?:%26)?(?P<name>{_SPACED}|{_NAME}?))"
        r"(?P<sep>\s{0,20}(?:=>|->|:=|==?|:(?!//)(?:\s+(?:[|>][+-]?\d?\s*\n|!!?\w*\s|&\w+\s))?|%3[AD])\s{0,20})"
    )


@lru_cache(2)
def _values(equals: bool) -> re.Pattern[str]:
    """A value; after an equals sign brackets within a word belong to it."""
    inside = r"|[(){}\[\]](?=\w)" if equals else ""
    basic = rf"(?:\\[^\"'\r\n]|[^\s,;&|'\"<>(){{}}\[\]\\]{inside})"
    return re.compile(
        r"(?P<string>[bBrRuUfF]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|\\+\"(?:.*?[^\\])?\\+\"|\\+'(?:.*?[^\\])?\\+'"
        rf"|(?:{_QUOTED})(?![\w\"'])))"
        rf"|(?P<pieces>\$?(?:{_QUOTED})(?:{_QUOTED}|{basic})+|{basic}+(?:{_JOINED})(?:{_JOINED}|{basic})*)"
        r"|(?P<group>[\w.]*(?:\[[^\]]*\]|\([^()]*\)|\{(?:[^{}]|\{[^{}]*\})*\}))"
        rf"|{basic}+(?:,(?!\s*[\"']?[\w.-]+[\"']?\s*[:=]){basic}+)*",
        re.DOTALL,
    )


_VALUE = rf"(?P<value>\\\"[^\"]*\\\"|{_QUOTED}|[^\s'\"\]<>|;&]+)"


@lru_cache(1)
def _phrases() -> tuple[re.Pattern[str], ...]:
    return (
        re.compile(rf"(?<![\w-])(?P<name>--?[A-Za-z][\w.-]{{0,80}})(?:\s|\\\n)+(?![-\\]){_VALUE}"),
        re.compile(r"[\"'](?P<name>--?[A-Za-z][\w.-]{0,80})[\"']\s*,\s*(?P<value>\"[^\"]*\"|'[^']*')"),
        re.compile(rf"\b(?P<name>(?i:password|passphrase|token|secret|api[_ ]key)) is {_VALUE}"),
        re.compile(rf"(?<![\w-])(?P<name>-[uU]|--(?:proxy-)?user|--login|--auth|--proxy)[ =]+{_VALUE}"),
        re.compile(rf"\b(?:setenv|ENV|config set|secrets? set)\s+(?P<name>[A-Za-z_][\w.-]{{0,80}})\s+{_VALUE}"),
        re.compile(
            r"[\"']?\b(?:name|key|variable)[\"']?\s*[:=]\s*[\"']?(?P<name>[A-Za-z_][\w.-]{0,80})[\"']?\s*[,;]?\s*"
            rf"[\"']?value[\"']?\s*[:=]\s*{_VALUE}"
        ),
        re.compile(r"<(?P<name>[A-Za-z_][\w.-]{0,80})>(?P<value>[^<>]+)</(?P=name)>"),
        _listed(),
        *_of_programs(),
    )


@lru_cache(1)
def _of_programs() -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(rf"\b(?P<name>{name}){words}{_VALUE}") for name, words in _PROGRAMS.items())


@lru_cache(1)
def _listed() -> re.Pattern[str]:
    """`["HF_TOKEN", "S"]`, `setdefault('HF_TOKEN', 'S')`."""
    return re.compile(
        r"(?P<of_environment>environ\.\w+|setdefault|getenv|putenv|set_?env\w*)?[(\[]\s*\\*(?P<mark>[\"'])"
        r"(?P<name>[A-Za-z_][\w.-]{0,80})\\*(?P=mark)\s*,\s*\\*(?P<value>\"[^\"]*\"|'[^']*')\s*[)\]]"
    )
