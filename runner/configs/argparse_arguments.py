"""The arguments of an argparse script: check overrides against them and write these as the script takes them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from runner.configs import overrides
from runner.configs.overrides import InvalidValue, underscored
from runner.core.argument_names import CONFIG_NAMES, OUT_DIR_NAMES
from runner.core.errors import UserError, did_you_mean, one_line

MOST_FLAGS = 20
LOOKS_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")  # argparse reads such a word as a number, not as an option


class _Unknown:
    """A value that only the running script knows."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Any = _Unknown()


@dataclass(frozen=True, slots=True)
class Argument:
    """One `add_argument`. `options` is empty for a positional one. `kind` is None where the text does not show it,
    and `choices` where there are none or where they are unknown. A `kind` of bool is a function that understands words
    such as `false`; with `truthy` it is Python's own bool, to which any text but an empty one is true.
    """

    dest: str
    options: tuple[str, ...] = ()
    kind: type | None = str
    truthy: bool = False
    choices: tuple[Any, ...] | None = None
    default: Any = None
    nargs: int | str | None = None
    action: str = "store"  # argparse's names; "boolean" is BooleanOptionalAction, "unknown" a class of the script
    const: Any = None
    required: bool = False
    exclusive: int = 0  # arguments of the same number (not 0) exclude each other

    @property
    def option(self) -> str:
        """The option string to use: the first long one."""
        return next((option for option in self.options if option.startswith("--")), self.options[0])

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of its option strings, as overrides spell them."""
        return tuple(_key(option) for option in self.options)

    @property
    def is_flag(self) -> bool:
        """Whether it is given without a value."""
        return self.action in ("store_true", "store_false", "store_const", "boolean")


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a script. Not `complete` where its text does not show all of them. One that `passes_unknown`
    accepts other arguments too (`parse_known_args`)."""

    arguments: tuple[Argument, ...]
    complete: bool = True
    passes_unknown: bool = False
    abbreviates: bool = True
    file_prefix: str = ""  # a word that begins so names a file of arguments

    @property
    def options(self) -> dict[str, Argument]:
        """By option string."""
        return {option: argument for argument in self.arguments for option in argument.options}

    @property
    def positionals(self) -> tuple[Argument, ...]:
        return tuple(argument for argument in self.arguments if not argument.options)

    def find(self, key: str) -> Argument | None:
        """The argument that an override's key means: an option, a dest, or the beginning of one option's name."""
        key = underscored(key)
        named = [argument for argument in self.arguments if key in argument.keys]
        stored = [argument for argument in self.arguments if underscored(argument.dest) == key]
        if named or stored:
            return min((*named, *stored), key=lambda argument: argument.is_flag and len(stored) > 1)
        if not self.abbreviates or not key:
            return None
        abbreviated = [one for one in self.arguments if any(name.startswith(key) for name in _long(one))]
        return abbreviated[0] if len(abbreviated) == 1 else None


@dataclass(frozen=True, slots=True)
class Rendered:
    """`words`: for each key, its words on the command line; none where a flag is left out. `values`: what the
    script makes of it, by dest."""

    words: dict[str, tuple[str, ...]]
    values: dict[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def line(self) -> tuple[str, ...]:
        return tuple(word for words in self.words.values() for word in words)


def config_option(arguments: Arguments) -> Argument | None:
    """The argument that takes the config file: positional or an option by its name, else the first positional one."""
    positionals = [argument for argument in arguments.positionals if argument.nargs != 0]
    for name in CONFIG_NAMES:
        for argument in (*positionals, *arguments.arguments):
            if name in (argument.dest.lower(), *argument.keys) and not argument.is_flag:
                return argument
    return positionals[0] if positionals else None


def out_dir_option(arguments: Arguments) -> Argument | None:
    """The option that takes the folder of the outputs, known by its name."""
    valued = [argument for argument in arguments.arguments if argument.options and not argument.is_flag]
    for name in OUT_DIR_NAMES:
        for argument in valued:
            if name in (argument.dest.lower(), *argument.keys):
                return argument
    return None


def render(
    arguments: Arguments, given: Mapping[str, str], *, script: str = "the script", provided: Collection[str] = ()
) -> Rendered:
    """Raise one UserError with every error that the script would find. `provided`: the dests that are passed anyway."""
    words: dict[str, tuple[str, ...]] = {}
    values: dict[str, Any] = {}
    errors: list[str] = []
    warnings: list[str] = []
    used: dict[str, Argument] = {}
    for key, text in given.items():
        argument = arguments.find(key)
        try:
            if argument is None:
                warnings.append(_passed(arguments, key, script))
                words[key], values[key] = (f"--{key}={text}",), overrides.meaning(text)
                continue
            used[key] = argument
            words[key], values[argument.dest] = _rendered(arguments, argument, key, text)
        except InvalidValue as error:
            errors.append(f"--{key}{'' if str(error).startswith(':') else ' '}{error}")
    errors += _same(used)
    errors += _excluded({key: one for key, one in used.items() if words.get(key)})
    errors += _missing(arguments, {argument.dest for argument in used.values()} | set(provided), script)
    if errors:
        raise UserError(*errors)
    return Rendered(words, values, tuple(warnings))


def _passed(arguments: Arguments, key: str, script: str) -> str:
    """The warning about an unknown key that is passed as it is. Raises InvalidValue where the script refuses it."""
    hint = did_you_mean(key, _candidates(arguments), dashes="--")
    if arguments.passes_unknown:
        return f"--{key}: {script} does not define it, but accepts it" + (f"; {hint}" if hint else "")
    if not arguments.complete:
        return f"--{key}: passed as it is, since the text of {script} does not show all of its arguments"
    raise InvalidValue(f": unknown key; {hint or f'{script} does not define it'}")


def _candidates(arguments: Arguments) -> set[str]:
    return {name for argument in arguments.arguments for name in (*argument.keys, argument.dest) if argument.options}


def _missing(arguments: Arguments, given: Collection[str], script: str) -> Iterator[str]:
    for argument in arguments.arguments:
        if argument.required and argument.dest not in given:
            if argument.options:
                yield f"--{_key(argument.option)}: {script} requires it; give it a value"
            else:
                yield f"{script} requires the positional argument {argument.dest!r}; pass it with --command"


def _same(used: Mapping[str, Argument]) -> Iterator[str]:
    """Errors for two keys of one setting: the script would take the later one."""
    first: dict[str, str] = {}
    for key, argument in used.items():
        other = first.setdefault(argument.dest, key)
        if other != key and not argument.action.startswith(("append", "extend", "count")):
            yield f"--{other} and --{key} are the same setting; give one of them"


def _excluded(used: Mapping[str, Argument]) -> Iterator[str]:
    seen: dict[int, tuple[str, Argument]] = {}
    for key, argument in used.items():
        if argument.exclusive:
            other, before = seen.setdefault(argument.exclusive, (key, argument))
            if before.dest != argument.dest:
                yield f"--{key} and --{other} exclude each other; give one of them"


def _rendered(arguments: Arguments, argument: Argument, key: str, text: str) -> tuple[tuple[str, ...], Any]:
    if not argument.options:
        raise InvalidValue(f": is the positional argument {argument.dest!r}, not an option; pass it with --command")
    match argument.action:
        case "help" | "version":
            raise InvalidValue(": ends the script at once; leave it out")
        case "boolean":
            return _boolean(argument, key, text)
        case "store_true" | "store_false" | "store_const" | "append_const":
            return _flag(arguments, argument, key, text)
        case "count":
            return _counted(argument, text)
        case "append":
            return _appended(argument, text)
    if argument.nargs is None or argument.nargs == "?":
        word, value = _word(argument, text)
        return (f"{argument.option}={word}",), value
    return _several(arguments, argument, text)


def _boolean(argument: Argument, key: str, text: str) -> tuple[tuple[str, ...], bool]:
    """`--flag` or `--no-flag`; the reader lists both among the options."""
    value = overrides.parse(text, bool)
    if key not in (argument.dest, _key(argument.option)) and key.startswith("no_"):
        value = not value
    option = argument.option
    return (option if value else f"--no-{option.removeprefix('--')}",), value


def _flag(arguments: Arguments, argument: Argument, key: str, text: str) -> tuple[tuple[str, ...], Any]:
    """By its dest a flag gets a value, `--cuda=false` may be `--no-cuda`; by its own name it is there or not."""
    if key in argument.keys and key != argument.dest:
        return _given(argument, text)
    flags = [
        one for one in arguments.arguments if one.dest == argument.dest and one.is_flag and one.action != "boolean"
    ]
    constants = dict.fromkeys(one.const for one in flags if one.const.__hash__ is not None)
    truth = all(isinstance(constant, bool) for constant in constants)
    value = overrides.parse(text, bool) if truth else next((it for it in constants if str(it) == text), text)
    for one in flags:
        if one.const is value or (not truth and one.const == value):
            return (one.option,), value
    if any(one.default is value for one in flags) or (not truth and str(argument.default) == text):
        return (), argument.default
    only = " or ".join(one.option for one in flags)
    raise InvalidValue(f"cannot be set to {value!s}: the script has only {only}; leave it out" if truth else
                 f"cannot be set to {text!r}: the script has only {only}; give one of {list(constants)}")  # fmt: skip


def _given(argument: Argument, text: str) -> tuple[tuple[str, ...], Any]:
    """The flag by its own name, which is not where it stores: there, or not."""
    if overrides.parse(text, bool):
        return (argument.option,), argument.const
    if isinstance(argument.const, bool) and argument.default is not (not argument.const):
        raise InvalidValue(f"cannot be switched off: {argument.dest} may be {argument.const} without it; leave it out")
    return (), argument.default


def _counted(argument: Argument, text: str) -> tuple[tuple[str, ...], int]:
    start = argument.default if isinstance(argument.default, int) else 0
    try:
        value = overrides.parse(text, int)
    except InvalidValue:
        value = start + int(overrides.parse(text, bool))
    if not start <= value <= start + MOST_FLAGS:
        raise InvalidValue(f"must be from {start} to {start + MOST_FLAGS}, not {value}")
    return (argument.option,) * (value - start), value


def _appended(argument: Argument, text: str) -> tuple[tuple[str, ...], Any]:
    if argument.nargs is not None:
        raise InvalidValue(": takes lists of values, which an override cannot express; pass it with --command")
    pairs = [_word(argument, item) for item in _items(text, split=False)]
    before = list(argument.default) if isinstance(argument.default, (list, tuple)) else []
    return tuple(f"{argument.option}={word}" for word, _ in pairs), [*before, *(value for _, value in pairs)]


def _several(arguments: Arguments, argument: Argument, text: str) -> tuple[tuple[str, ...], Any]:
    """`[0.9, 0.95]`, `0.9,0.95` and `0.9 0.95` are the words `--betas 0.9 0.95`."""
    if argument.nargs not in ("*", "+") and not isinstance(argument.nargs, int):
        raise InvalidValue(": takes the rest of the command line; pass it with --command")
    pairs = [_word(argument, item) for item in _items(text, split=True)]
    words = [_apart(arguments, argument, word, alone=len(pairs) == 1) for word, _ in pairs]
    values = [value for _, value in pairs]
    if isinstance(argument.nargs, int) and len(words) != argument.nargs:
        raise InvalidValue(f"must be {argument.nargs} values, not {len(words)}")
    if argument.nargs == "+" and not words:
        raise InvalidValue("must be at least one value, not none")
    if argument.action == "extend" and isinstance(argument.default, (list, tuple)):
        values = [*argument.default, *values]
    if len(words) == 1:
        return (f"{argument.option}={words[0]}",), values
    return (argument.option, *words), values


def _apart(arguments: Arguments, argument: Argument, word: str, *, alone: bool) -> str:
    """The word in a form that is valid by itself, where argparse would read `-1e-5` as an option."""
    if alone or not word or (word[0] not in "-+" and word[0] not in arguments.file_prefix):
        return word
    if argument.kind in (int, float):
        word = f"{Decimal(word):f}" if word.startswith("-") else word.removeprefix("+")
    digits = any(re.match(r"-\d|-\.\d", option) for option in arguments.options)
    if (word.startswith("-") and (digits or not LOOKS_NEGATIVE.fullmatch(word))) or word[0] in arguments.file_prefix:
        raise InvalidValue(f": argparse would not take {word!r} for a value; pass it with --command")
    return word


def _word(argument: Argument, text: str) -> tuple[str, Any]:
    """One value: the word to pass, and what the script makes of it."""
    if argument.kind is None:
        return text, overrides.meaning(text)
    value = overrides.parse(text, argument.kind)
    if argument.choices is not None and argument.action != "unknown" and value not in argument.choices:
        allowed: Any = Literal.__getitem__(argument.choices)
        near = did_you_mean(text, [choice for choice in argument.choices if isinstance(choice, str)])
        hint = f"; {near}" if near else ""
        raise InvalidValue(f"must be {one_line(overrides.describe(allowed))}, not {text!r}{hint}")
    if argument.kind is int:
        return str(value), value
    if argument.truthy:
        return ("True" if value else ""), value
    return (text if argument.kind is str else text.strip()), value


def _items(text: str, *, split: bool) -> Sequence[str]:
    """The texts of a list that is written in brackets, with commas, or (if `split`) with spaces."""
    try:
        value = overrides.literal(text)
    except ValueError:
        value = None
    if isinstance(value, list):
        return [item if isinstance(item, str) else repr(item) for item in value]
    if not split:
        return [text]
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _key(option: str) -> str:
    return option.lstrip("-+/").replace("-", "_")


def _long(argument: Argument) -> list[str]:
    return [_key(option) for option in argument.options if option.startswith("--")]
