"""A sweep spec -> its runs: the config that each starts from, and the same with what the spec sets. Reads configs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner.configs import reading
from runner.configs.config_file import DIGEST, ConfigFile
from runner.configs.reading import read_all
from runner.configs.training_script import TrainingScript, refuse_two_names
from runner.core.errors import UserError, did_you_mean
from runner.core.options import OF_A_JOB
from runner.core.text import shown
from runner.planners import nested_keys
from runner.planners.grid import Assignment
from runner.planners.sweep_spec import Spec

MOST = 10_000  # runs: more than a machine can finish, fewer than fill the memory
#: Settings of a training that something else decides -> what decides them.
DECIDED = {
    "mode": "the spec's own key 'mode' sets it for all runs",
    "out_dir": "each run has a folder of its own",
    "init_from": "each run starts from scratch; --resume continues the ones that were interrupted",
}


@dataclass(frozen=True, slots=True)
class Run:
    base: ConfigFile
    merged: ConfigFile  # with the place of each key


def expand(spec: Spec, file: ConfigFile, script: TrainingScript, cwd: Path, home: Path, time_limit: float) -> list[Run]:
    """All runs of a spec by `script`. `home` is a further folder of its configs, `time_limit` is in seconds for each
    that has to be executed. Raises UserError."""
    grid = spec.grid
    if len(grid) > MOST:
        place = next((file.place(key) for key in ("sweep", "zip", "repeat") if key in file.values), str(file.path))
        raise UserError(f"{place}: makes {len(grid)} runs, and at most {MOST} are allowed; vary less, or take a sample")
    bases = _bases(spec, file, script, cwd, home, time_limit)
    assignments = list(grid)
    if not assignments:
        raise UserError(f"{file.place('exclude')}: exclude leaves no run; exclude less")
    if errors := [error for base in bases for error in nested_keys.errors(base, named(spec), file, script)]:
        raise UserError(*dict.fromkeys(errors))
    return [Run(base, _merged(base, spec, file, assignment)) for base in bases for assignment in assignments]


def unknown(spec: Spec, file: ConfigFile, script: TrainingScript, name: str, runs: Sequence[Run]) -> list[str]:
    """Errors for keys that the spec sets and the script, called `name`, does not have: no run would differ by them."""
    bases = {run.base.path: run.base for run in runs}
    known: set[str] = set()
    for base in bases.values():
        if (keys := script.spec_keys(base)) is None:
            return []
        known |= set(keys)
    all_ = [*named(spec), *([("repeat", "seed")] if spec.seeds else [])]
    return [
        f"{file.place(place)}: unknown key {key!r}; {did_you_mean(key, known) or f'{name} does not define it'}"
        for place, key in all_
        if not {key, nested_keys.top(key)} & {*known, *OF_A_JOB}
    ]


def named(spec: Spec) -> list[tuple[str, str]]:
    """The keys that a spec sets, each with its place: `sweep.lr`, `lr`."""
    parts: list[tuple[str, Mapping[str, Any]]] = [("sweep", spec.sweep), ("zip", spec.zip)]
    parts += [("fixed_overrides", spec.fixed_overrides)]
    parts += [(f"include[{number}]", included) for number, included in enumerate(spec.include)]
    return [(f"{part}.{key}", key) for part, values in parts for key in values]


def _bases(
    spec: Spec, file: ConfigFile, script: TrainingScript, cwd: Path, home: Path, time_limit: float
) -> list[ConfigFile]:
    named = [("base_config", str(spec.base_config))]
    if spec.configs is not None:
        named = [(f"configs[{number}]", text) for number, text in enumerate(spec.configs)]
    bases: list[ConfigFile] = []
    errors: list[str] = []
    places = [_place(file, text, cwd, home) for _, text in named]
    read = read_all(script, [Path(shown(place, cwd)) for place in places], time_limit)
    for (key, text), place, one in zip(named, places, read, strict=True):
        try:
            if place.is_dir():
                raise UserError(f"{text}: is a folder; name a config in it")
            bases.append(_base(text, one))
        except UserError as error:
            errors += [f"{file.place(key)}: {it}" for it in error.problems]
    if errors:
        raise UserError(*errors)
    return bases


def _place(file: ConfigFile, text: str, cwd: Path, home: Path) -> Path:
    """A config that the spec names: in the current folder or, if it is not there, beside the spec or in the project."""
    places = [cwd / text, cwd / file.path.parent / text, home / text]
    return next((place for place in places if place.exists()), places[0])


def _base(text: str, read: ConfigFile | UserError) -> ConfigFile:
    found = reading.found(read)
    if found.partial is not None or DIGEST in found.values:
        cause = f"a sweep needs all of its values ({found.partial or 'it is of another kind'})"
        raise UserError(f"{text}: {cause}; write them out, in YAML or as plain assignments")
    if "name" in found.values and {"base_config", "configs"} & found.values.keys():
        raise UserError(f"{text}: is a sweep spec itself; name a config")
    return found


def _merged(base: ConfigFile, spec: Spec, file: ConfigFile, assignment: Assignment) -> ConfigFile:
    """The base with the spec's values, in the base's spelling of their keys, and where each key was set."""
    names = {key: nested_keys.spelled(key, base.values) for key in {**spec.fixed_overrides, **assignment}}
    refuse_two_names({key: name for key, name in names.items() if key in assignment})
    given = {names[key]: value for key, value in {**spec.fixed_overrides, **assignment}.items()}
    origins = {names[key]: file.place(f"fixed_overrides.{key}") for key in spec.fixed_overrides}
    origins |= {names[key]: file.place(_where(spec, key, value)) for key, value in assignment.items()}
    lines = {place: line for place, line in base.lines.items() if not nested_keys.is_set(place, given)}
    inherited = {place: where for place, where in base.inherited.items() if not nested_keys.is_set(place, given)}
    volatile = tuple(key for key in base.volatile if key not in given)
    values = nested_keys.applied(base.values, given)
    return ConfigFile(base.path, b"", values, lines, origins, inherited, volatile=volatile)


def _where(spec: Spec, key: str, value: Any) -> str:
    """Where in the spec a run got the value of a key: `sweep.lr[2]`."""
    for part, lists in (("sweep", spec.sweep), ("zip", spec.zip)):
        for number, candidate in enumerate(lists.get(key, ())):
            if repr(candidate) == repr(value):
                return f"{part}.{key}[{number}]"
    for number, included in enumerate(spec.include):
        if key in included and repr(included[key]) == repr(value):
            return f"include[{number}].{key}"
    return "repeat"


def in_mode(script: TrainingScript, run: Run, mode: str, place: str, *, given: bool) -> ConfigFile:
    """The config of a run with its mode, where the script has such a setting, which must be given. Raises UserError."""
    merged, keys = run.merged, script.keys(run.merged)
    if keys is None:
        return merged
    if errors := list(_decided_elsewhere(merged, keys)):
        raise UserError(*errors)
    if "mode" in keys and not given:
        raise UserError(f"{place}: mode is missing; add it")
    if "mode" in keys:
        return replace(merged, values={**merged.values, "mode": mode}, origins={**merged.origins, "mode": place})
    if mode == "simulation":
        raise UserError(f"{place}: mode simulation: what {merged.path} runs only trains; write mode: training")
    return merged


def _decided_elsewhere(merged: ConfigFile, keys: Collection[str]) -> Iterator[str]:
    for key, by in DECIDED.items():
        if key in merged.origins and key in keys:
            yield f"{merged.place(key)}: {key} is not a setting of a run: {by}; remove it here"
