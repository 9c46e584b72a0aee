"""Turn the text of `--key=value` into a value of a given type. Knows nothing of configs."""

from __future__ import annotations

import ast
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union, get_args, get_origin

from runner.configs.evaluate import plain
from runner.core import program
from runner.core.errors import did_you_mean

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

ALIASES = {"wandb_enabled": "wandb_log"}  # the runner's option -> the trainer's key
SYNONYMS = {"learning_rate": "lr", "lr": "learning_rate"}  # one setting under two names
FLAGS = frozenset({"profile"})  # may be given without a value: --profile is --profile=true
TRUE_WORDS = frozenset({"true", "1", "yes", "on"})
FALSE_WORDS = frozenset({"false", "0", "no", "off"})
NONE_WORDS = frozenset({"none", "null"})
MAX_EXPONENT = 100  # int(Decimal("1e999999999")) would fill the memory


class InvalidValue(ValueError):
    """The text is not a value of the type. The message ends a sentence: `must be a whole number, not 'sixteen'`."""


class Given(NamedTuple):
    """One `--key=value` of a command line. `apart`: the value was a word of its own."""

    key: str
    text: str
    apart: bool = False


def given(argv: Sequence[str]) -> tuple[list[str], list[Given], list[str]]:
    """Positional words, each override with its key as it was spelled, and errors."""
    words: list[str] = []
    found: list[Given] = []
    errors: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            words.append(word)
            continue
        name, equals, value = word.partition("=")
        key = name.removeprefix("--")
        if not equals and underscored(key) in FLAGS:
            found.append(Given(key, "true"))
        elif not name.startswith("--") or not key:
            errors.append(f"{word}: unknown option; options are written --key=value")
        elif equals:
            found.append(Given(key, value))
        elif rest and not rest[0].startswith("--"):
            found.append(Given(key, rest.pop(0), apart=True))
        else:
            errors.append(f"{name}: has no value; write {name}=VALUE")
    return words, found, errors


def split(argv: Sequence[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """Positional words, overrides by key (- and _ are one; the last of two wins) and errors."""
    words, found, errors = given(argv)
    return words, {underscored(one.key): one.text for one in found}, errors


def underscored(key: str) -> str:
    """The name under which both spellings of a key are one: batch-size is batch_size."""
    return key.replace("-", "_")


def of_spelling(key: str, names: Iterable[str]) -> str:
    """The one of these names that a key means, whichever of the two spellings it has; else the key itself."""
    names = list(names)
    return key if key in names else next((name for name in names if underscored(name) == underscored(key)), key)


def without(words: Sequence[str], keys: Iterable[str]) -> list[str]:
    """The words of a command line without those that set one of these keys, in either spelling."""
    names = {underscored(key) for key in keys}
    kept: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        if not word.startswith("--") or underscored(name.removeprefix("--")) not in names:
            kept.append(word)
        elif not equals and rest and not rest[0].startswith("--"):
            rest.pop(0)
    return kept


def parse(text: str, annotation: Any) -> Any:
    """The value of `text` for a field of this type; raises InvalidValue. A tuple comes as a list."""
    for member in sorted(_members(annotation), key=_rank):
        try:
            return _parser(member)(text)
        except ValueError:
            continue
    hint = _sweep_hint(text, annotation) or _choice_hint(text, annotation)
    raise InvalidValue(f"must be {describe(annotation)}, not {text!r}{hint}")


def describe(annotation: Any) -> str:
    """What a field of this type accepts, in words."""
    return " or ".join(dict.fromkeys(_noun(member) for member in _members(annotation)))


def choices(annotation: Any) -> list[str]:
    """The allowed words, where the type lists them."""
    literals = [member for member in _members(annotation) if get_origin(member) is Literal]
    return [choice for literal in literals for choice in get_args(literal) if isinstance(choice, str)]


def fields_of(annotation: Any) -> Mapping[str, FieldInfo]:
    """The keys of a section: of the one model that this type is; none for any other type."""
    members = _members(annotation)
    found: Mapping[str, FieldInfo] = getattr(members[0], "model_fields", {}) if len(members) == 1 else {}
    return found


def fields_within(key: str, fields: Mapping[str, FieldInfo]) -> Mapping[str, FieldInfo]:
    """The keys beside which `key`, or `section.key`, would be; none where there is no such section."""
    for section in key.split(".")[:-1]:
        fields = fields_of(fields[section].annotation) if section in fields else {}
    return fields


def type_of(key: str, fields: Mapping[str, FieldInfo]) -> Any:
    """The type of `key`, or of `section.key`; None where there is no such key."""
    found = fields_within(key, fields).get(key.rpartition(".")[2])
    return found.annotation if found is not None else None


def placed(values: Mapping[str, Any], overriding: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with those of the command line in their places: whole keys first, then `section.key` within them."""
    result = dict(values)
    for key, value in sorted(overriding.items(), key=lambda item: item[0].count(".")):
        *sections, last = key.split(".")
        inside = result
        for section in sections:
            before = inside.get(section)
            inner = dict(before) if isinstance(before, Mapping) else {}
            inside[section] = inner
            inside = inner
        inside[last] = value
    return result


def found(key: str, values: Mapping[str, Any]) -> Any:
    """The value at `key`, or at `section.key`; None where there is none."""
    if key in values:
        return values[key]
    section, _, inner = key.partition(".")
    within = values.get(section)
    return found(inner, within) if isinstance(within, Mapping) else None


def literal(text: str) -> Any:
    """A JSON or Python literal; raises ValueError for anything else."""
    try:
        return plain(json.loads(text))
    except (ValueError, RecursionError):
        pass
    try:
        return plain(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError("not a literal") from error


def meaning(text: str) -> Any:
    """The literal that a text is, or the text itself."""
    try:
        return literal(text)
    except ValueError:
        return text


def only_boolean(annotation: Any) -> bool:
    """True for a field that accepts true and false, and no other text."""
    members = _members(annotation)
    return bool in members and str not in members and Any not in members


def only_whole(annotation: Any) -> bool:
    """True for a field that accepts whole numbers, and no others."""
    members = _members(annotation)
    return int in members and float not in members and Any not in members


def boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("not a boolean")


def integer(text: str) -> int:
    """`1_000`, `1e3` and `5000.0` are whole numbers too."""
    try:
        return int(text)
    except ValueError:
        number = _decimal(text)
    if not number.is_finite() or number.adjusted() > MAX_EXPONENT or number != number.to_integral_value():
        raise ValueError("not a whole number")
    return int(number)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("not a number") from None


def _members(annotation: Any) -> list[Any]:
    """The types of a union, Annotated and type aliases opened; one type is a union of one."""
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for argument in get_args(annotation) for member in _members(argument)]
    if type(annotation).__name__ == "TypeAliasType":
        return _members(annotation.__value__)
    return [annotation]


def _rank(member: Any) -> int:
    """The narrow before the wide: any text is a str, so str comes last."""
    order: tuple[Any, ...] = (Literal, types.NoneType, int, float, bool)
    kind = get_origin(member) or member
    return order.index(kind) if kind in order else len(order) + (kind in (str, Path)) + 2 * (kind is Any)


def _parser(member: Any) -> Callable[[str], Any]:
    simple: dict[Any, Callable[[str], Any]] = {
        bool: boolean, int: integer, float: float, str: str, Path: str, types.NoneType: _none, Any: meaning,
    }  # fmt: skip
    if get_origin(member) is Literal:
        return lambda text: _choice(text, get_args(member))
    kind = get_origin(member) or member
    if kind in simple:
        return simple[kind]
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return lambda text: _container(text, dict)
    if isinstance(kind, type) and issubclass(kind, Sequence):
        return lambda text: _container(text, list)
    return meaning if not hasattr(kind, "model_fields") else lambda text: _container(text, dict)


def _container(text: str, kind: type) -> Any:
    value = literal(text)
    if not isinstance(value, kind):
        raise ValueError("another kind of value")
    return value


def _choice(text: str, allowed: Sequence[Any]) -> Any:
    for choice in allowed:
        if text == choice or (not isinstance(choice, str) and text.lower() == str(choice).lower()):
            return choice
    raise ValueError("not a choice")


def _none(text: str) -> None:
    if text.strip().lower() not in NONE_WORDS:
        raise ValueError("not none")


def _noun(member: Any) -> str:
    nouns: dict[Any, str] = {
        bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path",
        types.NoneType: "none", Any: "any value",
    }  # fmt: skip
    if get_origin(member) is Literal:
        allowed = [repr(choice) for choice in get_args(member)]
        return allowed[0] if len(allowed) == 1 else f"one of {', '.join(allowed)}"
    kind = get_origin(member) or member
    if kind in nouns:
        return nouns[kind]
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return "a dict such as {'a': 1}"
    if isinstance(kind, type) and issubclass(kind, Sequence):
        return "a list such as [1, 2]"
    return "a dict" if hasattr(kind, "model_fields") else f"of type {getattr(kind, '__name__', kind)}"


def _sweep_hint(text: str, annotation: Any) -> str:
    """`0.1,0.2` for a number is what Hydra takes for a sweep."""
    parts = text.split(",")
    if len(parts) < 2 or not {int, float} & set(_members(annotation)):
        return ""
    return f"; {several()}" if all(map(_is_number, parts)) else ""


def several() -> str:
    """What to do for several values of one setting."""
    return f"several values are a sweep, see {program.offered('sweep', '--help')}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _choice_hint(text: str, annotation: Any) -> str:
    hint = did_you_mean(text, choices(annotation))
    return f"; {hint}" if hint else ""
