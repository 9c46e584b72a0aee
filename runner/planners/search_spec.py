"""The section `search` of a spec: its keys and its errors, as sentences. Knows nothing of jobs."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from runner.configs import yamlfile
from runner.configs.config_file import ConfigFile
from runner.core.errors import UserError, did_you_mean
from runner.core.fields import is_number
from runner.core.text import seconds as text_seconds
from runner.search.space import ASHA, CHOICE, GOALS, INT, KINDS, LOG, MEDIAN, NONE, PRUNERS, SAMPLERS, Range, Search

Number: TypeAlias = int | float
Whole: TypeAlias = int
_FORMS = "{log: [1e-5, 1e-2]}, {float: [0, 1]}, {int: [2, 12, 2]} or {choice: [a, b]}"
_FORBID = ConfigDict(extra="forbid", frozen=True)


class Log(BaseModel):
    model_config = _FORBID
    log: Annotated[list[Number], Field(min_length=2, max_length=2, description="the limits, both above 0")]


class Float(BaseModel):
    model_config = _FORBID
    float: Annotated[list[Number], Field(min_length=2, max_length=2, description="the limits")]


class Int(BaseModel):
    model_config = _FORBID
    int: Annotated[list[Whole], Field(min_length=2, max_length=3, description="limits, and a step")]


class Choice(BaseModel):
    model_config = _FORBID
    choice: Annotated[list[Any], Field(min_length=1, description="the values")]


class Section(BaseModel):
    """A search: a range for each setting, and these keys."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Log | Float | Int | Choice]

    metric: Annotated[str, Field(description="the metric that trials are compared by, such as val_loss")]
    goal: Annotated[Literal["min", "max"], Field(description="whether lower or higher is better")] = "min"
    trials: Annotated[int, Field(ge=1, description="how many jobs")] = 20
    sampler: Annotated[
        Literal["random", "grid", "tpe"], Field(description="what suggests their settings; tpe needs Optuna")
    ] = "random"
    seed: Annotated[int, Field(ge=0, description="of the suggestions")] = 0
    enqueue: Annotated[list[dict[str, Any]], Field(description="settings of the first trials")] = []
    time: Annotated[str | int | float | None, Field(description="after which no further trial is started: 8h, 30m")] = (
        None
    )
    pruner: Annotated[
        Literal["none", "median", "asha"], Field(description="what stops trials early that do worse than others")
    ] = "none"
    min_resource: Annotated[
        float | None, Field(gt=0, description="iterations before which no trial is stopped; the first rung of asha")
    ] = None
    max_resource: Annotated[float | None, Field(gt=0, description="iterations of a whole training; asha needs it")] = (
        None
    )
    reduction_factor: Annotated[int, Field(ge=2, description="of asha: one trial of so many goes on at a rung")] = 3
    promote: Annotated[
        bool, Field(description="of asha: each trial stops at its rung, and is resumed once it is among the best")
    ] = False
    resource: Annotated[
        str | None, Field(description="key of metrics.jsonl that is counted instead of the iteration, such as tokens")
    ] = None
    confirm: Annotated[int, Field(ge=0, description="how many of the best are run again with other seeds")] = 0
    confirm_seeds: Annotated[int, Field(ge=1, description="how many other seeds each of these gets")] = 3


OPTIONS = tuple(Section.model_fields)


def with_given(file: ConfigFile, words: Sequence[str]) -> ConfigFile:
    """The spec with further keys of its search, `key=value` each; a word alone is the sampler. Raises UserError."""
    section, origins = file.values.get("search"), dict(file.origins)
    found = dict(section) if isinstance(section, Mapping) else {}
    for word in words:
        key, text = word.split("=", 1) if "=" in word else ("sampler", word)
        try:
            found[key] = yamlfile.values(f"value: {text}")["value"]
        except ValueError:
            raise UserError(f"--search {word}: {text!r} is not a value; write {_FORMS}, a number or a word") from None
        origins[f"search.{key}"] = f"--search {key}"
    return replace(file, values={**file.values, "search": found}, origins=origins)


def search(given: Mapping[str, Any]) -> Search:
    """The search of a section without errors."""
    ranges = {key: Range(*_only(one)) for key, one in given.items() if key not in OPTIONS}
    values = {key: given[key] for key in OPTIONS if given.get(key) is not None}
    values["enqueue"] = tuple(values.get("enqueue", ()))
    if "time" in values:
        values["time"] = text_seconds(str(values["time"]))
    return Search(ranges=ranges, **values)


def _only(one: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
    ((kind, of),) = one.items()
    return kind, tuple(of)


def errors(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(place, sentence) for each error of the section in a spec with these values."""
    given = values["search"]
    if not isinstance(given, dict):
        yield "search", f"search must hold a range for each setting, such as 'lr: {{log: [1e-5, 1e-2]}}', not {given!r}"
        return
    for key in ("configs", "sweep", "zip", "exclude", "include", "sample", "repeat"):
        if key in values:
            yield key, f"{key} cannot be used with search, which chooses the settings itself; use one of the two"
    ranges = {key: one for key, one in given.items() if key not in OPTIONS}
    if not ranges:
        yield "search", "search varies no setting; add a line such as 'lr: {log: [1e-5, 1e-2]}'"
    found = [(key, sentence) for key, one in ranges.items() for sentence in _range(key, one)]
    found += list(_options(given))
    yield from ((f"search.{key}", f"search.{key}: {sentence}") for key, sentence in found)
    if not found:
        yield from _together(given, {key: Range(*_only(one)) for key, one in ranges.items()})


def _range(key: str, one: Any) -> Iterator[str]:
    if not isinstance(one, dict) or len(one) != 1 or next(iter(one)) not in KINDS:
        hint = did_you_mean(key, OPTIONS) if not isinstance(one, dict) else ""
        yield f"must be a range, not {one!r}; {hint or f'write {_FORMS}'}"
        return
    kind, of = next(iter(one.items()))
    if not isinstance(of, list) or not of:
        yield f"must be a list, not {of!r}; write {_FORMS}"
    elif kind != CHOICE:
        yield from _limits(kind, of)


def _limits(kind: str, of: list[Any]) -> Iterator[str]:
    numbers = [one for one in of if isinstance(one, int if kind == INT else int | float) and not isinstance(one, bool)]
    noun = "whole numbers" if kind == INT else "numbers"
    if len(numbers) != len(of) or len(of) not in ((2, 3) if kind == INT else (2,)):
        yield f"must have two limits that are {noun}{' and perhaps a step' if kind == INT else ''}, not {of!r}"
    elif not all(map(math.isfinite, of)) or not of[0] < of[1]:
        yield f"the lower limit comes first, but {of[0]!r} is not below {of[1]!r}; swap them"
    elif kind == LOG and of[0] <= 0:
        yield f"the limits of log must be above 0, and {of[0]!r} is not; use float"
    elif len(of) == 3 and of[2] < 1:
        yield f"the step must be 1 or more, not {of[2]!r}"


def _options(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not isinstance(given.get("metric"), str):
        yield "metric", "must name the metric that trials are compared by, such as val_loss"
    for key, words in (("goal", GOALS), ("sampler", SAMPLERS), ("pruner", PRUNERS)):
        if key in given and given[key] not in words:
            yield key, f"must be one of {', '.join(words)}, not {given[key]!r}"
    for key, least in (("trials", 1), ("seed", 0), ("reduction_factor", 2), ("confirm", 0), ("confirm_seeds", 1)):
        value = given.get(key, least)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            yield key, f"must be a whole number from {least} on, not {value!r}"
    if "time" in given and not 0 < (text_seconds(str(given["time"])) or 0) < math.inf:
        yield "time", f"{given['time']!r} is not a time above 0, such as 90 (seconds), 30m, 2h or 1d"
    yield from _pruning(given)
    queue = given.get("enqueue", [])
    if not isinstance(queue, list) or not all(isinstance(one, dict) for one in queue):
        yield "enqueue", f"must be a list of settings, such as [{{lr: 0.001}}], not {queue!r}"


def _pruning(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("min_resource", "max_resource"):
        if key in given and not (is_number(given[key]) and 0 < given[key] < math.inf):
            yield key, f"must be a number above 0, not {given[key]!r}"
            return
    pruner = given.get("pruner", NONE)
    needed = {ASHA: ("min_resource", "max_resource"), MEDIAN: ("min_resource",)}.get(pruner, ())
    for key in needed:
        if key not in given:
            what = "at which trials are compared first" if key == "min_resource" else "of a whole training"
            yield key, f"pruner {pruner} needs the iterations {what}, such as {key}: 100"
    low, high = given.get("min_resource"), given.get("max_resource")
    if low is not None and high is not None and low >= high:
        yield "min_resource", f"must be below max_resource, but {low!r} is not below {high!r}"
    if not isinstance(given.get("promote", False), bool):
        yield "promote", f"must be true or false, not {given['promote']!r}"
    elif given.get("promote") and pruner != ASHA:
        yield "promote", "is for pruner: asha; add that, or remove it"


def _together(given: Mapping[str, Any], ranges: Mapping[str, Range]) -> Iterator[tuple[str, str]]:
    for number, one in enumerate(given.get("enqueue", [])):
        place = f"search.enqueue[{number}]"
        for key, value in one.items():
            if key not in ranges:
                yield place, f"{place}: {key!r} is not searched; {did_you_mean(key, ranges) or 'remove it'}"
            elif not ranges[key].holds(value):
                yield place, f"{place}: {value!r} is not in the range of {key}; correct it, or widen the range"
    if given.get("sampler") == "grid":
        for key, one in ranges.items():
            if one.values is None:
                yield f"search.{key}", f"search.{key}: a grid needs single values; write {{choice: [0.1, 0.01]}}"
    if given.get("sampler") == "tpe" and importlib.util.find_spec("optuna") is None:
        fix = "run pip install 'overnight[search]', or write sampler: random"
        yield "search.sampler", f"search.sampler: tpe needs Optuna, which is not installed; {fix}"
