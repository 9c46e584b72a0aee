"""The file of a sweep: its keys and its errors, as sentences. Knows nothing of jobs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from runner.configs import config_file
from runner.configs.config_file import ConfigFile
from runner.configs.messages import Origin, sentences
from runner.core.errors import UserError, did_you_mean
from runner.planners import search_spec
from runner.planners.grid import Grid, axes, equal
from runner.planners.jobs import NAME, NAME_RULE

GRID_KEYS = ("sweep", "zip", "exclude", "include", "sample")

#: Keys of W&B's sweeps -> what to write instead.
OF_WANDB = {
    "parameters": "write sweep, with a list of candidates for each setting",
    "method": "all combinations are run; sample draws some of them, and search suggests them",
    "program": "write train_script",
}

Candidates = dict[str, Annotated[list[Any], Field(min_length=1)]]


class Sample(BaseModel):
    """A random subset of the grid."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: Annotated[int, Field(ge=1, description="how many runs")]
    seed: Annotated[int, Field(ge=0, description="of the choice: the same seed chooses the same runs")] = 0


class Spec(BaseModel):
    """A sweep over the settings of one base config, or a list of configs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(description="the experiment's folder is <name>_<date>_<time>")]
    mode: Annotated[
        Literal["training", "simulation"],
        Field(description="train and evaluate; or the same, and draw the plots. Another script only trains"),
    ] = "training"
    base_config: Annotated[str | None, Field(description="a config file; what the runs have in common")] = None
    sweep: Annotated[
        Candidates,
        Field(description="key -> list of candidates; the runs are the full grid, the last key changes fastest"),
    ] = {}
    fixed_overrides: Annotated[dict[str, Any], Field(description="applied to the base before the sweep")] = {}
    configs: Annotated[
        list[str] | None,
        Field(description="instead of base_config: a list of config files, one run each"),
    ] = None
    zip: Annotated[
        Candidates, Field(description="lists of equal length whose values are taken together, in product with the grid")
    ] = {}
    exclude: Annotated[
        list[dict[str, Any]], Field(description="leave out the runs of the grid that have all these values")
    ] = []
    include: Annotated[list[dict[str, Any]], Field(description="further runs: the base with these values")] = []
    sample: Annotated[Sample | None, Field(description="a random subset of the grid")] = None
    repeat: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**63)]] | Annotated[int, Field(ge=1)],
        Field(description="seeds for each run: a list of them, or how many, from 0"),
    ] = []

    search: Annotated[
        search_spec.Section | None,
        Field(description="instead of sweep: a range for each setting, and a number of trials"),
    ] = None

    train_script: Annotated[str | None, Field(description="the program of the runs, as --train_script")] = None
    module: Annotated[str | None, Field(description="instead of a script: a module, as in python -m pkg.train")] = None
    command: Annotated[str | None, Field(description="instead of a script: a template, as --command")] = None
    launcher: Annotated[str | None, Field(description="what starts the script, as --launcher")] = None
    python: Annotated[str | None, Field(description="the interpreter of the runs, as --python")] = None

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        if not re.fullmatch(NAME, name):
            raise ValueError(f"{name!r} cannot be the name of a folder; {NAME_RULE}")
        return name

    @property
    def seeds(self) -> list[int]:
        return list(range(self.repeat)) if isinstance(self.repeat, int) else list(self.repeat)

    @property
    def grid(self) -> Grid:
        sample = None if self.sample is None else (self.sample.n, self.sample.seed)
        return Grid(axes(self.sweep, self.zip), self.exclude, self.include, sample, self.seeds)


def schema() -> str:
    """The JSON Schema of a spec, for editors: docs/experiment-spec.schema.json."""
    found = Spec.model_json_schema()
    for key, entry in found["properties"].items():
        if "anyOf" in entry:  # what may be left out must not be null
            kinds = [kind for kind in entry.pop("anyOf") if kind != {"type": "null"}]
            found["properties"][key] = {**(kinds[0] if len(kinds) == 1 else {"anyOf": kinds}), **entry}
        found["properties"][key].pop("default", None)
    found["properties"]["name"]["pattern"] = f"^{NAME}$"
    found["oneOf"] = [{"required": ["base_config"]}, {"required": ["configs"]}]
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **found}, indent=2) + "\n"


def read(path: Path, search: Sequence[str] = ()) -> tuple[Spec, ConfigFile]:
    """The spec, and its file for the places of its keys. Raises one UserError with every error.

    `search` has keys of a search that were given beside the spec, as `key=value`.
    """
    file = config_file.read(path)
    if search:
        file = search_spec.with_given(file, search)
    # Without a line such as `sweep:` alone.
    file = replace(file, values={key: value for key, value in file.values.items() if value is not None})
    origin = Origin(file, {})
    found = list(_errors(file))
    errors = [f"{file.place(place)}: {sentence}" for place, sentence in found]
    silent = {re.split(r"[.\[]", place)[0] for place, _ in found}
    try:
        spec = Spec.model_validate(file.values, strict=True)
    except ValidationError as error:
        errors += sentences(Spec, origin, error, file.values, silent=silent)
    if errors:
        raise UserError(*sorted(dict.fromkeys(errors), key=origin.order))
    return spec, file


def _errors(file: ConfigFile) -> Iterator[tuple[str, str]]:
    """(place, sentence) for the errors that types alone cannot describe well."""
    values = file.values
    for key in values:
        if key not in Spec.model_fields:
            hint = OF_WANDB.get(key) or did_you_mean(key, Spec.model_fields)
            yield key, f"unknown key {key!r}; {hint or 'settings of the runs belong below sweep or fixed_overrides'}"
    yield from _what_is_run(values)
    if "search" in values:
        yield from search_spec.errors(values)
    for key in ("sweep", "zip"):
        yield from _candidates(key, values.get(key))
    yield from _overlapping(values)
    yield from _contradictions(values)
    if "repeat" in values:
        yield from _seeds(values["repeat"])
    yield from _unpaired(values.get("zip"))


def _what_is_run(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "configs" not in values:
        if "base_config" not in values:
            yield "", "neither base_config nor configs is given; name the config that the runs start from"
        return
    if values["configs"] == []:
        yield "configs", "configs names no config; name the ones to run"
    for key in ("base_config", *GRID_KEYS):
        if key in values:
            yield key, f"{key} cannot be used with configs, which lists each run; use one of the two"


def _candidates(key: str, given: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(given, dict):
        if given is not None:
            yield key, f"{key} must hold a line for each setting, such as 'lr: [0.1, 0.01]', not {given!r}"
        return
    for name, candidates in given.items():
        if isinstance(candidates, dict) and (fix := _as_list(name, candidates)):
            yield f"{key}.{name}", f"{key}.{name} must be a list of candidates; {fix}"
        elif not isinstance(candidates, list):
            yield (
                f"{key}.{name}",
                f"{key}.{name} must be a list of candidates, not {candidates!r}; write [{candidates}]",
            )
        elif not candidates:
            yield f"{key}.{name}", f"{key}.{name} has no candidates; give it some, or remove it"


def _as_list(name: str, given: dict[str, Any]) -> str:
    """What to write instead of a parameter in the form of W&B's sweeps; nothing for another dict."""
    if isinstance(given.get("values"), list):
        return f"write the list alone, '{name}: {given['values']}'"
    if "value" in given:
        return f"write the value in a list, '{name}: [{given['value']}]'"
    if {"min", "max", "distribution"} & given.keys():
        return (
            f"a range is not searched; list its values, as in '{name}: [{given.get('min', 0)}, {given.get('max', 1)}]'"
        )
    return ""


def _overlapping(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys that set a part of what another key replaces as a whole: `optimizer.lr` beside `optimizer`."""
    varied = {f"{part}.{name}": name for part in ("sweep", "zip") for name in _mapping(values.get(part))}
    fixed = {f"fixed_overrides.{name}": name for name in _mapping(values.get("fixed_overrides"))}
    included = [
        {f"include[{number}].{name}": name for name in _mapping(part)}
        for number, part in enumerate(_list(values.get("include")))
    ]
    pairs = [(part, part) for part in (varied, fixed, *included)]
    pairs += [(fixed, part) for part in (varied, *included)]
    for parts, wholes in pairs:
        for place, name in parts.items():
            whole = next((it for it, other in wholes.items() if name.startswith(f"{other}.")), None)
            if whole is not None:
                yield place, f"{place}: {whole} replaces all of it; set it in one of them"


def _contradictions(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    sweep, zipped = _mapping(values.get("sweep")), _mapping(values.get("zip"))
    varied = sweep | zipped
    for name in sweep.keys() & zipped.keys():
        yield f"zip.{name}", f"zip.{name}: is in sweep too; vary it in one of them"
    included = [_mapping(part) for part in _list(values.get("include"))]
    if "repeat" in values and any(
        "seed" in part for part in (varied, _mapping(values.get("fixed_overrides")), *included)
    ):
        yield "repeat", "repeat sets the seed, which is set elsewhere too; use one of the two"
    for number, part in enumerate(_list(values.get("exclude"))):
        for name, value in _mapping(part).items():
            place = f"exclude[{number}].{name}"
            if name not in varied:
                hint = did_you_mean(name, varied) or "name keys of sweep or zip"
                yield place, f"{place}: is not swept, so it excludes nothing; {hint}"
            elif not any(equal(candidate, value) for candidate in _list(varied[name])):
                yield (
                    place,
                    f"{place}: {value!r} is not a candidate of {name}, so it excludes nothing; correct or remove it",
                )


def _seeds(given: Any) -> Iterator[tuple[str, str]]:
    numbers = [given] if not isinstance(given, list) else given
    valid = all(isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**63 for number in numbers)
    if not valid or given == 0 or given == []:
        yield "repeat", f"repeat must be a list of seeds, or how many, from 1; not {given!r}"


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _unpaired(zipped: Any) -> Iterator[tuple[str, str]]:
    lengths = {key: len(values) for key, values in _mapping(zipped).items() if isinstance(values, list)}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        yield "zip", f"zip: its lists are taken together and must have equal lengths, but {found}"
