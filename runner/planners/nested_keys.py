"""Dotted keys of a sweep: `optimizer.lr` sets one key of a section, `optimizer` replaces all of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from runner.configs.config_file import ConfigFile
from runner.configs.overrides import of_spelling, placed
from runner.configs.training_script import TrainingScript


def top(key: str) -> str:
    """`optimizer.lr` -> `optimizer`"""
    return key.partition(".")[0]


def spelled(key: str, values: Mapping[str, Any]) -> str:
    """The key in the spelling of a config: `optimizer.weight_decay` may be `optimizer.weight-decay` there."""
    if "." not in key or key in values:  # a config may have a key with a dot
        return of_spelling(key, values)
    section, _, inner = key.partition(".")
    name = of_spelling(section, values)
    within = values.get(name)
    return f"{name}.{spelled(inner, within) if isinstance(within, Mapping) else inner}"


def applied(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config with those that are given: plain keys replace values, then dotted ones are set."""
    nested = {key: value for key, value in given.items() if "." in key and key not in values}
    return placed({**values, **{key: value for key, value in given.items() if key not in nested}}, nested)


def is_set(place: str, given: Collection[str]) -> bool:
    """Whether what is at a place of a config, such as `optimizer.betas[1]`, is set by one of these keys."""
    return place in given or any(place.startswith((f"{key}.", f"{key}[")) for key in given)


def errors(
    base: ConfigFile, named: Iterable[tuple[str, str]], spec: ConfigFile, script: TrainingScript
) -> Iterator[str]:
    """A sentence for each dotted key whose section the base does not have, nor a plain key of the spec sets.

    A script whose settings are all known may have the section; it finds itself what it does not have.
    """
    pairs = list(named)
    whole = {key for _, key in pairs if "." not in key}
    for place, key in pairs:
        if "." not in key or key in base.values or top(key) in whole:
            continue
        within: Any = base.values
        for section in spelled(key, base.values).split(".")[:-1]:
            within = within.get(section) if isinstance(within, Mapping) else None
            if within is None and script.resolves:
                within = {}
            if not isinstance(within, Mapping):
                cause = f"{base.path} has no section {section!r}, and without one a key is replaced as a whole"
                yield f"{spec.place(place)}: {place}: {cause}; give the full value of {top(key)!r} instead"
                break
