"""The keywords of one `add_argument` call as an Argument. Knows nothing of where the call is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runner.configs.argparse_arguments import UNKNOWN, Argument
from runner.configs.argparse_values import External, Function, is_symbol

ACTIONS = {"store", "store_const", "store_true", "store_false", "append", "append_const", "extend", "count", "help",
           "version"}  # fmt: skip
SIMPLE: dict[str, type] = {"int": int, "float": float, "str": str}
PATHS = {"Path", "pathlib.Path", "pathlib.PurePath", "os.path.abspath", "os.path.expanduser", "os.path.realpath",
         "os.path.normpath", "os.fspath"}  # fmt: skip
#: str2bool, bool_flag, strtobool, parse_boolean: usual names of a function that reads `false` as False.
BOOLEAN = re.compile(r"_?(str|string|s|parse|to|as|is|get)?_?(2|to)?_?bool(ean)?(_?(flag|type|arg|string|str|value))?")


def argument(names: Sequence[Any], keywords: Mapping[str, Any], prefixes: str, default: Any) -> Argument | None:
    """None where its names are not known. `keywords` may have a `**`: keywords that the text does not show.

    A value that is not known is UNKNOWN; `default` is that of arguments without one.
    """
    if not all(isinstance(name, str) and name for name in names):
        return None
    options = tuple(name for name in names if name[0] in prefixes)
    if len(options) != len(names) and (options or len(names) != 1):
        return None
    dest = keywords.get("dest") or (_dest(options, prefixes) if options else next(iter(names), None))
    if not isinstance(dest, str) or not dest:
        return None
    if "**" in keywords:
        return Argument(dest, options, None, default=UNKNOWN, action="unknown")
    return _known(Argument(dest, options), keywords, default)


def with_defaults(found: Iterable[Argument], keywords: Mapping[str, Any]) -> list[Argument]:
    """The arguments after `set_defaults`."""
    if "**" in keywords:
        return [replace(one, default=UNKNOWN) for one in found]
    return [replace(one, default=_plain(keywords[one.dest])) if one.dest in keywords else one for one in found]


def _dest(options: Sequence[str], prefixes: str) -> str:
    long = [option for option in options if len(option) > 1 and option[1] in prefixes]
    return (long or options)[0].lstrip(prefixes).replace("-", "_")


def _known(bare: Argument, keywords: Mapping[str, Any], default: Any) -> Argument:
    action = _action(keywords.get("action", "store"))
    if action in ("store_true", "store_false"):
        const = action == "store_true"
        default = not const if default is None else default
        return replace(bare, kind=bool, action=action, const=const, default=_plain(keywords.get("default", default)),
                       required=keywords.get("required") is True)  # fmt: skip
    kind, truthy = _kind(keywords.get("type"))
    nargs = _nargs(keywords.get("nargs"))
    if nargs is UNKNOWN:
        action, nargs = "unknown", None
    if action == "boolean":
        kind, truthy = bool, False
    return replace(
        bare,
        options=_with_negatives(bare.options) if action == "boolean" else bare.options,
        kind=None if action == "unknown" and "type" not in keywords else kind,
        truthy=truthy,
        choices=_choices(keywords.get("choices")),
        default=_default(keywords.get("default", default), kind),
        nargs=nargs,
        action=action,
        const=_plain(keywords.get("const")),
        required=keywords.get("required") is True
        if bare.options
        else nargs not in ("?", "*", "...") and action == "store",
    )


def _action(value: Any) -> str:
    if isinstance(value, External) and value.name.endswith("BooleanOptionalAction"):
        return "boolean"
    return value if isinstance(value, str) and value in ACTIONS else "unknown"


def _with_negatives(options: Iterable[str]) -> tuple[str, ...]:
    options = tuple(options)
    return (*options, *(f"--no-{option[2:]}" for option in options if option.startswith("--")))


def _kind(value: Any) -> tuple[type | None, bool]:
    """The type, and whether it is Python's own bool."""
    name = value.name if isinstance(value, External) else value.node.name if isinstance(value, Function) else ""
    if value is None:
        return str, False
    if name == "bool":
        return bool, True
    if name in PATHS:
        return str, False
    if BOOLEAN.fullmatch(name.rpartition(".")[2].lower()):
        return bool, False
    return (None if isinstance(value, Function) else SIMPLE.get(name)), False


def _nargs(value: Any) -> Any:
    if isinstance(value, External):
        return "..." if value.name.endswith("REMAINDER") else UNKNOWN
    number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return value if value is None or number or value in ("?", "*", "+", "...") else UNKNOWN


def _choices(value: Any) -> tuple[Any, ...] | None:
    if is_symbol(value) or not isinstance(value, (list, tuple, range, dict)):
        return None
    return tuple(value) or None


def _default(value: Any, kind: type | None) -> Any:
    """argparse converts a default that is a text by the type, as if it were given."""
    if isinstance(value, str) and kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            return UNKNOWN
    return UNKNOWN if isinstance(value, str) and kind in (None, bool) else _plain(value)


def _plain(value: Any) -> Any:
    return UNKNOWN if is_symbol(value) else value
