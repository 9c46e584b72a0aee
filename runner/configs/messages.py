"""Turn pydantic's errors about a config into sentences: where the value was written, what it must be."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from runner.configs.config_file import ConfigFile
from runner.configs.overrides import SYNONYMS, describe
from runner.core.errors import did_you_mean, one_line

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_NOUNS = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "string": "text", "list": "a list",
    "tuple": "a list", "set": "a list", "dict": "a dict", "model": "a dict", "none_required": "none",
    "model_attributes": "a dict", "path": "a path",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Origin:
    """Where values come from; `overrides` by the names that the settings use."""

    config: ConfigFile | None
    overrides: Mapping[str, str]

    def before(self, key: str, place: str) -> str:
        """The beginning of a sentence, with the place: `--key`, or `path:line: key`."""
        if key in self.overrides or re.split(r"\[", place)[0] in self.overrides:
            return f"--{place}"
        return place if self.config is None else f"{self.config.place(place)}: {place}"

    def order(self, sentence: str) -> tuple[int, int]:
        """A sort key: the file's errors by their lines, then those of the command line."""
        line = re.match(r":(\d+):", sentence.removeprefix(str(self.config.path))) if self.config else None
        return sentence.startswith("--"), int(line[1]) if line else 0

    def about(self, message: str) -> str:
        """A sentence about several keys begins with the place of one of them, preferably one on the command line."""
        words = re.findall(r"\w+(?:\.\w+)*", message)
        for key in words:
            if key in self.overrides:
                return f"--{key}: {message}"
        if self.config is None:
            return message
        named = [
            key for key in words if key in self.config.origins
        ]  # set by another file, which is more likely the cause
        named += [key for key in words if key.partition(".")[0] in self.config.values]
        return f"{self.config.place(named[0]) if named else self.config.path}: {message}"


def sentences(
    cls: type[BaseModel], origin: Origin, error: ValidationError, given: Mapping[str, Any], *, silent: Collection[str]
) -> list[str]:
    """One sentence for each error, but none for the keys in `silent`, which have a sentence already."""
    by_place: dict[str, list[tuple[Any, str]]] = {}
    for detail in error.errors(include_url=False):
        place, value = _place(detail["loc"], given, detail["type"])
        if not detail["loc"] or str(detail["loc"][0]) not in silent:
            by_place.setdefault(place, []).append((detail, value))
    return [sentence for place, details in by_place.items() for sentence in _sentences(cls, origin, place, details)]


def unknown_key(key: str, known: Iterable[str], aliases: Mapping[str, str], list_of_keys: str) -> str:
    """A sentence on an unknown key; `list_of_keys` is the command that lists the keys."""
    known = list(known)
    if aliases.get(key) in known:
        return f"unknown key {key!r}; did you mean {aliases[key]!r}?"
    hint = did_you_mean(SYNONYMS.get(key, key), known)
    return f"unknown key {key!r}; {hint or f'remove it ({list_of_keys})'}"


def _sentences(cls: type[BaseModel], origin: Origin, place: str, details: list[tuple[Any, Any]]) -> Iterator[str]:
    if not place:
        yield from (origin.about(_message(detail)) for detail, _ in details)
        return
    key = re.split(r"[.\[]", place)[0]
    before = origin.before(key, place)
    nouns = [_noun(detail) for detail, _ in details]
    if all(nouns):  # a union has one error for each of its types
        expected = " or ".join(dict.fromkeys(noun for noun in nouns if noun))
        detail, value = details[0]
        if place == key and detail["type"] != "missing":
            expected = describe(cls.model_fields[key].annotation)
        yield f"{before} must be {expected}, not {_shown(value)}{_hint(value, detail)}"
        return
    for detail, value in details:
        yield f"{before}{_complaint(cls, key, detail, value)}"


def _complaint(cls: type[BaseModel], key: str, detail: Any, value: Any) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return " is missing; add it"
        case "extra_forbidden":
            hint = did_you_mean(str(detail["loc"][-1]), _keys_within(cls.model_fields[key].annotation)) or "remove it"
            return f": unknown key; {hint}"
        case "union_tag_not_found":
            return f" has no {context['discriminator'].strip(chr(39))!r}; add it"
        case "union_tag_invalid":
            return f" must have {context['discriminator']} {context['expected_tags']}, not {context['tag']!r}"
        case "value_error" | "assertion_error":
            return f": {_message(detail)}"
    message = one_line(detail["msg"])
    must = re.sub(r"^\w+ should ", " must ", message)
    if must == message:
        return f": {message[:1].lower()}{message[1:]}"
    return must if ", not " in must else f"{must}, not {_shown(value)}"


def _message(detail: Any) -> str:
    """The words of a validator, without what pydantic puts before them."""
    return one_line(detail.get("ctx", {}).get("error", detail["msg"]))


def _noun(detail: Any) -> str | None:
    """What the value must be, when its type is the error."""
    kind = detail["type"]
    if kind == "literal_error":
        expected = detail["ctx"]["expected"]
        return f"one of {expected.replace(' or ', ', ')}" if " or " in expected else str(expected)
    if kind == "int_from_float":
        return "a whole number"
    return _NOUNS.get(kind.removesuffix("_type").removesuffix("_parsing"))


def _hint(value: Any, detail: Any) -> str:
    if detail["type"] != "literal_error" or not isinstance(value, str):
        return ""
    hint = did_you_mean(value, re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
    return f"; {hint}" if hint else ""


def _place(loc: tuple[int | str, ...], given: Mapping[str, Any], kind: str) -> tuple[str, Any]:
    """`('stages', 3, 'sticky', 'p1')` -> `stages[3].p1` and the value there.

    A step that the data does not have is a union's name for one of its types, unless it is a missing key: the last.
    """
    place, here = "", given if loc else None
    for number, step in enumerate(loc):
        if isinstance(here, list) and isinstance(step, int) and step < len(here):
            place, here = f"{place}[{step}]", here[step]
        elif isinstance(here, Mapping) and step in here:
            place, here = (f"{place}.{step}" if place else str(step)), here[str(step)]
        elif kind == "missing" and number == len(loc) - 1:
            place = f"{place}.{step}" if place else str(step)
    return place, here


def _keys_within(annotation: Any) -> set[str]:
    """The keys of all models that are part of a type."""
    if hasattr(annotation, "model_fields"):
        fields = annotation.model_fields
        return set(fields).union(*(_keys_within(field.annotation) for field in fields.values()))
    return {key for argument in get_args(annotation) for key in _keys_within(argument)}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
