"""Read a config together with its bases: `base: ../_base.yaml` in a YAML or JSON file. Knows no other keys.

`base` is a path, relative to the file with this key; the base may have a base itself. Mappings are merged key by key,
anything else (lists too) is replaced. `abstract: true` marks a base config, which is not run itself; the key is not
inherited.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.configs import config_file
from runner.configs.config_file import ConfigFile
from runner.configs.evaluator import Evaluator
from runner.core.errors import UserError, one_line

BASE, ABSTRACT = "base", "abstract"
INHERITING = (".yaml", ".yml", ".json")


def read(path: Path, evaluator: Evaluator | None = None) -> ConfigFile:
    """The config with the values that it inherits, and with the place of each key. Raises UserError."""
    chain = _chain(path, evaluator or Evaluator())
    merged = _own(chain[-1])
    for below in reversed(chain[:-1]):
        merged = _merged(merged, _own(below))
    return replace(merged, bases={base.path: base.source for base in chain[1:]})


def _chain(path: Path, evaluator: Evaluator) -> list[ConfigFile]:
    """The file, its base, the base of that, and so on."""
    chain = [config_file.read(path, evaluator)]
    while (base := _base(chain[-1])) is not None:
        place = chain[-1].place(BASE)
        if any(_same(base, one.path) for one in chain):
            names = " -> ".join(str(one) for one in (*(one.path for one in chain), base))
            raise UserError(f"{place}: the bases form a circle: {names}; remove one of them")
        try:
            chain.append(config_file.read(base, evaluator))
        except UserError as error:
            about_it = f"{base}: "  # not about a line in it
            raise UserError(
                *(f"{place}: base: {it}" if it.startswith(about_it) else it for it in error.problems)
            ) from None
    return chain


def _base(file: ConfigFile) -> Path | None:
    """The file that this one names as its base."""
    if config_file.kind(file.path) not in INHERITING or (named := file.values.get(BASE)) is None:
        return None
    if not isinstance(named, str) or not named.strip():
        cause = f"base must be the path of one config, relative to this file, not {one_line(repr(named))}"
        raise UserError(f"{file.place(BASE)}: {cause}")
    found = file.path.parent / named
    short = Path(os.path.normpath(found))  # config/_base.yaml instead of config/images/../_base.yaml
    return found if found.exists() and not _same(short, found) else short  # the first: a folder on the way is a link


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _own(file: ConfigFile) -> ConfigFile:
    """The file without the two keys that are not settings."""
    if config_file.kind(file.path) not in INHERITING:
        return file
    abstract = file.values.get(ABSTRACT, False)
    if not isinstance(abstract, bool):
        raise UserError(f"{file.place(ABSTRACT)}: abstract must be true or false, not {one_line(repr(abstract))}")
    values = {key: value for key, value in file.values.items() if key not in (BASE, ABSTRACT)}
    return replace(file, values=values, abstract=abstract)


def _merged(base: ConfigFile, file: ConfigFile) -> ConfigFile:
    """`file` over `base`. Of each key that comes from the base, its place in the base is kept."""
    keys = {*_keys(base.values), *base.lines, *base.inherited}
    inherited = {key: base.place(key) for key in keys if not _replaced(key, base.values, file.values)}
    return replace(
        file,
        values=deep(base.values, file.values),
        inherited=inherited,
        evaluated=base.evaluated or file.evaluated,
        volatile=(*(key for key in base.volatile if key not in file.values), *file.volatile),
    )


def deep(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`: mappings key by key, everything else replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = deep(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _keys(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """`ood`, `ood.enabled`: every key, those of mappings inside too."""
    for key, value in values.items():
        yield f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{before}{key}.")


def _replaced(place: str, below: Any, above: Any) -> bool:
    """Whether `above` sets what is at `place` of `below`, or replaces what is around it."""
    for step in re.split(r"[.\[]", place):
        if not isinstance(above, Mapping) or not isinstance(below, Mapping):
            return True
        if step not in above:
            return False
        below, above = below.get(step), above[step]
    return True
